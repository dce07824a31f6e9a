package run

import (
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"

	"perdure/core/port"
	"perdure/core/run/runpb"
)

// Outcome records what became of a message of this run. nil: nothing to record.
func (r *Run) Outcome(env *Env, o *port.Outcome) *Changes {
	res := o.Body.(*Result)
	switch o.Kind {
	case port.StartChild:
		return r.childAnswered(env, o.ID, res)
	case port.ChildStarted:
		return r.childConfirmed(env, o.ID)
	case port.SignalExternal:
		return r.signalAnswered(env, o.ID, res)
	case port.CancelExternal:
		return r.cancelAnswered(env, o.ID, res)
	case port.ParentClosed:
		return r.childLeft(env, o.ID)
	case port.ChildClosed:
		return r.parentAnswered(env)
	case port.ChildWaits:
		if res.NotFound {
			return r.disowned(env)
		}
		return r.ParentRecorded(env)
	}
	return nil
}

func (r *Run) childAnswered(env *Env, id int64, res *Result) *Changes {
	c, ok := r.children.get(id)
	if !ok || c.StartedId != 0 || c.Resolved {
		return nil
	}
	r.begin(env)
	r.paid(oweChild, id)
	switch {
	case res.Cause != 0:
		r.childFailed(c, enumspb.StartChildWorkflowExecutionFailedCause(res.Cause))
	case !r.Closed():
		r.childStarted(c)
	case abandoned(c):
		r.confirmChild(c)
	default:
		r.closeChild(c)
	}
	return r.commit()
}

func (r *Run) childFailed(c *runpb.Child, cause enumspb.StartChildWorkflowExecutionFailedCause) {
	r.forgetChild(c.InitiatedId)
	if r.Closed() {
		return
	}
	i := decode(c.Initiated, &historypb.StartChildWorkflowExecutionInitiatedEventAttributes{})
	e := r.newEvent(enumspb.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_FAILED)
	e.Attributes = &historypb.HistoryEvent_StartChildWorkflowExecutionFailedEventAttributes{StartChildWorkflowExecutionFailedEventAttributes: &historypb.StartChildWorkflowExecutionFailedEventAttributes{
		Namespace: c.Namespace, NamespaceId: c.NamespaceId, WorkflowId: c.WorkflowId, WorkflowType: &commonpb.WorkflowType{Name: c.Type},
		Cause: cause, Control: i.Control, InitiatedEventId: c.InitiatedId,
	}}
	r.later(e, true)
}

func (r *Run) childStarted(c *runpb.Child) {
	i := decode(c.Initiated, &historypb.StartChildWorkflowExecutionInitiatedEventAttributes{})
	e := r.newEvent(enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED)
	e.Attributes = &historypb.HistoryEvent_ChildWorkflowExecutionStartedEventAttributes{ChildWorkflowExecutionStartedEventAttributes: &historypb.ChildWorkflowExecutionStartedEventAttributes{
		Namespace: c.Namespace, NamespaceId: c.NamespaceId, InitiatedEventId: c.InitiatedId, WorkflowExecution: execution(c.WorkflowId, c.RunId),
		WorkflowType: &commonpb.WorkflowType{Name: c.Type}, Header: i.Header,
	}}
	r.later(e, true)
	r.confirmChild(c)
}

// confirmChild tells a child that it may begin.
func (r *Run) confirmChild(c *runpb.Child) {
	c.Resolved, c.ConfirmOwed, c.Initiated, c.UserMetadata = true, true, nil, nil
	r.touch(rowChild, c.InitiatedId)
	r.owe(oweConfirm, c.InitiatedId)
}

// forgetChild drops a child and what is still owed to it.
func (r *Run) forgetChild(id int64) {
	r.paid(oweChild, id)
	r.paid(oweConfirm, id)
	r.children.remove(id)
	r.touch(rowChild, id)
}

// fixChildren notes the started event ids that a flush has given.
func (r *Run) fixChildren(started map[int64]int64) {
	if len(started) == 0 || r.children.len() == 0 {
		return
	}
	for id, at := range started { //ordered: each child is changed on its own; rows are put under their own keys in the order of ids below
		if c, ok := r.children.get(id); ok && c.StartedId == 0 {
			c.StartedId = at
		}
	}
	for _, id := range r.children.ids() {
		if _, ok := started[id]; ok {
			r.touch(rowChild, id)
		}
	}
}

func (r *Run) childConfirmed(env *Env, id int64) *Changes {
	c, ok := r.children.get(id)
	if !ok || !c.ConfirmOwed {
		r.paid(oweConfirm, id)
		return nil
	}
	r.begin(env)
	r.paid(oweConfirm, id)
	c.ConfirmOwed = false
	r.touch(rowChild, id)
	if r.Closed() { // an abandoned child: nothing is owed to it any more
		r.forgetChild(id)
	}
	return r.commit()
}

func (r *Run) childLeft(env *Env, id int64) *Changes {
	if _, ok := r.closes.get(id); !ok {
		return nil
	}
	r.begin(env)
	r.paid(oweClose, id)
	r.closes.remove(id)
	r.touch(rowClose, id)
	return r.commit()
}

func (r *Run) parentAnswered(env *Env) *Changes {
	if !r.owesParent() {
		return nil
	}
	r.begin(env)
	r.paid(oweParent, 0)
	r.S.ParentTold = true
	return r.commit()
}

func (r *Run) signalAnswered(env *Env, id int64, res *Result) *Changes {
	x, ok := r.signals.get(id)
	if !ok {
		return nil
	}
	if c, settles := r.redirected(env, oweSignal, x, res); !settles {
		return c
	}
	r.begin(env)
	r.paid(oweSignal, id)
	r.signals.remove(id)
	r.touch(rowSignal, id)
	if r.Closed() {
		return r.commit()
	}
	i := decode(x.Initiated, &historypb.SignalExternalWorkflowExecutionInitiatedEventAttributes{})
	if res.Cause != 0 {
		e := r.newEvent(enumspb.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED)
		e.Attributes = &historypb.HistoryEvent_SignalExternalWorkflowExecutionFailedEventAttributes{SignalExternalWorkflowExecutionFailedEventAttributes: &historypb.SignalExternalWorkflowExecutionFailedEventAttributes{
			Cause: enumspb.SignalExternalWorkflowExecutionFailedCause(res.Cause), Namespace: r.ownNamespace(i.Namespace), NamespaceId: x.NamespaceId,
			WorkflowExecution: i.WorkflowExecution, InitiatedEventId: id, Control: i.Control,
		}}
		r.later(e, true)
		return r.commit()
	}
	e := r.newEvent(enumspb.EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_SIGNALED)
	e.Attributes = &historypb.HistoryEvent_ExternalWorkflowExecutionSignaledEventAttributes{ExternalWorkflowExecutionSignaledEventAttributes: &historypb.ExternalWorkflowExecutionSignaledEventAttributes{
		InitiatedEventId: id, Namespace: r.ownNamespace(i.Namespace), NamespaceId: x.NamespaceId, WorkflowExecution: i.WorkflowExecution, Control: i.Control,
	}}
	r.later(e, true)
	return r.commit()
}

func (r *Run) cancelAnswered(env *Env, id int64, res *Result) *Changes {
	x, ok := r.cancels.get(id)
	if !ok {
		return nil
	}
	if c, settles := r.redirected(env, oweCancel, x, res); !settles {
		return c
	}
	r.begin(env)
	r.paid(oweCancel, id)
	r.cancels.remove(id)
	r.touch(rowCancel, id)
	if r.Closed() {
		return r.commit()
	}
	i := decode(x.Initiated, &historypb.RequestCancelExternalWorkflowExecutionInitiatedEventAttributes{})
	if res.Cause != 0 {
		e := r.newEvent(enumspb.EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED)
		e.Attributes = &historypb.HistoryEvent_RequestCancelExternalWorkflowExecutionFailedEventAttributes{RequestCancelExternalWorkflowExecutionFailedEventAttributes: &historypb.RequestCancelExternalWorkflowExecutionFailedEventAttributes{
			Cause: enumspb.CancelExternalWorkflowExecutionFailedCause(res.Cause), Namespace: r.ownNamespace(i.Namespace), NamespaceId: x.NamespaceId,
			WorkflowExecution: i.WorkflowExecution, InitiatedEventId: id, Control: i.Control,
		}}
		r.later(e, true)
		return r.commit()
	}
	e := r.newEvent(enumspb.EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED)
	e.Attributes = &historypb.HistoryEvent_ExternalWorkflowExecutionCancelRequestedEventAttributes{ExternalWorkflowExecutionCancelRequestedEventAttributes: &historypb.ExternalWorkflowExecutionCancelRequestedEventAttributes{
		InitiatedEventId: id, Namespace: r.ownNamespace(i.Namespace), NamespaceId: x.NamespaceId, WorkflowExecution: i.WorkflowExecution,
	}}
	r.later(e, true)
	return r.commit()
}

// ownNamespace is the name in the command, or the run's own.
func (r *Run) ownNamespace(name string) string {
	if name == "" {
		return r.tx.env.Namespace.Name
	}
	return name
}

// ParentRecorded lets a child begin: its parent has recorded the start.
func (r *Run) ParentRecorded(env *Env) *Changes {
	if !r.S.StartUnconfirmed {
		return nil
	}
	r.begin(env)
	r.confirmStart()
	if !r.Closed() && r.S.Task == nil && r.S.LastCompletedId == 0 {
		r.tx.force = true
	}
	return r.commit()
}

// confirmStart notes that the parent sends no more copies of the start. Those that
// are under way must find the run, so it stays as long as they may live.
func (r *Run) confirmStart() {
	r.S.StartUnconfirmed, r.S.AwaitsParent = false, false
	r.paid(oweAsk, 0)
	if r.Closed() {
		r.S.RetentionTime = max(r.S.RetentionTime, r.tx.env.Now+MessageAge.Nanoseconds())
		r.watch(watchRun, 0)
	}
}

// disowned ends a run that its parent knows nothing of: a late copy of the start made
// it after the parent had recorded another outcome.
func (r *Run) disowned(env *Env) *Changes {
	if !r.S.StartUnconfirmed {
		return nil
	}
	r.begin(env)
	if !r.Closed() {
		r.forceCloseTask(nil, serverIdentity)
		r.terminate("the parent workflow does not wait for this run", nil, serverIdentity, nil)
	}
	r.confirmStart()
	return r.commit()
}

// ParentClosed carries out the parent close policy, once for the whole chain.
func (r *Run) ParentClosed(env *Env, b *ParentClosedBody) *Changes {
	if r.S.ParentClosed || r.Closed() && !r.S.StartUnconfirmed {
		return nil
	}
	r.begin(env)
	r.S.ParentClosed = true
	if r.S.StartUnconfirmed {
		r.confirmStart()
	}
	if !r.Closed() {
		switch b.Policy {
		case enumspb.PARENT_CLOSE_POLICY_TERMINATE:
			r.forceCloseTask(nil, serverIdentity)
			r.terminate("by parent close policy", nil, serverIdentity, nil)
		case enumspb.PARENT_CLOSE_POLICY_REQUEST_CANCEL:
			r.cancel(&Cancel{Identity: serverIdentity, External: b.Parent})
		}
	}
	return r.commit()
}

// ChildWaits answers a child that asks whether its start is recorded; nil: not yet.
func (r *Run) ChildWaits(initiatedID int64, firstRunID string) *Result {
	if c, ok := r.children.get(initiatedID); ok && c.RunId == firstRunID {
		if !c.Resolved {
			return nil
		}
		return &Result{RunID: firstRunID}
	}
	if p, ok := r.closes.get(initiatedID); ok && p.RunId == firstRunID {
		return nil // the policy is under way, and says it too
	}
	return &Result{NotFound: true}
}

// ChildClosed records how a child of this run ended.
func (r *Run) ChildClosed(env *Env, initiatedID int64, b *ChildClosedBody) *Changes {
	c, ok := r.children.get(initiatedID)
	if !ok || r.Closed() || c.RunId != b.FirstRunID {
		return nil
	}
	r.begin(env)
	if !c.Resolved { // it ended before the answer to its start arrived
		r.childStarted(c)
	}
	r.later(r.childEnd(c, b), true)
	r.forgetChild(initiatedID)
	return r.commit()
}

// childEnd is the event of the parent for the close event of the child.
func (r *Run) childEnd(c *runpb.Child, b *ChildClosedBody) *historypb.HistoryEvent {
	kind := &commonpb.WorkflowType{Name: b.Type}
	id, started, ns, nsID := c.InitiatedId, c.StartedId, c.Namespace, c.NamespaceId
	switch b.Status {
	case enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED:
		e := r.newEvent(enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED)
		e.Attributes = &historypb.HistoryEvent_ChildWorkflowExecutionCompletedEventAttributes{ChildWorkflowExecutionCompletedEventAttributes: &historypb.ChildWorkflowExecutionCompletedEventAttributes{
			Result: b.Close.GetWorkflowExecutionCompletedEventAttributes().GetResult(), Namespace: ns, NamespaceId: nsID, WorkflowExecution: b.Execution, WorkflowType: kind, InitiatedEventId: id, StartedEventId: started}}
		return e
	case enumspb.WORKFLOW_EXECUTION_STATUS_FAILED:
		a := b.Close.GetWorkflowExecutionFailedEventAttributes()
		e := r.newEvent(enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_FAILED)
		e.Attributes = &historypb.HistoryEvent_ChildWorkflowExecutionFailedEventAttributes{ChildWorkflowExecutionFailedEventAttributes: &historypb.ChildWorkflowExecutionFailedEventAttributes{
			Failure: a.GetFailure(), RetryState: a.GetRetryState(), Namespace: ns, NamespaceId: nsID, WorkflowExecution: b.Execution, WorkflowType: kind, InitiatedEventId: id, StartedEventId: started}}
		return e
	case enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED:
		e := r.newEvent(enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_CANCELED)
		e.Attributes = &historypb.HistoryEvent_ChildWorkflowExecutionCanceledEventAttributes{ChildWorkflowExecutionCanceledEventAttributes: &historypb.ChildWorkflowExecutionCanceledEventAttributes{
			Details: b.Close.GetWorkflowExecutionCanceledEventAttributes().GetDetails(), Namespace: ns, NamespaceId: nsID, WorkflowExecution: b.Execution, WorkflowType: kind, InitiatedEventId: id, StartedEventId: started}}
		return e
	case enumspb.WORKFLOW_EXECUTION_STATUS_TIMED_OUT:
		e := r.newEvent(enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TIMED_OUT)
		e.Attributes = &historypb.HistoryEvent_ChildWorkflowExecutionTimedOutEventAttributes{ChildWorkflowExecutionTimedOutEventAttributes: &historypb.ChildWorkflowExecutionTimedOutEventAttributes{
			RetryState: b.Close.GetWorkflowExecutionTimedOutEventAttributes().GetRetryState(), Namespace: ns, NamespaceId: nsID, WorkflowExecution: b.Execution, WorkflowType: kind, InitiatedEventId: id, StartedEventId: started}}
		return e
	}
	e := r.newEvent(enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TERMINATED)
	e.Attributes = &historypb.HistoryEvent_ChildWorkflowExecutionTerminatedEventAttributes{ChildWorkflowExecutionTerminatedEventAttributes: &historypb.ChildWorkflowExecutionTerminatedEventAttributes{
		Namespace: ns, NamespaceId: nsID, WorkflowExecution: b.Execution, WorkflowType: kind, InitiatedEventId: id, StartedEventId: started}}
	return e
}

// noteStarted remembers the id of a started event for the end that follows it.
func noteStarted(e *historypb.HistoryEvent, started map[int64]int64) {
	if a := e.GetActivityTaskStartedEventAttributes(); a != nil {
		started[a.ScheduledEventId] = e.EventId
	}
	if c := e.GetChildWorkflowExecutionStartedEventAttributes(); c != nil {
		started[c.InitiatedEventId] = e.EventId
	}
}

// fixStarted gives the end of an activity or child the id of its started event.
func fixStarted(e *historypb.HistoryEvent, started map[int64]int64) {
	set := func(of int64, at *int64) {
		if id, ok := started[of]; ok {
			*at = id
		}
	}
	switch a := e.Attributes.(type) {
	case *historypb.HistoryEvent_ActivityTaskCompletedEventAttributes:
		set(a.ActivityTaskCompletedEventAttributes.ScheduledEventId, &a.ActivityTaskCompletedEventAttributes.StartedEventId)
	case *historypb.HistoryEvent_ActivityTaskFailedEventAttributes:
		set(a.ActivityTaskFailedEventAttributes.ScheduledEventId, &a.ActivityTaskFailedEventAttributes.StartedEventId)
	case *historypb.HistoryEvent_ActivityTaskTimedOutEventAttributes:
		set(a.ActivityTaskTimedOutEventAttributes.ScheduledEventId, &a.ActivityTaskTimedOutEventAttributes.StartedEventId)
	case *historypb.HistoryEvent_ActivityTaskCanceledEventAttributes:
		set(a.ActivityTaskCanceledEventAttributes.ScheduledEventId, &a.ActivityTaskCanceledEventAttributes.StartedEventId)
	case *historypb.HistoryEvent_ChildWorkflowExecutionCompletedEventAttributes:
		set(a.ChildWorkflowExecutionCompletedEventAttributes.InitiatedEventId, &a.ChildWorkflowExecutionCompletedEventAttributes.StartedEventId)
	case *historypb.HistoryEvent_ChildWorkflowExecutionFailedEventAttributes:
		set(a.ChildWorkflowExecutionFailedEventAttributes.InitiatedEventId, &a.ChildWorkflowExecutionFailedEventAttributes.StartedEventId)
	case *historypb.HistoryEvent_ChildWorkflowExecutionCanceledEventAttributes:
		set(a.ChildWorkflowExecutionCanceledEventAttributes.InitiatedEventId, &a.ChildWorkflowExecutionCanceledEventAttributes.StartedEventId)
	case *historypb.HistoryEvent_ChildWorkflowExecutionTimedOutEventAttributes:
		set(a.ChildWorkflowExecutionTimedOutEventAttributes.InitiatedEventId, &a.ChildWorkflowExecutionTimedOutEventAttributes.StartedEventId)
	case *historypb.HistoryEvent_ChildWorkflowExecutionTerminatedEventAttributes:
		set(a.ChildWorkflowExecutionTerminatedEventAttributes.InitiatedEventId, &a.ChildWorkflowExecutionTerminatedEventAttributes.StartedEventId)
	}
}
