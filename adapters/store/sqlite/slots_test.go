package sqlite

import (
	"bytes"
	"path/filepath"
	"testing"

	"perdure/core/store"
)

// Records of all sizes around a slot's survive a restart, next to the remains of
// older ones whose slots were partly written anew.
func TestRecordsThatFillSlots(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{CheckpointAfter: hour})
	a, b := owned(t, s, 1), owned(t, s, 2)
	room := s.journal.slots.room
	var records [][]byte
	for round := range 3 {
		for _, size := range []int{0, 1, room - 17, room - 16, room - 15, room, 2*room - 16, 3*room + 5, 1 << 20} {
			records = append(records, noise(size))
			seq := store.Seq(len(records))
			small := store.Append{Fence: b, Seq: seq, Trim: seq - 1, Record: []byte{byte(round)}}
			got := s.Append([]store.Append{{Fence: a, Seq: seq, Trim: seq - 3, Record: records[seq-1]}, small})
			if got[0] != store.Done || got[1] != store.Done {
				t.Fatalf("record %d of %d bytes: %v", seq, size, got)
			}
		}
		if _, err := s.tend(false); err != nil {
			t.Fatal(err)
		}
		reads(t, s, 1, records)
		closeStore(t, s)
		s = open(t, dir, Options{CheckpointAfter: hour})
		a, b = reads(t, s, 1, records), owned(t, s, 2)
	}
}

// reads opens the shard and compares its tail with the last of the records.
func reads(t *testing.T, s *Store, id store.ShardID, records [][]byte) store.Fence {
	t.Helper()
	opened, err := s.Open(store.Open{Shard: id, Nonce: 7})
	if err != nil || int(opened.Last) != len(records) || len(opened.Records) == 0 {
		t.Fatalf("Open: last %d, %d records, %v; want last %d", opened.Last, len(opened.Records), err, len(records))
	}
	for _, e := range opened.Records {
		if !bytes.Equal(e.Record, records[e.Seq-1]) {
			t.Fatalf("record %d has changed", e.Seq)
		}
	}
	return store.Fence{Shard: id, Epoch: opened.Epoch, Nonce: 7}
}

func TestFirstSchemaIsMigrated(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	owned(t, s, 1)
	closeStore(t, s)
	journal := filepath.Join(dir, journalFile)
	for _, query := range []string{
		"DROP TABLE slot", "PRAGMA user_version = 1", "UPDATE shard SET trimmed = 1",
		"INSERT INTO record VALUES (3, 1, 1, 'one'), (4, 1, 2, 'two'), (9, 1, 3, 'three')",
	} {
		execute(t, journal, query)
	}
	records := [][]byte{[]byte("one"), []byte("two"), []byte("three"), []byte("four")}
	s = open(t, dir, Options{})
	f := reads(t, s, 1, records[:3])
	if got := s.Append([]store.Append{{Fence: f, Seq: 4, Record: records[3]}}); got[0] != store.Done {
		t.Fatal(got)
	}
	closeStore(t, s)
	reads(t, open(t, dir, Options{}), 1, records)
}
