package weakstore

import (
	"perdure/core/port"
	"perdure/core/store"
	"perdure/sim/universe"
)

// Blocking is the store as its contract has it: each call lets virtual time pass
// until it is answered. It is for the conformance suite, with faults off.
type Blocking struct {
	u *universe.Universe
	s *Store
}

var _ store.Store = Blocking{}

// NewBlocking wraps a store.
func NewBlocking(u *universe.Universe, s *Store) Blocking { return Blocking{u, s} }

func (b Blocking) do(e port.Effect) *port.Completed {
	var done *port.Completed
	b.s.Do(e, Caller{Alive: func() bool { return true }, Answer: func(c *port.Completed) { done = c }, Go: func(f func()) { f() }})
	for done == nil && b.u.Next() {
	}
	return done
}

// Beside runs a call and looks again and again while time passes in it.
func (b Blocking) Beside(call, look func()) {
	ended := false
	var again func()
	again = func() {
		if !ended {
			look()
			b.u.After(b.s.cfg.Slow, again)
		}
	}
	b.u.After(b.s.cfg.Slow, again)
	call()
	ended = true
	look()
}

// Create makes a shard.
func (b Blocking) Create(s store.ShardID, strips store.Strips, floor store.Epoch) error {
	return b.do(port.CreateShard{Shard: s, Strips: strips, Floor: floor}).Err
}

// Retire ends a shard.
func (b Blocking) Retire(f store.Fence) error { return b.do(port.RetireStore{Fence: f}).Err }

// Release lets a shard go.
func (b Blocking) Release(f store.Fence) error { return b.do(port.ReleaseStore{Fence: f}).Err }

// Open takes a shard over.
func (b Blocking) Open(o store.Open) (store.Opened, error) {
	done := b.do(port.OpenStore{Open: o})
	return done.Opened, done.Err
}

// Append makes records durable.
func (b Blocking) Append(batch []store.Append) []store.Outcome {
	return b.do(port.AppendStore{Batch: batch}).Outcomes
}

// Write stores blob rows.
func (b Blocking) Write(rows []store.Row) error { return b.do(port.WriteStore{Rows: rows}).Err }

// Flush writes rows.
func (b Blocking) Flush(f store.Flush) error { return b.do(port.FlushStore{Flush: f}).Err }

// Get reads rows.
func (b Blocking) Get(keys []store.Key) ([]store.Row, error) {
	done := b.do(port.ReadStore{Keys: keys})
	return done.Rows, done.Err
}

// Scan reads ranges.
func (b Blocking) Scan(ranges []store.Range) ([][]store.Row, error) {
	done := b.do(port.ReadStore{Ranges: ranges})
	return done.Scans, done.Err
}

// Confirm says who is still an owner; machines ask for one at a time.
func (b Blocking) Confirm(fences []store.Fence) ([]bool, error) {
	still := make([]bool, len(fences))
	for i, f := range fences {
		done := b.do(port.ConfirmStore{Fence: f})
		if done.Err != nil {
			return nil, done.Err
		}
		still[i] = done.Owner
	}
	return still, nil
}

// Owners says who holds shards; machines ask for one at a time.
func (b Blocking) Owners(shards []store.ShardID) ([]store.Owner, error) {
	owners := make([]store.Owner, len(shards))
	for i, id := range shards {
		done := b.do(port.AskOwner{Shard: id})
		if done.Err != nil {
			return nil, done.Err
		}
		owners[i] = done.Held
	}
	return owners, nil
}

// Exclusive is that of the configuration.
func (b Blocking) Exclusive() bool { return b.s.Exclusive() }

// Apart is that of the configuration.
func (b Blocking) Apart() bool { return b.s.Apart() }

// Close keeps everything.
func (b Blocking) Close() error { return nil }
