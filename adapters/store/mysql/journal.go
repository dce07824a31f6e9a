package mysql

import (
	"database/sql"
	"errors"
	"slices"

	driver "github.com/go-sql-driver/mysql"

	"perdure/core/store"
)

// Append writes the records of all shards in one statement if each follows one
// that was appended here, else shard by shard.
func (s *Store) Append(batch []store.Append) []store.Outcome {
	outcomes := make([]store.Outcome, len(batch))
	if len(batch) == 0 {
		return outcomes
	}
	defer s.known.Note(batch, outcomes)
	if s.known.Follows(batch) {
		m, insert := s.appendTogether(batch)
		changed, err := s.journal.change(m)
		if err == nil && changed[insert] == int64(len(batch)) {
			for i := range outcomes {
				outcomes[i] = store.Done
			}
			return outcomes
		}
		if !mayNot(err) {
			return outcomes
		}
	}
	m, counted := s.appendApart(batch)
	if len(counted) > 0 {
		changed, err := s.journal.change(m)
		if err != nil {
			return outcomes
		}
		for i, at := range counted {
			if at >= 0 && changed[at] == 1 {
				outcomes[i] = store.Done
			}
		}
	}
	s.appendAnswers(batch, outcomes)
	return outcomes
}

// appendTogether inserts all records in one statement, which fails as a whole
// unless each shard is its owner's: a seq would be NULL. It locks the rows of the
// shards, and reads no others, but does not change them: what is changed has to be
// purged. That each record follows the last one is known. It also tells at which
// place the server counts the inserted rows.
func (s *Store) appendTogether(batch []store.Append) (m *message, insert int) {
	m = &message{}
	if !slices.ContainsFunc(batch, s.known.Moved) {
		m.prepared = true
		m.insert(batch, func(record []byte) { m.add("?", record) })
		return m, 0
	}
	// First of all: who holds a row in share mode cannot change it while an Open waits for it.
	m.add("BEGIN;UPDATE shard SET trimmed=GREATEST(trimmed,CASE id")
	for _, a := range batch {
		m.add(" WHEN ? THEN ?", uint64(a.Fence.Shard), uint64(a.Trim))
	}
	m.add(" END) WHERE ")
	m.owned(batch)
	m.add(";")
	m.insert(batch, m.bytes)
	m.add(";")
	for _, a := range batch {
		if s.known.Moved(a) {
			m.add("DELETE FROM record WHERE shard=? AND seq<=?;", uint64(a.Fence.Shard), uint64(a.Trim))
		}
	}
	m.add("COMMIT")
	return m, 2
}

func (m *message) insert(batch []store.Append, value func(record []byte)) {
	m.add("INSERT INTO record (shard,seq,body) SELECT id,IF(")
	m.owned(batch)
	m.add(",CASE id")
	for _, a := range batch {
		m.add(" WHEN ? THEN ?", uint64(a.Fence.Shard), uint64(a.Seq))
	}
	m.add(" END,NULL),CASE id")
	for _, a := range batch {
		m.add(" WHEN ? THEN ", uint64(a.Fence.Shard))
		value(a.Record)
	}
	m.add(" END FROM shard FORCE INDEX (PRIMARY) WHERE id IN (")
	m.list(len(batch), func(i int) any { return uint64(batch[i].Fence.Shard) })
	m.add(") LOCK IN SHARE MODE")
}

// owned is the condition on a shard's row that it is the one of an append in the batch.
func (m *message) owned(batch []store.Append) {
	for i, a := range batch {
		if i > 0 {
			m.add(" OR ")
		}
		m.add(ownedBy, uint64(a.Fence.Shard), uint64(a.Fence.Epoch), uint64(a.Fence.Nonce))
	}
}

// ownedBy and follows are conditions on a shard's row: who owns it, and that a
// seq is the next one. The derived table is one because a statement may not
// look otherwise into the table that it inserts into.
const (
	ownedBy = "id=? AND epoch=? AND nonce=? AND owned"
	follows = " AND trimmed<? AND (trimmed=? OR EXISTS (SELECT 1 FROM (SELECT seq FROM record WHERE shard=? AND seq=? LIMIT 1) AS before_it))"
)

// mayNot says that the statement of appendTogether found a shard of somebody else,
// or a record that is there: nothing was done.
func mayNot(err error) bool {
	const noNull, duplicate = 1048, 1062
	var refused *driver.MySQLError
	return errors.As(err, &refused) && (refused.Number == noNull || refused.Number == duplicate)
}

// appendApart makes an update and an insert for each shard. It also tells at
// which place the server counts the change of each append's shard, -1 if there is none.
func (s *Store) appendApart(batch []store.Append) (m *message, counted []int) {
	m = &message{}
	m.add("BEGIN;")
	counts := 1
	counted = make([]int, len(batch))
	something := false
	for i, a := range batch {
		counted[i] = -1
		if a.Record == nil && a.Trim == 0 {
			continue
		}
		something = true
		if a.Trim > 0 {
			m.add("UPDATE shard SET trimmed=GREATEST(trimmed,?) WHERE "+ownedBy+";",
				uint64(a.Trim), uint64(a.Fence.Shard), uint64(a.Fence.Epoch), uint64(a.Fence.Nonce))
			counted[i] = counts
			counts++
		}
		if a.Record != nil {
			m.add("INSERT INTO record (shard,seq,body) SELECT id,?,", uint64(a.Seq))
			m.bytes(a.Record)
			m.add(" FROM shard WHERE "+ownedBy+follows+" AND NOT EXISTS (SELECT 1 FROM record WHERE shard=? AND seq=?) LOCK IN SHARE MODE;",
				uint64(a.Fence.Shard), uint64(a.Fence.Epoch), uint64(a.Fence.Nonce),
				uint64(a.Seq), uint64(a.Seq)-1, uint64(a.Fence.Shard), uint64(a.Seq)-1, uint64(a.Fence.Shard), uint64(a.Seq))
			counted[i] = counts
			counts++
		}
		if a.Trim > 0 { // nothing but what its owner trimmed, whether this append is the owner's or not
			m.add("DELETE record FROM record JOIN shard ON shard.id=record.shard WHERE record.shard=? AND record.seq<=? AND record.seq<=shard.trimmed;",
				uint64(a.Fence.Shard), uint64(a.Trim))
			counts++
		}
	}
	m.add("COMMIT")
	if !something {
		return m, nil
	}
	return m, counted
}

// appendAnswers finds out about appends that changed nothing: those of an owner
// that was displaced are fenced; only a trim is done if there was nothing to
// change; a record of a seq that does not follow stays unknown.
func (s *Store) appendAnswers(batch []store.Append, outcomes []store.Outcome) {
	var places []int
	var fences []store.Fence
	for i, o := range outcomes {
		if o != store.Done {
			places, fences = append(places, i), append(fences, batch[i].Fence)
		}
	}
	if len(places) == 0 {
		return
	}
	still, err := s.Confirm(fences)
	if err != nil {
		return
	}
	for n, i := range places {
		switch {
		case !still[n]:
			outcomes[i] = store.Fenced
		case batch[i].Record == nil:
			outcomes[i] = store.Done
		}
	}
}

// tail reads the records after known that are not trimmed.
func (s *Store) tail(id store.ShardID, known store.Seq) (records []store.Entry, last store.Seq, err error) {
	m := &message{}
	m.add("SELECT GREATEST(s.trimmed,COALESCE((SELECT MAX(seq) FROM record WHERE shard=?),0)),r.seq,r.body FROM shard s LEFT JOIN record r ON r.shard=s.id AND r.seq>s.trimmed AND r.seq>? WHERE s.id=? ORDER BY r.seq",
		uint64(id), uint64(known), uint64(id))
	err = s.journal.read(m, func(_ int, r *sql.Rows) error {
		var seq sql.Null[uint64]
		var body []byte
		if err := r.Scan(&last, &seq, &body); err != nil {
			return err
		}
		if seq.Valid {
			records = append(records, store.Entry{Seq: store.Seq(seq.V), Record: present(body)})
		}
		return nil
	})
	return records, last, err
}

// present makes an empty value of one that the driver gives as nil.
func present(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
