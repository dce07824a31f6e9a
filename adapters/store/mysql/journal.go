package mysql

import (
	"database/sql"

	"perdure/core/store"
)

// Append writes the records of all shards in one transaction: together in few
// statements if every one of them may be written, else shard by shard.
func (s *Store) Append(batch []store.Append) []store.Outcome {
	outcomes := make([]store.Outcome, len(batch))
	if len(batch) == 0 {
		return outcomes
	}
	if onlyRecords(batch) {
		_, err := s.journal.change(s.appendTogether(batch))
		if err == nil {
			for i := range outcomes {
				outcomes[i] = store.Done
			}
			s.trims.Note(batch, outcomes)
			return outcomes
		}
		if !isNotNow(err) {
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
	s.trims.Note(batch, outcomes)
	return outcomes
}

func onlyRecords(batch []store.Append) bool {
	for _, a := range batch {
		if a.Record == nil {
			return false
		}
	}
	return true
}

// appendTogether checks all shards in one update, which must change all of
// them; else the statement after it fails, and nothing is done.
func (s *Store) appendTogether(batch []store.Append) *message {
	m := &message{}
	m.add("BEGIN;UPDATE shard SET last=CASE id")
	for _, a := range batch {
		m.add(" WHEN ? THEN ?", uint64(a.Fence.Shard), uint64(a.Seq))
	}
	m.add(" END,trimmed=GREATEST(trimmed,CASE id")
	for _, a := range batch {
		m.add(" WHEN ? THEN ?", uint64(a.Fence.Shard), uint64(a.Trim))
	}
	m.add(" END) WHERE")
	for i, a := range batch {
		if i > 0 {
			m.add(" OR")
		}
		m.add(" id=? AND epoch=? AND nonce=? AND owned AND last=?", uint64(a.Fence.Shard), uint64(a.Fence.Epoch), uint64(a.Fence.Nonce), uint64(a.Seq)-1)
	}
	m.add(";"+goOnIf+"INSERT INTO record (shard,seq,body) VALUES ", int64(len(batch)))
	for i, a := range batch {
		if i > 0 {
			m.add(",")
		}
		m.add("(?,?,", uint64(a.Fence.Shard), uint64(a.Seq))
		m.bytes(a.Record)
		m.add(")")
	}
	m.add(";")
	for _, a := range batch {
		if s.trims.Moved(a) {
			m.add("DELETE FROM record WHERE shard=? AND seq<=?;", uint64(a.Fence.Shard), uint64(a.Trim))
		}
	}
	m.add("COMMIT")
	return m
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
		counted[i] = counts
		if a.Record == nil {
			m.add("UPDATE shard SET trimmed=GREATEST(trimmed,?) WHERE id=? AND epoch=? AND nonce=? AND owned;",
				uint64(a.Trim), uint64(a.Fence.Shard), uint64(a.Fence.Epoch), uint64(a.Fence.Nonce))
			counts++
		} else {
			m.add("UPDATE shard SET last=?,trimmed=GREATEST(trimmed,?) WHERE id=? AND epoch=? AND nonce=? AND owned AND last=?;",
				uint64(a.Seq), uint64(a.Trim), uint64(a.Fence.Shard), uint64(a.Fence.Epoch), uint64(a.Fence.Nonce), uint64(a.Seq)-1)
			m.add("INSERT INTO record (shard,seq,body) SELECT ?,?,", uint64(a.Fence.Shard), uint64(a.Seq))
			m.bytes(a.Record)
			m.add(" FROM DUAL WHERE ROW_COUNT()=1;")
			counts += 2
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
	m.add("SELECT s.last,r.seq,r.body FROM shard s LEFT JOIN record r ON r.shard=s.id AND r.seq>s.trimmed AND r.seq>? WHERE s.id=? ORDER BY r.seq", uint64(known), uint64(id))
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
