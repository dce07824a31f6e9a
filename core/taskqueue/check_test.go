package taskqueue

import (
	"slices"
	"time"

	"perdure/core/port"
)

type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// check looks at the whole machine after a step and names the invariant that does not hold.
func check(t failer, m *Queues, now time.Duration) {
	t.Helper()
	bytes, waiting, windows := 0, 0, 0
	for key, q := range m.queues {
		if q.key != key || q.timer.queue != q || m.timers[q.timer.place].timer != &q.timer {
			t.Fatalf("queue %v: lost its key or timer", key)
		}
		n := checkLines(t, m, q)
		waiting += n
		if n > 0 && (q.queries.len() > 0 || len(q.ready) > 0) {
			t.Fatalf("Q1: queue %v: a poll waits beside a task", key)
		}
		if n > 0 && (q.timer.at > q.renew || q.renew > now+renewEvery) {
			t.Fatalf("Q3: queue %v: renews at %v, timer at %v, now %v", key, q.renew, q.timer.at, now)
		}
		bytes += checkSources(t, m, q)
		windows += len(q.ready)
		for _, task := range q.queries.live() {
			bytes += size(&task)
		}
	}
	if bytes != m.bytes {
		t.Fatalf("Q7: %d bytes of tasks, %d counted", bytes, m.bytes)
	}
	const largest = 512 // bytes of a task in these tests
	if bytes > m.cfg.Budget+windows*largest {
		t.Fatalf("Q7: %d bytes of tasks, budget %d", bytes, m.cfg.Budget)
	}
	if len(m.timers) != len(m.queues)+waiting {
		t.Fatalf("%d timers for %d queues and %d polls", len(m.timers), len(m.queues), waiting)
	}
	checkTimers(t, m)
}

func checkLines(t failer, m *Queues, q *queue) int {
	n := 0
	for _, l := range []*line{&q.again, &q.fresh} {
		var prev *waiter
		for w := l.first; w != nil; prev, w = w, w.next {
			if w.prev != prev || w.line != l || w.queue != q || m.timers[w.timer.place].timer != &w.timer || m.calls[w.poll.Call] != w {
				t.Fatalf("Q4: poll %s is lost in its line", w.poll.ID)
			}
			n++
		}
		if l.last != prev {
			t.Fatalf("a line lost its end")
		}
	}
	return n
}

func checkSources(t failer, m *Queues, q *queue) int {
	bytes, filled := 0, 0
	for i, s := range q.sources {
		if i > 0 && q.sources[i-1].shard.Index >= s.shard.Index {
			t.Fatalf("sources out of order")
		}
		live := s.window.live()
		if !slices.IsSortedFunc(live, func(a, b port.Task) int { return byKey(a, b.Key) }) {
			t.Fatalf("Q2: window out of order")
		}
		for _, task := range live {
			bytes += size(&task)
			if s.more && task.Key > s.after {
				t.Fatalf("Q2: task %s beyond the point read %s", task.Key, s.after)
			}
		}
		if len(live) > m.cfg.Window {
			t.Fatalf("Q7: %d tasks in a window of %d", len(live), m.cfg.Window)
		}
		if len(live) > 0 {
			filled++
		}
		if (len(live) > 0) != (s.place >= 0) || s.place >= 0 && q.ready[s.place] != s {
			t.Fatalf("source %d is not where it belongs", s.shard.Index)
		}
		if s.dry != slices.Contains(q.dry, s) || s.thirsty() && !s.dry {
			t.Fatalf("Q2: source %d would not be read on", s.shard.Index)
		}
	}
	if filled != len(q.ready) {
		t.Fatalf("ready holds sources that are gone")
	}
	return bytes
}

func checkTimers(t failer, m *Queues) {
	for i, e := range m.timers {
		if e.timer.place != i || e.timer.at != e.at || i > 0 && m.timers[(i-1)/4].at > e.at {
			t.Fatalf("timer heap broken at %d", i)
		}
	}
	if len(m.timers) > 0 && (!m.armed || m.alarm > m.timers[0].at) {
		t.Fatalf("Q8: no alarm for the earliest timer")
	}
}
