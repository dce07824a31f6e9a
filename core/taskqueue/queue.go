package taskqueue

import (
	"cmp"
	"container/heap"
	"slices"
	"time"

	"perdure/core/port"
)

// queue is one task queue that has polls, had some lately, or keeps queries.
type queue struct {
	key     port.QueueKey
	timer   timer // the next look: at renew or earlier if polls wait, else when it may be forgotten
	again   line  // polls whose task was gone; they go first
	fresh   line
	queries window
	sources []*source // shards that have or had a backlog, sorted by address
	ready   ready     // those with tasks in their windows, the oldest first
	dry     []*source // those to read on: nothing in the window and more at the shard
	seen    time.Duration
	renew   time.Duration // a poll after it subscribes again
}

// memory is how long the queue is remembered without polls.
func memory(key *port.QueueKey) time.Duration {
	if key.Sticky() {
		return stickyMemory
	}
	return normalMemory
}

// first is the poll to serve next, nil if none waits.
func (q *queue) first() *waiter {
	if q.again.first != nil {
		return q.again.first
	}
	return q.fresh.first
}

func (q *queue) find(shard port.Address) (int, bool) {
	return slices.BinarySearchFunc(q.sources, shard, func(s *source, a port.Address) int {
		return cmp.Or(cmp.Compare(s.shard.Node, a.Node), cmp.Compare(s.shard.Index, a.Index))
	})
}

// settle puts a source that changed where it belongs: among the ready, among
// the dry, or in neither if a question is on its way or nothing is left.
func (q *queue) settle(s *source) {
	switch filled := s.window.len() > 0; {
	case filled && s.place < 0:
		heap.Push(&q.ready, s)
	case filled:
		heap.Fix(&q.ready, s.place)
	case s.place >= 0:
		heap.Remove(&q.ready, s.place)
	}
	if s.thirsty() && !s.dry {
		s.dry = true
		q.dry = append(q.dry, s)
	}
}

// line is a queue of polls, first come first served.
type line struct{ first, last *waiter }

// waiter is one poll that waits.
type waiter struct {
	poll       *port.Poll
	timer      timer // its deadline
	queue      *queue
	line       *line
	prev, next *waiter
}

func (l *line) add(w *waiter) {
	w.line, w.prev, w.next = l, l.last, nil
	if l.last == nil {
		l.first = w
	} else {
		l.last.next = w
	}
	l.last = w
}

func (l *line) remove(w *waiter) {
	if w.prev == nil {
		l.first = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		l.last = w.prev
	} else {
		w.next.prev = w.prev
	}
}

// ready is a heap of sources by the key of their oldest task (container/heap).
type ready []*source

func (r ready) Len() int { return len(r) }

func (r ready) Less(i, j int) bool { return r[i].window.front().Key < r[j].window.front().Key }

func (r ready) Swap(i, j int) {
	r[i], r[j] = r[j], r[i]
	r[i].place, r[j].place = i, j
}

// Push implements heap.Interface.
func (r *ready) Push(x any) {
	s := x.(*source)
	s.place = len(*r)
	*r = append(*r, s)
}

// Pop implements heap.Interface.
func (r *ready) Pop() any {
	last := len(*r) - 1
	s := (*r)[last]
	(*r)[last] = nil
	*r = (*r)[:last]
	s.place = -1
	return s
}
