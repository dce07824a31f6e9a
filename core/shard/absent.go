package shard

import (
	"github.com/cespare/xxhash/v2"

	"perdure/core/journal"
	"perdure/core/port"
	"perdure/core/store"
)

// Nearly every start names a workflow id that was never used, and reading a row
// that is not there is a sizeable part of what a start costs. absent remembers
// which ids may have a pointer row (a chain of Bloom filters), so that a start of
// any other id needs no read. It is soft: read from the table, in the background
// and strip by strip, once a shard has seen enough starts to make it worthwhile.
//
// D1: once complete, every id with a pointer row in the tables or in the journal
// is in a filter.

const (
	absentAfter = 64      // starts of unknown ids before the table is read
	absentRows  = 2000    // rows of one read
	absentMost  = 8 << 20 // ids; a shard with more reads the row each time
	bloomFirst  = 1 << 16 // ids of the first filter; each further one holds twice as many
	bloomBits   = 12      // per id: 3 in 1,000 unknown ids are read in vain
	bloomProbes = 6
)

type absent struct {
	filters  []bloom
	ids      int
	starts   int
	reading  bool
	complete bool
	off      bool
}

// certainly reports whether the id has no pointer row.
func (a *absent) certainly(k port.RunKey) bool {
	return a.complete && !a.has(pointerHash(pointerKey(k).Key))
}

func (a *absent) has(h uint64) bool {
	for i := range a.filters {
		if a.filters[i].has(h) {
			return true
		}
	}
	return false
}

// note adds an id that has, or will have, a pointer row.
func (a *absent) note(h uint64) {
	if !a.reading && !a.complete || a.has(h) {
		return
	}
	if a.ids++; a.ids > absentMost {
		*a = absent{off: true}
		return
	}
	if n := len(a.filters); n == 0 || a.filters[n-1].left == 0 {
		a.filters = append(a.filters, newBloom(bloomFirst<<n))
	}
	a.filters[len(a.filters)-1].add(h)
}

func pointerHash(key string) uint64 { return xxhash.Sum64String(key) }

// knowAbsent counts starts of unknown ids and begins to read the pointers when there were enough.
func (s *Shard) knowAbsent() {
	a := &s.absent
	if a.starts++; a.off || a.reading || a.complete || a.starts < absentAfter {
		return
	}
	a.reading = true
	s.readPointers(s.log.Strips().From, string(keyPointer))
}

// readPointers reads the pointers of one strip from a key on, then the next strip.
func (s *Shard) readPointers(strip uint16, from string) {
	s.read(nil, []store.Range{{Table: store.Executions, Partition: stripPartition(strip), From: from, To: string(keyPointer + 1), Limit: absentRows}}, func(ev *journal.Event) {
		a := &s.absent
		for _, row := range ev.Scans[0] {
			a.note(pointerHash(row.Key.Key))
		}
		switch next := ev.Next[0]; {
		case a.off:
		case next != "":
			s.readPointers(strip, next)
		case strip+1 < s.log.Strips().To:
			s.readPointers(strip+1, string(keyPointer))
		default:
			a.reading, a.complete = false, true
		}
	})
}

// bloom is one filter of a fixed size.
type bloom struct {
	bits []uint64
	left int
}

func newBloom(ids int) bloom { return bloom{bits: make([]uint64, ids*bloomBits/64), left: ids} }

func (b *bloom) add(h uint64) {
	b.left--
	for i := uint64(0); i < bloomProbes; i++ {
		at := b.at(h, i)
		b.bits[at/64] |= 1 << (at % 64)
	}
}

func (b *bloom) has(h uint64) bool {
	for i := uint64(0); i < bloomProbes; i++ {
		if at := b.at(h, i); b.bits[at/64]&(1<<(at%64)) == 0 {
			return false
		}
	}
	return true
}

// at is the place of the i-th probe: two halves of the hash, mixed, step by step.
func (b *bloom) at(h, i uint64) uint64 {
	return (h + i*(h>>33|1)*0x9e3779b97f4a7c15) % uint64(len(b.bits)*64)
}
