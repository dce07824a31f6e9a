package service

import (
	"crypto/rand"
	"errors"
	"strings"
	"sync"
	"testing"

	"perdure/core/store"
)

// Databases lends empty databases of a server to tests. It keeps what comes
// back, for emptying one is cheaper than making one.
type Databases struct {
	Execute func(url, query string) error  // runs statements on a database
	Quote   func(table store.Table) string // the name of a table in a statement
	Drop    string                         // what follows DROP DATABASE and the name
	Options string                         // of the URLs that are lent, from the question mark on

	mu   sync.Mutex
	free map[string][]string // URLs by kind
	made []made
}

type made struct{ base, name string }

// Empty is a database without rows, perhaps without tables, and how to give it back.
func (d *Databases) Empty(t testing.TB, kind string) (url string, giveBack func()) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if free := d.free[kind]; len(free) > 0 {
		url = free[len(free)-1]
		d.free[kind] = free[:len(free)-1]
	} else {
		url = d.make(t, kind)
	}
	return url, func() {
		if err := d.Execute(url, d.clear()); err != nil {
			t.Error(err)
			return
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.free == nil {
			d.free = map[string][]string{}
		}
		d.free[kind] = append(d.free[kind], url)
	}
}

func (d *Databases) make(t testing.TB, kind string) (url string) {
	t.Helper()
	m := made{base: Start(t, kind), name: "t_" + strings.ToLower(rand.Text())}
	if err := d.Execute(m.base, "CREATE DATABASE "+m.name); err != nil {
		t.Fatal(err)
	}
	d.made = append(d.made, m)
	return m.base[:strings.LastIndex(m.base, "/")+1] + m.name + d.Options
}

func (d *Databases) clear() string {
	clear := "DELETE FROM shard; DELETE FROM fence; DELETE FROM record"
	for _, table := range store.Tables() {
		clear += "; DELETE FROM " + d.Quote(table)
	}
	return clear
}

// Remove drops all that were made.
func (d *Databases) Remove() (err error) {
	for _, m := range d.made {
		err = errors.Join(err, d.Execute(m.base, "DROP DATABASE "+m.name+d.Drop))
	}
	return err
}
