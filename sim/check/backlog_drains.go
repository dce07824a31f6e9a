package check

import (
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"perdure/core/port"
	"perdure/core/run/runpb"
)

// P25 backlog_drains: once the faults are over, a task that waits in its queue is
// taken by the workers that poll it.

const (
	// taskSlack is what a task of the time of faults may wait for a worker, and
	// settledSlack one that was made later: workers poll without pause.
	taskSlack    = 2 * time.Minute
	settledSlack = 15 * time.Second
)

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
			return breach(BacklogDrains, r.Key.RunID, "%s waits since %v, it is %v", taskName(t.Kind, t.ID, t.Attempt, t.Stamp, t.Queue.Name), since, now)
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
		if proto.Unmarshal(r.Pending[pendingKey('a', t.ID)], a) == nil && a.ScheduledTime != 0 {
			return time.Unix(0, a.ScheduledTime).UTC()
		}
	}
	return time.Time{}
}
