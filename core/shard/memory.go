package shard

// Memory is what a shard holds, for whoever watches its budgets.
type Memory struct {
	Open, Closed Held // runs
	Unflushed    Held // rows; above its budget writes are refused
	Dispatch     Held // tasks of the index of queues
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
	}
}
