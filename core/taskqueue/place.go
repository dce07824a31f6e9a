package taskqueue

import (
	"slices"
	"time"

	"perdure/core/placement"
	"perdure/core/port"
	"perdure/core/store"
)

// Where shards are, and which queues are this node's. A shard is believed to be
// where it answered from, with the highest epoch so far, until it says that it has
// gone or its node leaves the view; of a shard that was not heard of, the view says it.

// lookAgain is when a queue asks again for a shard that nobody could place.
const (
	lookAgain   = time.Second
	followAgain = 200 * time.Millisecond
)

// publish learns the layout.
func (m *Queues) publish(now port.Clock, snap *port.Snapshot, out *port.Effects) {
	if snap == nil {
		return
	}
	layout := make([]store.ShardID, len(snap.Layout))
	for i, r := range snap.Layout {
		layout[i] = r.Shard
	}
	if slices.Equal(layout, m.layout) {
		return
	}
	places, epochs := make([]port.Address, len(layout)), make([]store.Epoch, len(layout))
	m.places = make(map[store.ShardID]int, len(layout))
	for i, id := range layout {
		m.places[id] = i
		if at := slices.Index(m.layout, id); at >= 0 {
			places[i], epochs[i] = m.shards[at], m.epochs[at]
			continue
		}
		places[i] = m.placed(id)
	}
	m.layout, m.epochs, m.followed = layout, epochs, make([]time.Duration, len(layout))
	m.move(now, places, out)
}

// placed is where the view puts a shard.
func (m *Queues) placed(id store.ShardID) port.Address {
	at, _ := placement.ShardAddress(m.members, m.cfg.Self.Node, id)
	return at
}

// owns reports whether a queue is this machine's, and whose it is if not.
func (m *Queues) owns(k port.QueueKey) (port.NodeID, bool) {
	if m.members == nil {
		return 0, true
	}
	at, ok := placement.Queue(m.members, m.cfg.Self.Node, m.cfg.Parts, k)
	return at.Node, !ok || at.Node == m.cfg.Self.Node
}

// view learns who belongs to the cluster. Queues that are others' now are handed
// over: polls are sent on, queries given back. Shards of nodes that left are looked
// for where the view puts them.
func (m *Queues) view(now port.Clock, v *port.Members, out *port.Effects) {
	m.members = v
	for _, e := range slices.Clone(m.timers) { // in an order that follows from the inputs alone
		if q := e.timer.queue; q != nil {
			if n, mine := m.owns(q.key); !mine {
				m.handOver(now, q, n, out)
			}
		}
	}
	places := slices.Clone(m.shards)
	for i, at := range places {
		if v.Find(at.Node) == nil {
			places[i] = m.placed(m.layout[i])
		}
	}
	m.move(now, places, out)
}

// handOver sends a queue's polls and queries to its new owner, who will subscribe.
func (m *Queues) handOver(now port.Clock, q *queue, to port.NodeID, out *port.Effects) {
	for w := q.first(); w != nil; w = q.first() {
		out.Add(port.Reply{Call: m.leave(now, w).Call, Refusal: port.MovedTo(to)})
	}
	m.close(q, port.Declined{Moved: true}, out)
}

// move takes new places of shards.
func (m *Queues) move(now port.Clock, places []port.Address, out *port.Effects) {
	if slices.Equal(places, m.shards) {
		return
	}
	added := slices.DeleteFunc(slices.Clone(places), func(a port.Address) bool { return slices.Contains(m.shards, a) })
	m.shards = places
	for _, e := range slices.Clone(m.timers) {
		if q := e.timer.queue; q != nil {
			m.relayout(now, q, added, out)
		}
	}
}

// heard follows a shard that speaks from another place than it was believed to be
// at. False: it is an owner of the past, or of no shard in the layout.
func (m *Queues) heard(now port.Clock, from port.Address, epoch store.Epoch, out *port.Effects) bool {
	i, known := m.places[store.ShardID(from.Index)]
	if !known {
		return m.members == nil
	}
	if epoch < m.epochs[i] {
		return false
	}
	m.epochs[i] = epoch
	if m.shards[i] != from {
		places := slices.Clone(m.shards)
		places[i] = from
		m.move(now, places, out)
	}
	return true
}

// elsewhere follows a shard that has gone. If nobody knows where to, or two nodes
// send each other's way, the queues ask again a little later.
func (m *Queues) elsewhere(now port.Clock, in *port.Elsewhere, out *port.Effects) {
	i := slices.Index(m.shards, in.Shard)
	if i < 0 {
		return // it was followed already
	}
	to := m.placed(m.layout[i])
	if in.To != 0 {
		to = port.ShardAddress(in.To, m.layout[i])
	}
	if to != in.Shard && to.Node != 0 && now.Mono >= m.followed[i] {
		m.followed[i] = now.Mono + followAgain
		places := slices.Clone(m.shards)
		places[i] = to
		m.move(now, places, out)
		return
	}
	for _, e := range slices.Clone(m.timers) {
		q := e.timer.queue
		if q == nil || q.renew <= now.Mono+lookAgain {
			continue
		}
		q.renew = now.Mono + lookAgain
		if q.first() != nil {
			m.timers.move(&q.timer, q.renew)
		}
	}
}

// announced answers a shard that knows of no subscription though it has tasks: it
// was opened a moment ago, or what said so was lost.
func (m *Queues) announced(now port.Clock, q *queue, shard port.Address, out *port.Effects) {
	if q.first() != nil {
		m.subscribe(now, q, []port.Address{shard}, out)
	} else {
		q.renew = now.Mono
	}
}
