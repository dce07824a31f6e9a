package check

import (
	"bytes"

	"perdure/core/history"
	"perdure/core/store"
)

// P13 trim_only_flushed: a record leaves the journal only after its rows are in
// their tables, so that journal and tables together hold everything that was
// ever durable. Journals have no gaps.

// tables reads rows as last flushed.
type tables interface {
	Get(keys []store.Key) ([]store.Row, error)
	Scan(ranges []store.Range) ([][]store.Row, error)
}

// Tables says where the tables can be read.
func (l *Ledger) Tables(t tables) { l.tables = t }

// tailRecord is what a record that is not trimmed names.
type tailRecord struct {
	seq     store.Seq
	keys    []store.Key
	deleted []store.Partition
}

// Trimmed is told of each trim point.
func (l *Ledger) Trimmed(id store.ShardID, seq store.Seq) {
	if seq <= l.trimmed[id] {
		return
	}
	if seq > l.last[id] {
		l.Fail(breach(TrimOnlyFlushed, "", "shard %d was trimmed to %d, it ends at %d", id, seq, l.last[id]))
		return
	}
	l.trimmed[id] = seq
	tail := l.tails[id]
	n := 0
	for n < len(tail) && tail[n].seq <= seq {
		if b := l.flushed(id, &tail[n]); b != nil {
			l.Fail(b)
			return
		}
		n++
	}
	l.tails[id] = tail[n:]
}

// flushed: each row that a record was the last to write is in its table. One that
// a later record wrote is that record's to answer for.
func (l *Ledger) flushed(id store.ShardID, t *tailRecord) *Breach {
	for _, k := range t.keys {
		m := l.part(store.Partition{Table: k.Table, Partition: k.Partition})[k.Key]
		if m.seq != t.seq || m.shard != id {
			continue
		}
		if k.Table == store.History {
			if b := l.historyFlushed(k, m.value); b != nil {
				return b
			}
			continue
		}
		rows, _ := l.tables.Get([]store.Key{k})
		if !bytes.Equal(rows[0].Value, m.value) || (rows[0].Value == nil) != (m.value == nil) {
			return breach(TrimOnlyFlushed, k.Partition, "record %d of shard %d was trimmed, its row %v %q is not in the table", t.seq, id, k.Table, k.Key)
		}
	}
	return nil
}

// historyFlushed: rows of history are merged, so the batch is looked for in all of the run.
func (l *Ledger) historyFlushed(k store.Key, value []byte) *Breach {
	rows, _ := l.tables.Scan([]store.Range{{Table: k.Table, Partition: k.Partition}})
	if value == nil {
		return nil
	}
	for _, row := range rows[0] {
		if bytes.Contains(row.Value, value) {
			return nil
		}
	}
	want, _ := history.DecodeRow(value)
	return breach(TrimOnlyFlushed, k.Partition, "a record was trimmed, its history batch from event %d is not in the table", want[0].First)
}
