package mysql

import (
	"database/sql"
	"fmt"
	"os"
	"strings"
	"testing"

	driver "github.com/go-sql-driver/mysql"

	"perdure/adapters/store/service"
	"perdure/adapters/store/step"
	"perdure/adapters/store/target"
	"perdure/core/store"
	"perdure/core/store/conformance"
)

// both are the two servers that speak the protocol.
var both = []string{"mysql", "mariadb"}

func TestConformance(t *testing.T) {
	for _, kind := range both {
		t.Run(kind, func(t *testing.T) {
			conformance.Run(t, func(t testing.TB) conformance.Subject { return subject(t, kind, Options{}) })
		})
	}
}

var databases = service.Databases{Execute: execute, Quote: quoted, Options: "?tls=false"}

func TestMain(m *testing.M) {
	code := m.Run()
	if err := databases.Remove(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// direct connects without a store.
func direct(url string) (*sql.DB, error) {
	where, err := target.Parse(url, "")
	if err != nil {
		return nil, err
	}
	set, err := settingsOf(where, Options{})
	if err != nil {
		return nil, err
	}
	connector, err := driver.NewConnector(set.config)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

// execute works behind the store's back.
func execute(url, query string) error {
	db, err := direct(url)
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
func subject(t testing.TB, kind string, opts Options) conformance.Subject {
	x, _ := subjectAt(t, kind, opts)
	return x
}

func subjectAt(t testing.TB, kind string, opts Options) (conformance.Subject, string) {
	t.Helper()
	url, giveBack := databases.Empty(t, kind)
	x, err := conformance.Reopened(func() (store.Store, error) { return Open(at(t, url), opts) }, giveBack)
	if err != nil {
		t.Fatal(err)
	}
	x.Beside = service.Beside
	return x, url
}

func TestWrongParametersAreRefusedByName(t *testing.T) {
	for query, want := range map[string]string{
		"nosuch=1": "nosuch", "tls=maybe": "tls", "timeout=1ns": "timeout", "connections=1": "connections",
	} {
		_, err := Open(at(t, "mysql://u:secret@127.0.0.1:1/db?"+query), Options{})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", query, err)
		}
	}
	if _, err := Open(at(t, "mysql://u@127.0.0.1:1/"), Options{}); err == nil || !strings.Contains(err.Error(), "name of the database") {
		t.Errorf("no name: %v", err)
	}
}

func TestCallsAfterCloseAreUnavailable(t *testing.T) {
	x := subject(t, "mysql", Options{})
	defer x.Discard()
	conformance.Closed(t, x.Store)
}

// A flush of several steps is repeated from its beginning, and a copy of its first step comes last.
func TestStepsOfAFlushTakeEffectOnce(t *testing.T) {
	x := subject(t, "mysql", Options{})
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
		late := stepMessage(f, 1)
		late.add("DELETE FROM pending WHERE part='p';")
		if err := s.flushStep(f, 1, late); err != nil {
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
