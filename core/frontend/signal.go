package frontend

import (
	"go.temporal.io/api/workflowservice/v1"

	"perdure/core/port"
	"perdure/core/validate"
)

func (a *admission) signal(req *workflowservice.SignalWorkflowExecutionRequest) (Plan, *port.Refusal) {
	if r := a.enter(req.Namespace); r != nil {
		return Plan{}, r
	}
	if r := execution(req.WorkflowExecution); r != nil {
		return Plan{}, r
	}
	switch {
	case req.SignalName == "":
		return Plan{}, port.Invalid("SignalName is not set on request.")
	case len(req.SignalName) > a.limits().ID:
		return Plan{}, port.Invalid("SignalName length exceeds limit.")
	}
	if r := first(a.requestID(req.RequestId), validate.Links(a.limits(), req.Links), validate.Blob(a.limits(), req.Input)); r != nil {
		return Plan{}, r
	}
	plan, in := a.toRun(req, req.WorkflowExecution.WorkflowId, req.WorkflowExecution.RunId)
	// The answer shows the request's own id, also if that is empty: so the message keeps it.
	in.Key = a.orNew(req.RequestId)
	return plan, nil
}

func (a *admission) requestCancel(req *workflowservice.RequestCancelWorkflowExecutionRequest) (Plan, *port.Refusal) {
	if r := a.enter(req.Namespace); r != nil {
		return Plan{}, r
	}
	if r := execution(req.WorkflowExecution); r != nil {
		return Plan{}, r
	}
	if r := validate.Links(a.limits(), req.Links); r != nil {
		return Plan{}, r
	}
	plan, in := a.toRun(req, req.WorkflowExecution.WorkflowId, req.WorkflowExecution.RunId)
	in.Key = a.orNew(req.RequestId)
	return plan, nil
}

// What an unreasoned termination by a user is recorded as.
const (
	terminateReason   = "terminated by user via frontend"
	terminateIdentity = "frontend-service"
)

func (a *admission) terminate(req *workflowservice.TerminateWorkflowExecutionRequest) (Plan, *port.Refusal) {
	if r := a.enter(req.Namespace); r != nil {
		return Plan{}, r
	}
	if r := execution(req.WorkflowExecution); r != nil {
		return Plan{}, r
	}
	if r := validate.Links(a.limits(), req.Links); r != nil {
		return Plan{}, r
	}
	setDefault(&req.Reason, terminateReason)
	setDefault(&req.Identity, terminateIdentity)
	plan, _ := a.toRun(req, req.WorkflowExecution.WorkflowId, req.WorkflowExecution.RunId)
	return plan, nil
}
