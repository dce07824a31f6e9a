package weakstore

import (
	"perdure/core/port"
	"perdure/core/store"
)

// append gives each record a fate of its own; the call itself may fail on top of that.
func (s *Store) append(e port.AppendStore, c Caller) {
	at := s.u.Now() + s.half()
	end := at + s.half()
	outcomes := make([]store.Outcome, len(e.Batch)) // unknown
	failed := s.fate() != fine
	for i := range e.Batch {
		a, i := e.Batch[i], i
		f := s.fate()
		if failed && s.rand.Chance(0.5) {
			f = before
		}
		switch f {
		case fine:
			s.effect(at, c, func() { outcomes[i] = s.appendOne(a) })
		case after:
			s.effect(at, c, func() { s.appendOne(a) })
		case late:
			s.effect(end+s.lateness(), c, func() { s.appendOne(a) })
		}
		if f != fine || failed {
			s.Counts.Unknown++
		}
	}
	done := &port.Completed{Tag: e.Tag, Outcomes: outcomes}
	if failed {
		done.Outcomes, done.Err = nil, store.ErrUnavailable
	}
	s.u.At(end, func() { c.Answer(done) })
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
