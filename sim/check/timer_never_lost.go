package check

import (
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
)

// P4 timer_never_lost: once the faults are over, a timer fires, and a timeout
// strikes, when it is due. (That none stays away for ever is P8's.)

// timerLateness is what a timer may be late by, with a healthy store and no jump of the clock.
const timerLateness = 5 * time.Second

// Settled says that from this shard time on timers must be punctual.
func (l *Ledger) Settled(at time.Time) { l.settled = at }

func (l *Ledger) timerPunctual(r *Run, e *historypb.HistoryEvent) *Breach {
	if l.settled.IsZero() {
		return nil
	}
	switch e.EventType {
	case enumspb.EVENT_TYPE_TIMER_FIRED, enumspb.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT:
	default:
		return nil // when an attempt of an activity was due the history does not tell
	}
	due, at := dueOf(r, e), e.EventTime.AsTime()
	if due.After(l.settled) && at.Sub(due) > timerLateness {
		return breach(TimerNeverLost, r.Key.RunID, "event %d, %v, at %v, it was due at %v", e.EventId, e.EventType, at, due)
	}
	return nil
}
