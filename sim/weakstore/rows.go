package weakstore

import (
	"fmt"

	"perdure/core/port"
	"perdure/core/store"
)

func (s *Store) flush(e port.FlushStore, c Caller) {
	if f := e.Flush; s.watch != nil && f.Number < s.numbers[f.Fence] { // stores without versions of rows go by the number
		panic(fmt.Sprintf("weakstore: flush %d of shard %d, epoch %d, follows flush %d", f.Number, f.Fence.Shard, f.Fence.Epoch, s.numbers[f.Fence]))
	}
	s.numbers[e.Flush.Fence] = e.Flush.Number
	if s.cfg.Kind == Cassandra {
		s.flushBatches(e, c)
		return
	}
	s.flushSteps(e, c)
}

// step is how many rows of so many are written at once.
func (s *Store) step(rows int) int {
	if s.cfg.Step == 0 {
		return rows
	}
	return min(rows, s.cfg.Step)
}

// read sees keys at one moment and each half of the ranges at another.
func (s *Store) read(e port.ReadStore, c Caller) {
	done := &port.Completed{Tag: e.Tag}
	at := s.u.Now() + s.half()
	if f := s.fate(); f != fine {
		done.Err = store.ErrUnavailable
		s.u.At(at+s.half(), func() { c.Answer(done) })
		return
	}
	s.u.At(at, func() { done.Rows, _ = s.Memory.Get(e.Keys) })
	cut := len(e.Ranges)
	if cut > 0 {
		cut = s.rand.IntN(cut)
	}
	for _, part := range [][]store.Range{e.Ranges[:cut], e.Ranges[cut:]} {
		if len(part) == 0 {
			continue
		}
		at += s.half()
		s.u.At(at, func() {
			found, _ := s.Memory.Scan(part)
			done.Scans = append(done.Scans, found...)
		})
	}
	s.u.At(at+s.half(), func() { c.Answer(done) })
}
