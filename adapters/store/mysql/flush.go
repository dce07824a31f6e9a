package mysql

import (
	"database/sql"
	"errors"

	driver "github.com/go-sql-driver/mysql"

	"perdure/adapters/store/fold"
	"perdure/adapters/store/step"
	"perdure/core/store"
)

// Bounds of one statement of a step.
const (
	rowsPerStatement = 1024
	keysPerStatement = 256
)

// Flush writes rows in steps (package step), each a transaction of its own.
func (s *Store) Flush(f store.Flush) error {
	return step.Flush(f, func(number int, deleted []store.DeletedPartition, rows []store.Row) error {
		m := stepMessage(f, number)
		for _, d := range deleted {
			m.add("DELETE FROM "+quoted(d.Partition.Table)+" WHERE part=?;", fold.Partition(d.Partition.Partition))
		}
		addRows(m, rows)
		return s.flushStep(f, number, m)
	})
}

// stepMessage begins a transaction that goes on only if it is the step's turn:
// else the second statement fails, and nothing after it is done.
func stepMessage(f store.Flush, number int) *message {
	m := &message{}
	m.add("BEGIN;UPDATE fence SET number=?,step=? WHERE shard=? AND epoch=? AND nonce=? AND owned AND ",
		f.Number, int64(number), uint64(f.Fence.Shard), uint64(f.Fence.Epoch), uint64(f.Fence.Nonce))
	if number == 1 {
		m.add("number<?;", f.Number)
	} else {
		m.add("number=? AND step=?;", f.Number, int64(number-1))
	}
	m.add(goOnIf, int64(1))
	return m
}

// goOnIf is a statement that fails, and with it the message, unless the one
// before it changed so many rows.
const goOnIf = "SELECT IF(ROW_COUNT()=?,1,(SELECT 1 UNION SELECT 2));"

// isNotNow says that goOnIf failed: its error is "subquery returns more than one row".
func isNotNow(err error) bool {
	var refused *driver.MySQLError
	return errors.As(err, &refused) && refused.Number == 1242
}

func (s *Store) flushStep(f store.Flush, number int, m *message) error {
	m.add("COMMIT")
	_, err := s.rows.change(m)
	if isNotNow(err) {
		return s.whyNoTurn(f, number)
	}
	return unavailable("flushing rows", err)
}

// whyNoTurn is nil if the step was done before.
func (s *Store) whyNoTurn(f store.Flush, number int) error {
	m := &message{}
	m.add("SELECT f.owned AND f.epoch=? AND f.nonce=?,f.number,f.step,s.retired FROM fence f JOIN shard s ON s.id=f.shard WHERE f.shard=?",
		uint64(f.Fence.Epoch), uint64(f.Fence.Nonce), uint64(f.Fence.Shard))
	reason := store.ErrNoShard
	err := s.rows.read(m, func(_ int, r *sql.Rows) error {
		var at step.Fence
		if err := r.Scan(&at.Owned, &at.Number, &at.Step, &at.Retired); err != nil {
			return err
		}
		reason = at.WhyNot(f, number)
		return nil
	})
	if err != nil {
		return unavailable("looking at a flush", err)
	}
	return reason
}

// quoted is the name of a table: one of them is a word of SQL.
func quoted(t store.Table) string { return "`" + t.String() + "`" }

// addRows puts and deletes rows, those of one table in few statements. rows are sorted by table.
func addRows(m *message, rows []store.Row) {
	for len(rows) > 0 {
		t := rows[0].Key.Table
		var puts, gone []*store.Row
		for len(rows) > 0 && rows[0].Key.Table == t {
			if rows[0].Value == nil {
				gone = append(gone, &rows[0])
			} else {
				puts = append(puts, &rows[0])
			}
			rows = rows[1:]
		}
		for ; len(puts) > 0; puts = puts[min(len(puts), rowsPerStatement):] {
			addPuts(m, t, puts[:min(len(puts), rowsPerStatement)])
		}
		for ; len(gone) > 0; gone = gone[min(len(gone), keysPerStatement):] {
			addDeletions(m, t, gone[:min(len(gone), keysPerStatement)])
		}
	}
}

func addPuts(m *message, t store.Table, rows []*store.Row) {
	m.add("INSERT INTO " + quoted(t) + " (part,name,value) VALUES ")
	for i, r := range rows {
		if i > 0 {
			m.add(",")
		}
		m.add("(?,?,", fold.Partition(r.Key.Partition), []byte(r.Key.Key))
		m.bytes(r.Value)
		m.add(")")
	}
	m.add(" ON DUPLICATE KEY UPDATE value=VALUES(value);")
}

func addDeletions(m *message, t store.Table, rows []*store.Row) {
	m.add("DELETE FROM " + quoted(t) + " WHERE ")
	for i, r := range rows {
		if i > 0 {
			m.add(" OR ")
		}
		m.add("part=? AND name=?", fold.Partition(r.Key.Partition), []byte(r.Key.Key))
	}
	m.add(";")
}

// Write stores blobs.
func (s *Store) Write(rows []store.Row) error {
	for len(rows) > 0 {
		n := step.First(rows)
		m := &message{}
		m.add("BEGIN;")
		addRows(m, rows[:n])
		m.add("COMMIT")
		if _, err := s.rows.change(m); err != nil {
			return unavailable("writing blobs", err)
		}
		rows = rows[n:]
	}
	return nil
}
