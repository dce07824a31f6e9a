package sqlite

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"perdure/adapters/store/service"
	"perdure/core/store"
	"perdure/core/store/conformance"
)

func TestConformance(t *testing.T) {
	conformance.Run(t, subject)
}

// subject is a folder that can crash.
func subject(t testing.TB) conformance.Subject {
	root := t.TempDir()
	dir := filepath.Join(root, "0")
	crashes := 0
	now, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	reopen := func() (store.Store, error) {
		now, err = Open(dir, Options{})
		return now, err
	}
	return conformance.Subject{
		Store: now, Beside: service.Beside,
		Crash: func() (store.Store, error) {
			crashes++
			left := filepath.Join(root, "left")
			snapshot(t, now, dir, left)
			if err := errors.Join(now.Close(), os.RemoveAll(dir), os.Rename(left, dir)); err != nil {
				return nil, err
			}
			return reopen()
		},
		Restart: func() (store.Store, error) {
			if err := now.Close(); err != nil {
				return nil, err
			}
			return reopen()
		},
		Join: func() (store.Store, error) { return Open(dir, Options{}) },
		Discard: func() {
			if now != nil {
				now.Close()
			}
			os.RemoveAll(root)
		},
	}
}

// snapshot copies the files as a kill would leave them.
func snapshot(t testing.TB, s *Store, dir, to string) {
	s.tables.settling.Lock()
	defer s.tables.settling.Unlock()
	s.tables.mu.Lock()
	defer s.tables.mu.Unlock()
	s.journal.mu.Lock()
	defer s.journal.mu.Unlock()
	if err := os.MkdirAll(to, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{journalFile, journalFile + "-wal", tablesFile, tablesFile + "-wal"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(to, name), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func open(t testing.TB, dir string, opts Options) *Store {
	t.Helper()
	s, err := Open(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestEveryJournalCommitIsSynced(t *testing.T) {
	journal, tables, err := open(t, t.TempDir(), Options{}).Synchronous()
	if err != nil || journal != 2 || tables != 1 {
		t.Fatalf("synchronous is %d (journal), %d (tables), %v; want 2 (FULL), 1 (NORMAL)", journal, tables, err)
	}
}

func TestSecondOpenIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	_, err := Open(dir, Options{})
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), dir) {
		t.Fatalf("second Open: %v, want ErrLocked that names the folder", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, dir, Options{})
}

func TestNewerSchemaIsRefused(t *testing.T) {
	for _, name := range []string{journalFile, tablesFile} {
		dir := t.TempDir()
		closeStore(t, open(t, dir, Options{}))
		execute(t, filepath.Join(dir, name), "PRAGMA user_version = 99")
		_, err := Open(dir, Options{})
		if !errors.Is(err, ErrNewer) || !strings.Contains(err.Error(), name) {
			t.Fatalf("Open with a newer %s: %v, want ErrNewer that names it", name, err)
		}
	}
}

func TestForeignFilesAreRefusedAndLeftAlone(t *testing.T) {
	for _, name := range []string{journalFile, tablesFile} {
		t.Run("garbage "+name, func(t *testing.T) {
			dir := t.TempDir()
			garbage := []byte(strings.Repeat("this is not a database ", 1000))
			if err := os.WriteFile(filepath.Join(dir, name), garbage, 0o600); err != nil {
				t.Fatal(err)
			}
			refusedAsForeign(t, dir, name)
		})
		t.Run("other program's "+name, func(t *testing.T) {
			dir := t.TempDir()
			execute(t, filepath.Join(dir, name), "CREATE TABLE theirs (x)")
			before, _ := os.ReadFile(filepath.Join(dir, name))
			refusedAsForeign(t, dir, name)
			after, _ := os.ReadFile(filepath.Join(dir, name))
			if string(before) != string(after) {
				t.Fatal("the other program's file was changed")
			}
		})
		t.Run("missing "+name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir, Options{})
			f := owned(t, s, 1)
			row := store.Row{Key: store.Key{Table: store.Due, Partition: "p", Key: "k"}, Value: []byte("v")}
			if err := s.Flush(store.Flush{Fence: f, Number: 1, Rows: []store.Row{row}}); err != nil {
				t.Fatal(err)
			}
			closeStore(t, s)
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
			refusedAsForeign(t, dir, name)
		})
	}
}

func refusedAsForeign(t *testing.T, dir, name string) {
	t.Helper()
	_, err := Open(dir, Options{})
	if !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), name) {
		t.Fatalf("Open: %v, want ErrForeign that names %s", err, name)
	}
}

func TestFolderThatCannotBeMade(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open(filepath.Join(file, "folder"), Options{})
	if err == nil || !strings.Contains(err.Error(), file) {
		t.Fatalf("Open below a file: %v, want an error that names the folder", err)
	}
	if os.Getuid() == 0 {
		return // nothing is forbidden to root
	}
	closed := filepath.Join(t.TempDir(), "closed")
	if err := os.Mkdir(closed, 0o500); err != nil {
		t.Fatal(err)
	}
	if _, err = Open(closed, Options{}); err == nil || !strings.Contains(err.Error(), "cannot be written") {
		t.Fatalf("Open of a read-only folder: %v", err)
	}
}

func TestCallsAfterCloseAreUnavailable(t *testing.T) {
	conformance.Closed(t, open(t, t.TempDir(), Options{}))
}

// The keeper's rounds are run by hand here: the slots of what is trimmed are
// written anew, and only after a checkpoint.
func TestSlotsOfTrimmedRecordsAreWrittenAnew(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{CheckpointAfter: hour})
	f := owned(t, s, 1)
	appendRecords(t, s, f, 1, 300)
	if err := s.Flush(store.Flush{Fence: f, Number: 1, Rows: []store.Row{{
		Key: store.Key{Table: store.Due, Partition: "p", Key: "k"}, Value: []byte("v")}}}); err != nil {
		t.Fatal(err)
	}
	s.Append([]store.Append{{Fence: f, Trim: 290}})
	appendRecords(t, s, f, 301, 301)
	slotsInFile(t, s, 301, 0)
	tended(t, s, false)
	slotsInFile(t, s, 301, 290)
	appendRecords(t, s, f, 302, 400)
	slotsInFile(t, s, 301, 191)
	if s.journal.dirty || s.tables.covered != s.tables.commits.Load() {
		t.Fatal("the keeper still finds work in a quiet store")
	}
	closeStore(t, s)
	s = open(t, dir, Options{CheckpointAfter: hour})
	slotsInFile(t, s, 301, 191)
}

func tended(t *testing.T, s *Store, wantAgain bool) {
	t.Helper()
	again, err := s.tend(false)
	if err != nil || again != wantAgain {
		t.Fatalf("tend: again %v, %v; want %v", again, err, wantAgain)
	}
}

func slotsInFile(t *testing.T, s *Store, want int64, wantFree int) {
	t.Helper()
	n, err := number(s.journal.conn, "SELECT count(*) FROM slot")
	if err != nil || n != want || len(s.journal.slots.free) != wantFree {
		t.Fatalf("the journal has %d slots, %d of them free (%v), want %d, %d", n, len(s.journal.slots.free), err, want, wantFree)
	}
}

// The journal's file and its log stay small however much runs through them.
func TestJournalDoesNotGrow(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{CheckpointAfter: hour, JournalLogBytes: 1 << 20})
	f := owned(t, s, 1)
	body := make([]byte, 16<<10)
	for seq := store.Seq(1); seq <= 2000; seq++ {
		got := s.Append([]store.Append{{Fence: f, Seq: seq, Trim: seq - 1, Record: body}})
		if got[0] != store.Done {
			t.Fatalf("append %d: %v", seq, got[0])
		}
		if seq%50 == 0 {
			if _, err := s.tend(false); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, name := range []string{journalFile, journalFile + "-wal"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > 12<<20 {
			t.Errorf("%s has %d bytes after 32 MiB of records that were all trimmed", name, info.Size())
		}
	}
}

// A checkpoint that keeps flushes out finds a log that is so long that it has to start over.
func TestACheckpointAloneLetsALongLogStartOver(t *testing.T) {
	s := open(t, t.TempDir(), Options{CheckpointAfter: time.Hour, TablesLogBytes: 64 << 10})
	for i := range 4 { // far more than four times the bound
		blob := store.Key{Table: store.Blob, Partition: "b", Key: string(rune('a' + i))}
		if _, err := s.writeSome([]store.Row{{Key: blob, Value: make([]byte, 400<<10)}}); err != nil {
			t.Fatal(err)
		}
	}
	s.tables.settling.Lock()
	complete, err := s.tables.copyLogAlone("FULL")
	s.tables.settling.Unlock()
	if err != nil || !complete {
		t.Fatalf("complete: %v, %v", complete, err)
	}
}

// Everything at once, for the race detector.
func TestCallsRunSideBySide(t *testing.T) {
	s := open(t, t.TempDir(), Options{CheckpointAfter: 1, TablesLogBytes: 64 << 10, JournalLogBytes: 64 << 10, Readers: 2})
	var wg sync.WaitGroup
	for shard := range 4 {
		f := owned(t, s, store.ShardID(shard))
		wg.Go(func() { work(t, s, f) })
		wg.Go(func() {
			for range 200 {
				if _, err := s.Scan([]store.Range{{Table: store.Due, Partition: "p"}}); err != nil {
					t.Error(err)
				}
				if _, err := s.Confirm([]store.Fence{f}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func work(t *testing.T, s *Store, f store.Fence) {
	for seq := store.Seq(1); seq <= 100; seq++ {
		key := store.Key{Table: store.Due, Partition: "p", Key: string(rune('a' + f.Shard))}
		got := s.Append([]store.Append{{Fence: f, Seq: seq, Trim: seq - 1, Record: make([]byte, 3000)}})
		if got[0] != store.Done {
			t.Errorf("append: %v", got[0])
		}
		rows := []store.Row{{Key: key, Version: store.MakeVersion(f.Epoch, seq), Value: make([]byte, seq)}}
		if err := s.Flush(store.Flush{Fence: f, Number: uint64(seq), Rows: rows}); err != nil {
			t.Error(err)
		}
		read, err := s.Get([]store.Key{key})
		if err != nil || len(read[0].Value) != int(seq) {
			t.Errorf("Get after flush %d: %d bytes, %v", seq, len(read[0].Value), err)
		}
		if seq%25 == 0 {
			blob := store.Key{Table: store.Blob, Partition: "b", Key: key.Key}
			if err := s.Write([]store.Row{{Key: blob, Value: make([]byte, 100<<10)}}); err != nil {
				t.Error(err)
			}
		}
	}
}

func owned(t testing.TB, s *Store, id store.ShardID) store.Fence {
	t.Helper()
	if err := s.Create(id, store.Strips{From: 0, To: 16}, 0); err != nil && !errors.Is(err, store.ErrExists) {
		t.Fatal(err)
	}
	opened, err := s.Open(store.Open{Shard: id, Owner: "here:1", Nonce: 7})
	if err != nil {
		t.Fatal(err)
	}
	return store.Fence{Shard: id, Epoch: opened.Epoch, Nonce: 7}
}

func appendRecords(t testing.TB, s *Store, f store.Fence, from, to store.Seq) {
	t.Helper()
	for seq := from; seq <= to; seq++ {
		if got := s.Append([]store.Append{{Fence: f, Seq: seq, Record: []byte("record")}}); got[0] != store.Done {
			t.Fatalf("append %d: %v", seq, got[0])
		}
	}
}

func closeStore(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// execute changes a file behind the store's back.
func execute(t *testing.T, path, query string) {
	t.Helper()
	c, err := sqlite.OpenConn(path, sqlite.OpenReadWrite|sqlite.OpenCreate)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := sqlitex.ExecuteTransient(c, query, nil); err != nil {
		t.Fatal(err)
	}
}

// hour keeps the keeper asleep where a test does its work by hand.
const hour = 3600_000_000_000
