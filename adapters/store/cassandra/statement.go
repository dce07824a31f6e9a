package cassandra

import (
	"perdure/core/store"
)

// statements are all of them, as text: the driver prepares each once per node.
// Each names its keyspace. To those that do not, a node that has just started gives
// the same identity in every keyspace, and then carries out the one that was
// prepared for another: an Open was answered with records of somebody else's journal.
type statements struct {
	createShard, readShard, readFence, takeShard, leaveShard string
	appendRecord, appendTrim, readSlots, readRecords         string
	writePiece, readPiece, deletePieces                      string

	tables []rowStatements
}

// rowStatements are those of one table of rows.
type rowStatements struct{ put, remove, removeAll, get, getOne, scan, scanTo string }

func newStatements(keyspace string) *statements {
	journal, piece := keyspace+".journal", keyspace+".piece"
	s := &statements{
		createShard:  "INSERT INTO " + journal + " (shard, epoch, nonce, owner, state, last, trim, strip_from, strip_to) VALUES (?, ?, 0, '', 0, 0, 0, ?, ?) IF NOT EXISTS",
		readShard:    "SELECT epoch, nonce, owner, state, last, trim, strip_from, strip_to FROM " + journal + " WHERE shard = ? LIMIT 1",
		readFence:    "SELECT epoch, nonce, state FROM " + journal + " WHERE shard = ? LIMIT 1",
		takeShard:    "UPDATE " + journal + " SET epoch = ?, nonce = ?, owner = ?, state = 1 WHERE shard = ? IF epoch = ? AND nonce = ? AND state = ?",
		leaveShard:   "UPDATE " + journal + " SET state = ? WHERE shard = ? IF epoch = ? AND nonce = ? AND state = 1 AND last = ? AND trim = ?",
		appendRecord: "UPDATE " + journal + " SET last = ?, trim = ?, seq = ?, wrote = ?, pieces = ?, record = ? WHERE shard = ? AND slot = ? IF epoch = ? AND nonce = ? AND state = 1 AND last = ?",
		appendTrim:   "UPDATE " + journal + " SET trim = ? WHERE shard = ? IF epoch = ? AND nonce = ? AND state = 1",
		readSlots:    "SELECT epoch, nonce, state, last, trim, slot, seq, wrote, pieces FROM " + journal + " WHERE shard = ?",
		readRecords:  "SELECT epoch, nonce, seq, record FROM " + journal + " WHERE shard = ? AND slot IN ?",
		writePiece:   "INSERT INTO " + piece + " (shard, epoch, seq, n, body) VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ?",
		readPiece:    "SELECT body FROM " + piece + " WHERE shard = ? AND epoch = ? AND seq = ? AND n = ?",
		deletePieces: "DELETE FROM " + piece + " USING TIMESTAMP ? WHERE shard = ? AND epoch = ? AND seq = ?",

		tables: make([]rowStatements, len(store.Tables())+1),
	}
	for _, t := range store.Tables() {
		name := keyspace + "." + t.String()
		s.tables[t] = rowStatements{
			put:       "INSERT INTO " + name + " (part, key, value) VALUES (?, ?, ?) USING TIMESTAMP ?",
			remove:    "DELETE FROM " + name + " USING TIMESTAMP ? WHERE part = ? AND key = ?",
			removeAll: "DELETE FROM " + name + " USING TIMESTAMP ? WHERE part = ?",
			get:       "SELECT key, value FROM " + name + " WHERE part = ? AND key IN ?",
			getOne:    "SELECT part, value FROM " + name + " WHERE part IN ? AND key = ?",
			scan:      "SELECT part, key, value FROM " + name + " WHERE part IN ? AND key >= ? PER PARTITION LIMIT ?",
			scanTo:    "SELECT part, key, value FROM " + name + " WHERE part IN ? AND key >= ? AND key < ? PER PARTITION LIMIT ?",
		}
	}
	return s
}
