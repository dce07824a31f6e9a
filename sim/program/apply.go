package program

import (
	"errors"
	"fmt"

	historypb "go.temporal.io/api/history/v1"
)

// apply lets the program see one event.
func (x *Instance) apply(e *historypb.HistoryEvent) error {
	switch a := e.Attributes.(type) {
	case *historypb.HistoryEvent_WorkflowExecutionStartedEventAttributes:
		return x.begin(a.WorkflowExecutionStartedEventAttributes)
	case *historypb.HistoryEvent_WorkflowExecutionSignaledEventAttributes:
		x.signals = append(x.signals, Text(a.WorkflowExecutionSignaledEventAttributes.Input))
	case *historypb.HistoryEvent_WorkflowExecutionCancelRequestedEventAttributes:
		if x.canceled {
			return errors.New("a second cancel request")
		}
		x.canceled = true
	case *historypb.HistoryEvent_ChildWorkflowExecutionStartedEventAttributes:
		return x.childStarted(a.ChildWorkflowExecutionStartedEventAttributes)
	default:
		if id, ends := endOf(e); ends {
			return x.ended(id)
		}
	}
	return nil
}

func (x *Instance) begin(a *historypb.WorkflowExecutionStartedEventAttributes) error {
	if x.root != nil {
		return errors.New("a second start")
	}
	if !Value(a.Input, &x.Input) {
		return errors.New("the input is not what the workflow was started with")
	}
	var last string
	Value(a.LastCompletionResult, &last)
	if x.Input.Cron && last != "" {
		x.run = 1
	}
	x.plan = generate(x.Input, a.TaskQueue.GetName(), x.run)
	x.root = x.plan.root
	return nil
}

func (x *Instance) childStarted(a *historypb.ChildWorkflowExecutionStartedEventAttributes) error {
	o := x.ops[a.InitiatedEventId]
	if o == nil || o.run != "" || o.closed {
		return fmt.Errorf("start of a child initiated as event %d that is not waited for", a.InitiatedEventId)
	}
	if o.id != a.WorkflowExecution.GetWorkflowId() {
		return fmt.Errorf("start of child %s where %s was initiated", a.WorkflowExecution.GetWorkflowId(), o.id)
	}
	o.run = a.WorkflowExecution.GetRunId()
	return nil
}

// ended closes an operation. Nothing ends twice, and nothing ends that was not begun.
func (x *Instance) ended(id int64) error {
	o := x.ops[id]
	if o == nil {
		return fmt.Errorf("end of event %d, which began nothing", id)
	}
	if o.closed {
		return fmt.Errorf("a second end of event %d", id)
	}
	o.closed = true
	return nil
}

// endOf is the event that began what this one ends.
func endOf(e *historypb.HistoryEvent) (int64, bool) {
	switch a := e.Attributes.(type) {
	case *historypb.HistoryEvent_ActivityTaskCompletedEventAttributes:
		return a.ActivityTaskCompletedEventAttributes.ScheduledEventId, true
	case *historypb.HistoryEvent_ActivityTaskFailedEventAttributes:
		return a.ActivityTaskFailedEventAttributes.ScheduledEventId, true
	case *historypb.HistoryEvent_ActivityTaskTimedOutEventAttributes:
		return a.ActivityTaskTimedOutEventAttributes.ScheduledEventId, true
	case *historypb.HistoryEvent_ActivityTaskCanceledEventAttributes:
		return a.ActivityTaskCanceledEventAttributes.ScheduledEventId, true
	case *historypb.HistoryEvent_TimerFiredEventAttributes:
		return a.TimerFiredEventAttributes.StartedEventId, true
	case *historypb.HistoryEvent_StartChildWorkflowExecutionFailedEventAttributes:
		return a.StartChildWorkflowExecutionFailedEventAttributes.InitiatedEventId, true
	case *historypb.HistoryEvent_ChildWorkflowExecutionCompletedEventAttributes:
		return a.ChildWorkflowExecutionCompletedEventAttributes.InitiatedEventId, true
	case *historypb.HistoryEvent_ChildWorkflowExecutionFailedEventAttributes:
		return a.ChildWorkflowExecutionFailedEventAttributes.InitiatedEventId, true
	case *historypb.HistoryEvent_ChildWorkflowExecutionCanceledEventAttributes:
		return a.ChildWorkflowExecutionCanceledEventAttributes.InitiatedEventId, true
	case *historypb.HistoryEvent_ChildWorkflowExecutionTimedOutEventAttributes:
		return a.ChildWorkflowExecutionTimedOutEventAttributes.InitiatedEventId, true
	case *historypb.HistoryEvent_ChildWorkflowExecutionTerminatedEventAttributes:
		return a.ChildWorkflowExecutionTerminatedEventAttributes.InitiatedEventId, true
	case *historypb.HistoryEvent_ExternalWorkflowExecutionSignaledEventAttributes:
		return a.ExternalWorkflowExecutionSignaledEventAttributes.InitiatedEventId, true
	case *historypb.HistoryEvent_SignalExternalWorkflowExecutionFailedEventAttributes:
		return a.SignalExternalWorkflowExecutionFailedEventAttributes.InitiatedEventId, true
	case *historypb.HistoryEvent_ExternalWorkflowExecutionCancelRequestedEventAttributes:
		return a.ExternalWorkflowExecutionCancelRequestedEventAttributes.InitiatedEventId, true
	case *historypb.HistoryEvent_RequestCancelExternalWorkflowExecutionFailedEventAttributes:
		return a.RequestCancelExternalWorkflowExecutionFailedEventAttributes.InitiatedEventId, true
	}
	return 0, false
}
