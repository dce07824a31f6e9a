package shard

import (
	"fmt"
	"math"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"perdure/core/journal"
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
	clockFieldLow    protowire.Number = 3
	clockFieldEnd    protowire.Number = 4
	clockFormat                       = 1
)

func clockKey(strip uint16) store.Key {
	return store.Key{Table: store.Due, Partition: stripPartition(strip), Key: keyClock}
}

// keepTime notes the time of this step before it is recorded in an event, and with it the low mark (low.go), which
// a new deadline row at due must not be below (W5). 0: there is no new one.
func (s *Shard) keepTime(due int64) {
	below := due != 0 && due < s.low.mark
	if below {
		s.low.mark = due
	}
	if s.time <= s.clock && !below {
		return
	}
	if s.time > s.clock {
		s.clock = s.time + clockAhead.Nanoseconds()
	}
	s.log.Put(clockKey(s.log.Strips().From), s.encodeClock(s.log.Strips().To), false)
	for _, strip := range s.low.earlier {
		s.log.Delete(clockKey(strip))
	}
	s.low.earlier = nil
}

// leaveTime notes the time of this step in every strip, for the shards that will have them.
func (s *Shard) leaveTime() {
	s.clock = max(s.clock, s.time)
	b := s.encodeClock(0)
	for strip := s.log.Strips().From; strip < s.log.Strips().To; strip++ {
		s.log.Put(clockKey(strip), b, false)
	}
}

// encodeClock writes the row. end is where the strips of its shard end if it is the only clock in them; 0: it may not be.
func (s *Shard) encodeClock(end uint16) []byte {
	b := appendNumber(nil, clockFieldFormat, clockFormat)
	b = appendNumber(b, clockFieldTime, uint64(s.clock))
	b = appendNumber(b, clockFieldLow, uint64(s.low.mark))
	return appendNumber(b, clockFieldEnd, uint64(end))
}

// readClocks reads the clock of the shard's first strip and, unless that is known to be the only one, those
// of the others: each strip may have been the first one of a shard of an earlier layout.
func (s *Shard) readClocks(done func()) {
	strips := s.log.Strips()
	s.read([]store.Key{clockKey(strips.From)}, nil, func(first *journal.Event) {
		if mustDecodeClock(first.Rows[0].Value).end == strips.To {
			s.clocksLoaded(first.Rows)
			done()
			return
		}
		others := make([]store.Key, 0, strips.To-strips.From)
		for strip := strips.From + 1; strip < strips.To; strip++ {
			others = append(others, clockKey(strip))
		}
		s.read(others, nil, func(ev *journal.Event) {
			s.clocksLoaded(append(first.Rows, ev.Rows...))
			done()
		})
	})
}

// clocksLoaded takes the time up where the last owners of the strips left it.
func (s *Shard) clocksLoaded(rows []store.Row) {
	low := int64(math.MaxInt64)
	for i, row := range rows {
		if row.Value == nil {
			continue
		}
		c := mustDecodeClock(row.Value)
		s.log.NotBefore(time.Unix(0, c.time), s.now)
		low = min(low, c.low)
		if i > 0 {
			s.low.earlier = append(s.low.earlier, s.log.Strips().From+uint16(i))
		}
	}
	s.time = s.log.Time(s.now).UnixNano()
	if rows[0].Value != nil {
		s.low.mark = low
	}
}

// clock is what the row says.
type clock struct {
	time, low int64  // Unix ns
	end       uint16 // see encodeClock
}

func mustDecodeClock(v []byte) clock {
	c, err := decodeClock(v)
	if err != nil {
		panic("shard: " + err.Error())
	}
	return c
}

func decodeClock(v []byte) (c clock, err error) {
	for len(v) > 0 {
		num, typ, n := protowire.ConsumeTag(v)
		if n < 0 {
			return c, fmt.Errorf("clock row: %w", protowire.ParseError(n))
		}
		v = v[n:]
		m := protowire.ConsumeFieldValue(num, typ, v)
		if m < 0 {
			return c, fmt.Errorf("clock row: %w", protowire.ParseError(m))
		}
		if x, _ := protowire.ConsumeVarint(v); typ == protowire.VarintType {
			switch {
			case num == clockFieldFormat && x > clockFormat:
				return c, fmt.Errorf("clock row has format %d, this server reads up to %d: upgrade it", x, clockFormat)
			case num == clockFieldTime:
				c.time = int64(x)
			case num == clockFieldLow:
				c.low = int64(x)
			case num == clockFieldEnd:
				c.end = uint16(x)
			}
		}
		v = v[m:]
	}
	return c, nil
}
