package conformance

import (
	"errors"
	"testing"

	"perdure/core/store"
)

// Closed closes a store that has an owner of a shard and holds its calls to what
// is left: an answer that promises nothing. It is for stores whose Close ends
// something, from a test of their own; the suite reopens what it closed.
func Closed(t testing.TB, s store.Store) {
	t.Helper()
	d := &drive{t: t, Subject: Subject{Store: s}}
	o := d.own(1)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	key := at("p", "k")
	row := o.put(key, 1, "v")
	_, opening := s.Open(store.Open{Shard: 1, Nonce: 9})
	_, getting := s.Get([]store.Key{key})
	_, scanning := s.Scan([]store.Range{{Table: key.Table, Partition: key.Partition}})
	for _, c := range []struct {
		call string
		err  error
	}{
		{"Create", s.Create(2, store.Strips{}, 0)}, {"Open", opening}, {"Retire", s.Retire(o.fence)}, {"Release", s.Release(o.fence)},
		{"Write", s.Write([]store.Row{row})}, {"Flush", s.Flush(o.flushOf(1, nil, []store.Row{row}))}, {"Get", getting}, {"Scan", scanning},
	} {
		if !errors.Is(c.err, store.ErrUnavailable) {
			t.Errorf("%s after Close: %v, want ErrUnavailable", c.call, c.err)
		}
	}
	if got := s.Append([]store.Append{o.record([]byte("x"))}); got[0] != store.Unknown {
		t.Errorf("Append after Close: %v, want unknown", got[0])
	}
	if err := s.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}
