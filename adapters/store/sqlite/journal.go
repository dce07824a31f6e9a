package sqlite

import (
	"fmt"
	"sync"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"perdure/core/store"
)

// journal is journal.db. One connection writes; what it says about shards is
// also in memory, so that an append reads nothing.
type journal struct {
	path   string
	mu     sync.Mutex   // the connection, and every field below
	look   sync.RWMutex // held as well while heads or owners change: whoever only asks for an owner need not wait for a commit
	conn   *sqlite.Conn
	side   *sqlite.Conn // copies the log into the file while conn goes on
	heads  map[store.ShardID]*head
	slots  slots
	dirty  bool  // a trim was asked for since the keeper last looked
	logged int64 // bytes written since the log was last copied, about
	chosen []int // scratch of Append
}

// head is what is known of one shard.
type head struct {
	id      store.ShardID
	strips  store.Strips
	epoch   store.Epoch
	owned   bool
	nonce   store.Nonce
	address string
	retired bool
	last    store.Seq
	asked   store.Seq // the owner's trim
	trimmed store.Seq // the trim that a checkpoint covers; on disk
	records []place   // of the records trimmed+1 to last
}

func (h *head) fence() store.Fence {
	if !h.owned {
		return store.Fence{}
	}
	return store.Fence{Shard: h.id, Epoch: h.epoch, Nonce: h.nonce}
}

func openJournal(path string, opts Options) (*journal, error) {
	set := settings{
		flags: sqlite.OpenReadWrite | sqlite.OpenCreate, pageBytes: journalPage,
		cacheBytes: opts.CacheBytes / 8, full: true, keepLog: 4 * opts.JournalLogBytes,
		accept: accept(path, journalSchema),
	}
	conn, err := connect(path, set)
	if err != nil {
		return nil, err
	}
	j := &journal{path: path, conn: conn, heads: make(map[store.ShardID]*head)}
	if err := migrate(conn, journalSchema); err != nil {
		return j.giveUp(explain(path, err))
	}
	if err := j.load(); err != nil {
		return j.giveUp(explain(path, err))
	}
	set.cacheBytes = 0
	if j.side, err = connect(path, set); err != nil {
		return j.giveUp(err)
	}
	return j, nil
}

func (j *journal) giveUp(err error) (*journal, error) {
	j.close()
	return nil, err
}

// load reads shards and the index of their records.
func (j *journal) load() error {
	err := each(j.conn, "SELECT id, strips_from, strips_to, epoch, owned, nonce, address, retired, trimmed FROM shard", func(s *sqlite.Stmt) error {
		h := &head{
			id:     store.ShardID(s.ColumnInt64(0)),
			strips: store.Strips{From: uint16(s.ColumnInt64(1)), To: uint16(s.ColumnInt64(2))},
			epoch:  store.Epoch(s.ColumnInt64(3)), owned: s.ColumnBool(4), nonce: store.Nonce(s.ColumnInt64(5)),
			address: s.ColumnText(6), retired: s.ColumnBool(7), trimmed: store.Seq(s.ColumnInt64(8)),
		}
		h.last, h.asked = h.trimmed, h.trimmed
		j.heads[h.id] = h
		return nil
	})
	if err != nil {
		return err
	}
	if err := j.slots.open(j.conn); err != nil {
		return err
	}
	if err := j.absorb(); err != nil {
		return err
	}
	return j.slots.load(j.index)
}

// index takes one record of the file in; live says that it is not trimmed.
func (j *journal) index(shard store.ShardID, seq store.Seq, at place) (live bool, err error) {
	h := j.heads[shard]
	switch {
	case h == nil:
		return false, fmt.Errorf("%w: %s holds a record of shard %d, which it does not know", ErrForeign, j.path, shard)
	case seq <= h.trimmed:
		return false, nil
	case seq != h.last+1:
		return false, fmt.Errorf("%w: %s lacks record %d of shard %d (found %d); restore the folder from a backup", ErrForeign, j.path, h.last+1, shard, seq)
	}
	h.last = seq
	h.records = append(h.records, at)
	return true, nil
}

// absorb moves what the first version of the schema kept in a table of records.
func (j *journal) absorb() error {
	return inTransaction(j.conn, func() error {
		err := each(j.conn, "SELECT shard, seq, body FROM record ORDER BY id", func(s *sqlite.Stmt) error {
			a := store.Append{Seq: store.Seq(s.ColumnInt64(1)), Record: columnBytes(s, 2)}
			a.Fence.Shard = store.ShardID(s.ColumnInt64(0))
			written, err := j.slots.write([]store.Append{a}, []int{0})
			j.slots.take(written)
			return err
		})
		if err != nil {
			return err
		}
		return sqlitex.ExecuteTransient(j.conn, "DELETE FROM record", nil)
	})
}

// each runs a query once.
func each(conn *sqlite.Conn, query string, row func(*sqlite.Stmt) error) error {
	s, _, err := conn.PrepareTransient(query)
	if err != nil {
		return err
	}
	defer s.Finalize()
	for {
		more, err := s.Step()
		if err != nil || !more {
			return err
		}
		if err := row(s); err != nil {
			return err
		}
	}
}

// owner finds the shard that f owns. The caller holds mu or look.
func (j *journal) owner(f store.Fence) (*head, error) {
	h := j.heads[f.Shard]
	switch {
	case h == nil:
		return nil, store.ErrNoShard
	case h.retired:
		return nil, store.ErrRetired
	case !h.owned || h.epoch != f.Epoch || h.nonce != f.Nonce:
		return nil, store.ErrFenced
	}
	return h, nil
}

// check says whether f owns its shard, without waiting for commits.
func (j *journal) check(f store.Fence) error {
	j.look.RLock()
	defer j.look.RUnlock()
	_, err := j.owner(f)
	return err
}

// Append writes the records of all shards in one transaction.
func (s *Store) Append(batch []store.Append) []store.Outcome {
	outcomes := make([]store.Outcome, len(batch))
	if s.closed.Load() {
		return outcomes
	}
	j := s.journal
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.conn == nil {
		return outcomes
	}
	j.choose(batch, outcomes)
	if len(j.chosen) > 0 {
		j.write(batch, outcomes)
	}
	j.trims(batch, outcomes)
	s.keeper.afterAppend(j)
	return outcomes
}

// choose finds the records that may be written and answers the others.
func (j *journal) choose(batch []store.Append, outcomes []store.Outcome) {
	j.chosen = j.chosen[:0]
	for i, a := range batch {
		h, err := j.owner(a.Fence)
		switch {
		case err != nil:
			outcomes[i] = store.Fenced
		case a.Record == nil:
			outcomes[i] = store.Done
		case a.Seq == h.last+1:
			j.chosen = append(j.chosen, i)
		}
	}
}

// write commits the chosen records. If the commit fails they stay unknown: the
// next commit overwrites whatever reached the log, a crash before it may not.
func (j *journal) write(batch []store.Append, outcomes []store.Outcome) {
	var written *stream
	err := inTransaction(j.conn, func() (err error) {
		written, err = j.slots.write(batch, j.chosen)
		return err
	})
	if err != nil {
		return
	}
	j.slots.take(written)
	for n, i := range j.chosen {
		h := j.heads[batch[i].Fence.Shard]
		h.last++
		h.records = append(h.records, written.places[n])
		outcomes[i] = store.Done
	}
	written.places = nil
	j.logged += int64(len(written.slots)) * j.slots.pageBytes
}

// trims notes what owners want dropped. Records go once a checkpoint covers them.
func (j *journal) trims(batch []store.Append, outcomes []store.Outcome) {
	for i, a := range batch {
		h := j.heads[a.Fence.Shard]
		if outcomes[i] == store.Done && a.Trim > h.asked {
			h.asked = min(a.Trim, h.last)
			j.dirty = j.dirty || h.asked > h.trimmed
		}
	}
}

func (j *journal) close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	side, conn := j.side, j.conn
	j.side, j.conn = nil, nil
	return closeAll(side, conn)
}
