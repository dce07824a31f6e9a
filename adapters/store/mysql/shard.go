package mysql

import (
	"database/sql"
	"errors"

	"perdure/core/store"
)

// alignFence carries what the shard's row says over to the row that fences
// flushes. It waits for a flush under way. Done late, it finds that it is.
const alignFence = "UPDATE fence f JOIN shard s ON s.id=f.shard SET f.epoch=s.epoch,f.nonce=s.nonce,f.owned=s.owned,f.number=0,f.step=0 " +
	"WHERE f.shard=? AND (f.epoch<s.epoch OR f.epoch=s.epoch AND f.owned AND NOT s.owned);"

// Create makes a shard.
func (s *Store) Create(id store.ShardID, strips store.Strips, floor store.Epoch) error {
	m := &message{}
	m.add("BEGIN;")
	m.add("INSERT IGNORE INTO shard (id,strips_from,strips_to,epoch,address,old_address) VALUES (?,?,?,?,'','');", uint64(id), int64(strips.From), int64(strips.To), uint64(floor))
	m.add("INSERT IGNORE INTO fence (shard,epoch) VALUES (?,?);", uint64(id), uint64(floor))
	m.add("COMMIT")
	changed, err := s.journal.change(m)
	if err == nil && changed[1] == 0 {
		return store.ErrExists
	}
	return unavailable("creating a shard", err)
}

var errDisplaced = errors.New("another owner opened the shard at the same time")

// Open raises the epoch, which waits for an append under way and turns every
// later one of the old owner away; then fences flushes in the same manner; then
// reads what it displaced and the tail, with newer snapshots.
func (s *Store) Open(o store.Open) (store.Opened, error) {
	m := &message{}
	m.add("UPDATE shard SET old_owned=owned,old_epoch=epoch,old_nonce=nonce,old_address=address,epoch=epoch+1,owned=1,nonce=?,address=? WHERE id=? AND NOT retired;",
		uint64(o.Nonce), o.Owner, uint64(o.Shard))
	m.add(alignFence, uint64(o.Shard))
	changed, err := s.journal.change(m)
	switch {
	case err != nil:
		return store.Opened{}, unavailable("opening a shard", err)
	case changed[0] == 0:
		return store.Opened{}, s.whyNot(store.Fence{Shard: o.Shard})
	}
	opened, err := s.raised(o)
	if err == nil {
		opened.Records, opened.Last, err = s.tail(o.Shard, o.Known)
	}
	if err != nil {
		return store.Opened{}, unavailable("opening a shard", err)
	}
	return opened, nil
}

// raised reads what the update of Open left in the row.
func (s *Store) raised(o store.Open) (opened store.Opened, err error) {
	m := &message{}
	m.add("SELECT epoch,nonce,old_owned,old_epoch,old_nonce,old_address,strips_from,strips_to FROM shard WHERE id=?", uint64(o.Shard))
	err = s.journal.read(m, func(_ int, r *sql.Rows) error {
		var nonce store.Nonce
		var owned bool
		old := store.Fence{Shard: o.Shard}
		var address string
		if err := r.Scan(&opened.Epoch, &nonce, &owned, &old.Epoch, &old.Nonce, &address, &opened.Strips.From, &opened.Strips.To); err != nil {
			return err
		}
		if nonce != o.Nonce {
			return errDisplaced
		}
		if owned {
			opened.Displaced, opened.Address = old, address
		}
		return nil
	})
	return opened, err
}

// Retire ends the shard; its journal is empty if all that was written is trimmed.
func (s *Store) Retire(f store.Fence) error {
	return s.leave(f, "retiring a shard", "retired=1,", "AND NOT EXISTS (SELECT 1 FROM record r WHERE r.shard=shard.id AND r.seq>shard.trimmed)")
}

// Release leaves the shard without an owner.
func (s *Store) Release(f store.Fence) error { return s.leave(f, "releasing a shard", "", "") }

func (s *Store) leave(f store.Fence, doing, set, where string) error {
	m := &message{}
	m.add("BEGIN;UPDATE shard SET "+set+"owned=0,nonce=0,address='' WHERE id=? AND epoch=? AND nonce=? AND owned "+where+";",
		uint64(f.Shard), uint64(f.Epoch), uint64(f.Nonce))
	m.add(alignFence, uint64(f.Shard))
	m.add("COMMIT")
	changed, err := s.journal.change(m)
	switch {
	case err != nil:
		return unavailable(doing, err)
	case changed[1] == 0:
		return s.whyNot(f)
	}
	return nil
}

// whyNot finds the reason why a shard could not be opened, or left by its owner.
func (s *Store) whyNot(f store.Fence) error {
	m := &message{}
	m.add("SELECT retired,owned AND epoch=? AND nonce=? FROM shard WHERE id=?", uint64(f.Epoch), uint64(f.Nonce), uint64(f.Shard))
	reason := store.ErrNoShard
	err := s.journal.read(m, func(_ int, r *sql.Rows) error {
		var retired, owner bool
		if err := r.Scan(&retired, &owner); err != nil {
			return err
		}
		switch {
		case retired:
			reason = store.ErrRetired
		case owner:
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
	m := &message{}
	m.add("SELECT id,epoch,nonce,address FROM shard WHERE owned AND id IN (")
	m.list(len(shards), func(i int) any { return uint64(shards[i]) })
	m.add(")")
	err := s.journal.read(m, func(_ int, r *sql.Rows) error {
		var o store.Owner
		if err := r.Scan(&o.Fence.Shard, &o.Fence.Epoch, &o.Fence.Nonce, &o.Address); err != nil {
			return err
		}
		for i, id := range shards {
			if id == o.Fence.Shard {
				owners[i] = o
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
