package run

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	commonpb "go.temporal.io/api/common/v1"
	"google.golang.org/protobuf/proto"

	"perdure/core/port"
	"perdure/core/run/runpb"
)

// What holds after every transition, each thing computed anew in the slowest and
// plainest way.

func (w *world) check(k *kept) error {
	for _, c := range []struct {
		promise string // docs/invariants.md
		holds   func(*kept) error
	}{
		{"R3 state_equals_reloaded", w.reloads},
		{"R4 waiting_tasks_follow_from_state", waits},
		{"R4 deadline_is_the_minimum", deadlineHolds},
		{"R6 due_row_never_late", dueHolds},
		{"R1, R2 history_well_formed_and_folds_to_state", folds},
	} {
		if err := c.holds(k); err != nil {
			return fmt.Errorf("%s: %w", c.promise, err)
		}
	}
	return nil
}

// reloads: the run from its rows is the run in memory.
func (w *world) reloads(k *kept) error {
	r, err := k.reload()
	if err != nil {
		return err
	}
	if err := same(k.run, r); err != nil {
		return err
	}
	return sameRows(k, r)
}

// same compares two runs in everything that is not soft.
func same(a, b *Run) error {
	if !proto.Equal(a.S, b.S) {
		return fmt.Errorf("run rows differ:\n%v\n%v", a.S, b.S)
	}
	if err := sameMaps(a.activityID, b.activityID, "activity ids"); err != nil {
		return err
	}
	if err := sameMaps(a.timerID, b.timerID, "timer ids"); err != nil {
		return err
	}
	x, y := allRows(a), allRows(b)
	for _, key := range slices.Sorted(maps.Keys(x)) {
		if v, ok := y[key]; !ok || !bytes.Equal(v, x[key]) {
			return fmt.Errorf("%s differs: %q, %q", keyName(key), x[key], v)
		}
		delete(y, key)
	}
	if len(y) > 0 {
		return fmt.Errorf("only in the second: %q", slices.Sorted(maps.Keys(y)))
	}
	if a.size != b.size || a.buffered != b.buffered {
		return fmt.Errorf("buffer: %d bytes, next row %d; %d bytes, next row %d", a.size, a.buffered, b.size, b.buffered)
	}
	if a.heavySize != b.heavySize && !a.Closed() || a.fields != b.fields && !a.Closed() {
		return fmt.Errorf("weights: %d and %d bytes; %d and %d bytes", a.heavySize, a.fields, b.heavySize, b.fields)
	}
	if p, q := debts(a), debts(b); !slices.Equal(p, q) {
		return fmt.Errorf("owed differs: %v, %v", p, q)
	}
	return nil
}

func sameMaps(a, b map[string]int64, what string) error {
	if !maps.Equal(a, b) {
		return fmt.Errorf("%s differ: %v, %v", what, a, b)
	}
	return nil
}

// sameRows: the stored rows are exactly those the run would write now.
func sameRows(k *kept, r *Run) error {
	rows := allRows(r)
	for _, key := range slices.Sorted(maps.Keys(k.rows)) {
		if !bytes.Equal(rows[key], k.rows[key]) {
			return fmt.Errorf("stored row %s is not that of the state", keyName(key))
		}
		delete(rows, key)
	}
	if len(rows) > 0 {
		return fmt.Errorf("rows without a stored one: %q", slices.Sorted(maps.Keys(rows)))
	}
	return nil
}

// allRows is every pending row of the state.
func allRows(r *Run) map[string][]byte {
	out := map[string][]byte{}
	put := func(kind byte, ids []int64) {
		for _, id := range ids {
			out[idKey(kind, id)] = nonNil(r.pendingValue(kind, id))
		}
	}
	put(rowActivity, r.activities.ids())
	put(rowInput, r.inputs.ids())
	put(rowTimer, r.timers.ids())
	put(rowChild, r.children.ids())
	put(rowSignal, r.signals.ids())
	put(rowCancel, r.cancels.ids())
	put(rowClose, r.closes.ids())
	for id, q := range r.requests {
		out[string(rowRequest)+id] = encode(q)
	}
	for i, e := range r.buffer {
		out[idKey(rowBuffer, r.buffered-int64(len(r.buffer)-i))] = encode(e)
	}
	if r.memo != nil {
		put(rowMemo, []int64{0})
	}
	if r.attributes != nil {
		put(rowAttributes, []int64{0})
	}
	return out
}

// debts lists what the run owes, in an order of its own.
func debts(r *Run) []string {
	var out []string
	for _, o := range r.owed {
		out = append(out, fmt.Sprintf("%d/%d", o.kind, o.id))
	}
	slices.Sort(out)
	return out
}

// waits: the tasks that were added and not dropped are those the state calls for.
func waits(k *kept) error {
	want := waitingOf(k.run)
	for _, d := range want {
		if !k.waiting[d] {
			return fmt.Errorf("task %+v should wait", d)
		}
	}
	if len(want) != len(k.waiting) {
		return fmt.Errorf("%v wait, want %v", slices.Collect(maps.Keys(k.waiting)), want)
	}
	return nil
}

// waitingOf is the set of tasks that workers could take now.
func waitingOf(r *Run) []Dispatch {
	if r.Closed() {
		return nil
	}
	var out []Dispatch
	if t := r.S.Task; t != nil && (t.StartedId == 0 || t.Reoffered) {
		q := port.QueueKey{NamespaceID: r.S.NamespaceId, Name: t.Queue, Type: port.WorkflowQueue}
		if t.Sticky {
			q.Normal = r.S.TaskQueue
		}
		out = append(out, Dispatch{Kind: port.WorkflowTask, Queue: q, ID: t.ScheduledId, Attempt: t.Attempt, Stamp: t.Stamp, Priority: r.priorityKey(), Time: t.ScheduledTime})
	}
	for _, id := range r.activities.ids() {
		a, _ := r.activities.get(id)
		if a.StartedTime != 0 || !a.Dispatched {
			continue
		}
		out = append(out, Dispatch{
			Kind: port.ActivityTask, Queue: port.QueueKey{NamespaceID: r.S.NamespaceId, Name: a.Queue, Type: port.ActivityQueue},
			ID: id, Attempt: a.Attempt, Stamp: a.Stamp, Priority: activityPriority(r, a), Time: a.ScheduledTime,
		})
	}
	return out
}

// activityPriority: the activity's own key, else that of the workflow, else the middle one.
func activityPriority(r *Run, a *runpb.Activity) int32 {
	for _, p := range [][]byte{a.Priority, r.S.Priority} {
		if key := decode(p, &commonpb.Priority{}).PriorityKey; key > 0 {
			return key
		}
	}
	return 3
}

// deadlineHolds: Deadline is the earliest of all that the state waits for.
func deadlineHolds(k *kept) error {
	if got, want := k.run.Deadline(), deadlineOf(k.run); got != want {
		return fmt.Errorf("deadline %s, want %s", since(got), since(want))
	}
	if n, most := len(k.run.deadlines), 2*len(dueTimes(k.run))+64; n > most {
		return fmt.Errorf("%d deadlines are kept, %d are too many", n, most)
	}
	return nil
}

func deadlineOf(r *Run) int64 {
	times := dueTimes(r)
	if len(times) == 0 {
		return 0
	}
	return max(slices.Min(times), 1)
}

// dueTimes is every time at which something must happen.
func dueTimes(r *Run) (times []int64) {
	add := func(at int64) { times = append(times, at) }
	after := func(from, d int64) {
		if d > 0 {
			add(from + d)
		}
	}
	for _, o := range r.owed {
		add(o.at)
	}
	s := r.S
	if r.Closed() {
		add(s.RetentionTime)
		return times
	}
	if s.RunExpiry > 0 {
		add(s.RunExpiry)
	}
	if s.FirstTaskTime > 0 {
		add(s.FirstTaskTime)
	}
	if t := s.Task; t != nil {
		if t.StartedId != 0 {
			add(t.StartedTime + t.Timeout)
		} else if t.Sticky {
			after(t.ScheduledTime, t.StickyTimeout)
		}
	}
	for _, id := range r.timers.ids() {
		t, _ := r.timers.get(id)
		add(t.FireTime)
	}
	for _, id := range r.activities.ids() {
		a, _ := r.activities.get(id)
		after(a.FirstScheduledTime, a.ScheduleToClose)
		switch {
		case a.StartedTime != 0:
			after(a.StartedTime, a.StartToClose)
			after(max(a.StartedTime, a.HeartbeatTime), a.Heartbeat)
		case !a.Dispatched:
			add(a.ScheduledTime)
			fallthrough
		default:
			after(a.ScheduledTime, a.ScheduleToStart)
		}
	}
	return times
}

// dueHolds: the row in due may be early, never late, never missing.
func dueHolds(k *kept) error {
	at := deadlineOf(k.run)
	if k.due != k.run.S.DeadlineRow {
		return fmt.Errorf("the run takes its row for %d, it is %d", k.run.S.DeadlineRow, k.due)
	}
	if at != 0 && (k.due == 0 || k.due > at) {
		return fmt.Errorf("due row at %s, deadline %s", since(k.due), since(at))
	}
	return nil
}
