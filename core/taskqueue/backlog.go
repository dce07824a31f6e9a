package taskqueue

import (
	"slices"

	"perdure/core/port"
)

// backlog takes in what a shard lists. It is served before it is trimmed: a
// window over the budget still feeds the polls that wait.
func (m *Queues) backlog(now port.Clock, b *port.Backlog, out *port.Effects) {
	if !m.heard(now, b.Shard, b.Epoch, out) {
		return
	}
	q := m.queues[b.Queue]
	if q == nil {
		return // forgotten since; the next poll subscribes again
	}
	if _, ok := q.find(b.Shard); !ok && len(b.Tasks) == 0 {
		return // most queues are empty at most shards
	}
	s := m.source(q, b.Shard)
	if s == nil {
		return
	}
	m.read(s, b)
	q.settle(s)
	m.serve(now, q, out)
	m.trim(s)
	m.readOn(q, out)
}

// readOn asks dry shards for their next tasks. It runs when polls come and when
// windows are used up, so a queue nobody polls asks nothing. It does not wait
// until all windows are empty: the oldest task may be at the dry shard.
func (m *Queues) readOn(q *queue, out *port.Effects) {
	for i, s := range q.dry {
		q.dry[i], s.dry = nil, false
		if s.thirsty() {
			s.asking = true
			out.Send(s.shard, port.Pull{From: m.cfg.Self, Queue: q.key, After: s.after, Max: m.cfg.Window})
		}
	}
	q.dry = q.dry[:0]
}

// withdrawListed drops a task from the window of its shard.
func (m *Queues) withdrawListed(q *queue, t *port.Task) {
	at, ok := q.find(t.Shard)
	if !ok {
		return
	}
	s := q.sources[at]
	if i, found := slices.BinarySearchFunc(s.window.live(), t.Key, byKey); found {
		m.withdrawFrom(&s.window, i, t)
		q.settle(s)
	}
}

// withdrawFrom drops t from a window, looking from the i-th task on.
func (m *Queues) withdrawFrom(w *window, i int, t *port.Task) {
	for live := w.live(); i < len(live); i++ {
		if sameTask(&live[i], t) {
			m.bytes -= size(&live[i])
			w.remove(i)
			return
		}
	}
}
