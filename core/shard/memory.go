package shard

import "perdure/core/placement"

// What a node may use is shared by the shards that it owns, by its view of the cluster: a
// shard that comes or goes changes the shares of the others, and what is above
// its budget then is let go.

// shareMemory takes this shard's part of the memory of its node.
func (s *Shard) shareMemory() {
	if s.cfg.NodeBytes == 0 || s.snapshot == nil || !s.log.Active() {
		return
	}
	here := 0
	for _, r := range s.snapshot.Layout {
		if n, ok := placement.Shard(s.members, s.cfg.Self.Node, r.Shard); ok && n == s.cfg.Self.Node {
			here++
		}
	}
	each := s.cfg.NodeBytes / max(here, 1)
	c := &s.cfg
	c.CacheBytes, c.DispatchBytes, c.DeadlineBytes, c.UnflushedMax = each*3/8, each/8, each/8, max(each*3/8, leastUnflushed)
	s.log.Bound(min(c.FlushBytes, c.UnflushedMax/2), c.UnflushedMax) // room is made before callers are pushed back
	s.cache.open.budget, s.cache.closed.budget = c.CacheBytes, c.CacheBytes/closedShare
	s.queues.budget, s.due.budget = c.DispatchBytes, c.DeadlineBytes
	s.queues.shrink()
	s.due.trim(s.time)
}

// Memory is what a shard holds, for whoever watches its budgets.
type Memory struct {
	Open, Closed Held // runs
	Unflushed    Held // rows; above its budget writes are refused
	Dispatch     Held // tasks of the index of queues
	Serving      bool // else what comes is parked, or sent elsewhere
}

// Held is one of its memories, in bytes and, of runs, in number.
type Held struct{ Bytes, Budget, Items int }

// Memory tells what is held now.
func (s *Shard) Memory() Memory {
	c := &s.cache
	return Memory{
		Open:      Held{c.open.size, c.open.budget, c.open.order.Len()},
		Closed:    Held{c.closed.size, c.closed.budget, c.closed.order.Len()},
		Unflushed: Held{Bytes: s.log.Bytes(), Budget: s.cfg.UnflushedMax},
		Dispatch:  Held{Bytes: s.queues.bytes, Budget: s.queues.budget},
		Serving:   s.ready,
	}
}
