package shard

import (
	"time"

	"perdure/core/journal"
	"perdure/core/store"
)

// Reads of the store. One that fails is repeated until it comes back, or the shard is lost.

// readDone handles the rows of one read.
type readDone func(ev *journal.Event)

// read asks the store; done runs when the rows are there.
func (s *Shard) read(keys []store.Key, ranges []store.Range, done readDone) {
	tag := s.log.Read(keys, ranges, s.out)
	s.reads[tag] = func(ev *journal.Event) {
		if ev.Err != nil { // nothing was changed by a read: ask again, a little later
			s.failed = append(s.failed, failedRead{s.now.Mono + readAgain, keys, ranges, done})
			return
		}
		done(ev)
	}
}

// readAgain is how long a read that failed waits before it is repeated.
const readAgain = 50 * time.Millisecond

type failedRead struct {
	at     time.Duration // monotonic
	keys   []store.Key
	ranges []store.Range
	done   readDone
}

func (s *Shard) repeatReads() {
	for len(s.failed) > 0 && s.failed[0].at <= s.now.Mono {
		r := s.failed[0]
		s.failed = s.failed[1:]
		s.read(r.keys, r.ranges, r.done)
	}
}

func (s *Shard) nextRead() time.Time {
	if len(s.failed) == 0 {
		return time.Time{}
	}
	return s.now.Wall.Add(s.failed[0].at - s.now.Mono)
}
