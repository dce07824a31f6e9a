package check

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// P8 no_silent_stall: once the faults are over, whatever is due happens soon:
// deadlines are met, and every run that should close closes within a bound.
// (That tasks are taken is P25's.)

// dueSlack: an alarm may be late by a minute after a jump of the clock.
const dueSlack = 75 * time.Second

// Stalled looks at what should have happened by now, in shard time.
func (l *Ledger) Stalled(now time.Time) *Breach {
	for _, r := range l.Runs {
		if r.Row == nil || r.Gone {
			continue
		}
		if b := stalledRun(r, now); b != nil {
			return b
		}
		if b := l.stalledTask(r, now); b != nil {
			return b
		}
	}
	return nil
}

// stalledRun: the row in due may be early, so what counts is the run's own deadline.
func stalledRun(r *Run, now time.Time) *Breach {
	late := func(at int64) bool { return at > 1 && now.Sub(time.Unix(0, at)) > dueSlack }
	if !late(r.Row.DeadlineRow) {
		return nil
	}
	loaded, err := r.loaded()
	if at := loaded.Deadline(); err == nil && late(at) {
		return breach(NoSilentStall, r.Key.RunID, "the run had to be woken at %v, it is %v", time.Unix(0, at).UTC(), now)
	}
	return nil
}

// Unfinished counts the runs that have not closed. If all have, it counts those
// that owe something to another, such as the start of a child.
func (l *Ledger) Unfinished() (n int, first *Run) {
	if n, first = l.count(func(r *Run) bool { return !r.closed }); n > 0 {
		return n, first
	}
	return l.count(func(r *Run) bool {
		loaded, err := r.loaded()
		return err == nil && loaded.Owes()
	})
}

// Left counts the runs that have not been removed.
func (l *Ledger) Left() (n int, first *Run) { return l.count(func(*Run) bool { return true }) }

// count counts the runs that are there and of which something holds.
func (l *Ledger) count(of func(*Run) bool) (n int, first *Run) {
	for _, r := range l.Runs {
		if r.Row != nil && !r.Gone && of(r) {
			if n++; first == nil {
				first = r
			}
		}
	}
	return n, first
}

// NeverClosed is the breach of a run that stayed open, or in the debt of another.
func NeverClosed(r *Run, n int, after time.Duration) *Breach {
	return breach(NoSilentStall, r.Key.RunID, "%d runs are open or owe something %v after the faults ended, this one first: %s", n, after, r.waits())
}

// NeverRemoved is the breach of a run that stays beyond its retention.
func NeverRemoved(r *Run, n int, after time.Duration) *Breach {
	return breach(RetentionOnlyWhenDue, r.Key.RunID, "%d runs are still there %v after all were closed, this one first: %s", n, after, r.waits())
}

// waits says what a run waits for.
func (r *Run) waits() string {
	text := fmt.Sprintf("workflow %s, last event %v", r.Key.WorkflowID, r.Events[len(r.Events)-1].EventType)
	for _, t := range []struct {
		what string
		at   int64
	}{{"retention", r.Row.RetentionTime}, {"deadline row", r.Row.DeadlineRow}} {
		if t.at != 0 {
			text += fmt.Sprintf(", %s %v", t.what, time.Unix(0, t.at).UTC().Format("15:04:05.000000"))
		}
	}
	for _, k := range slices.Sorted(maps.Keys(r.Pending)) {
		text += fmt.Sprintf(", pending %q", k)
	}
	return text
}
