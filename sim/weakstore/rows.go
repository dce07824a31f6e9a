package weakstore

import (
	"fmt"

	"perdure/core/port"
	"perdure/core/store"
)

// flush is admitted at one time and written in pieces at others. A flush that
// fails may have been admitted or not, and each piece written, lost or late.
func (s *Store) flush(e port.FlushStore, c Caller) {
	if f := e.Flush; s.watch != nil && f.Number < s.numbers[f.Fence] { // stores without versions of rows go by the number
		panic(fmt.Sprintf("weakstore: flush %d of shard %d, epoch %d, follows flush %d", f.Number, f.Fence.Shard, f.Fence.Epoch, s.numbers[f.Fence]))
	}
	s.numbers[e.Flush.Fence] = e.Flush.Number
	at := s.u.Now() + s.half()
	pieces := s.pieces(e.Flush)
	fates := make([]fate, len(pieces))
	f := s.fate()
	for i := range fates {
		if fates[i] = f; f != fine {
			fates[i] = []fate{fine, before, late}[s.rand.IntN(3)]
		}
	}
	done := &port.Completed{Tag: e.Tag}
	end := at
	admitted := false
	s.effect(at, c, func() {
		err := s.Memory.Admit(e.Flush)
		if err != nil {
			s.Marks["flush of a displaced owner refused"]++
		}
		if done.Err == nil {
			done.Err = err
		}
		admitted = err == nil
	})
	for i, p := range pieces {
		end += s.half()
		when := end
		if fates[i] == before {
			continue
		}
		if fates[i] == late {
			when += s.lateness()
		}
		s.effect(when, c, func() {
			if admitted {
				s.Memory.Put(p.Rows, p.Deleted)
			}
		})
	}
	if f != fine {
		done.Err = store.ErrUnavailable
	}
	s.u.At(end+s.half(), func() { c.Answer(done) })
}

// pieces cuts a flush; mostly it stays whole.
func (s *Store) pieces(f store.Flush) []store.Flush {
	if s.healed || !s.rand.Chance(s.cfg.Pieces) || len(f.Rows)+len(f.Deleted) < 2 {
		return []store.Flush{f}
	}
	s.Counts.Pieces++
	var all []store.Flush
	if len(f.Deleted) > 0 {
		all = append(all, store.Flush{Deleted: f.Deleted})
	}
	for rows := f.Rows; len(rows) > 0; {
		n := 1 + s.rand.IntN(len(rows))
		all = append(all, store.Flush{Rows: rows[:n]})
		rows = rows[n:]
	}
	return all
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
