package run

import (
	"time"

	enumspb "go.temporal.io/api/enums/v1"
)

// Time. Everything a run waits for folds into one deadline: the earliest of all
// timeouts, timers, backoffs and repeats of messages. A small heap finds it;
// entries may be stale and are checked against the state when they surface.

type watchKind uint8

const (
	watchRun watchKind = iota // run timeout, first backoff, retention
	watchTask
	watchActivity
	watchTimer
	watchOwed
)

type watched struct {
	at   int64
	kind watchKind
	id   int64
}

type deadlines []watched

func (d *deadlines) push(w watched) {
	h := append(*d, w)
	for i := len(h) - 1; i > 0; {
		p := (i - 1) / 2
		if !h[i].before(h[p]) {
			break
		}
		h[p], h[i] = h[i], h[p]
		i = p
	}
	*d = h
}

func (d *deadlines) pop() {
	h := *d
	n := len(h) - 1
	h[0] = h[n]
	h = h[:n]
	for i := 0; ; {
		c := 2*i + 1
		if c >= n {
			break
		}
		if c+1 < n && h[c+1].before(h[c]) {
			c++
		}
		if !h[c].before(h[i]) {
			break
		}
		h[i], h[c] = h[c], h[i]
		i = c
	}
	*d = h
}

// before orders what is due at one time by kind and by event id: timers of one
// task fire in the order of their start.
func (w watched) before(x watched) bool {
	switch {
	case w.at != x.at:
		return w.at < x.at
	case w.kind != x.kind:
		return w.kind < x.kind
	}
	return w.id < x.id
}

// watch notes that the due time of something may have changed.
func (r *Run) watch(k watchKind, id int64) {
	at, ok := r.dueOf(k, id)
	if !ok {
		return
	}
	if len(r.deadlines) > 16+2*(r.activities.len()+r.timers.len()) {
		r.sweepDeadlines() // each heartbeat leaves a stale entry behind
		return
	}
	r.deadlines.push(watched{at, k, id})
}

// dueOf is when something is due now.
func (r *Run) dueOf(k watchKind, id int64) (int64, bool) {
	switch k {
	case watchRun:
		return r.runDue()
	case watchTask:
		return r.taskDue()
	case watchActivity:
		if a, ok := r.activities.get(id); ok {
			at, _ := activityDue(a)
			return at, at != 0
		}
	case watchTimer:
		if t, ok := r.timers.get(id); ok {
			return t.FireTime, true
		}
	case watchOwed:
		return r.nextOwed()
	}
	return 0, false
}

func (r *Run) runDue() (int64, bool) {
	s := r.S
	if r.Closed() {
		return s.RetentionTime, true
	}
	at := s.RunExpiry
	if s.FirstTaskTime != 0 && (at == 0 || s.FirstTaskTime < at) {
		at = s.FirstTaskTime
	}
	return at, at != 0
}

func (r *Run) taskDue() (int64, bool) {
	task := r.S.Task
	switch {
	case task == nil || r.Closed():
		return 0, false
	case task.StartedId != 0:
		return task.StartedTime + task.Timeout, true
	case task.Sticky && task.StickyTimeout > 0:
		return task.ScheduledTime + task.StickyTimeout, true
	}
	return 0, false
}

func (r *Run) rebuildDeadlines() {
	r.rebuildOwed()
	r.sweepDeadlines()
}

// sweepDeadlines builds the heap anew: one entry for everything that is due some time.
func (r *Run) sweepDeadlines() {
	r.deadlines = r.deadlines[:0]
	r.watch(watchRun, 0)
	r.watch(watchTask, 0)
	r.watch(watchOwed, 0)
	for _, id := range r.activities.ids() {
		r.watch(watchActivity, id)
	}
	for _, id := range r.timers.ids() {
		r.watch(watchTimer, id)
	}
}

// Deadline is when the run must be given the time next, Unix ns; 0: never.
func (r *Run) Deadline() int64 {
	w, ok := r.nextWatched()
	if !ok {
		return 0
	}
	return max(w.at, 1) // owed at once
}

func (r *Run) nextWatched() (watched, bool) {
	for len(r.deadlines) > 0 {
		w := r.deadlines[0]
		at, ok := r.dueOf(w.kind, w.id)
		if ok && at == w.at {
			return w, true
		}
		r.deadlines.pop()
		if ok {
			r.deadlines.push(watched{at, w.kind, w.id})
		}
	}
	return watched{}, false
}

// Fire lets time pass up to env.Now: everything due happens in one transition, in
// the order of its due times. nil: nothing was due. Messages owed are not sent here.
func (r *Run) Fire(env *Env) *Changes {
	started := false
	begin := func() {
		if !started {
			r.begin(env)
			started = true
		}
	}
	var owed []watched
	for {
		w, ok := r.nextWatched()
		if !ok || w.at > env.Now {
			break
		}
		r.deadlines.pop()
		if w.kind == watchOwed {
			owed = append(owed, w)
			continue
		}
		if w.kind == watchRun && r.Closed() {
			owed = append(owed, w) // retention is the shard's
			continue
		}
		begin()
		r.fire(w)
	}
	for _, w := range owed {
		r.deadlines.push(w)
	}
	if !started {
		return nil
	}
	return r.commit()
}

func (r *Run) fire(w watched) {
	switch w.kind {
	case watchRun:
		r.fireRun()
	case watchTask:
		r.fireTask()
	case watchActivity:
		a, _ := r.activities.get(w.id)
		r.activityTime(a)
	case watchTimer:
		t, _ := r.timers.get(w.id)
		r.fireTimer(t)
	}
}

func (r *Run) fireRun() {
	s := r.S
	if s.RunExpiry != 0 && s.RunExpiry <= r.tx.env.Now {
		r.timeoutRun()
		return
	}
	r.endBackoff()
	r.tx.force = true
	r.watch(watchRun, 0)
}

func (r *Run) fireTask() {
	if r.S.Task.StartedId != 0 {
		r.timeoutTask(enumspb.TIMEOUT_TYPE_START_TO_CLOSE)
		return
	}
	r.timeoutTask(enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START)
}

// dueSlack is how early a row in due may be without being moved. Most deadlines
// are those of tasks and attempts that end long before them, and moving the row
// costs a delete and a put in the journal; a wake-up that finds nothing is rare.
const dueSlack = int64(time.Minute)

// moveDue keeps the run's row in due at or before its deadline. A row that is a
// little early, or is already in the tables and early, stays where it is: it
// fires, finds nothing due, and moves on.
func (r *Run) moveDue(c *Changes) {
	next, row := r.Deadline(), r.S.DeadlineRow
	if next == row {
		return
	}
	if row != 0 && !c.Closed && !r.tx.rearm && (next == 0 || next > row) {
		if next != 0 && next-row < dueSlack || !r.tx.env.Movable(row) {
			return
		}
	}
	c.DueGone, c.Due = row, next
	r.S.DeadlineRow = next
}

// Rearm moves the row in due of a run that was woken too early.
func (r *Run) Rearm(env *Env) *Changes {
	r.begin(env).rearm = true
	return r.commit()
}
