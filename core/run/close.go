package run

import (
	"slices"
	"time"

	commandpb "go.temporal.io/api/command/v1"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
	historypb "go.temporal.io/api/history/v1"
	"google.golang.org/protobuf/types/known/durationpb"

	"perdure/core/port"
	"perdure/core/run/runpb"
)

// The ends of a run.

func duration(d time.Duration) *durationpb.Duration { return durationpb.New(d) }

// unhandled refuses a close while the worker has not seen everything. What its own
// commands before the close brought about it need not see.
func (x *commander) unhandled() *badCommand {
	if x.run.bufferWakes(x.own) {
		return &badCommand{cause: enumspb.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND}
	}
	return nil
}

// bufferWakes reports whether a buffered event makes a workflow task.
func (r *Run) bufferWakes(but []*historypb.HistoryEvent) bool {
	for _, e := range r.buffer {
		if slices.Contains(but, e) {
			continue
		}
		switch e.EventType {
		case enumspb.EVENT_TYPE_ACTIVITY_TASK_STARTED, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_OPTIONS_UPDATED:
		default:
			return true
		}
	}
	return false
}

func (x *commander) completeWorkflow(c *commandpb.Command) *badCommand {
	if b := x.unhandled(); b != nil {
		return b
	}
	a := c.GetCompleteWorkflowExecutionCommandAttributes()
	if a == nil {
		return bad(enumspb.WORKFLOW_TASK_FAILED_CAUSE_BAD_COMPLETE_WORKFLOW_EXECUTION_ATTRIBUTES, "CompleteWorkflowExecutionCommandAttributes is not set on CompleteWorkflowExecutionCommand.")
	}
	if over(x.limit(), a.Result) {
		return tooLarge(enumspb.WORKFLOW_TASK_FAILED_CAUSE_BAD_SCHEDULE_ACTIVITY_ATTRIBUTES, "CompleteWorkflowExecutionCommandAttributes.Result")
	}
	r := x.run
	next := r.nextCron(nil, a.Result)
	e := x.event(c, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED)
	e.Attributes = &historypb.HistoryEvent_WorkflowExecutionCompletedEventAttributes{WorkflowExecutionCompletedEventAttributes: &historypb.WorkflowExecutionCompletedEventAttributes{
		Result: a.Result, WorkflowTaskCompletedEventId: x.completedID, NewExecutionRunId: next.runID(),
	}}
	r.close(enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED, next)
	return nil
}

func (x *commander) failWorkflow(c *commandpb.Command) *badCommand {
	const cause = enumspb.WORKFLOW_TASK_FAILED_CAUSE_BAD_FAIL_WORKFLOW_EXECUTION_ATTRIBUTES
	if b := x.unhandled(); b != nil {
		return b
	}
	a := c.GetFailWorkflowExecutionCommandAttributes()
	switch {
	case a == nil:
		return bad(cause, "FailWorkflowExecutionCommandAttributes is not set on FailWorkflowExecutionCommand.")
	case a.Failure == nil:
		return bad(cause, "Failure is not set on FailWorkflowExecutionCommand.")
	case over(x.limit(), a.Failure):
		return tooLarge(cause, "FailWorkflowExecutionCommandAttributes.Failure")
	}
	r := x.run
	next, state := r.nextAfterFailure(a.Failure)
	e := x.event(c, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED)
	e.Attributes = &historypb.HistoryEvent_WorkflowExecutionFailedEventAttributes{WorkflowExecutionFailedEventAttributes: &historypb.WorkflowExecutionFailedEventAttributes{
		Failure: a.Failure, RetryState: state, WorkflowTaskCompletedEventId: x.completedID, NewExecutionRunId: next.runID(),
	}}
	r.close(enumspb.WORKFLOW_EXECUTION_STATUS_FAILED, next)
	return nil
}

func (x *commander) cancelWorkflow(c *commandpb.Command) *badCommand {
	if b := x.unhandled(); b != nil {
		return b
	}
	a := c.GetCancelWorkflowExecutionCommandAttributes()
	if a == nil {
		return bad(enumspb.WORKFLOW_TASK_FAILED_CAUSE_BAD_CANCEL_WORKFLOW_EXECUTION_ATTRIBUTES, "CancelWorkflowExecutionCommandAttributes is not set on CancelWorkflowExecutionCommand.")
	}
	e := x.event(c, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED)
	e.Attributes = &historypb.HistoryEvent_WorkflowExecutionCanceledEventAttributes{WorkflowExecutionCanceledEventAttributes: &historypb.WorkflowExecutionCanceledEventAttributes{
		WorkflowTaskCompletedEventId: x.completedID, Details: a.Details,
	}}
	x.run.close(enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED, nil)
	return nil
}

// Terminate ends the run at once.
func (r *Run) Terminate(env *Env, reason string, details *commonpb.Payloads, identity string, links []*commonpb.Link) (*Changes, *port.Refusal) {
	if r.Closed() {
		return nil, alreadyCompleted()
	}
	r.begin(env)
	r.forceCloseTask(nil, serverIdentity)
	r.terminate(reason, details, identity, links)
	return r.commit(), nil
}

func (r *Run) terminate(reason string, details *commonpb.Payloads, identity string, links []*commonpb.Link) {
	e := r.event(enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED)
	e.Links = links
	e.Attributes = &historypb.HistoryEvent_WorkflowExecutionTerminatedEventAttributes{WorkflowExecutionTerminatedEventAttributes: &historypb.WorkflowExecutionTerminatedEventAttributes{
		Reason: reason, Details: details, Identity: identity,
	}}
	r.close(enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED, nil)
}

// textPayload is a plain text, which needs no escape, as SDKs encode it.
func textPayload(s string) *commonpb.Payloads {
	return &commonpb.Payloads{Payloads: []*commonpb.Payload{{Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: []byte(`"` + s + `"`)}}}
}

// timeoutRun ends the run by its run or execution timeout.
func (r *Run) timeoutRun() {
	r.forceCloseTask(nil, serverIdentity)
	f := &failurepb.Failure{Message: "workflow timeout", Source: "Server", FailureInfo: &failurepb.Failure_TimeoutFailureInfo{TimeoutFailureInfo: &failurepb.TimeoutFailureInfo{TimeoutType: enumspb.TIMEOUT_TYPE_START_TO_CLOSE}}}
	var next *successor
	state := enumspb.RETRY_STATE_TIMEOUT
	if r.S.ExecutionExpiry == 0 || r.tx.env.Now < r.S.ExecutionExpiry {
		next, state = r.nextAfterFailure(f)
	}
	e := r.event(enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT)
	e.Attributes = &historypb.HistoryEvent_WorkflowExecutionTimedOutEventAttributes{WorkflowExecutionTimedOutEventAttributes: &historypb.WorkflowExecutionTimedOutEventAttributes{
		RetryState: state, NewExecutionRunId: next.runID(),
	}}
	r.close(enumspb.WORKFLOW_EXECUTION_STATUS_TIMED_OUT, next)
}

// close ends the run: nothing waits for it any more but what it owes to others.
func (r *Run) close(status enumspb.WorkflowExecutionStatus, next *successor) {
	s := r.S
	if s.Task != nil {
		r.withdrawTask()
		s.Task = nil
	}
	s.Status, s.CloseTime = int32(status), r.tx.env.Now
	s.RetentionTime = s.CloseTime + r.tx.env.Namespace.Retention.Nanoseconds()
	s.FirstTaskTime = 0
	r.tx.closed = true
	r.tx.want, r.tx.force = false, false
	r.dropBufferRows()
	for _, id := range r.activities.ids() {
		a, _ := r.activities.get(id)
		r.withdrawActivity(a)
		r.removeActivity(a)
	}
	for _, id := range r.timers.ids() {
		t, _ := r.timers.get(id)
		r.removeTimer(t)
	}
	r.leaveChildren()
	if next != nil {
		r.follow(next)
	} else if s.ParentWorkflowId != "" {
		r.owe(oweParent, 0)
	}
	r.watch(watchRun, 0)
}

// leaveChildren applies the parent close policies: children that run get a
// message; children that were never started are not, but for abandoned ones.
func (r *Run) leaveChildren() {
	for _, id := range r.children.ids() {
		c, _ := r.children.get(id)
		switch {
		case !c.Resolved && r.initiatedNow(id) && !abandoned(c):
			r.forgetChild(id)
		case c.StartedId == 0 && !c.Resolved:
			// its start may be under way: the outcome decides (outcome.go)
		case abandoned(c):
			if !c.ConfirmOwed {
				r.forgetChild(id)
			}
		default:
			r.closeChild(c)
		}
	}
}

// closeChild owes a child its parent close policy.
func (r *Run) closeChild(c *runpb.Child) {
	r.forgetChild(c.InitiatedId)
	r.closes.put(c.InitiatedId, &runpb.ParentClose{InitiatedId: c.InitiatedId, Policy: c.ParentClosePolicy, NamespaceId: c.NamespaceId, WorkflowId: c.WorkflowId, RunId: c.RunId})
	r.touchNew(rowClose, c.InitiatedId)
	r.owe(oweClose, c.InitiatedId)
}

func abandoned(c *runpb.Child) bool {
	return enumspb.ParentClosePolicy(c.ParentClosePolicy) == enumspb.PARENT_CLOSE_POLICY_ABANDON
}

// initiatedNow reports whether an event belongs to the transition under way.
func (r *Run) initiatedNow(id int64) bool {
	return len(r.tx.events) > 0 && id >= r.tx.events[0].EventId
}
