package sqlite

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"perdure/core/store"
)

// The kill test: a child works on a folder and says what was acknowledged; it is
// killed at a random line; half of the times the tables' log is lost as well.
// Then every acknowledged record must be in the journal or have its row in the
// tables, and every acknowledged blob must be there.
//
// The tables' log may be lost only while the child was not copying it into the
// file: before the first page is overwritten it is synced, so that no power cut
// can take it any more. The child says when that begins and ends.

const (
	childFolder = "PERDURE_KILL_TEST_FOLDER"
	killShards  = 3
	killRounds  = 12
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childFolder); dir != "" {
		child(dir)
		return
	}
	os.Exit(m.Run())
}

func TestKill(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	dir := t.TempDir()
	acked := &acknowledged{}
	for range killRounds {
		copying := runAndKill(t, dir, 1+random.IntN(600), acked)
		if !copying && random.IntN(2) == 0 {
			if err := os.Remove(filepath.Join(dir, tablesFile+"-wal")); err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
		}
		recovers(t, dir, acked)
	}
	t.Logf("records %v, blobs %d", acked.records, len(acked.blobs))
}

// acknowledged is what the child was told.
type acknowledged struct {
	records [killShards]store.Seq
	blobs   []string
}

// runAndKill reads lines of the child and kills it. Whatever it had written by
// then is read too: an answer that is in the pipe has been given.
func runAndKill(t *testing.T, dir string, lines int, acked *acknowledged) (copying bool) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childFolder+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := bufio.NewReader(out)
	for n := 0; ; n++ {
		line, err := read.ReadString('\n')
		if err != nil { // a line that was cut off was not said
			break
		}
		acked.hear(t, strings.TrimSpace(line), &copying)
		if n == lines {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	io.Copy(io.Discard, out)
	if err := cmd.Wait(); err == nil {
		t.Fatal("the child ended by itself")
	}
	return copying
}

func (a *acknowledged) hear(t *testing.T, line string, copying *bool) {
	t.Helper()
	var shard int
	var seq store.Seq
	switch word, rest, _ := strings.Cut(line, " "); word {
	case "copying":
		*copying = rest == "true"
	case "blob":
		a.blobs = append(a.blobs, rest)
	case "record":
		if _, err := fmt.Sscan(rest, &shard, &seq); err != nil {
			t.Fatal(err)
		}
		a.records[shard] = seq
	default:
		t.Fatalf("the child said %q", line)
	}
}

// child appends, flushes, trims and writes blobs until it is killed.
func child(dir string) {
	s, err := Open(dir, Options{
		CheckpointAfter: 3 * time.Millisecond, TablesLogBytes: 64 << 10, JournalLogBytes: 256 << 10,
		settling: func(begins bool) { fmt.Println("copying", begins) },
	})
	if err != nil {
		panic(err)
	}
	done := make(chan error)
	for shard := range killShards {
		go func() { done <- workUntilKilled(s, shard) }()
	}
	panic(<-done)
}

func workUntilKilled(s *Store, shard int) error {
	id := store.ShardID(shard)
	if err := s.Create(id, store.Strips{}, 0); err != nil && err != store.ErrExists {
		return err
	}
	opened, err := s.Open(store.Open{Shard: id, Nonce: 1})
	if err != nil {
		return err
	}
	w := worker{s: s, fence: store.Fence{Shard: id, Epoch: opened.Epoch, Nonce: 1}, last: opened.Last}
	for _, e := range opened.Records {
		w.rows = append(w.rows, w.row(e.Seq))
	}
	for {
		if err := w.round(); err != nil {
			return err
		}
	}
}

type worker struct {
	s       *Store
	fence   store.Fence
	last    store.Seq
	flushed store.Seq
	number  uint64
	rows    []store.Row // of acknowledged records that are not flushed
}

// row is what record seq changes: a row of its own, so that none hides another's loss.
func (w *worker) row(seq store.Seq) store.Row {
	key := killKey(int(w.fence.Shard), seq)
	return store.Row{Key: key, Version: store.MakeVersion(w.fence.Epoch, seq), Value: killBody(seq)}
}

func killKey(shard int, seq store.Seq) store.Key {
	return store.Key{Table: store.Executions, Partition: fmt.Sprint(shard), Key: fmt.Sprintf("%012d", seq)}
}

func killBody(seq store.Seq) []byte {
	return []byte(strings.Repeat(fmt.Sprint(seq, "."), 20+int(seq%300)))
}

// round appends some records, flushes what is acknowledged, and now and then writes a blob.
func (w *worker) round() error {
	for range 7 {
		seq := w.last + 1
		if got := w.s.Append([]store.Append{{Fence: w.fence, Seq: seq, Trim: w.flushed, Record: killBody(seq)}}); got[0] != store.Done {
			return fmt.Errorf("append %d of shard %d: %v", seq, w.fence.Shard, got[0])
		}
		fmt.Println("record", w.fence.Shard, seq)
		w.last = seq
		w.rows = append(w.rows, w.row(seq))
	}
	w.number++
	if err := w.s.Flush(store.Flush{Fence: w.fence, Number: w.number, Rows: w.rows}); err != nil {
		return err
	}
	w.flushed, w.rows = w.last, nil
	if w.number%4 > 0 {
		return nil
	}
	name := fmt.Sprint(w.fence.Shard, "/", w.last)
	if err := w.s.Write([]store.Row{{Key: blobKey(name), Value: []byte(name)}}); err != nil {
		return err
	}
	fmt.Println("blob", name)
	return nil
}

func blobKey(name string) store.Key {
	return store.Key{Table: store.Blob, Partition: name, Key: name}
}

// recovers opens the folder as the next process would and looks for everything.
func recovers(t *testing.T, dir string, acked *acknowledged) {
	t.Helper()
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer closeStore(t, s)
	for shard, last := range acked.records {
		if last > 0 {
			recoversShard(t, s, shard, last)
		}
	}
	for _, name := range acked.blobs {
		if rows, err := s.Get([]store.Key{blobKey(name)}); err != nil || string(rows[0].Value) != name {
			t.Fatalf("blob %s is lost (%v)", name, err)
		}
	}
}

func recoversShard(t *testing.T, s *Store, shard int, acked store.Seq) {
	t.Helper()
	opened, err := s.Open(store.Open{Shard: store.ShardID(shard), Nonce: 2})
	if err != nil {
		t.Fatal(err)
	}
	if opened.Last < acked {
		t.Fatalf("shard %d ends at record %d, %d was acknowledged", shard, opened.Last, acked)
	}
	tail := opened.Last - store.Seq(len(opened.Records)) // records after this one are in the journal
	for _, e := range opened.Records {
		if string(e.Record) != string(killBody(e.Seq)) {
			t.Fatalf("record %d of shard %d has changed", e.Seq, shard)
		}
	}
	rows, err := s.Scan([]store.Range{{Table: store.Executions, Partition: fmt.Sprint(shard)}})
	if err != nil {
		t.Fatal(err)
	}
	if store.Seq(len(rows[0])) < tail {
		t.Fatalf("shard %d has %d rows, but only records after %d are in the journal", shard, len(rows[0]), tail)
	}
	for i, r := range rows[0][:tail] {
		seq := store.Seq(i + 1)
		if r.Key != killKey(shard, seq) || string(r.Value) != string(killBody(seq)) {
			t.Fatalf("record %d of shard %d is neither in the journal nor in the tables", seq, shard)
		}
	}
}
