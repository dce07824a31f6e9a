package weakstore

import (
	"time"

	"perdure/core/port"
	"perdure/core/store"
)

// append carries out the append of records: in SQL by statements that several share,
// in Cassandra by a transaction for each. What was sent together shares its fate.
func (s *Store) append(e port.AppendStore, c Caller) {
	outcomes := make([]store.Outcome, len(e.Batch)) // unknown
	at, end := s.u.Now(), s.u.Now()
	for _, places := range s.statements(len(e.Batch)) {
		at += s.appendHalf()
		end = max(end, at+s.appendHalf())
		f := s.fate()
		for _, i := range places {
			a := e.Batch[i]
			switch f {
			case fine:
				s.effect(at, c, func() { outcomes[i] = s.appendOne(a) })
			case after:
				s.effect(at, c, func() { s.appendOne(a) })
			case late:
				s.effect(end+s.lateness(), c, func() { s.appendOne(a) })
			}
			if f != fine {
				s.Counts.Unknown++
			}
		}
	}
	done := &port.Completed{Tag: e.Tag, Outcomes: outcomes}
	if s.fate() != fine { // nothing is heard of any of it
		s.Counts.Unknown += len(e.Batch)
		done.Outcomes, done.Err = nil, store.ErrUnavailable
	}
	s.u.At(end, func() { c.Answer(done) })
}

// statements says which records are sent together. An SQL server leaves out shards whose
// row somebody holds; they are sent once more, alone.
func (s *Store) statements(n int) [][]int {
	var together, alone []int
	var apart [][]int
	for i := range n {
		switch {
		case s.Apart():
			apart = append(apart, []int{i})
		case s.cfg.Kind == SQL && !s.healed && s.rand.Chance(0.05):
			alone = append(alone, i)
		default:
			together = append(together, i)
		}
	}
	for _, places := range [][]int{together, alone} {
		if len(places) > 0 {
			apart = append(apart, places)
		}
	}
	return apart
}

// appendHalf is half the time of an append. A lightweight transaction of Cassandra's is four round trips.
func (s *Store) appendHalf() time.Duration {
	if s.cfg.Kind == Cassandra {
		return s.half() + s.half()
	}
	return s.half()
}

// appendOne lets one record take effect.
func (s *Store) appendOne(a store.Append) store.Outcome {
	outcome := s.Memory.Append([]store.Append{a})[0]
	if outcome != store.Done || s.watch == nil {
		return outcome
	}
	if a.Record != nil {
		s.watch.Appended(a.Fence, a.Seq, a.Record)
	}
	s.watch.Trimmed(a.Fence.Shard, a.Trim)
	return outcome
}
