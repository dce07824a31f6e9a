package taskqueue

import (
	"slices"

	"perdure/core/port"
)

// offer gives a fresh task to the poll that waits longest. With a poll waiting no
// older task is known here (Q1); one that is only known to exist is not waited for.
func (m *Queues) offer(now port.Clock, o *port.Offer, out *port.Effects) {
	again := o.Announce && slices.Contains(m.shards, o.Task.Shard) // else it is subscribed to as it is heard of
	if !m.heard(now, o.Task.Shard, o.Epoch, out) {                 // of an owner that was displaced since, or of a layout that is not known here yet
		if o.Expect {
			out.Send(o.Task.Shard, port.Declined{Task: o.Task}) // its record waits for an answer
		}
		return
	}
	q := m.queues[o.Task.Queue]
	if q != nil && again {
		m.announced(now, q, o.Task.Shard, out)
	}
	if q != nil {
		if w := q.first(); w != nil {
			out.Send(o.Task.Shard, port.Taken{From: m.cfg.Self, Task: o.Task, Poll: m.leave(now, w)})
			return
		}
	}
	dead := m.dead(now, q, &o.Task.Queue)
	if o.Task.Kind == port.QueryTask {
		m.keepQuery(now, q, &o.Task, dead, out)
		return
	}
	if q != nil {
		m.hint(q, &o.Task)
	}
	if o.Expect {
		out.Send(o.Task.Shard, port.Declined{Task: o.Task, Dead: dead && o.Task.Queue.Sticky()})
	}
}

// dead says that nobody polled the queue, which may be unknown (nil), for its
// memory. Of a machine that just started, "never seen" says little about a normal
// queue. A sticky one counts as dead at once: its tasks can go to the normal
// queue, and waiting for a worker that is not there would stall them.
func (m *Queues) dead(now port.Clock, q *queue, key *port.QueueKey) bool {
	switch {
	case q != nil:
		return q.first() == nil && now.Mono-q.seen >= memory(key)
	case key.Sticky():
		return true
	default:
		return now.Mono-m.started >= memory(key)
	}
}

// keepQuery holds a query until a poll comes, as shards do not list queries. A
// query that cannot be kept is declined, Dead if that is for want of polls (Q5).
func (m *Queues) keepQuery(now port.Clock, q *queue, t *port.Task, dead bool, out *port.Effects) {
	full := m.bytes+size(t) > m.cfg.Budget || q != nil && q.queries.len() >= m.cfg.Queries
	if dead || full {
		out.Send(t.Shard, port.Declined{Task: *t, Dead: dead})
		return
	}
	if q == nil {
		q = m.open(now, t.Queue)
	}
	m.bytes += size(t)
	q.queries.add(t)
}

// withdraw drops a task that is gone. One that is not here was handed out or
// never kept. Queries time out in about the order they came, so the search is short.
func (m *Queues) withdraw(t *port.Task) {
	q := m.queues[t.Queue]
	if q == nil {
		return
	}
	if t.Kind == port.QueryTask {
		m.withdrawFrom(&q.queries, 0, t)
	} else {
		m.withdrawListed(q, t)
	}
}
