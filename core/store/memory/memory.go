// Package memory is the reference implementation of the store contract: slow,
// obvious, and the yardstick of the other ones. It keeps the version of every
// row and of every delete, so that the contract's sentences can be read off it.
//
// It is not safe for use by several goroutines: the simulator steps everything
// in one, other users lock around it. The data lives as long as the Store: a
// crash of its users keeps all of it, and Close changes nothing.
package memory

import (
	"bytes"
	"sort"

	"perdure/core/store"
)

// Store holds shards and rows. Its maps are only looked up, never ranged over.
type Store struct {
	shards     map[store.ShardID]*shard
	partitions map[store.Partition]*partition
}

var _ store.Store = (*Store)(nil)

// shard is one journal and who may write to it.
type shard struct {
	strips  store.Strips
	epoch   store.Epoch
	owner   store.Fence // zero: nobody, since nobody came or the last one left
	address string
	retired bool
	last    store.Seq
	tail    []store.Entry // what is not trimmed; ends at last
}

// New makes an empty store.
func New() *Store {
	return &Store{
		shards:     make(map[store.ShardID]*shard),
		partitions: make(map[store.Partition]*partition),
	}
}

// Create makes a shard.
func (s *Store) Create(id store.ShardID, strips store.Strips, floor store.Epoch) error {
	if s.shards[id] != nil {
		return store.ErrExists
	}
	s.shards[id] = &shard{strips: strips, epoch: floor}
	return nil
}

// Open hands the shard to a new owner.
func (s *Store) Open(o store.Open) (store.Opened, error) {
	h := s.shards[o.Shard]
	if h == nil {
		return store.Opened{}, store.ErrNoShard
	}
	if h.retired {
		return store.Opened{}, store.ErrRetired
	}
	opened := store.Opened{Displaced: h.owner, Address: h.address, Strips: h.strips, Last: h.last}
	h.epoch++
	h.owner = store.Fence{Shard: o.Shard, Epoch: h.epoch, Nonce: o.Nonce}
	h.address = o.Owner
	opened.Epoch = h.epoch
	for _, e := range h.tail {
		if e.Seq > o.Known {
			opened.Records = append(opened.Records, store.Entry{Seq: e.Seq, Record: bytes.Clone(e.Record)})
		}
	}
	return opened, nil
}

// Release lets the owner go.
func (s *Store) Release(f store.Fence) error {
	h, err := s.owned(f)
	if err != nil {
		return err
	}
	h.owner, h.address = store.Fence{}, ""
	return nil
}

// Retire ends the shard.
func (s *Store) Retire(f store.Fence) error {
	h, err := s.owned(f)
	if err != nil {
		return err
	}
	if len(h.tail) > 0 {
		return store.ErrNotEmpty
	}
	h.retired = true
	h.owner, h.address = store.Fence{}, ""
	return nil
}

// owned finds the shard that f owns.
func (s *Store) owned(f store.Fence) (*shard, error) {
	h := s.shards[f.Shard]
	switch {
	case h == nil:
		return nil, store.ErrNoShard
	case h.retired:
		return nil, store.ErrRetired
	case h.owner != f || f == (store.Fence{}):
		return nil, store.ErrFenced
	}
	return h, nil
}

// Append takes each entry on its own.
func (s *Store) Append(batch []store.Append) []store.Outcome {
	outcomes := make([]store.Outcome, len(batch))
	for i, a := range batch {
		outcomes[i] = s.append(a)
	}
	return outcomes
}

func (s *Store) append(a store.Append) store.Outcome {
	h, err := s.owned(a.Fence)
	if err != nil {
		return store.Fenced
	}
	if a.Record != nil {
		if a.Seq != h.last+1 {
			return store.Unknown
		}
		h.tail = append(h.tail, store.Entry{Seq: a.Seq, Record: bytes.Clone(a.Record)})
		h.last = a.Seq
	}
	keep := sort.Search(len(h.tail), func(i int) bool { return h.tail[i].Seq > a.Trim })
	h.tail = h.tail[keep:]
	return store.Done
}

// Write stores blob rows.
func (s *Store) Write(rows []store.Row) error {
	s.Put(rows, nil)
	return nil
}

// Flush is Admit followed by Put. A simulated store may let time, and other
// owners, come between the two: versions keep that harmless.
func (s *Store) Flush(f store.Flush) error {
	if err := s.Admit(f); err != nil {
		return err
	}
	s.Put(f.Rows, f.Deleted)
	return nil
}

// Admit says whether the flush comes from the shard's owner.
func (s *Store) Admit(f store.Flush) error {
	_, err := s.owned(f.Fence)
	return err
}

// Put writes rows by version alone.
func (s *Store) Put(rows []store.Row, deleted []store.DeletedPartition) {
	for _, d := range deleted {
		s.partition(d.Partition).delete(d.Version)
	}
	for _, r := range rows {
		s.partition(store.Partition{Table: r.Key.Table, Partition: r.Key.Partition}).put(r)
	}
}

// Overwrite writes rows whatever is there, as a store does that fences each change
// instead of giving rows versions: partitions first, all of each.
func (s *Store) Overwrite(rows []store.Row, deleted []store.DeletedPartition) {
	for _, d := range deleted {
		s.partition(d.Partition).rows = nil
	}
	for _, r := range rows {
		s.partition(store.Partition{Table: r.Key.Table, Partition: r.Key.Partition}).overwrite(r)
	}
}

func (s *Store) partition(name store.Partition) *partition {
	p := s.partitions[name]
	if p == nil {
		p = &partition{}
		s.partitions[name] = p
	}
	return p
}

// Get reads rows.
func (s *Store) Get(keys []store.Key) ([]store.Row, error) {
	rows := make([]store.Row, len(keys))
	for i, k := range keys {
		rows[i] = store.Row{Key: k}
		if p := s.partitions[store.Partition{Table: k.Table, Partition: k.Partition}]; p != nil {
			rows[i].Value = p.get(k.Key)
		}
	}
	return rows, nil
}

// Scan reads ranges.
func (s *Store) Scan(ranges []store.Range) ([][]store.Row, error) {
	found := make([][]store.Row, len(ranges))
	for i, r := range ranges {
		if p := s.partitions[store.Partition{Table: r.Table, Partition: r.Partition}]; p != nil {
			found[i] = p.scan(r)
		}
	}
	return found, nil
}

// Confirm compares fences.
func (s *Store) Confirm(fences []store.Fence) ([]bool, error) {
	still := make([]bool, len(fences))
	for i, f := range fences {
		_, err := s.owned(f)
		still[i] = err == nil
	}
	return still, nil
}

// Owners reads the shards.
func (s *Store) Owners(shards []store.ShardID) ([]store.Owner, error) {
	owners := make([]store.Owner, len(shards))
	for i, id := range shards {
		if h := s.shards[id]; h != nil {
			owners[i] = store.Owner{Fence: h.owner, Address: h.address}
		}
	}
	return owners, nil
}

// Apart is false: one lock guards everything.
func (s *Store) Apart() bool { return false }

// Exclusive is false: any number of users may share the Store.
func (s *Store) Exclusive() bool { return false }

// Close keeps everything.
func (s *Store) Close() error { return nil }
