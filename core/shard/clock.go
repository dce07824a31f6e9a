package shard

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"perdure/core/store"
)

// The time of a shard never goes back (J9), whatever clock its next owner has.
// Records carry it, but they are trimmed away; so a row in the shard's first
// strip says how far time has come. It is a little ahead of the events, so that
// most transitions need not touch it.

// clockAhead is small because the next owner's time begins with it: it adds up over restarts.
const clockAhead = time.Millisecond

const (
	keyClock = "c"

	clockFieldFormat protowire.Number = 1
	clockFieldTime   protowire.Number = 2
	clockFormat                       = 1
)

func clockKey(strip uint16) store.Key {
	return store.Key{Table: store.Due, Partition: stripPartition(strip), Key: keyClock}
}

// keepTime notes the time of this step before it is recorded in an event.
func (s *Shard) keepTime() {
	if s.time <= s.clock {
		return
	}
	s.clock = s.time + clockAhead.Nanoseconds()
	b := appendNumber(nil, clockFieldFormat, clockFormat)
	s.log.Put(clockKey(s.log.Strips().From), appendNumber(b, clockFieldTime, uint64(s.clock)), false)
}

// leaveTime notes the time of this step in every strip, for the shards that will have them.
func (s *Shard) leaveTime() {
	s.clock = max(s.clock, s.time)
	b := appendNumber(appendNumber(nil, clockFieldFormat, clockFormat), clockFieldTime, uint64(s.clock))
	for strip := s.log.Strips().From; strip < s.log.Strips().To; strip++ {
		s.log.Put(clockKey(strip), b, false)
	}
}

// clockLoaded takes the time up where the last owner of a strip left it.
func (s *Shard) clockLoaded(value []byte) {
	at, err := decodeClock(value)
	if err != nil {
		panic("shard: " + err.Error())
	}
	s.log.NotBefore(time.Unix(0, at), s.now)
	s.time = s.log.Time(s.now).UnixNano()
}

func decodeClock(v []byte) (at int64, err error) {
	for len(v) > 0 {
		num, typ, n := protowire.ConsumeTag(v)
		if n < 0 {
			return 0, fmt.Errorf("clock row: %w", protowire.ParseError(n))
		}
		v = v[n:]
		m := protowire.ConsumeFieldValue(num, typ, v)
		if m < 0 {
			return 0, fmt.Errorf("clock row: %w", protowire.ParseError(m))
		}
		if x, _ := protowire.ConsumeVarint(v); typ == protowire.VarintType {
			switch {
			case num == clockFieldFormat && x > clockFormat:
				return 0, fmt.Errorf("clock row has format %d, this server reads up to %d: upgrade it", x, clockFormat)
			case num == clockFieldTime:
				at = int64(x)
			}
		}
		v = v[m:]
	}
	return at, nil
}
