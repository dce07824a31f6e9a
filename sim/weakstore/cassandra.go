package weakstore

import (
	"time"

	"perdure/core/port"
	"perdure/core/store"
)

// How Cassandra flushes: it looks who the owner is, and then writes batches side by side,
// each a partition's or a part of one. Each takes effect, or not, or late, or twice, on
// its own and in any order, also after another owner opened the shard; one that failed
// goes again. Rows and deletes carry versions, and the newest wins.

func (s *Store) flushBatches(e port.FlushStore, c Caller) {
	at := s.u.Now() + s.half()
	var err error
	if s.fate() != fine {
		err = store.ErrUnavailable
	} else {
		s.u.At(at, func() {
			if err = s.Memory.Admit(e.Flush); err != nil {
				s.Marks["flush of a displaced owner refused"]++
			}
		})
	}
	s.u.At(at+s.half(), func() {
		c.Go(func() {
			if err != nil {
				c.Answer(&port.Completed{Tag: e.Tag, Err: err})
				return
			}
			s.writeBatches(e, c)
		})
	})
}

// batchTries is how often the adapter sends a batch.
const batchTries = 3

func (s *Store) writeBatches(e port.FlushStore, c Caller) {
	batches := s.batches(e.Flush)
	if len(batches) > 1 {
		s.Counts.Pieces++
	}
	done := &port.Completed{Tag: e.Tag}
	answered := s.u.Now()
	for _, b := range batches {
		at := s.u.Now() + s.half()
		put := func() { s.Memory.Put(b.Rows, b.Deleted) }
		f := s.batch(at, c, put)
		for range batchTries - 1 {
			if f == fine {
				break
			}
			at += s.half() + s.half()
			f = s.batch(at, c, put)
		}
		if f != fine {
			done.Err = store.ErrUnavailable
		}
		answered = max(answered, at+s.half())
	}
	s.u.At(max(answered, s.u.Now()+time.Microsecond), func() { c.Answer(done) })
}

// batch sends one batch once.
func (s *Store) batch(at time.Duration, c Caller, put func()) fate {
	f := s.fate()
	switch f {
	case fine, after:
		s.effect(at, c, put)
	case late:
		s.effect(at+s.lateness(), c, put)
	}
	if f != before && !s.healed && s.rand.Chance(s.cfg.Twice) {
		s.Counts.Twice++
		s.effect(at+s.lateness(), c, put)
	}
	return f
}

// batches cuts a flush by the names of partitions, and those that are long once more.
func (s *Store) batches(f store.Flush) (all []store.Flush) {
	places := map[string]int{}
	of := func(partition string) *store.Flush {
		i, ok := places[partition]
		if !ok || s.cfg.Step > 0 && len(all[i].Rows)+len(all[i].Deleted) >= s.cfg.Step {
			i = len(all)
			places[partition] = i
			all = append(all, store.Flush{})
		}
		return &all[i]
	}
	for _, d := range f.Deleted {
		b := of(d.Partition.Partition)
		b.Deleted = append(b.Deleted, d)
	}
	for _, r := range f.Rows {
		b := of(r.Key.Partition)
		b.Rows = append(b.Rows, r)
	}
	return all
}
