package postgres

import (
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"

	"perdure/adapters/store/service"
	"perdure/adapters/store/step"
	"perdure/adapters/store/target"
	"perdure/core/store"
	"perdure/core/store/conformance"
)

func TestConformance(t *testing.T) {
	conformance.Run(t, func(t testing.TB) conformance.Subject { return subject(t, Options{}) })
}

// databases are those that this process made and that no test uses now: emptying one is cheaper than making one.
var databases struct {
	sync.Mutex
	free []string
	made []string
	base string
}

func TestMain(m *testing.M) {
	code := m.Run()
	if len(databases.made) > 0 {
		if err := dropAll(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

func dropAll() error {
	admin, err := sql.Open("pgx", databases.base)
	if err != nil {
		return err
	}
	defer admin.Close()
	for _, url := range databases.made {
		if _, err := admin.Exec("DROP DATABASE " + url[strings.LastIndex(url, "/")+1:] + " WITH (FORCE)"); err != nil {
			return err
		}
	}
	return nil
}

// emptyDatabase is one without rows, perhaps without tables, and how to give it back.
func emptyDatabase(t testing.TB) (url string, giveBack func()) {
	t.Helper()
	d := &databases
	d.Lock()
	defer d.Unlock()
	if len(d.free) == 0 {
		d.base = service.Start(t, "postgres")
		url = makeDatabase(t, d.base)
		d.made = append(d.made, url)
	} else {
		url = d.free[len(d.free)-1]
		d.free = d.free[:len(d.free)-1]
	}
	return url, func() {
		clear := "DELETE FROM shard; DELETE FROM fence; DELETE FROM record"
		for _, table := range store.Tables() {
			clear += "; DELETE FROM " + table.String()
		}
		execute(t, url, clear)
		d.Lock()
		defer d.Unlock()
		d.free = append(d.free, url)
	}
}

func makeDatabase(t testing.TB, base string) string {
	t.Helper()
	name := "t_" + strings.ToLower(rand.Text())
	execute(t, base, "CREATE DATABASE "+name)
	return base[:strings.LastIndex(base, "/")+1] + name
}

// execute works behind the store's back.
func execute(t testing.TB, url, query string) {
	t.Helper()
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(query); err != nil {
		t.Error(err)
	}
}

func at(t testing.TB, url string) *target.Target {
	t.Helper()
	where, err := target.Parse(url, "")
	if err != nil {
		t.Fatal(err)
	}
	return where
}

// subject is an empty database. A crash of the process is the end of its connections.
func subject(t testing.TB, opts Options) conformance.Subject {
	x, _ := subjectAt(t, opts)
	return x
}

func subjectAt(t testing.TB, opts Options) (conformance.Subject, string) {
	url, drop := emptyDatabase(t)
	var all []*Store
	open := func() (store.Store, error) {
		s, err := Open(at(t, url), opts)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
		return s, nil
	}
	first, err := open()
	if err != nil {
		drop()
		t.Fatal(err)
	}
	restart := func() (store.Store, error) {
		if err := all[len(all)-1].Close(); err != nil {
			return nil, err
		}
		return open()
	}
	return conformance.Subject{
		Store: first, Crash: restart, Restart: restart, Join: open,
		Discard: func() {
			for _, s := range all {
				s.Close()
			}
			drop()
		},
	}, url
}

func TestWrongParametersAreRefusedByName(t *testing.T) {
	for query, want := range map[string]string{
		"nosuch=1": "nosuch", "sslmode=maybe": "sslmode", "timeout=1ns": "timeout", "connections=1": "connections", "synchronous_commit=off": "synchronous_commit",
	} {
		_, err := Open(at(t, "postgres://u:secret@127.0.0.1:1/db?"+query), Options{})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", query, err)
		}
	}
	if _, err := Open(at(t, "postgres://u@127.0.0.1:1/"), Options{}); err == nil || !strings.Contains(err.Error(), "name of the database") {
		t.Errorf("no name: %v", err)
	}
}

func TestCallsAfterCloseAreUnavailable(t *testing.T) {
	x := subject(t, Options{})
	defer x.Discard()
	s := x.Store
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, opening := s.Open(store.Open{Shard: 1})
	_, getting := s.Get([]store.Key{{Table: store.Due}})
	_, scanning := s.Scan([]store.Range{{Table: store.Due}})
	for name, err := range map[string]error{
		"Create": s.Create(2, store.Strips{}, 0), "Open": opening, "Get": getting, "Scan": scanning,
		"Flush": s.Flush(store.Flush{Number: 1}), "Retire": s.Retire(store.Fence{}), "Release": s.Release(store.Fence{}),
	} {
		if !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s after Close: %v, want ErrUnavailable", name, err)
		}
	}
	if got := s.Append([]store.Append{{Seq: 1, Record: []byte("x")}}); got[0] != store.Unknown {
		t.Errorf("Append after Close: %v, want unknown", got[0])
	}
}

// Long keys that begin alike come back in their order, within their borders and limit.
func TestLongKeysAreScannedInOrder(t *testing.T) {
	x := subject(t, Options{})
	defer x.Discard()
	f := owned(t, x.Store, 1)
	alike := strings.Repeat("k", 2600)
	keys := []string{"a", alike[:2527] + "\xff", alike + "b", alike + "c", alike + "d", alike + "e", "z"}
	slices.Sort(keys)
	var rows []store.Row
	for _, k := range keys {
		rows = append(rows, store.Row{Key: store.Key{Table: store.Due, Partition: "p", Key: k}, Value: []byte("v" + k)})
	}
	if err := x.Store.Flush(store.Flush{Fence: f, Number: 1, Rows: rows}); err != nil {
		t.Fatal(err)
	}
	for from := range keys {
		for to := from; to <= len(keys); to++ {
			for limit := range len(keys) {
				r := store.Range{Table: store.Due, Partition: "p", From: keys[from], Limit: limit}
				want := keys[from:]
				if to < len(keys) {
					r.To, want = keys[to], keys[from:to]
				}
				if limit > 0 {
					want = want[:min(limit, len(want))]
				}
				found, err := x.Store.Scan([]store.Range{r})
				if err != nil {
					t.Fatal(err)
				}
				if !slices.EqualFunc(found[0], want, func(row store.Row, k string) bool { return row.Key.Key == k && string(row.Value) == "v"+k }) {
					t.Fatalf("from %d to %d, limit %d: got %d rows", from, to, limit, len(found[0]))
				}
			}
		}
	}
}

// A flush of several steps is repeated from its beginning, and a copy of its first step comes last.
func TestStepsOfAFlushTakeEffectOnce(t *testing.T) {
	x := subject(t, Options{})
	defer x.Discard()
	s := x.Store.(*Store)
	fence := owned(t, s, 1)
	part := store.Partition{Table: store.Pending, Partition: "p"}
	f := store.Flush{Fence: fence, Number: 1, Deleted: []store.DeletedPartition{{Partition: part, Version: 1}}}
	for i := range 2*step.MaxRows + 1 {
		f.Rows = append(f.Rows, store.Row{Key: store.Key{Table: part.Table, Partition: part.Partition, Key: fmt.Sprintf("%06d", i)}, Version: 2, Value: []byte("v")})
	}
	for range 2 {
		if err := s.Flush(f); err != nil {
			t.Fatal(err)
		}
		if err := s.flushStep(f, 1, flushPartitions, partitionArrays(f.Deleted)); err != nil {
			t.Fatal(err)
		}
		found, err := s.Scan([]store.Range{{Table: part.Table, Partition: part.Partition}})
		if err != nil || len(found[0]) != len(f.Rows) {
			t.Fatalf("%d rows of %d are there, %v", len(found[0]), len(f.Rows), err)
		}
	}
}

func owned(t testing.TB, s store.Store, id store.ShardID) store.Fence {
	t.Helper()
	if err := s.Create(id, store.Strips{From: 0, To: 16}, 0); err != nil {
		t.Fatal(err)
	}
	opened, err := s.Open(store.Open{Shard: id, Owner: "here:1", Nonce: 7})
	if err != nil {
		t.Fatal(err)
	}
	return store.Fence{Shard: id, Epoch: opened.Epoch, Nonce: 7}
}
