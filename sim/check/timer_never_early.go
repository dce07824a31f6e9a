package check

import (
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"

	"perdure/core/run/runpb"
)

// P3 timer_never_early: a timer fires, and a timeout strikes, no earlier than it
// was asked for, in the time of the shard.

func timerNeverEarly(r *Run, e *historypb.HistoryEvent) *Breach {
	due := dueOf(r, e)
	if at := e.EventTime.AsTime(); !due.IsZero() && at.Before(due) && at.Before(heartbeatsEnd(r, e)) {
		return breach(TimerNeverEarly, r.Key.RunID, "event %d, %v, at %v, it was due at %v", e.EventId, e.EventType, at, due)
	}
	return nil
}

// heartbeatLimit is how long a worker may put off a workflow task by completions that carry nothing.
const heartbeatLimit = 30 * time.Minute

// heartbeatsEnd is when a workflow task may time out as it is completed, because it
// and the tasks right before it were only put off; for other events never.
func heartbeatsEnd(r *Run, e *historypb.HistoryEvent) time.Time {
	if e.EventType != enumspb.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT {
		return time.Unix(1<<40, 0)
	}
	first := r.event(e.GetWorkflowTaskTimedOutEventAttributes().ScheduledEventId)
	for {
		a := r.event(first.GetEventId() - 1).GetWorkflowTaskCompletedEventAttributes()
		if a == nil {
			return first.GetEventTime().AsTime().Add(heartbeatLimit)
		}
		first = r.event(a.ScheduledEventId)
	}
}

// dueOf is when what e tells was due; zero if it was not a matter of time.
func dueOf(r *Run, e *historypb.HistoryEvent) time.Time {
	switch e.EventType {
	case enumspb.EVENT_TYPE_TIMER_FIRED:
		if s := r.event(e.GetTimerFiredEventAttributes().StartedEventId); s != nil {
			return s.EventTime.AsTime().Add(s.GetTimerStartedEventAttributes().GetStartToFireTimeout().AsDuration())
		}
	case enumspb.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT:
		a := e.GetWorkflowTaskTimedOutEventAttributes()
		if s := r.event(a.ScheduledEventId); s != nil && a.TimeoutType == enumspb.TIMEOUT_TYPE_START_TO_CLOSE && r.event(a.StartedEventId) != nil {
			return r.event(a.StartedEventId).EventTime.AsTime().Add(s.GetWorkflowTaskScheduledEventAttributes().GetStartToCloseTimeout().AsDuration())
		}
	case enumspb.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT:
		return activityDue(r, e)
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT:
		s := r.event(1)
		a := s.GetWorkflowExecutionStartedEventAttributes()
		due := s.EventTime.AsTime().Add(a.GetFirstWorkflowTaskBackoff().AsDuration() + a.GetWorkflowRunTimeout().AsDuration())
		if x := a.GetWorkflowExecutionExpirationTime(); x != nil && (a.GetWorkflowRunTimeout().AsDuration() == 0 || x.AsTime().Before(due)) {
			return x.AsTime()
		}
		return due
	}
	return time.Time{}
}

// activityDue looks at the timeouts that need no state beside the history.
func activityDue(r *Run, e *historypb.HistoryEvent) time.Time {
	a := e.GetActivityTaskTimedOutEventAttributes()
	s := r.event(a.ScheduledEventId)
	if s == nil {
		return time.Time{}
	}
	plan := s.GetActivityTaskScheduledEventAttributes()
	started := r.event(a.StartedEventId)
	switch a.Failure.GetTimeoutFailureInfo().GetTimeoutType() {
	case enumspb.TIMEOUT_TYPE_START_TO_CLOSE:
		if started != nil {
			return started.EventTime.AsTime().Add(plan.GetStartToCloseTimeout().AsDuration())
		}
	case enumspb.TIMEOUT_TYPE_HEARTBEAT:
		if started != nil {
			return started.EventTime.AsTime().Add(plan.GetHeartbeatTimeout().AsDuration())
		}
	case enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START:
		return s.EventTime.AsTime().Add(plan.GetScheduleToStartTimeout().AsDuration())
	}
	return time.Time{}
}

// event finds an event of the run that came before.
func (r *Run) event(id int64) *historypb.HistoryEvent {
	if id < 1 || id > int64(len(r.Events)) {
		return nil
	}
	return r.Events[id-1]
}

// startsNow: the timeout of a workflow task runs from its start, so a task that a
// record starts is not started earlier than anything that its shard recorded before.
func (l *Ledger) startsNow(r *Run, was, is *runpb.WorkflowTask) *Breach {
	if is.GetStartedId() == 0 || is.Reoffered || was.GetStartedId() != 0 && was.Nonce == is.Nonce || is.StartedTime >= l.floor.UnixNano() {
		return nil
	}
	return breach(TimerNeverEarly, r.Key.RunID, "the workflow task scheduled as event %d starts %v before what its shard had recorded", is.ScheduledId, l.floor.Sub(time.Unix(0, is.StartedTime)))
}
