package cassandra

import (
	"fmt"
	"slices"

	"perdure/core/store"
)

// A record is one row of its shard's partition, in a slot that is free: one that
// was never used or whose record is trimmed. So a partition holds as many rows as
// records ever waited for their flush at once, rows are overwritten in place, and
// nothing is ever deleted from it: no tombstones.

// owner is what this process knows of the journal of a shard that it owns. One append at a time uses it.
type owner struct {
	fence      store.Fence
	last, trim store.Seq
	live       []liveRecord // those that are not trimmed, in order, without gaps
	free       []int        // slots below size that hold nothing of use, in descending order
	size       int          // slots that were ever used
}

// liveRecord is where a record is.
type liveRecord struct {
	seq    store.Seq
	slot   int
	wrote  store.Epoch // of the owner that wrote it
	pieces int         // 0: it is in the slot itself
}

// trimTo frees the slots of records up to seq; it returns these records.
func (o *owner) trimTo(seq store.Seq) []liveRecord {
	n := 0
	for n < len(o.live) && o.live[n].seq <= seq {
		i, _ := slices.BinarySearchFunc(o.free, o.live[n].slot, func(a, b int) int { return b - a })
		o.free = slices.Insert(o.free, i, o.live[n].slot)
		n++
	}
	done := slices.Clone(o.live[:n])
	o.live = slices.Delete(o.live, 0, n)
	o.trim = max(o.trim, min(seq, o.last))
	return done
}

// add gives the next record the lowest free slot, so that the same few are used over and over.
func (o *owner) add(seq store.Seq, pieces int) liveRecord {
	slot := o.size
	if n := len(o.free); n > 0 {
		slot, o.free = o.free[n-1], o.free[:n-1]
	} else {
		o.size++
	}
	l := liveRecord{seq: seq, slot: slot, wrote: o.fence.Epoch, pieces: pieces}
	o.live = append(o.live, l)
	o.last = seq
	return l
}

// loadOwner reads where the journal of f's shard stands, at SERIAL. If f is not its owner, it says why.
func (s *Store) loadOwner(f store.Fence) (*owner, error) {
	for range maxContend {
		own, steady, err := s.readOwner(f)
		if err != nil || steady {
			return own, err
		}
	}
	return nil, fmt.Errorf("%w: cassandra: the journal of shard %d changed %d times while it was read", store.ErrUnavailable, f.Shard, maxContend)
}

// readOwner reads page by page. Not steady: an append that was long under way came between two pages.
func (s *Store) readOwner(f store.Fence) (own *owner, steady bool, err error) {
	var now, first shardRow
	own = &owner{fence: f}
	rows := 0
	err = s.trip("reading where a journal stands", reads, func() error {
		iter := s.query(s.cql.readSlots, s.shardKey(f.Shard)).Consistency(s.serial).PageSize(slotsPage).Iter()
		var slot *int // none: the partition has no slots yet
		var seq, wrote int64
		var pieces int
		for steady = true; iter.Scan(&now.epoch, &now.nonce, &now.state, &now.last, &now.trim, &slot, &seq, &wrote, &pieces); rows++ {
			if rows == 0 {
				first = now
			}
			steady = steady && now == first
			if slot != nil {
				own.found(liveRecord{seq: store.Seq(seq), slot: *slot, wrote: store.Epoch(wrote), pieces: pieces}, store.Seq(first.trim))
			}
			slot = nil
		}
		return iter.Close()
	})
	if err != nil {
		return nil, false, err
	}
	if rows == 0 {
		return nil, false, store.ErrNoShard
	}
	if err := first.refuses(f); err != nil || !steady {
		return nil, false, err
	}
	own.last, own.trim = store.Seq(first.last), store.Seq(first.trim)
	return own, true, own.check()
}

const slotsPage = 1000

// found takes in one slot.
func (o *owner) found(l liveRecord, trim store.Seq) {
	o.size++
	if l.seq > trim {
		o.live = append(o.live, l)
	} else {
		o.free = append(o.free, l.slot)
	}
}

// check puts what was read in order: the records from trim on must all be there.
func (o *owner) check() error {
	slices.SortFunc(o.live, func(a, b liveRecord) int { return int(int64(a.seq) - int64(b.seq)) })
	slices.Reverse(o.free)
	for i, l := range o.live {
		if l.seq != o.trim+1+store.Seq(i) {
			return fmt.Errorf("%w: cassandra: the journal of shard %d has record %d where %d should be; it was damaged, restore the keyspace from a backup", store.ErrUnavailable, o.fence.Shard, l.seq, o.trim+1+store.Seq(i))
		}
	}
	if want := o.last - o.trim; store.Seq(len(o.live)) != want {
		return fmt.Errorf("%w: cassandra: the journal of shard %d holds %d of %d records; it was damaged, restore the keyspace from a backup", store.ErrUnavailable, o.fence.Shard, len(o.live), want)
	}
	return nil
}
