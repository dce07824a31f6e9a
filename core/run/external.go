package run

import (
	commandpb "go.temporal.io/api/command/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"

	"perdure/core/run/runpb"
	"perdure/core/validate"
)

// Signals and cancel requests to other workflows: initiated by commands, carried
// by messages (owe.go), answered by outcomes (outcome.go).
//
// A message that was lost, or whose outcome was, is sent again, and by then the
// current run of the workflow may be another. So the sender fixes the run before
// anything can happen: if the command names none, the first message only asks for
// the current run. Another run is asked for only once the first one has closed
// without the message, which is true for good
// (docs/decisions/006-messages-between-runs.md).

// redirected notes which run a signal or cancel must go to next, if that is what
// the answer says. settles: it is the outcome.
func (r *Run) redirected(env *Env, k oweKind, x *runpb.External, res *Result) (c *Changes, settles bool) {
	switch {
	case res.Of != x.RunId:
		return nil, false // about another run than the one that is meant now: too late
	case res.Of == "" && res.RunID != "":
		x.RunId, x.Asked = res.RunID, true
	case res.Moved && x.Asked:
		x.RunId, x.Asked = "", false
	default:
		return nil, true
	}
	row := byte(rowSignal)
	if k == oweCancel {
		row = rowCancel
	}
	r.begin(env)
	r.touch(row, x.InitiatedId)
	r.paid(k, x.InitiatedId)
	r.owe(k, x.InitiatedId)
	return r.commit(), false
}

func (x *commander) signalExternal(c *commandpb.Command) *badCommand {
	const cause = enumspb.WORKFLOW_TASK_FAILED_CAUSE_BAD_SIGNAL_WORKFLOW_EXECUTION_ATTRIBUTES
	const on = "SignalExternalWorkflowExecutionCommand"
	r := x.run
	l := r.tx.env.Limits
	a := c.GetSignalExternalWorkflowExecutionCommandAttributes()
	switch {
	case a == nil:
		return bad(cause, "SignalExternalWorkflowExecutionCommandAttributes is not set on %s.", on)
	case a.Execution == nil:
		return bad(cause, "Execution is not set on %s.", on)
	}
	id, run := a.Execution.WorkflowId, a.Execution.RunId
	ns, b := r.target(a.Namespace, cause)
	if b != nil {
		return b
	}
	switch {
	case id == "":
		return bad(cause, "WorkflowId is not set on %s. Namespace=%s RunId=%s SignalName=%s", on, a.Namespace, run, a.SignalName)
	case len(id) > l.ID:
		return bad(cause, "WorkflowId on %s exceeds length limit. WorkflowId=%s Length=%d Limit=%d Namespace=%s RunId=%s SignalName=%s", on, id, len(id), l.ID, a.Namespace, run, a.SignalName)
	case run != "" && !validate.UUID(run):
		return bad(cause, "Invalid RunId set on %s. WorkflowId=%s Namespace=%s RunId=%s SignalName=%s", on, id, a.Namespace, run, a.SignalName)
	case a.SignalName == "":
		return bad(cause, "SignalName is not set on %s. WorkflowId=%s Namespace=%s RunId=%s", on, id, a.Namespace, run)
	case len(a.SignalName) > l.ID:
		return bad(cause, "SignalName on %s exceeds length limit. SignalName=%s Length=%d Limit=%d WorkflowId=%s Namespace=%s RunId=%s", on, a.SignalName, len(a.SignalName), l.ID, id, a.Namespace, run)
	}
	if over(l.Blob, a.Input) {
		return tooLarge(cause, "SignalExternalWorkflowExecutionCommandAttributes.Input")
	}
	if n := r.signals.len(); n >= l.PendingSignals {
		return bad(enumspb.WORKFLOW_TASK_FAILED_CAUSE_PENDING_SIGNALS_LIMIT_EXCEEDED, "the number of pending signals to external workflows, %d, has reached the per-workflow limit of %d", n, l.PendingSignals)
	}
	init := &historypb.SignalExternalWorkflowExecutionInitiatedEventAttributes{
		WorkflowTaskCompletedEventId: x.completedID, Namespace: a.Namespace, NamespaceId: ns.ID, WorkflowExecution: a.Execution,
		SignalName: a.SignalName, Input: a.Input, Control: a.Control, ChildWorkflowOnly: a.ChildWorkflowOnly, Header: a.Header,
	}
	e := x.event(c, enumspb.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED)
	e.Attributes = &historypb.HistoryEvent_SignalExternalWorkflowExecutionInitiatedEventAttributes{SignalExternalWorkflowExecutionInitiatedEventAttributes: init}
	r.onUndo(func() { r.signals.remove(e.EventId) })
	r.signals.put(e.EventId, &runpb.External{InitiatedId: e.EventId, Initiated: encode(init), RequestId: r.tx.env.NewID(), NamespaceId: ns.ID, RunId: run})
	r.touchNew(rowSignal, e.EventId)
	r.owe(oweSignal, e.EventId)
	return nil
}

func (x *commander) cancelExternal(c *commandpb.Command) *badCommand {
	const cause = enumspb.WORKFLOW_TASK_FAILED_CAUSE_BAD_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_ATTRIBUTES
	const on = "RequestCancelExternalWorkflowExecutionCommand"
	r := x.run
	l := r.tx.env.Limits
	a := c.GetRequestCancelExternalWorkflowExecutionCommandAttributes()
	if a == nil {
		return bad(cause, "RequestCancelExternalWorkflowExecutionCommandAttributes is not set on %s.", on)
	}
	if x.children[a.WorkflowId] {
		return bad(cause, "Start and RequestCancel for child workflow is not allowed in same workflow task. WorkflowId=%s RunId=%s Namespace=%s", a.WorkflowId, a.RunId, a.Namespace)
	}
	ns, b := r.target(a.Namespace, cause)
	if b != nil {
		return b
	}
	switch {
	case a.WorkflowId == "":
		return bad(cause, "WorkflowId is not set on %s. Namespace=%s RunId=%s", on, a.Namespace, a.RunId)
	case len(a.WorkflowId) > l.ID:
		return bad(cause, "WorkflowId on %s exceeds length limit. WorkflowId=%s Length=%d Limit=%d Namespace=%s RunId=%s", on, a.WorkflowId, len(a.WorkflowId), l.ID, a.Namespace, a.RunId)
	case a.RunId != "" && !validate.UUID(a.RunId):
		return bad(cause, "Invalid RunId set on %s. WorkflowId=%s RunId=%s Namespace=%s", on, a.WorkflowId, a.RunId, a.Namespace)
	}
	if n := r.cancels.len(); n >= l.PendingCancels {
		return bad(enumspb.WORKFLOW_TASK_FAILED_CAUSE_PENDING_REQUEST_CANCEL_LIMIT_EXCEEDED, "the number of pending requests to cancel external workflows, %d, has reached the per-workflow limit of %d", n, l.PendingCancels)
	}
	init := &historypb.RequestCancelExternalWorkflowExecutionInitiatedEventAttributes{
		WorkflowTaskCompletedEventId: x.completedID, Namespace: a.Namespace, NamespaceId: ns.ID, WorkflowExecution: execution(a.WorkflowId, a.RunId),
		Control: a.Control, ChildWorkflowOnly: a.ChildWorkflowOnly, Reason: a.Reason,
	}
	e := x.event(c, enumspb.EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED)
	e.Attributes = &historypb.HistoryEvent_RequestCancelExternalWorkflowExecutionInitiatedEventAttributes{RequestCancelExternalWorkflowExecutionInitiatedEventAttributes: init}
	r.onUndo(func() { r.cancels.remove(e.EventId) })
	r.cancels.put(e.EventId, &runpb.External{InitiatedId: e.EventId, Initiated: encode(init), RequestId: r.tx.env.NewID(), NamespaceId: ns.ID, RunId: a.RunId})
	r.touchNew(rowCancel, e.EventId)
	r.owe(oweCancel, e.EventId)
	return nil
}
