package sqlite

import (
	"zombiezen.com/go/sqlite/sqlitex"

	"perdure/core/store"
)

// save writes what the file says of a shard and, once that is durable, shows it
// to those who ask for owners.
func (j *journal) save(next head) error {
	const upsert = `INSERT OR REPLACE INTO shard
		(id, strips_from, strips_to, epoch, owned, nonce, address, retired, trimmed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`
	err := inTransaction(j.conn, func() error {
		return sqlitex.Execute(j.conn, upsert, &sqlitex.ExecOptions{Args: []any{
			int64(next.id), int64(next.strips.From), int64(next.strips.To), int64(next.epoch), next.owned,
			int64(next.nonce), next.address, next.retired, int64(next.trimmed),
		}})
	})
	if err != nil {
		return unavailable("writing a shard", err)
	}
	j.look.Lock()
	defer j.look.Unlock()
	j.heads[next.id] = &next
	return nil
}

// begin locks the journal for a call that changes a shard; the caller unlocks.
func (s *Store) begin() (*journal, error) {
	s.journal.mu.Lock()
	if s.closed.Load() || s.journal.conn == nil {
		return s.journal, errClosed
	}
	return s.journal, nil
}

// Create makes a shard.
func (s *Store) Create(id store.ShardID, strips store.Strips, floor store.Epoch) error {
	j, err := s.begin()
	defer j.mu.Unlock()
	if err != nil {
		return err
	}
	if j.heads[id] != nil {
		return store.ErrExists
	}
	return j.save(head{id: id, strips: strips, epoch: floor})
}

// Open makes a new owner durable, then reads the tail.
func (s *Store) Open(o store.Open) (store.Opened, error) {
	j, err := s.begin()
	defer j.mu.Unlock()
	if err != nil {
		return store.Opened{}, err
	}
	h := j.heads[o.Shard]
	switch {
	case h == nil:
		return store.Opened{}, store.ErrNoShard
	case h.retired:
		return store.Opened{}, store.ErrRetired
	}
	next := *h
	next.epoch++
	next.owned, next.nonce, next.address = true, o.Nonce, o.Owner
	if err := j.save(next); err != nil {
		return store.Opened{}, err
	}
	opened := store.Opened{Epoch: next.epoch, Displaced: h.fence(), Address: h.address, Strips: h.strips, Last: h.last}
	opened.Records, err = j.tail(h, max(o.Known, h.asked))
	return opened, unavailable("reading the journal", err)
}

// tail reads the records after known.
func (j *journal) tail(h *head, known store.Seq) ([]store.Entry, error) {
	var tail []store.Entry
	for i, at := range h.records {
		seq := h.trimmed + 1 + store.Seq(i)
		if seq <= known {
			continue
		}
		body, err := j.slots.read(at)
		if err != nil {
			return nil, err
		}
		tail = append(tail, store.Entry{Seq: seq, Record: body})
	}
	return tail, nil
}

// Release leaves the shard without an owner.
func (s *Store) Release(f store.Fence) error {
	j, err := s.begin()
	defer j.mu.Unlock()
	if err != nil {
		return err
	}
	h, err := j.owner(f)
	if err != nil {
		return err
	}
	next := *h
	next.owned, next.nonce, next.address = false, 0, ""
	return j.save(next)
}

// Retire ends the shard. Its records may not outlive it, so what they say must
// be safe in the tables first.
func (s *Store) Retire(f store.Fence) error {
	before, err := s.trimmedBy(f)
	if err != nil {
		return err
	}
	if _, err := s.tables.settle(true); err != nil {
		return err
	}
	j, err := s.begin()
	defer j.mu.Unlock()
	if err != nil {
		return err
	}
	h, err := j.owner(f)
	if err != nil {
		return err
	}
	if h.last != before { // appended to meanwhile: settle knows nothing of that
		return store.ErrNotEmpty
	}
	next := *h
	next.owned, next.nonce, next.address, next.retired = false, 0, "", true
	next.trimmed, next.records = h.last, nil
	if err := j.save(next); err != nil {
		return err
	}
	j.slots.release(h.records)
	return nil
}

// trimmedBy is the last record of the shard if f owns it and wants all of it trimmed.
func (s *Store) trimmedBy(f store.Fence) (store.Seq, error) {
	j, err := s.begin()
	defer j.mu.Unlock()
	if err != nil {
		return 0, err
	}
	h, err := j.owner(f)
	if err != nil {
		return 0, err
	}
	if h.asked < h.last {
		return 0, store.ErrNotEmpty
	}
	return h.last, nil
}

// Owners tells what is in memory: nobody else can change it.
func (s *Store) Owners(shards []store.ShardID) ([]store.Owner, error) {
	j := s.journal
	if s.closed.Load() {
		return nil, errClosed
	}
	j.look.RLock()
	defer j.look.RUnlock()
	owners := make([]store.Owner, len(shards))
	for i, id := range shards {
		if h := j.heads[id]; h != nil && h.owned {
			owners[i] = store.Owner{Fence: h.fence(), Address: h.address}
		}
	}
	return owners, nil
}

// Confirm compares fences with the owners in memory: nobody else can change them.
func (s *Store) Confirm(fences []store.Fence) ([]bool, error) {
	still := make([]bool, len(fences))
	for i, f := range fences {
		still[i] = s.journal.check(f) == nil
	}
	return still, nil
}
