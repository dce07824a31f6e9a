package run

import (
	"time"

	commandpb "go.temporal.io/api/command/v1"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"google.golang.org/protobuf/types/known/durationpb"

	"perdure/core/port"
	"perdure/core/run/cron"
	"perdure/core/run/runpb"
	"perdure/core/validate"
)

// Child workflows: initiated by a command, started by a message to the run to be
// (owe.go, outcome.go), closed by a message back.

func (x *commander) startChild(c *commandpb.Command) *badCommand {
	r := x.run
	a := c.GetStartChildWorkflowExecutionCommandAttributes()
	ns, init, b := r.planChild(a)
	if b != nil {
		return b
	}
	if n := r.children.len(); n >= r.tx.env.Limits.PendingChildren {
		return bad(enumspb.WORKFLOW_TASK_FAILED_CAUSE_PENDING_CHILD_WORKFLOWS_LIMIT_EXCEEDED, "the number of pending child workflow executions, %d, has reached the per-workflow limit of %d", n, r.tx.env.Limits.PendingChildren)
	}
	init.WorkflowTaskCompletedEventId = x.completedID
	e := x.event(c, enumspb.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED)
	e.Attributes = &historypb.HistoryEvent_StartChildWorkflowExecutionInitiatedEventAttributes{StartChildWorkflowExecutionInitiatedEventAttributes: init}
	child := &runpb.Child{
		InitiatedId: e.EventId, NamespaceId: ns.ID, Namespace: ns.Name, WorkflowId: a.WorkflowId, RunId: r.tx.env.NewRunID(),
		Type: a.WorkflowType.GetName(), ParentClosePolicy: int32(init.ParentClosePolicy), Initiated: encode(init),
	}
	if m := c.GetUserMetadata(); m != nil {
		child.UserMetadata = encode(m)
	}
	r.onUndo(func() { r.children.remove(child.InitiatedId) })
	r.children.put(child.InitiatedId, child)
	r.touchNew(rowChild, child.InitiatedId)
	r.owe(oweChild, child.InitiatedId)
	if x.children == nil {
		x.children = map[string]bool{}
	}
	x.children[a.WorkflowId] = true
	return nil
}

// planChild checks the command in the peer's order and fills in its event.
func (r *Run) planChild(a *commandpb.StartChildWorkflowExecutionCommandAttributes) (*port.Namespace, *historypb.StartChildWorkflowExecutionInitiatedEventAttributes, *badCommand) {
	const cause = enumspb.WORKFLOW_TASK_FAILED_CAUSE_BAD_START_CHILD_EXECUTION_ATTRIBUTES
	const on = "StartChildWorkflowExecutionCommand"
	if a == nil {
		return nil, nil, bad(cause, "StartChildWorkflowExecutionCommandAttributes is not set on %s.", on)
	}
	l := r.tx.env.Limits
	kind := a.WorkflowType.GetName()
	ns, b := r.target(a.Namespace, cause)
	if b != nil {
		return nil, nil, b
	}
	where := "WorkflowId=" + a.WorkflowId + " WorkflowType=" + kind + " Namespace=" + ns.Name
	switch {
	case a.WorkflowId == "":
		return nil, nil, bad(cause, "Required field WorkflowId is not set on %s. WorkflowType=%s Namespace=%s", on, kind, ns.Name)
	case kind == "":
		return nil, nil, bad(cause, "Required field WorkflowType is not set on %s. WorkflowId=%s Namespace=%s", on, a.WorkflowId, ns.Name)
	case len(a.WorkflowId) > l.ID:
		return nil, nil, bad(cause, "WorkflowId on %s exceeds length limit. WorkflowId=%s Length=%d Limit=%d WorkflowType=%s Namespace=%s", on, a.WorkflowId, len(a.WorkflowId), l.ID, kind, ns.Name)
	case len(kind) > l.ID:
		return nil, nil, bad(cause, "WorkflowType on %s exceeds length limit. WorkflowType=%s Length=%d Limit=%d WorkflowId=%s Namespace=%s", on, kind, len(kind), l.ID, a.WorkflowId, ns.Name)
	}
	for _, d := range []struct {
		v    *durationpb.Duration
		name string
	}{{a.WorkflowExecutionTimeout, "WorkflowExecutionTimeout"}, {a.WorkflowRunTimeout, "WorkflowRunTimeout"}, {a.WorkflowTaskTimeout, "WorkflowTaskTimeout"}} {
		if f := validate.Duration(d.v); f != nil {
			return nil, nil, bad(cause, "Invalid %s on %s: %s. %s", d.name, on, f.Message, where)
		}
	}
	var retry *commonpb.RetryPolicy
	if a.RetryPolicy != nil {
		retry = validate.FilledRetryPolicy(a.RetryPolicy)
		if f := validate.RetryPolicy(retry); f != nil {
			return nil, nil, bad(cause, "invalid WorkflowRetryPolicy on %s: %s. %s", on, f.Message, where)
		}
	}
	if f := cron.Validate(a.CronSchedule, time.Unix(0, r.tx.env.Now)); f != nil {
		return nil, nil, bad(cause, "invalid CronSchedule on %s: %s. %s", on, f.Message, where)
	}
	queue := normalQueue(r.S.TaskQueue)
	if a.TaskQueue.GetName() != "" {
		if f := validate.QueueName(l, a.TaskQueue.Name); f != nil {
			return nil, nil, bad(cause, "invalid TaskQueue on %s: %s. %s TaskQueue=%s", on, f.Message, where, queueText(a.TaskQueue))
		}
		queue = normalQueue(a.TaskQueue.Name)
	}
	if f := validate.Priority(a.Priority); f != nil {
		return nil, nil, bad(cause, "%s", f.Message)
	}
	attributes, b := r.childAttributes(a, ns)
	if b != nil {
		return nil, nil, b
	}
	switch {
	case over(l.Blob, a.Input):
		return nil, nil, tooLarge(cause, "StartChildWorkflowExecutionCommandAttributes.Input")
	case over(l.Memo, a.Memo):
		return nil, nil, tooLarge(cause, "StartChildWorkflowExecutionCommandAttributes.Memo")
	}
	init := &historypb.StartChildWorkflowExecutionInitiatedEventAttributes{
		Namespace: ns.Name, NamespaceId: ns.ID, WorkflowId: a.WorkflowId, WorkflowType: a.WorkflowType, TaskQueue: queue, Input: a.Input,
		ParentClosePolicy: a.ParentClosePolicy, Control: a.Control, WorkflowIdReusePolicy: a.WorkflowIdReusePolicy,
		RetryPolicy: retry, CronSchedule: a.CronSchedule, Header: a.Header, Memo: a.Memo, SearchAttributes: attributes,
		InheritBuildId: a.InheritBuildId, Priority: a.Priority,
	}
	if init.ParentClosePolicy == enumspb.PARENT_CLOSE_POLICY_UNSPECIFIED {
		init.ParentClosePolicy = enumspb.PARENT_CLOSE_POLICY_TERMINATE
	}
	if init.WorkflowIdReusePolicy == enumspb.WORKFLOW_ID_REUSE_POLICY_UNSPECIFIED {
		init.WorkflowIdReusePolicy = enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE
	}
	childTimeouts(l, a, init)
	return ns, init, nil
}

func (r *Run) childAttributes(a *commandpb.StartChildWorkflowExecutionCommandAttributes, ns *port.Namespace) (*commonpb.SearchAttributes, *badCommand) {
	if a.SearchAttributes == nil {
		return nil, nil
	}
	return r.typed(ns, a.SearchAttributes, enumspb.WORKFLOW_TASK_FAILED_CAUSE_BAD_START_CHILD_EXECUTION_ATTRIBUTES)
}

// childTimeouts fills in and cuts: run <= execution, task <= run.
func childTimeouts(l *validate.Limits, a *commandpb.StartChildWorkflowExecutionCommandAttributes, init *historypb.StartChildWorkflowExecutionInitiatedEventAttributes) {
	whole, run, task := validate.Capped(a.WorkflowExecutionTimeout), validate.Capped(a.WorkflowRunTimeout), validate.Capped(a.WorkflowTaskTimeout)
	if whole > 0 {
		run = orCut(run, whole)
	}
	if task == 0 {
		task = l.TaskTimeout
	}
	task = min(task, l.TaskTimeoutMax)
	if run > 0 {
		task = min(task, run)
	}
	init.WorkflowExecutionTimeout = a.WorkflowExecutionTimeout
	if a.WorkflowExecutionTimeout != nil {
		init.WorkflowExecutionTimeout = durationpb.New(whole)
	}
	init.WorkflowRunTimeout, init.WorkflowTaskTimeout = durationpb.New(run), durationpb.New(task)
}

// target is the namespace a command names; other namespaces are refused.
func (r *Run) target(name string, cause enumspb.WorkflowTaskFailedCause) (*port.Namespace, *badCommand) {
	own := r.tx.env.Namespace
	if name == "" || name == own.Name {
		return own, nil
	}
	if r.tx.env.Lookup(name) == nil {
		return nil, &badCommand{refusal: port.NamespaceMissing(name)}
	}
	return nil, bad(cause, "cross namespace commands are not allowed")
}

// ChildSpec is how the child of an initiated event starts.
func ChildSpec(env *Env, m *StartChildBody) Spec {
	i := m.Initiated
	return Spec{
		WorkflowID: i.WorkflowId, RunID: m.RunID, RequestID: m.RequestID, ParentNamespaceID: m.ParentNamespaceID, AwaitsParent: true, UserMetadata: m.UserMetadata,
		Started: &historypb.WorkflowExecutionStartedEventAttributes{
			WorkflowType: i.WorkflowType, ParentWorkflowNamespace: m.ParentNamespace, ParentWorkflowNamespaceId: m.ParentNamespaceID,
			ParentWorkflowExecution: m.Parent, ParentInitiatedEventId: m.InitiatedID, RootWorkflowExecution: m.Root,
			TaskQueue: i.TaskQueue, Input: i.Input, Header: i.Header, Memo: i.Memo, SearchAttributes: i.SearchAttributes,
			WorkflowExecutionTimeout: i.WorkflowExecutionTimeout, WorkflowRunTimeout: i.WorkflowRunTimeout, WorkflowTaskTimeout: i.WorkflowTaskTimeout,
			RetryPolicy: i.RetryPolicy, CronSchedule: i.CronSchedule, Priority: mergePriority(m.Priority, i.Priority), Initiator: cronInitiator(i.CronSchedule),
		},
		Backoff: CronBackoff(env, i.CronSchedule),
	}
}

func cronInitiator(schedule string) enumspb.ContinueAsNewInitiator {
	if schedule == "" {
		return enumspb.CONTINUE_AS_NEW_INITIATOR_UNSPECIFIED
	}
	return enumspb.CONTINUE_AS_NEW_INITIATOR_CRON_SCHEDULE
}

// CronBackoff is the first backoff of a run with a schedule.
func CronBackoff(env *Env, schedule string) time.Duration {
	if schedule == "" {
		return 0
	}
	now := time.Unix(0, env.Now)
	return max(cron.Backoff(schedule, now, now), 0)
}
