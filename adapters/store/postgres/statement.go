package postgres

import (
	"fmt"
	"strings"

	"perdure/core/store"
)

// statement numbers the prepared statements.
type statement int

const (
	appendSkipping statement = iota // leaves out shards whose row is locked
	appendWaiting
	appendOnly // as appendSkipping, where no trim has moved
	createShard
	raiseEpoch
	alignFence
	readTail
	lockShard
	retireShard
	releaseShard
	lookShard
	lookOwners
	flushRows
	flushPartitions
	lookFence
	showSetting
	perTable // get, scan and write of each table follow
)

const statementCount = int(perTable) + 3*7

func get(t store.Table) statement   { return perTable + 3*statement(t-1) }
func scan(t store.Table) statement  { return get(t) + 1 }
func write(t store.Table) statement { return get(t) + 2 }

var queries = makeQueries()

func makeQueries() (q [statementCount]string) {
	q[appendSkipping] = appendQuery("SKIP LOCKED", trimQuery)
	q[appendWaiting] = appendQuery("", trimQuery)
	q[appendOnly] = appendQuery("SKIP LOCKED", "")
	q[createShard] = `
WITH made AS (
	INSERT INTO shard (id, strips_from, strips_to, epoch) VALUES ($1::bigint, $2::bigint, $3::bigint, $4::bigint)
	ON CONFLICT DO NOTHING RETURNING id, epoch
)
INSERT INTO fence (shard, epoch) SELECT id, epoch FROM made RETURNING shard`
	q[raiseEpoch] = `
UPDATE shard SET epoch = epoch + 1, owned = true, nonce = $2::bigint, address = $3::text,
	old_owned = owned, old_epoch = epoch, old_nonce = nonce, old_address = address
WHERE id = $1::bigint AND NOT retired
RETURNING epoch, old_owned::int::bigint, old_epoch, old_nonce, old_address, strips_from, strips_to`
	q[alignFence] = alignQuery
	q[readTail] = tailQuery
	q[lockShard] = `SELECT id FROM shard WHERE id = $1::bigint FOR UPDATE`
	q[retireShard] = `
UPDATE shard SET retired = true, owned = false, nonce = 0, address = ''
WHERE id = $1::bigint AND epoch = $2::bigint AND nonce = $3::bigint AND owned
	AND NOT EXISTS (SELECT FROM record r WHERE r.shard = shard.id AND r.seq > shard.trimmed)
RETURNING id`
	q[releaseShard] = `
UPDATE shard SET owned = false, nonce = 0, address = ''
WHERE id = $1::bigint AND epoch = $2::bigint AND nonce = $3::bigint AND owned
RETURNING id`
	q[lookShard] = `SELECT retired::int::bigint, (owned AND epoch = $2::bigint AND nonce = $3::bigint)::int::bigint FROM shard WHERE id = $1::bigint`
	q[lookOwners] = `SELECT id, epoch, nonce, address FROM shard WHERE id = ANY($1::bigint[]) AND owned`
	q[flushRows] = flushRowsQuery()
	q[flushPartitions] = flushPartitionsQuery()
	q[lookFence] = `
SELECT (f.owned AND f.epoch = $2::bigint AND f.nonce = $3::bigint)::int::bigint, f.number, f.step, s.retired::int::bigint
FROM fence f JOIN shard s ON s.id = f.shard WHERE f.shard = $1::bigint`
	q[showSetting] = `SELECT current_setting($1::text)`
	for _, t := range store.Tables() {
		q[get(t)] = fmt.Sprintf(`SELECT value FROM %s WHERE part = $1::bytea AND key = $2::bytea`, t)
		q[scan(t)] = fmt.Sprintf(`SELECT key, value FROM %s WHERE part = $1::bytea AND key >= $2::bytea AND key < $3::bytea ORDER BY key LIMIT $4::bigint`, t)
		q[write(t)] = fmt.Sprintf(`
INSERT INTO %s (part, key, value) SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::bytea[])
ON CONFLICT (part, key) DO UPDATE SET value = EXCLUDED.value`, t)
	}
	return q
}

// A plan is made for what the tables were when the server last counted their rows,
// which may be nothing. A join may then begin with all rows of a table, and EXISTS may
// gather them: so rows are found by scalar subqueries, or laterally behind OFFSET 0, which go
// by the key whatever the plan is made for, and deleted by the places where they were found.

// appendQuery writes the records whose shard is still the caller's and whose
// seq follows the last one, and names them. A shard that is the caller's comes
// back with 0 even if its record does not follow. A record that its own seq
// meets there is left alone: it is a late copy, or the caller is behind.
func appendQuery(locked, trim string) string {
	return `
WITH mine AS MATERIALIZED (
	SELECT w.shard, w.seq, w.trim, w.body, s.trimmed
	FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bytea[]) AS w (shard, epoch, nonce, seq, trim, body)
	JOIN shard s ON s.id = w.shard
	WHERE s.epoch = w.epoch AND s.nonce = w.nonce AND s.owned
	FOR SHARE OF s ` + locked + `
), done AS (
	INSERT INTO record (shard, seq, body)
	SELECT shard, seq, body FROM mine
	WHERE body IS NOT NULL AND seq > trimmed
		AND (seq = trimmed + 1 OR (SELECT r.seq FROM record r WHERE r.shard = mine.shard AND r.seq = mine.seq - 1) IS NOT NULL)
	ON CONFLICT DO NOTHING
	RETURNING shard
)` + trim + `
SELECT shard, (body IS NULL)::int::bigint FROM mine
UNION ALL
SELECT shard, 1::bigint FROM done`
}

// trimQuery deletes what the trims of appendQuery cover. Where they have not moved it would
// do nothing, at a twelfth of the cost of the append.
const trimQuery = `, kept AS (
	UPDATE shard s SET trimmed = mine.trim FROM mine
	WHERE s.id = mine.shard AND mine.trim > mine.trimmed AND (mine.body IS NULL OR mine.shard IN (SELECT shard FROM done))
	RETURNING s.id AS shard, mine.trimmed AS after, mine.trim AS upto
), gone AS (
	DELETE FROM record WHERE ctid = ANY(ARRAY(
		SELECT r.ctid FROM kept, LATERAL (SELECT ctid FROM record WHERE shard = kept.shard AND seq > kept.after AND seq <= kept.upto OFFSET 0) r
	))
)`

// alignQuery carries what the shard's row says over to the row that fences
// flushes. It waits for a flush under way. Done late, it finds that it is.
const alignQuery = `
UPDATE fence f SET epoch = s.epoch, nonce = s.nonce, owned = s.owned, number = 0, step = 0
FROM shard s
WHERE f.shard = $1::bigint AND s.id = $1::bigint AND (f.epoch < s.epoch OR f.epoch = s.epoch AND f.owned AND NOT s.owned)`

// tailQuery gives the records after $2 that are not trimmed, and the last seq
// of all, from one snapshot; at least one row.
const tailQuery = `
SELECT GREATEST(s.trimmed, (SELECT max(seq) FROM record WHERE shard = $1::bigint AND seq > s.trimmed)), r.seq, r.body
FROM shard s LEFT JOIN LATERAL (
	SELECT seq, body FROM record WHERE shard = $1::bigint AND seq > GREATEST(s.trimmed, $2::bigint) OFFSET 0
) r ON true
WHERE s.id = $1::bigint
ORDER BY r.seq`

// stepQuery lets a step of a flush take effect if it is the next one, under the
// lock of the fence. $1 to $5 are shard, epoch, nonce, number of the flush and of the step.
const stepQuery = `
WITH turn AS (
	UPDATE fence SET number = $4::bigint, step = $5::bigint
	WHERE shard = $1::bigint AND epoch = $2::bigint AND nonce = $3::bigint AND owned
		AND (number < $4::bigint AND $5::bigint = 1 OR number = $4::bigint AND step = $5::bigint - 1)
	RETURNING shard
)`

// stepParams is how many parameters stepQuery takes.
const stepParams = 5

// flushRowsQuery puts and deletes rows of all tables: five arrays a table, of
// partition, key and value of the puts, partition and key of the deletions.
func flushRowsQuery() string {
	var b strings.Builder
	b.WriteString(stepQuery)
	p := stepParams
	for _, t := range store.Tables() {
		fmt.Fprintf(&b, `, put_%[1]s AS (
	INSERT INTO %[1]s (part, key, value)
	SELECT part, key, value FROM unnest($%[2]d::bytea[], $%[3]d::bytea[], $%[4]d::bytea[]) AS w (part, key, value)
	WHERE EXISTS (SELECT FROM turn)
	ON CONFLICT (part, key) DO UPDATE SET value = EXCLUDED.value
), gone_%[1]s AS (
	DELETE FROM %[1]s WHERE EXISTS (SELECT FROM turn) AND ctid = ANY(ARRAY(
		SELECT (SELECT t.ctid FROM %[1]s t WHERE t.part = w.part AND t.key = w.key) FROM unnest($%[5]d::bytea[], $%[6]d::bytea[]) AS w (part, key)
	))
)`, t, p+1, p+2, p+3, p+4, p+5)
		p += 5
	}
	b.WriteString("\nSELECT shard FROM turn")
	return b.String()
}

// flushPartitionsQuery deletes partitions: one array a table.
func flushPartitionsQuery() string {
	var b strings.Builder
	b.WriteString(stepQuery)
	for i, t := range store.Tables() {
		fmt.Fprintf(&b, `, gone_%[1]s AS (
	DELETE FROM %[1]s WHERE EXISTS (SELECT FROM turn) AND ctid = ANY(ARRAY(
		SELECT t.ctid FROM unnest($%[2]d::bytea[]) AS w (part), LATERAL (SELECT ctid FROM %[1]s WHERE part = w.part OFFSET 0) t
	))
)`, t, stepParams+1+i)
	}
	b.WriteString("\nSELECT shard FROM turn")
	return b.String()
}
