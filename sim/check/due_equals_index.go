package check

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"time"

	"perdure/core/port"
	"perdure/core/run/runpb"

	"google.golang.org/protobuf/proto"
)

// P7 due_equals_index: the rows in due are an index over the state of the runs.
// A deadline row may be early, never late, never missing; every task that waits
// has its row, and nothing else has one.

// resend is how long a message that is owed may wait for its next try.
const resend = 5 * time.Second

func dueEqualsIndex(r *Run, at time.Time) *Breach {
	bad := func(format string, args ...any) *Breach {
		return breach(DueEqualsIndex, r.Key.RunID, format, args...)
	}
	loaded, err := r.loaded()
	if err != nil {
		return bad("the run cannot be loaded: %v", err)
	}
	want := map[string]bool{}
	if t := r.Row.Task; t != nil && (t.StartedId == 0 || t.Reoffered) {
		want[taskName(port.WorkflowTask, t.ScheduledId, t.Attempt, t.Stamp, t.Queue)] = true
	}
	for _, row := range r.pendingRows() {
		a := &runpb.Activity{}
		if row.Key[0] == 'a' && proto.Unmarshal(row.Value, a) == nil && a.Dispatched {
			want[taskName(port.ActivityTask, a.ScheduledId, a.Attempt, a.Stamp, a.Queue)] = true
		}
	}
	deadlines := 0
	for _, key := range slices.Sorted(maps.Keys(r.Due)) {
		t := r.Due[key]
		if t.Kind == 0 {
			deadlines++
			if have := int64(binary.BigEndian.Uint64([]byte(key[1:9]))); have != r.Row.DeadlineRow {
				return bad("a deadline row at %v, the run says %v", time.Unix(0, have), time.Unix(0, r.Row.DeadlineRow))
			}
			continue
		}
		n := taskName(t.Kind, t.ID, t.Attempt, t.Stamp, t.Queue.Name)
		if !want[n] {
			return bad("a row for %s, which does not wait", n)
		}
		delete(want, n)
	}
	for _, n := range slices.Sorted(maps.Keys(want)) {
		return bad("no row for %s, which waits", n)
	}
	if b := deadlineFits(r, loaded.Deadline(), loaded.Owes(), deadlines, at); b != nil {
		return b
	}
	if due := r.dueByRows(); due != 0 && r.Row.DeadlineRow > due {
		return bad("the deadline row is at %v, something is due at %v", time.Unix(0, r.Row.DeadlineRow).UTC(), time.Unix(0, due).UTC())
	}
	return nil
}

// dueByRows is when the next thing is due, told from the meaning of the rows alone;
// messages apart. 0: nothing is.
func (r *Run) dueByRows() (due int64) {
	consider := func(at, more int64) {
		if at != 0 && (due == 0 || at+more < due) {
			due = at + more
		}
	}
	s := r.Row
	if r.closed {
		return s.RetentionTime
	}
	consider(s.RunExpiry, 0)
	consider(s.FirstTaskTime, 0)
	switch t := s.Task; {
	case t.GetStartedId() != 0:
		consider(t.StartedTime, t.Timeout)
	case t.GetSticky() && t.StickyTimeout > 0:
		consider(t.ScheduledTime, t.StickyTimeout)
	}
	for _, row := range r.pendingRows() {
		t, a := &runpb.Timer{}, &runpb.Activity{}
		switch {
		case row.Key[0] == 't' && proto.Unmarshal(row.Value, t) == nil:
			consider(t.FireTime, 0)
		case row.Key[0] == 'a' && proto.Unmarshal(row.Value, a) == nil:
			considerActivity(a, consider)
		}
	}
	return due
}

func considerActivity(a *runpb.Activity, consider func(at, more int64)) {
	if a.ScheduleToClose > 0 {
		consider(a.FirstScheduledTime, a.ScheduleToClose)
	}
	switch {
	case a.StartedTime != 0 && a.StartToClose > 0:
		consider(a.StartedTime, a.StartToClose)
		if a.Heartbeat > 0 {
			consider(max(a.StartedTime, a.HeartbeatTime), a.Heartbeat)
		}
	case a.StartedTime == 0:
		if !a.Dispatched {
			consider(a.ScheduledTime, 0)
		}
		if a.ScheduleToStart > 0 {
			consider(a.ScheduledTime, a.ScheduleToStart)
		}
	}
}

func deadlineFits(r *Run, true_ int64, owes bool, rows int, at time.Time) *Breach {
	row := r.Row.DeadlineRow
	switch {
	case (row != 0) != (rows == 1):
		return breach(DueEqualsIndex, r.Key.RunID, "%d deadline rows, the run says %v", rows, time.Unix(0, row))
	case true_ == 0:
		return nil
	case row == 0:
		return breach(DueEqualsIndex, r.Key.RunID, "no deadline row, the run must be woken at %v", time.Unix(0, true_))
	}
	latest := true_
	if owes {
		latest = max(latest, at.Add(resend).UnixNano())
	}
	if row > latest {
		return breach(DueEqualsIndex, r.Key.RunID, "the deadline row is at %v, the run must be woken at %v", time.Unix(0, row).UTC(), time.Unix(0, true_).UTC())
	}
	return nil
}

func taskName(kind port.TaskKind, id int64, attempt int32, stamp uint64, queue string) string {
	return fmt.Sprintf("task %d of kind %d, attempt %d, stamp %d, in queue %s", id, kind, attempt, stamp, queue)
}
