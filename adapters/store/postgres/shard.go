package postgres

import "perdure/core/store"

// Create makes a shard.
func (s *Store) Create(id store.ShardID, strips store.Strips, floor store.Epoch) error {
	made := false
	params := [][]byte{shardParam(id), int8Param(strips.From), int8Param(strips.To), int8Param(floor)}
	err := s.journal.ask(s.timeout, false, []sending{{createShard, params}}, func(int, [][]byte) error {
		made = true
		return nil
	})
	if err == nil && !made {
		return store.ErrExists
	}
	return unavailable("creating a shard", err)
}

// Open raises the epoch, which waits for an append under way and turns every
// later one of the old owner away; then fences flushes in the same manner; then
// reads the tail. Each is a statement with a snapshot of its own, in one round trip.
func (s *Store) Open(o store.Open) (store.Opened, error) {
	var opened store.Opened
	found := false
	list := []sending{
		{raiseEpoch, [][]byte{shardParam(o.Shard), int8Param(o.Nonce), []byte(o.Owner)}},
		{alignFence, [][]byte{shardParam(o.Shard)}},
		{readTail, [][]byte{shardParam(o.Shard), int8Param(o.Known)}},
	}
	err := s.journal.ask(s.timeout, true, list, func(i int, v [][]byte) error {
		switch i {
		case 0:
			found = true
			opened = raised(o.Shard, v)
		case 2:
			opened.Last = store.Seq(readInt8(v[0]))
			if v[1] != nil {
				opened.Records = append(opened.Records, store.Entry{Seq: store.Seq(readInt8(v[1])), Record: copied(v[2])})
			}
		}
		return nil
	})
	switch {
	case err != nil:
		return store.Opened{}, unavailable("opening a shard", err)
	case !found:
		return store.Opened{}, s.whyNot(store.Fence{Shard: o.Shard})
	}
	return opened, nil
}

// raised reads what raiseEpoch returns.
func raised(id store.ShardID, v [][]byte) store.Opened {
	opened := store.Opened{
		Epoch:  store.Epoch(readInt8(v[0])),
		Strips: store.Strips{From: uint16(readInt8(v[5])), To: uint16(readInt8(v[6]))},
	}
	if readInt8(v[1]) == 1 {
		opened.Displaced = store.Fence{Shard: id, Epoch: store.Epoch(readInt8(v[2])), Nonce: store.Nonce(readInt8(v[3]))}
		opened.Address = string(v[4])
	}
	return opened
}

// Retire ends the shard. The row is locked first, so that the statement after
// it sees every record that an append put there before.
func (s *Store) Retire(f store.Fence) error {
	return s.leave(f, "retiring a shard", []sending{
		{lockShard, [][]byte{shardParam(f.Shard)}},
		{retireShard, fenceParams(f)},
		{alignFence, [][]byte{shardParam(f.Shard)}},
	})
}

// Release leaves the shard without an owner.
func (s *Store) Release(f store.Fence) error {
	return s.leave(f, "releasing a shard", []sending{
		{releaseShard, fenceParams(f)},
		{alignFence, [][]byte{shardParam(f.Shard)}},
	})
}

// leave runs statements in one transaction and wants a row from the second to last.
func (s *Store) leave(f store.Fence, doing string, list []sending) error {
	left := false
	err := s.journal.ask(s.timeout, false, list, func(i int, _ [][]byte) error {
		left = left || i == len(list)-2
		return nil
	})
	switch {
	case err != nil:
		return unavailable(doing, err)
	case !left:
		return s.whyNot(f)
	}
	return nil
}

// whyNot finds the reason why a shard could not be opened, or left by its owner.
func (s *Store) whyNot(f store.Fence) error {
	reason := store.ErrNoShard
	err := s.journal.ask(s.timeout, false, []sending{{lookShard, fenceParams(f)}}, func(_ int, v [][]byte) error {
		switch {
		case readInt8(v[0]) == 1:
			reason = store.ErrRetired
		case readInt8(v[1]) == 1:
			reason = store.ErrNotEmpty
		default:
			reason = store.ErrFenced
		}
		return nil
	})
	if err != nil {
		return unavailable("looking at a shard", err)
	}
	return reason
}

// Owners reads who holds shards.
func (s *Store) Owners(shards []store.ShardID) ([]store.Owner, error) {
	owners := make([]store.Owner, len(shards))
	if len(shards) == 0 {
		return owners, nil
	}
	ids := int8Array(shards, func(id *store.ShardID) uint64 { return uint64(*id) })
	err := s.journal.ask(s.timeout, false, []sending{{lookOwners, [][]byte{ids}}}, func(_ int, v [][]byte) error {
		f := store.Fence{Shard: store.ShardID(readInt8(v[0])), Epoch: store.Epoch(readInt8(v[1])), Nonce: store.Nonce(readInt8(v[2]))}
		for i, id := range shards {
			if id == f.Shard {
				owners[i] = store.Owner{Fence: f, Address: string(v[3])}
			}
		}
		return nil
	})
	if err != nil {
		return nil, unavailable("looking for owners", err)
	}
	return owners, nil
}

// Confirm compares fences with the owners of their shards.
func (s *Store) Confirm(fences []store.Fence) ([]bool, error) {
	return store.ConfirmBy(s.Owners, fences)
}
