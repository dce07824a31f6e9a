package cassandra

import (
	"perdure/core/store"
)

// Append runs one transaction a shard, side by side.
func (s *Store) Append(batch []store.Append) []store.Outcome {
	outcomes := make([]store.Outcome, len(batch))
	_ = each(len(batch), func(i int) error {
		outcomes[i] = s.appendOne(batch[i])
		return nil
	})
	return outcomes
}

// appendOne takes the owner out of the store's memory and puts it back only after
// an append that was done: after anything else what it knows may be wrong.
func (s *Store) appendOne(a store.Append) store.Outcome {
	own, outcome := s.takeOwner(a.Fence)
	if own == nil {
		return outcome
	}
	if a.Record == nil {
		outcome = s.trim(own, a.Trim)
	} else {
		outcome = s.appendRecord(own, a)
	}
	if outcome == store.Done {
		s.keepOwner(own)
	}
	return outcome
}

func (s *Store) takeOwner(f store.Fence) (*owner, store.Outcome) {
	s.mu.Lock()
	own := s.owners[f.Shard]
	if own != nil && own.fence == f {
		delete(s.owners, f.Shard)
		s.mu.Unlock()
		return own, store.Done
	}
	s.mu.Unlock()
	own, err := s.loadOwner(f)
	if err != nil {
		return nil, outcomeOf(err)
	}
	return own, store.Done
}

func (s *Store) keepOwner(own *owner) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := s.owners[own.fence.Shard]; now == nil || now.fence.Epoch <= own.fence.Epoch {
		s.owners[own.fence.Shard] = own
	}
}

func (s *Store) appendRecord(own *owner, a store.Append) store.Outcome {
	record, pieces, err := s.writePieces(a)
	if err != nil {
		return store.Unknown
	}
	done := own.trimTo(a.Trim)
	l := own.add(a.Seq, pieces)
	f := a.Fence
	applied, found, err := s.swap(settles, s.cql.appendRecord, int64(a.Seq), int64(own.trim), int64(a.Seq), int64(f.Epoch), pieces, record,
		s.shardKey(f.Shard), l.slot, int64(f.Epoch), int64(f.Nonce), int64(a.Seq)-1)
	switch {
	case err != nil:
		return store.Unknown
	case !applied:
		return refused(f, found)
	}
	s.dropPieces(f.Shard, done)
	return store.Done
}

func (s *Store) trim(own *owner, upTo store.Seq) store.Outcome {
	done, f := own.trimTo(upTo), own.fence
	applied, found, err := s.swap(settles, s.cql.appendTrim, int64(own.trim), s.shardKey(f.Shard), int64(f.Epoch), int64(f.Nonce))
	switch {
	case err != nil:
		return store.Unknown
	case !applied:
		return refused(f, found)
	}
	s.dropPieces(f.Shard, done)
	return store.Done
}

// refused tells why a transaction was not applied: the answer says what it found, nothing if there is no such shard.
func refused(f store.Fence, found map[string]any) store.Outcome {
	r := shardRow{}
	r.epoch, _ = found["epoch"].(int64)
	r.nonce, _ = found["nonce"].(int64)
	r.state, _ = found["state"].(int8)
	return outcomeOf(r.refuses(f))
}

// outcomeOf of an owner that the database knows is Unknown: then its journal stands elsewhere than the append said.
func outcomeOf(err error) store.Outcome {
	switch err {
	case store.ErrFenced, store.ErrRetired, store.ErrNoShard:
		return store.Fenced
	}
	return store.Unknown
}
