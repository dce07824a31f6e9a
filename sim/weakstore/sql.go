package weakstore

import (
	"perdure/core/port"
	"perdure/core/store"
)

// How SQL stores flush: in steps, each one statement that takes effect as a whole or
// not at all, and only if owner and number are right and the step before it was the
// last one done. So what comes late or twice finds that it is not its turn, and rows
// need no versions: they are overwritten. The process sends a step when it heard that the one
// before it is done, so it may be paused, displaced, or gone between two of them.

// turn is how far the flushes of a shard got.
type turn struct {
	fence  store.Fence
	number uint64
	step   int
}

// steps is one flush under way.
type steps struct {
	s     *Store
	c     Caller
	flush store.Flush
	rows  []store.Row // not sent yet
	done  int         // steps
	tag   uint64
}

func (s *Store) flushSteps(e port.FlushStore, c Caller) {
	x := &steps{s: s, c: c, flush: e.Flush, rows: spared(e.Flush), tag: e.Tag}
	if n := len(x.rows); s.step(n) < n || len(e.Flush.Deleted) > 0 {
		s.Counts.Pieces++
	}
	x.send()
}

// send sends the next step: the deleted partitions first, then rows in their order.
func (x *steps) send() {
	s := x.s
	x.done++
	var rows []store.Row
	var deleted []store.DeletedPartition
	if deleted = x.flush.Deleted; x.done > 1 || len(deleted) == 0 {
		n := s.step(len(x.rows))
		rows, x.rows, deleted = x.rows[:n], x.rows[n:], nil
	}
	step := x.done
	var err error
	take := func() error {
		if err := s.takeTurn(x.flush, step); err != nil {
			return err
		}
		s.Memory.Overwrite(rows, deleted)
		return nil
	}
	at := s.u.Now() + s.half()
	end := at + s.half()
	switch s.fate() {
	case fine:
		s.effect(at, x.c, func() {
			switch err = take(); err {
			case errDone:
				err = nil
			case store.ErrFenced:
				s.Marks["flush of a displaced owner refused"]++
			}
		})
	case before:
		err = store.ErrUnavailable
	case after:
		s.effect(at, x.c, func() { _ = take() })
		err = store.ErrUnavailable
	case late:
		s.effect(end+s.lateness(), x.c, func() {
			if take() != nil {
				s.Marks["step of a flush came too late"]++
			}
		})
		err = store.ErrUnavailable
	}
	s.u.At(end, func() {
		x.c.Go(func() {
			if err == nil && len(x.rows) > 0 {
				x.send()
				return
			}
			x.c.Answer(&port.Completed{Tag: x.tag, Err: err})
		})
	})
}

// errDone says that a step was done before.
var errDone = errorDone{}

type errorDone struct{}

func (errorDone) Error() string { return "weakstore: the step was done before" }

// takeTurn is the step's, if it is.
func (s *Store) takeTurn(f store.Flush, step int) error {
	if err := s.Memory.Admit(f); err != nil {
		return err
	}
	t := s.turns[f.Fence.Shard]
	if t.fence != f.Fence {
		t = turn{fence: f.Fence}
	}
	switch {
	case t.number == f.Number && step <= t.step:
		return errDone
	case t.number == f.Number && step == t.step+1, t.number < f.Number && step == 1:
		t.number, t.step = f.Number, step
		s.turns[f.Fence.Shard] = t
		return nil
	}
	return store.ErrUnavailable // behind
}

// spared leaves out the rows that the flush's own deleted partitions take along.
func spared(f store.Flush) (rows []store.Row) {
	gone := map[store.Partition]store.Version{}
	for _, d := range f.Deleted {
		gone[d.Partition] = max(gone[d.Partition], d.Version)
	}
	for _, r := range f.Rows {
		if v, ok := gone[store.Partition{Table: r.Key.Table, Partition: r.Key.Partition}]; !ok || r.Version > v {
			rows = append(rows, r)
		}
	}
	return rows
}
