package mysql

import (
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
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

// databases are those that this process made and that no test uses now, by
// kind: emptying one is cheaper than making one.
var databases = struct {
	sync.Mutex
	free map[string][]string
	made []string
}{free: map[string][]string{}}

func TestMain(m *testing.M) {
	code := m.Run()
	for _, url := range databases.made {
		if err := drop(url); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

// emptyDatabase is one without rows, perhaps without tables, and how to give it back.
func emptyDatabase(t testing.TB, kind string) (url string, giveBack func()) {
	t.Helper()
	d := &databases
	d.Lock()
	defer d.Unlock()
	if free := d.free[kind]; len(free) > 0 {
		url = free[len(free)-1]
		d.free[kind] = free[:len(free)-1]
	} else {
		base := service.Start(t, kind)
		name := "t_" + strings.ToLower(rand.Text())
		execute(t, base, "CREATE DATABASE "+name)
		url = base[:strings.LastIndex(base, "/")+1] + name + "?tls=false"
		d.made = append(d.made, url)
	}
	return url, func() {
		clear := "DELETE FROM shard; DELETE FROM fence; DELETE FROM record"
		for _, table := range store.Tables() {
			clear += "; DELETE FROM " + quoted(table)
		}
		execute(t, url, clear)
		d.Lock()
		defer d.Unlock()
		d.free[kind] = append(d.free[kind], url)
	}
}

func drop(url string) error {
	where, err := target.Parse(url, "")
	if err != nil {
		return err
	}
	return run(url, "DROP DATABASE "+where.Name)
}

// execute works behind the store's back.
func execute(t testing.TB, url, query string) {
	t.Helper()
	if err := run(url, query); err != nil {
		t.Fatal(err)
	}
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

func run(url, query string) error {
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

// subject is an empty database. A crash of the process is the end of its connections.
func subject(t testing.TB, kind string, opts Options) conformance.Subject {
	x, _ := subjectAt(t, kind, opts)
	return x
}

func subjectAt(t testing.TB, kind string, opts Options) (conformance.Subject, string) {
	url, drop := emptyDatabase(t, kind)
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
