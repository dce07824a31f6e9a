package shard

import "time"

// The low mark: no deadline row of the shard is below that time. Reading the index from
// there on, when the shard is opened, passes over what was deleted before it, which
// some databases keep for a while and walk through. The mark is recorded with the
// shard's clock; a mark that is too low costs time, nothing else.
//
// W5: a deadline row is never below the low mark of its shard.

const (
	lowEvery = time.Minute // passes until the mark is looked at again: that walks over all deadlines in memory
	lowLooks = 1 << 16     // deadlines it walks over at most, which takes some milliseconds; with more the mark stays
)

type low struct {
	mark    int64    // Unix ns; 0: unknown
	looked  int64    // shard time, Unix ns
	earlier []uint16 // strips with a clock of an earlier layout: it goes when this shard's own is recorded
}

// raiseLow looks for a higher mark once in a while, when no transition is under way. The next record takes it along.
func (s *Shard) raiseLow() {
	if !s.ready || s.time < s.low.looked+lowEvery.Nanoseconds() || len(s.sick) > 0 { // nobody knows the rows of runs that were set aside
		return
	}
	s.low.looked = s.time
	if len(s.due.items) > lowLooks {
		return
	}
	mark := min(s.time, s.due.horizon)
	for _, x := range s.due.items { //ordered: the least
		mark = min(mark, x.row)
	}
	s.low.mark = max(s.low.mark, mark)
}
