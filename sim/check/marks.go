package check

import (
	"strings"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"

	"perdure/core/run/runpb"
)

// Marks count what a run has reached, rare paths above all: a fault that is
// never hit proves nothing.
type Marks struct {
	Named map[string]int
}

// Add counts one more of a name.
func (m *Marks) Add(name string) {
	if m.Named == nil {
		m.Named = map[string]int{}
	}
	m.Named[name]++
}

func (m *Marks) event(r *Run, e *historypb.HistoryEvent) {
	m.Add(strings.TrimPrefix(e.EventType.String(), "EVENT_TYPE_"))
	m.rare(r, e)
	switch a := e.Attributes.(type) {
	case *historypb.HistoryEvent_WorkflowTaskFailedEventAttributes:
		m.Add("task failed: " + a.WorkflowTaskFailedEventAttributes.Cause.String())
	case *historypb.HistoryEvent_WorkflowTaskTimedOutEventAttributes:
		m.Add("task timed out: " + a.WorkflowTaskTimedOutEventAttributes.TimeoutType.String())
	case *historypb.HistoryEvent_ActivityTaskTimedOutEventAttributes:
		m.Add("activity timed out: " + a.ActivityTaskTimedOutEventAttributes.Failure.GetTimeoutFailureInfo().GetTimeoutType().String())
	case *historypb.HistoryEvent_WorkflowExecutionStartedEventAttributes:
		if i := a.WorkflowExecutionStartedEventAttributes.Initiator; i != enumspb.CONTINUE_AS_NEW_INITIATOR_UNSPECIFIED {
			m.Add("run begun by " + i.String())
		}
	case *historypb.HistoryEvent_WorkflowTaskScheduledEventAttributes:
		if a.WorkflowTaskScheduledEventAttributes.TaskQueue.GetKind() == enumspb.TASK_QUEUE_KIND_STICKY {
			m.Add("sticky task")
		}
	}
}

// rare marks what an event tells together with those before it.
func (m *Marks) rare(r *Run, e *historypb.HistoryEvent) {
	var before *historypb.HistoryEvent
	if n := len(r.Events); n > 1 {
		before = r.Events[n-2]
	}
	forced := before.GetWorkflowTaskFailedEventAttributes().GetCause() == enumspb.WORKFLOW_TASK_FAILED_CAUSE_FORCE_CLOSE_COMMAND
	switch a := e.Attributes.(type) {
	case *historypb.HistoryEvent_WorkflowTaskScheduledEventAttributes:
		switch n := a.WorkflowTaskScheduledEventAttributes.Attempt; {
		case n >= 4:
			m.Add("workflow task recorded after four attempts or more")
		case n > 1:
			m.Add("transient workflow task recorded")
		}
		first := r.event(1).GetWorkflowExecutionStartedEventAttributes().GetFirstWorkflowTaskBackoff().AsDuration()
		if e.EventId < 4 && first > 0 && e.EventTime.AsTime().Before(r.event(1).EventTime.AsTime().Add(first)) {
			m.Add("first backoff cut short")
		}
	case *historypb.HistoryEvent_ActivityTaskStartedEventAttributes:
		if n := a.ActivityTaskStartedEventAttributes.Attempt; n > 2 {
			m.Add("activity ended at its third attempt or later")
		}
	case *historypb.HistoryEvent_ActivityTaskCanceledEventAttributes:
		if a.ActivityTaskCanceledEventAttributes.StartedEventId == 0 {
			m.Add("activity canceled before it was started")
		}
	case *historypb.HistoryEvent_WorkflowExecutionTerminatedEventAttributes:
		m.Add("terminated: " + strings.SplitN(a.WorkflowExecutionTerminatedEventAttributes.Reason, ".", 2)[0])
	case *historypb.HistoryEvent_WorkflowExecutionSignaledEventAttributes:
		if a.WorkflowExecutionSignaledEventAttributes.ExternalWorkflowExecution != nil {
			m.Add("signal of another workflow")
		}
	}
	if _, kind, started := ended(e); kind == opensChild && before != nil && started == before.EventId {
		m.Add("child ended before its start was seen")
	}
	if forced && !closes(e.EventType) {
		m.Add("buffered events flushed by a forced close")
	}
}

// row marks what changed in a run from one record to the next.
func (m *Marks) row(before, after *runpb.Run) {
	was, is := before.GetTask(), after.GetTask()
	switch {
	case was == nil || is == nil:
	case was.Sticky && !is.Sticky && was.ScheduledId == is.ScheduledId && is.StartedId == 0:
		m.Add("task moved from a dead sticky queue")
	case !was.Reoffered && is.Reoffered:
		m.Add("workflow task offered again: its worker never got it")
	case was.Reoffered && !is.Reoffered && was.ScheduledId == is.ScheduledId:
		m.Add("workflow task given out again")
	}
	if before.GetCloseRefused() && after.GetStatus() != 1 {
		m.Add("run closed at its second try")
	}
	if before.GetStartUnconfirmed() && !after.GetStartUnconfirmed() {
		m.Add("child knows that its start is recorded")
	}
	if !before.GetParentClosed() && after.GetParentClosed() && after.GetStatus() == 1 {
		m.Add("child goes on after its parent closed")
	}
}

// Merge adds the counts of another run.
func (m *Marks) Merge(o *Marks) {
	if m.Named == nil {
		m.Named = map[string]int{}
	}
	for name, n := range o.Named { //ordered: sums do not depend on the order
		m.Named[name] += n
	}
}
