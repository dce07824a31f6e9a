package check

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"perdure/core/port"
	"perdure/core/run/runpb"
)

// P8 no_silent_stall: once the faults are over, whatever is due happens soon:
// deadlines are met, tasks that wait are taken by the workers that poll, and
// every run that should close closes within a bound.

const (
	// dueSlack: an alarm may be late by a minute after a jump of the clock.
	dueSlack = 75 * time.Second
	// taskSlack is what a task of the time of faults may wait for a worker, and
	// settledSlack one that was made later: workers poll without pause.
	taskSlack    = 2 * time.Minute
	settledSlack = 15 * time.Second
)

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

// stalledTask looks at tasks that wait in their queues.
func (l *Ledger) stalledTask(r *Run, now time.Time) *Breach {
	if r.closed {
		return nil
	}
	for _, key := range slices.Sorted(maps.Keys(r.Due)) {
		t := r.Due[key]
		since := r.waitsSince(&t)
		if since.IsZero() {
			continue
		}
		slack := taskSlack
		if !l.settled.IsZero() && since.After(l.settled) {
			slack = settledSlack
		}
		if now.Sub(since) > slack {
			return breach(NoSilentStall, r.Key.RunID, "%s waits since %v, it is %v", taskName(t.Kind, t.ID, t.Attempt, t.Stamp, t.Queue.Name), since, now)
		}
	}
	return nil
}

// waitsSince is when a task was made; zero if it is none, or was given back by a worker that went away.
func (r *Run) waitsSince(t *port.Task) time.Time {
	switch t.Kind {
	case port.WorkflowTask:
		if task := r.Row.GetTask(); task != nil && task.StartedId == 0 {
			return time.Unix(0, task.ScheduledTime).UTC()
		}
	case port.ActivityTask:
		a := &runpb.Activity{}
		if proto.Unmarshal(r.Pending["a"+string(binary.BigEndian.AppendUint64(nil, uint64(t.ID)))], a) == nil && a.ScheduledTime != 0 {
			return time.Unix(0, a.ScheduledTime).UTC()
		}
	}
	return time.Time{}
}

// Open counts the runs that have not closed.
func (l *Ledger) Open() (n int, first *Run) {
	for _, r := range l.Runs {
		if r.Row != nil && !r.closed && !r.Gone {
			if n++; first == nil {
				first = r
			}
		}
	}
	return n, first
}

// Left counts the runs that have not been removed.
func (l *Ledger) Left() (n int, first *Run) {
	for _, r := range l.Runs {
		if r.Row != nil && !r.Gone {
			if n++; first == nil {
				first = r
			}
		}
	}
	return n, first
}

// NeverClosed is the breach of a run that stayed open.
func NeverClosed(r *Run, n int, after time.Duration) *Breach {
	return breach(NoSilentStall, r.Key.RunID, "%d runs are open %v after the faults ended, this one first: %s", n, after, r.waits())
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
