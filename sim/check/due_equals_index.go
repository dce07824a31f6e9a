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
	return deadlineFits(r, loaded.Deadline(), loaded.Owes(), deadlines, at)
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
