package frontend

import (
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/types/known/durationpb"

	"perdure/core/port"
	"perdure/core/run/cron"
	"perdure/core/validate"
)

func (a *admission) start(req *workflowservice.StartWorkflowExecutionRequest) (Plan, *port.Refusal) {
	if r := a.enterToStart(req.Namespace); r != nil {
		return Plan{}, r
	}
	if r := a.workflowID(req.WorkflowId); r != nil {
		return Plan{}, r
	}
	if r := a.startFields(req); r != nil {
		return Plan{}, r
	}
	if r := a.startPolicies(req); r != nil {
		return Plan{}, r
	}
	if r := a.startExtras(req); r != nil {
		return Plan{}, r
	}
	if r := first(validate.Blob(a.limits(), req.Input), validate.Memo(a.limits(), req.Memo)); r != nil {
		return Plan{}, r
	}
	plan, in := a.toRun(req, req.WorkflowId, "")
	in.Key = req.RequestId
	return plan, nil
}

func (a *admission) workflowID(id string) *port.Refusal {
	if id == "" {
		return port.Invalid("WorkflowId is not set on request.")
	}
	if n, most := len(id), a.limits().ID; n > most {
		return port.Invalid("WorkflowId exceeds maximum allowed length (%d/%d)", n, most)
	}
	return nil
}

func (a *admission) startFields(req *workflowservice.StartWorkflowExecutionRequest) *port.Refusal {
	if r := retryPolicy(&req.RetryPolicy); r != nil {
		return r
	}
	if r := startDelay(req.CronSchedule, req.WorkflowStartDelay); r != nil {
		return r
	}
	if r := cron.Validate(req.CronSchedule, a.caller.Now); r != nil {
		return r
	}
	switch name := req.WorkflowType.GetName(); {
	case name == "":
		return port.Invalid("WorkflowType is not set on request.")
	case len(name) > a.limits().ID:
		return port.Invalid("WorkflowType length exceeds limit.")
	}
	if r := a.queue(req.TaskQueue); r != nil {
		return r
	}
	if r := a.timeouts(&req.WorkflowExecutionTimeout, &req.WorkflowRunTimeout, &req.WorkflowTaskTimeout); r != nil {
		return r
	}
	req.RequestId = a.orNew(req.RequestId)
	return a.requestID(req.RequestId)
}

func (a *admission) startPolicies(req *workflowservice.StartWorkflowExecutionRequest) *port.Refusal {
	if r := policies(req.WorkflowIdReusePolicy, req.WorkflowIdConflictPolicy); r != nil {
		return r
	}
	fillPolicies(&req.WorkflowIdReusePolicy, &req.WorkflowIdConflictPolicy, enumspb.WORKFLOW_ID_CONFLICT_POLICY_FAIL)
	if o := req.OnConflictOptions; o.GetAttachCompletionCallbacks() && !o.GetAttachRequestId() {
		return port.Invalid("attaching request ID is required for attaching completion callbacks")
	}
	return nil
}

func (a *admission) startExtras(req *workflowservice.StartWorkflowExecutionRequest) *port.Refusal {
	if r := a.startAttributes(&req.SearchAttributes); r != nil {
		return r
	}
	if r := validate.Priority(req.Priority); r != nil {
		return r
	}
	if r := a.callbacks(req.CompletionCallbacks); r != nil {
		return r
	}
	if r := validate.Links(a.limits(), req.Links); r != nil {
		return r
	}
	if req.TimeSkippingConfig != nil {
		return noTimeSkipping()
	}
	return noOverride(req.VersioningOverride != nil)
}

func (a *admission) signalWithStart(req *workflowservice.SignalWithStartWorkflowExecutionRequest) (Plan, *port.Refusal) {
	if r := a.enterToStart(req.Namespace); r != nil {
		return Plan{}, r
	}
	if r := a.signalWithStartNames(req); r != nil {
		return Plan{}, r
	}
	if r := a.signalWithStartFields(req); r != nil {
		return Plan{}, r
	}
	l := a.limits()
	if r := first(validate.Links(l, req.Links), noTimeSkippingIf(req.TimeSkippingConfig != nil), noOverride(req.VersioningOverride != nil),
		validate.Blob(l, req.SignalInput), validate.Blob(l, req.Input), validate.Memo(l, req.Memo)); r != nil {
		return Plan{}, r
	}
	plan, in := a.toRun(req, req.WorkflowId, "")
	in.Key = req.RequestId
	return plan, nil
}

// signalWithStartNames words its refusals unlike start and signal do.
func (a *admission) signalWithStartNames(req *workflowservice.SignalWithStartWorkflowExecutionRequest) *port.Refusal {
	if r := a.workflowID(req.WorkflowId); r != nil {
		return r
	}
	const tooLong = "%s exceeds maximum allowed length (%d/%d)"
	most := a.limits().ID
	switch name := req.WorkflowType.GetName(); {
	case req.SignalName == "":
		return port.Invalid("signal not set")
	case len(req.SignalName) > most:
		return port.Invalid(tooLong, "signal name", len(req.SignalName), most)
	case name == "":
		return port.Invalid("workflow type not set")
	case len(name) > most:
		return port.Invalid(tooLong, "workflow type name", len(name), most)
	}
	if r := a.queue(req.TaskQueue); r != nil {
		return r
	}
	if n := len(req.RequestId); n > most {
		return port.Invalid(tooLong, "Request ID", n, most)
	}
	req.RequestId = a.orNew(req.RequestId)
	return nil
}

func (a *admission) signalWithStartFields(req *workflowservice.SignalWithStartWorkflowExecutionRequest) *port.Refusal {
	if r := a.timeouts(&req.WorkflowExecutionTimeout, &req.WorkflowRunTimeout, &req.WorkflowTaskTimeout); r != nil {
		return r
	}
	if r := retryPolicy(&req.RetryPolicy); r != nil {
		return r
	}
	if r := startDelay(req.CronSchedule, req.WorkflowStartDelay); r != nil {
		return r
	}
	if r := policies(req.WorkflowIdReusePolicy, req.WorkflowIdConflictPolicy); r != nil {
		return r
	}
	if req.WorkflowIdConflictPolicy == enumspb.WORKFLOW_ID_CONFLICT_POLICY_FAIL {
		return port.Invalid("Invalid WorkflowIDConflictPolicy: WORKFLOW_ID_CONFLICT_POLICY_FAIL is not supported for this operation.")
	}
	fillPolicies(&req.WorkflowIdReusePolicy, &req.WorkflowIdConflictPolicy, enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING)
	if r := cron.Validate(req.CronSchedule, a.caller.Now); r != nil {
		return r
	}
	if r := a.startAttributes(&req.SearchAttributes); r != nil {
		return r
	}
	return validate.Priority(req.Priority)
}

// retryPolicy fills in the defaults of a policy; workflows without one are not retried.
func retryPolicy(p **commonpb.RetryPolicy) *port.Refusal {
	if *p == nil {
		return nil
	}
	*p = validate.FilledRetryPolicy(*p)
	return validate.RetryPolicy(*p)
}

func startDelay(schedule string, delay *durationpb.Duration) *port.Refusal {
	if schedule != "" && delay != nil {
		return port.Invalid("CronSchedule and WorkflowStartDelay may not be used together.")
	}
	return duration("WorkflowStartDelaySeconds", delay)
}

func duration(field string, d *durationpb.Duration) *port.Refusal {
	if r := validate.Duration(d); r != nil {
		return port.Invalid("An invalid %s is set on request. cause: %s", field, r.Message)
	}
	return nil
}

// queue checks the task queue of a start; a queue without a kind is a normal one.
func (a *admission) queue(q *taskqueuepb.TaskQueue) *port.Refusal {
	if r := validate.TaskQueue(a.limits(), q); r != nil {
		return r
	}
	if q.Kind == enumspb.TASK_QUEUE_KIND_UNSPECIFIED {
		q.Kind = enumspb.TASK_QUEUE_KIND_NORMAL
	}
	return nil
}

// timeouts fills in and cuts: the run ends with the execution, a task with its run.
// What needs no change stays as it was given, zero or not there.
func (a *admission) timeouts(execution, run, task **durationpb.Duration) *port.Refusal {
	if r := first(duration("WorkflowExecutionTimeoutSeconds", *execution), duration("WorkflowRunTimeoutSeconds", *run), duration("WorkflowTaskTimeoutSeconds", *task)); r != nil {
		return r
	}
	whole := cutTo(execution, validate.MaxDuration)
	atMost := validate.MaxDuration
	if whole > 0 {
		atMost = whole
	}
	one := cutTo(run, atMost)
	if one == 0 && whole > 0 {
		*run, one = durationpb.New(whole), whole
	}
	if (*task).AsDuration() == 0 {
		*task = durationpb.New(a.limits().TaskTimeout)
	}
	atMost = a.limits().TaskTimeoutMax
	if one > 0 {
		atMost = min(atMost, one)
	}
	cutTo(task, atMost)
	return nil
}

func cutTo(d **durationpb.Duration, most time.Duration) time.Duration {
	if (*d).AsDuration() > most {
		*d = durationpb.New(most)
	}
	return (*d).AsDuration()
}

func policies(reuse enumspb.WorkflowIdReusePolicy, conflict enumspb.WorkflowIdConflictPolicy) *port.Refusal {
	const terminateIfRunning, rejectDuplicate = enumspb.WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING, enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE
	if reuse == terminateIfRunning && conflict != enumspb.WORKFLOW_ID_CONFLICT_POLICY_UNSPECIFIED {
		return port.Invalid("Invalid WorkflowIDReusePolicy: WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING cannot be used together with a WorkflowIDConflictPolicy")
	}
	if reuse == rejectDuplicate && conflict == enumspb.WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING {
		return port.Invalid("Invalid WorkflowIDReusePolicy: WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE cannot be used together with WorkflowIdConflictPolicy WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING")
	}
	return nil
}

// fillPolicies fills in the defaults and rewrites the deprecated TERMINATE_IF_RUNNING in the words of today.
func fillPolicies(reuse *enumspb.WorkflowIdReusePolicy, conflict *enumspb.WorkflowIdConflictPolicy, otherwise enumspb.WorkflowIdConflictPolicy) {
	switch *reuse {
	case enumspb.WORKFLOW_ID_REUSE_POLICY_UNSPECIFIED:
		*reuse = enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE
	case enumspb.WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING:
		*reuse, *conflict = enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE, enumspb.WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING
	}
	if *conflict == enumspb.WORKFLOW_ID_CONFLICT_POLICY_UNSPECIFIED {
		*conflict = otherwise
	}
}

// startAttributes checks and types the search attributes and drops those without a value.
func (a *admission) startAttributes(sa **commonpb.SearchAttributes) *port.Refusal {
	if *sa == nil {
		return nil
	}
	typed, r := validate.SearchAttributes(a.limits(), a.ns, *sa)
	if r := first(r, validate.AttributeSizes(a.limits(), *sa)); r != nil {
		return r
	}
	*sa = validate.WithoutEmpty(typed)
	return nil
}

// callbacks refuses every callback but none: no address is configured that they may go to.
func (a *admission) callbacks(list []*commonpb.Callback) *port.Refusal {
	switch n := a.limits().Callbacks; {
	case len(list) == 0:
		return nil
	case len(list) > n:
		return port.Invalid("cannot attach more than %d callbacks to a workflow", n)
	}
	nexus, ok := list[0].GetVariant().(*commonpb.Callback_Nexus_)
	if !ok {
		return port.Refuse(port.Unimplemented, "unknown callback variant: %T", list[0].GetVariant())
	}
	return port.Invalid("invalid url: url does not match any configured callback address: %s", nexus.Nexus.GetUrl())
}

func noTimeSkippingIf(asked bool) *port.Refusal {
	if !asked {
		return nil
	}
	return noTimeSkipping()
}

func noTimeSkipping() *port.Refusal {
	return port.Refuse(port.Unimplemented, "The Time-Skipping feature is not enabled for namespace.")
}

// noOverride refuses a pinned version: there are no worker deployments to pin to,
// and running the workflow anywhere else would not be what was asked for.
func noOverride(asked bool) *port.Refusal {
	if !asked {
		return nil
	}
	return port.Refuse(port.Unimplemented, "worker versioning is not supported by this server: leave the versioning override out")
}
