package frontend

import (
	commonpb "go.temporal.io/api/common/v1"
	failurepb "go.temporal.io/api/failure/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/proto"

	"perdure/core/port"
	"perdure/core/validate"
)

// The answers of activities, by token and by ids. Payloads over the blob limit
// do not reach the run: the activity fails instead, while its worker is told
// that all is well (it could do nothing about it).

// byToken sends the request to the run of its token.
func (a *admission) byToken(body proto.Message, t *port.Token, kind port.TaskKind) (Plan, *port.Refusal) {
	if t.Kind != kind {
		return Plan{}, wrongKind(kind)
	}
	plan, in := a.toKey(body, t.Run)
	in.Token = t
	return plan, nil
}

// wrongKind says of a genuine token that it names no task of that kind.
func wrongKind(kind port.TaskKind) *port.Refusal {
	switch kind {
	case port.WorkflowTask:
		return port.Missing("Workflow task not found.")
	case port.ActivityTask:
		return port.Missing("invalid activityID or activity already timed out or invoking workflow is completed")
	}
	return port.Invalid("Invalid TaskToken.")
}

// byToken again, for a request that stands for another one.
func (a *admission) insteadByToken(body proto.Message, t *port.Token, reply proto.Message) (Plan, *port.Refusal) {
	plan, r := a.byToken(body, t, port.ActivityTask)
	if r == nil {
		plan.In.(*port.Request).Reply = reply
	}
	return plan, r
}

func (a *admission) tooLarge(p *commonpb.Payloads) bool {
	return p != nil && validate.Blob(a.limits(), p) != nil
}

func (a *admission) activityCompleted(req *workflowservice.RespondActivityTaskCompletedRequest) (Plan, *port.Refusal) {
	t, r := a.enterByToken(req.Namespace, req.TaskToken)
	if r = first(r, a.identity(req.Identity)); r != nil {
		return Plan{}, r
	}
	if a.tooLarge(req.Result) {
		return a.insteadByToken(failed(req.Identity, validate.ResultTooLarge), t, &workflowservice.RespondActivityTaskCompletedResponse{})
	}
	return a.byToken(req, t, port.ActivityTask)
}

func failed(identity, message string) *workflowservice.RespondActivityTaskFailedRequest {
	return &workflowservice.RespondActivityTaskFailedRequest{Identity: identity, Failure: validate.ServerFailure(message, true)}
}

func (a *admission) activityCanceled(req *workflowservice.RespondActivityTaskCanceledRequest) (Plan, *port.Refusal) {
	t, r := a.enterByToken(req.Namespace, req.TaskToken)
	if r = first(r, a.identity(req.Identity)); r != nil {
		return Plan{}, r
	}
	if a.tooLarge(req.Details) {
		return a.insteadByToken(failed(req.Identity, validate.DetailsTooLarge), t, &workflowservice.RespondActivityTaskCanceledResponse{})
	}
	return a.byToken(req, t, port.ActivityTask)
}

func (a *admission) heartbeat(req *workflowservice.RecordActivityTaskHeartbeatRequest) (Plan, *port.Refusal) {
	t, r := a.enterByToken(req.Namespace, req.TaskToken)
	if r != nil {
		return Plan{}, r
	}
	if a.tooLarge(req.Details) {
		return a.insteadByToken(failed(req.Identity, validate.HeartbeatTooLarge), t, &workflowservice.RecordActivityTaskHeartbeatResponse{CancelRequested: true})
	}
	return a.byToken(req, t, port.ActivityTask)
}

func (a *admission) activityFailed(req *workflowservice.RespondActivityTaskFailedRequest) (Plan, *port.Refusal) {
	t, r := a.enterByToken(req.Namespace, req.TaskToken)
	if r != nil {
		return Plan{}, r
	}
	if req.Failure != nil && req.Failure.GetApplicationFailureInfo() == nil {
		return Plan{}, port.Invalid("Failure must have ApplicationFailureInfo.")
	}
	if r := a.identity(req.Identity); r != nil {
		return Plan{}, r
	}
	notes := a.fit(&req.Failure, &req.LastHeartbeatDetails)
	if notes == nil {
		return a.byToken(req, t, port.ActivityTask)
	}
	return a.insteadByToken(req, t, &workflowservice.RespondActivityTaskFailedResponse{Failures: notes})
}

// fit drops details and replaces a failure that are too large, and notes it for the worker.
func (a *admission) fit(f **failurepb.Failure, details **commonpb.Payloads) (notes []*failurepb.Failure) {
	if a.tooLarge(*details) {
		*details = nil
		notes = append(notes, validate.ServerFailure(validate.HeartbeatTooLarge, true))
	}
	kept, replaced := validate.Failure(a.limits(), *f)
	if replaced {
		*f = kept
		notes = append(notes, kept)
	}
	return notes
}

// activityID enters the namespace and checks the ids of an activity. Without a
// workflow id it would be a standalone activity, and there are none.
func (a *admission) activityID(namespace, workflow, run, activity, identity string) *port.Refusal {
	if r := a.enter(namespace); r != nil {
		return r
	}
	switch {
	case activity == "":
		return port.Invalid("ActivityId is not set on request.")
	case len(identity) > a.limits().ID:
		return a.identity(identity)
	case run != "" && !validate.UUID(run):
		return port.Invalid("RunId is not valid UUID.")
	case workflow == "":
		return port.Missing("activity not found for ID: %s", activity)
	}
	return nil
}

func (a *admission) activityCompletedByID(req *workflowservice.RespondActivityTaskCompletedByIdRequest) (Plan, *port.Refusal) {
	if r := a.activityID(req.Namespace, req.WorkflowId, req.RunId, req.ActivityId, req.Identity); r != nil {
		return Plan{}, r
	}
	if a.tooLarge(req.Result) {
		return a.insteadByID(req, validate.ResultTooLarge, &workflowservice.RespondActivityTaskCompletedByIdResponse{}), nil
	}
	plan, _ := a.toRun(req, req.WorkflowId, req.RunId)
	return plan, nil
}

func (a *admission) activityCanceledByID(req *workflowservice.RespondActivityTaskCanceledByIdRequest) (Plan, *port.Refusal) {
	if r := a.activityID(req.Namespace, req.WorkflowId, req.RunId, req.ActivityId, req.Identity); r != nil {
		return Plan{}, r
	}
	if a.tooLarge(req.Details) {
		return a.insteadByID(req, validate.DetailsTooLarge, &workflowservice.RespondActivityTaskCanceledByIdResponse{}), nil
	}
	plan, _ := a.toRun(req, req.WorkflowId, req.RunId)
	return plan, nil
}

func (a *admission) heartbeatByID(req *workflowservice.RecordActivityTaskHeartbeatByIdRequest) (Plan, *port.Refusal) {
	if r := a.activityID(req.Namespace, req.WorkflowId, req.RunId, req.ActivityId, ""); r != nil {
		return Plan{}, r
	}
	if a.tooLarge(req.Details) {
		return a.insteadByID(req, validate.HeartbeatTooLarge, &workflowservice.RecordActivityTaskHeartbeatByIdResponse{CancelRequested: true}), nil
	}
	plan, _ := a.toRun(req, req.WorkflowId, req.RunId)
	return plan, nil
}

func (a *admission) activityFailedByID(req *workflowservice.RespondActivityTaskFailedByIdRequest) (Plan, *port.Refusal) {
	if r := a.activityID(req.Namespace, req.WorkflowId, req.RunId, req.ActivityId, req.Identity); r != nil {
		return Plan{}, r
	}
	notes := a.fit(&req.Failure, &req.LastHeartbeatDetails)
	plan, in := a.toRun(req, req.WorkflowId, req.RunId)
	if notes != nil {
		in.Reply = &workflowservice.RespondActivityTaskFailedByIdResponse{Failures: notes}
	}
	return plan, nil
}

// byID is what the requests that name an activity by ids have in common.
type byID interface {
	GetWorkflowId() string
	GetRunId() string
	GetActivityId() string
	GetIdentity() string
}

func (a *admission) insteadByID(req byID, message string, reply proto.Message) Plan {
	plan, in := a.toRun(&workflowservice.RespondActivityTaskFailedByIdRequest{
		Namespace: a.ns.Name, WorkflowId: req.GetWorkflowId(), RunId: req.GetRunId(), ActivityId: req.GetActivityId(),
		Identity: req.GetIdentity(), Failure: validate.ServerFailure(message, true),
	}, req.GetWorkflowId(), req.GetRunId())
	in.Reply = reply
	return plan
}
