package taskqueue

import (
	"slices"

	"perdure/core/port"
)

// open starts to know a queue.
func (m *Queues) open(now port.Clock, key port.QueueKey) *queue {
	q := &queue{key: key, seen: m.started, renew: now.Mono}
	q.timer = timer{at: now.Mono + renewEvery, queue: q}
	m.queues[key] = q
	m.timers.add(&q.timer)
	return q
}

// renew subscribes the queue at all shards. The answers list their backlogs from
// the start, so they also repair whatever was lost before.
func (m *Queues) renew(now port.Clock, q *queue, out *port.Effects) {
	q.renew = now.Mono + renewEvery
	m.timers.move(&q.timer, q.renew)
	for _, s := range q.sources {
		s.asking = true
	}
	m.subscribe(now, q, m.shards, out)
}

func (m *Queues) subscribe(now port.Clock, q *queue, shards []port.Address, out *port.Effects) {
	if len(shards) == 0 {
		return
	}
	var in port.Input = port.Subscribe{From: m.cfg.Self, Queue: q.key, Until: now.Wall.Add(subscribeFor)}
	for _, shard := range shards {
		out.Send(shard, in)
	}
}

// look is the queue's timer: it renews while polls wait, and forgets a queue that
// nobody polled for its memory (Q3, Q6).
func (m *Queues) look(now port.Clock, q *queue, out *port.Effects) {
	if q.first() != nil {
		m.renew(now, q, out)
		return
	}
	if end := q.seen + memory(&q.key); end > now.Mono {
		m.timers.move(&q.timer, end)
		return
	}
	m.forget(q, out)
}

// forget drops a queue. Its backlog is safe with the shards; its queries are not
// known elsewhere as open to anyone, so the shards learn that nobody will come (Q5).
func (m *Queues) forget(q *queue, out *port.Effects) { m.close(q, port.Declined{Dead: true}, out) }

// close drops a queue and declines its queries.
func (m *Queues) close(q *queue, say port.Declined, out *port.Effects) {
	for q.queries.len() > 0 {
		say.Task = q.queries.pop()
		m.bytes -= size(&say.Task)
		out.Send(say.Task.Shard, say)
	}
	for _, s := range q.sources {
		m.discard(&s.window)
	}
	m.timers.remove(&q.timer)
	delete(m.queues, q.key)
}

// relayout drops what the queue knows of shards where they are no more: a task
// handed to one would take its poll along. Queues with polls subscribe at the new
// places; those without do so when the next poll comes.
func (m *Queues) relayout(now port.Clock, q *queue, added []port.Address, out *port.Effects) {
	q.sources = slices.DeleteFunc(q.sources, func(s *source) bool {
		if slices.Contains(m.shards, s.shard) {
			return false
		}
		m.discard(&s.window)
		s.more = false
		q.settle(s)
		return true
	})
	for i := q.queries.len() - 1; i >= 0; i-- {
		if t := &q.queries.live()[i]; !slices.Contains(m.shards, t.Shard) {
			m.bytes -= size(t)
			q.queries.remove(i)
		}
	}
	if q.first() != nil {
		m.subscribe(now, q, added, out)
	} else {
		q.renew = now.Mono
	}
}
