package cassandra

import (
	"errors"
	"fmt"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"perdure/core/store"
)

// The state of a shard, a static column of its partition.
const (
	stateFree    = 0 // made or released: nobody owns it
	stateOwned   = 1
	stateRetired = 2
)

const (
	maxEpoch   = 1<<23 - 1
	maxContend = 16 // tries of a transaction that others overtake
)

// shardRow is the static part of a shard's partition.
type shardRow struct {
	epoch, nonce int64
	owner        string
	state        int8
	last, trim   int64
	from, to     int
}

// readShard reads at SERIAL: what a transaction left half done is completed first.
func (s *Store) readShard(id store.ShardID) (shardRow, error) {
	return s.readShardAt(id, s.serial)
}

func (s *Store) readShardAt(id store.ShardID, consistency gocql.Consistency) (shardRow, error) {
	var r shardRow
	missing := false
	err := s.trip("reading a shard", reads, func() error {
		err := s.query(s.cql.readShard, s.shardKey(id)).Consistency(consistency).Scan(&r.epoch, &r.nonce, &r.owner, &r.state, &r.last, &r.trim, &r.from, &r.to)
		return unlessMissing(err, &missing)
	})
	if err == nil && missing {
		err = store.ErrNoShard
	}
	return r, err
}

// Create inserts the partition's static row.
func (s *Store) Create(id store.ShardID, strips store.Strips, floor store.Epoch) error {
	applied, _, err := s.swap(changes, s.cql.createShard, s.shardKey(id), int64(floor), int(strips.From), int(strips.To))
	if err == nil && !applied {
		return store.ErrExists
	}
	return err
}

// Retire marks the shard; no epoch is ever taken of it again.
func (s *Store) Retire(f store.Fence) error { return s.leave(f, stateRetired) }

// Release leaves the shard to whoever opens it next.
func (s *Store) Release(f store.Fence) error { return s.leave(f, stateFree) }

func (s *Store) leave(f store.Fence, state int8) error {
	for range maxContend {
		r, err := s.readShard(f.Shard)
		if err == nil {
			err = r.refuses(f)
		}
		switch {
		case err != nil:
			return err
		case state == stateRetired && r.trim < r.last:
			return store.ErrNotEmpty
		}
		// last and trim: a record of this owner that was still under way is not overlooked
		applied, _, err := s.swap(changes, s.cql.leaveShard, state, s.shardKey(f.Shard), int64(f.Epoch), int64(f.Nonce), r.last, r.trim)
		if err != nil || applied {
			return err
		}
	}
	return fmt.Errorf("%w: cassandra: shard %d changed %d times while it was left", store.ErrUnavailable, f.Shard, maxContend)
}

// refuses is nil if f is the owner.
func (r *shardRow) refuses(f store.Fence) error {
	switch {
	case r.state == stateRetired:
		return store.ErrRetired
	case r.state != stateOwned || r.epoch != int64(f.Epoch) || r.nonce != int64(f.Nonce):
		return store.ErrFenced
	}
	return nil
}

// Open raises the epoch with a transaction of its own, then reads the tail.
func (s *Store) Open(o store.Open) (store.Opened, error) {
	before, epoch, err := s.take(o)
	if err != nil {
		return store.Opened{}, err
	}
	f := store.Fence{Shard: o.Shard, Epoch: epoch, Nonce: o.Nonce}
	opened := store.Opened{Epoch: epoch, Strips: store.Strips{From: uint16(before.from), To: uint16(before.to)}}
	if before.state == stateOwned {
		opened.Displaced = store.Fence{Shard: o.Shard, Epoch: store.Epoch(before.epoch), Nonce: store.Nonce(before.nonce)}
		opened.Address = before.owner
	}
	own, err := s.loadOwner(f)
	if err != nil {
		return store.Opened{}, err
	}
	opened.Last = own.last
	if opened.Records, err = s.readTail(own, o.Known); err != nil {
		return store.Opened{}, err
	}
	s.keepOwner(own)
	return opened, nil
}

// take makes the caller the owner. It returns what was there before: the
// condition of the transaction names it, so it is exactly whom it displaced.
func (s *Store) take(o store.Open) (before shardRow, epoch store.Epoch, err error) {
	var tried shardRow
	for range maxContend {
		now, err := s.readShard(o.Shard)
		switch {
		case err != nil:
			return before, 0, err
		case tried.epoch != 0 && now.epoch == tried.epoch && now.nonce == int64(o.Nonce) && now.state == stateOwned:
			return before, store.Epoch(now.epoch), nil // the try before was said to have failed, yet it counts
		case now.state == stateRetired:
			return before, 0, store.ErrRetired
		case now.epoch >= maxEpoch:
			return before, 0, fmt.Errorf("%w: cassandra: shard %d has had all %d owners that a version can tell apart; move its strips to a new shard", store.ErrUnavailable, o.Shard, maxEpoch)
		}
		before, tried.epoch = now, now.epoch+1
		applied, _, err := s.swap(changes, s.cql.takeShard, tried.epoch, int64(o.Nonce), o.Owner, s.shardKey(o.Shard), before.epoch, before.nonce, before.state)
		if err != nil {
			return before, 0, err
		}
		if applied {
			return before, store.Epoch(tried.epoch), nil
		}
	}
	return before, 0, fmt.Errorf("%w: cassandra: others opened shard %d %d times meanwhile", store.ErrUnavailable, o.Shard, maxContend)
}

// Confirm reads at QUORUM. That is enough: an Open that was answered has
// committed its epoch on a quorum, and one that was not answered has no owner
// who acts on it. It does not disturb appends under way, which a read at SERIAL would.
func (s *Store) Confirm(fences []store.Fence) ([]bool, error) {
	owners := make([]bool, len(fences))
	err := each(len(fences), func(i int) error {
		err := s.checkFence(fences[i])
		owners[i] = err == nil
		if errors.Is(err, store.ErrUnavailable) {
			return err
		}
		return nil
	})
	return owners, err
}

// Owners reads at QUORUM, for the same reason.
func (s *Store) Owners(shards []store.ShardID) ([]store.Owner, error) {
	owners := make([]store.Owner, len(shards))
	err := each(len(shards), func(i int) error {
		r, err := s.readShardAt(shards[i], s.quorum)
		if err == nil && r.state == stateOwned {
			owners[i] = store.Owner{Fence: store.Fence{Shard: shards[i], Epoch: store.Epoch(r.epoch), Nonce: store.Nonce(r.nonce)}, Address: r.owner}
		}
		if errors.Is(err, store.ErrNoShard) {
			return nil
		}
		return err
	})
	return owners, err
}

// checkFence is nil if f is still the owner.
func (s *Store) checkFence(f store.Fence) error {
	var r shardRow
	missing := false
	err := s.trip("reading an owner", reads, func() error {
		return unlessMissing(s.query(s.cql.readFence, s.shardKey(f.Shard)).Scan(&r.epoch, &r.nonce, &r.state), &missing)
	})
	switch {
	case err != nil:
		return err
	case missing:
		return store.ErrNoShard
	}
	return r.refuses(f)
}

// unlessMissing makes an answer of "there is no such row".
func unlessMissing(err error, missing *bool) error {
	if errors.Is(err, gocql.ErrNotFound) {
		*missing = true
		return nil
	}
	return err
}
