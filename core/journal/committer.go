package journal

import (
	"cmp"
	"slices"

	"perdure/core/port"
	"perdure/core/store"
)

// Committer gathers the records of its shards into one append: all shards of a
// node, or one shard where the store has each append to itself. It
// pulls: while nothing is in flight and some shard is dirty, it asks every dirty
// shard for its record, and appends when all have answered. What becomes dirty
// meanwhile makes the next append, so the slower the store the larger the
// appends. A shard that said Dirty must answer TakeRecord, with nothing if need be.
type Committer struct {
	// AppendBytes bounds the records of one append, which holds one record at
	// least; the rest go first in the next. Default 4 MiB, simulator from 1 byte.
	AppendBytes int

	self   port.Address
	shards map[port.Address]*source // looked up only
	dirty  []*source                // in the order they said so
	ready  []port.Record            // answers, not appended yet, in the order they came
	issued []port.Address           // whose records are in the append in flight, in its order
	batch  []store.Append           // that append
	tag    uint64                   // of that append
	busy   bool                     // that append is in flight
	asked  int                      // answers outstanding

	collecting bool // what was asked for goes into the next append, what gets dirty now does not
}

// source is one shard.
type source struct {
	address port.Address
	dirty   bool
	ready   bool // its record waits for an append: it has no other until that is answered
}

// NewCommitter makes the committer of a node and store.
func NewCommitter(self port.Address) *Committer {
	return &Committer{AppendBytes: 4 << 20, self: self, shards: map[port.Address]*source{}}
}

// Step takes Dirty and Record from shards and the completion of its append.
func (c *Committer) Step(_ port.Clock, in port.Input, out *port.Effects) {
	switch in := in.(type) {
	case port.Dirty:
		c.markDirty(in.Shard)
	case port.Record:
		c.record(in)
	case *port.Completed:
		c.completed(in, out)
	}
	c.proceed(out)
}

func (c *Committer) source(a port.Address) *source {
	s := c.shards[a]
	if s == nil {
		s = &source{address: a}
		c.shards[a] = s
	}
	return s
}

func (c *Committer) markDirty(a port.Address) {
	if s := c.source(a); !s.dirty {
		s.dirty = true
		c.dirty = append(c.dirty, s)
	}
}

func (c *Committer) record(r port.Record) {
	assert(c.asked > 0, "J11: a record answers TakeRecord")
	c.asked--
	if r.Append.Record == nil && r.Append.Trim == 0 {
		return
	}
	c.source(r.Shard).ready = true
	c.ready = append(c.ready, r)
}

func (c *Committer) completed(done *port.Completed, out *port.Effects) {
	if !c.busy || done.Tag != c.tag {
		return
	}
	assert(done.Err != nil || len(done.Outcomes) == len(c.batch), "J11: an append answers every record")
	for i, shard := range c.issued {
		outcome := store.Unknown // also if the call failed as a whole
		if done.Err == nil {
			outcome = done.Outcomes[i]
		}
		c.source(shard).ready = false
		out.Send(shard, port.Appended{Seq: c.batch[i].Seq, Outcome: outcome})
	}
	c.busy, c.batch, c.issued = false, nil, c.issued[:0]
}

// proceed appends when all that were asked have answered, and starts the next round.
func (c *Committer) proceed(out *port.Effects) {
	if c.busy || c.asked > 0 {
		return
	}
	if c.collecting && len(c.ready) > 0 {
		c.append(out)
		return
	}
	c.ask(out)
	c.collecting = c.asked > 0
	if !c.collecting && len(c.ready) > 0 {
		c.append(out)
	}
}

// ask asks the dirty shards for their records, except those whose record still waits for an append.
func (c *Committer) ask(out *port.Effects) {
	later := c.dirty[:0]
	for _, s := range c.dirty {
		if s.ready {
			later = append(later, s)
			continue
		}
		s.dirty = false
		c.asked++
		out.Send(s.address, port.TakeRecord{})
	}
	c.dirty = later
}

// append issues as many of the ready records as its bound allows, ordered by
// shard: all committers lock the rows of the journal's table in the same order.
func (c *Committer) append(out *port.Effects) {
	n, size := 0, 0
	for n < len(c.ready) && (n == 0 || size+len(c.ready[n].Append.Record) <= c.AppendBytes) {
		size += len(c.ready[n].Append.Record)
		n++
	}
	now := c.ready[:n]
	slices.SortFunc(now, func(a, b port.Record) int { return cmp.Compare(a.Append.Fence.Shard, b.Append.Fence.Shard) })
	c.batch = make([]store.Append, n)
	for i, r := range now {
		c.batch[i] = r.Append
		c.issued = append(c.issued, r.Shard)
	}
	c.ready = slices.Delete(c.ready, 0, n)
	c.tag++
	c.busy, c.collecting = true, false
	out.Add(port.AppendStore{Tag: c.tag, Batch: c.batch})
}
