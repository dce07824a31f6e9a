package postgres

import (
	"database/sql"
	"fmt"
	"os"
	"slices"
	"strings"
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

var databases = service.Databases{Execute: execute, Quote: store.Table.String, Drop: " WITH (FORCE)"}

func TestMain(m *testing.M) {
	code := m.Run()
	if err := databases.Remove(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// execute works behind the store's back.
func execute(url, query string) error {
	db, err := sql.Open("pgx", url)
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.Exec(query)
	return err
}

func at(t testing.TB, url string) *target.Target {
	t.Helper()
	where, err := target.Parse(url, "")
	if err != nil {
		t.Fatal(err)
	}
	return where
}

// subject is an empty database.
func subject(t testing.TB, opts Options) conformance.Subject {
	x, _ := subjectAt(t, opts)
	return x
}

func subjectAt(t testing.TB, opts Options) (conformance.Subject, string) {
	t.Helper()
	url, giveBack := databases.Empty(t, "postgres")
	x, err := conformance.Reopened(func() (store.Store, error) { return Open(at(t, url), opts) }, giveBack)
	if err != nil {
		t.Fatal(err)
	}
	x.Beside = service.Beside
	return x, url
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
	conformance.Closed(t, x.Store)
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
