package memory_test

import (
	"testing"

	"perdure/core/store"
	"perdure/core/store/conformance"
	"perdure/core/store/memory"
)

func TestConformance(t *testing.T) {
	conformance.Run(t, func(testing.TB) conformance.Subject {
		s := memory.New()
		same := func() (store.Store, error) { return s, nil }
		return conformance.Subject{Store: s, Crash: same, Restart: same, Join: same, Beside: func(call, look func()) { call(); look() }, Discard: func() {}}
	})
}

// An older write that lands after everything else changes nothing: the property
// that stores without fenced flushes live on.
func TestLateWritesLoseByVersion(t *testing.T) {
	k := store.Key{Table: store.Pending, Partition: "p", Key: "k"}
	gone := store.Key{Table: store.Pending, Partition: "p", Key: "gone"}
	other := store.Key{Table: store.Pending, Partition: "q", Key: "k"}
	s := memory.New()
	whole := store.Partition{Table: store.Pending, Partition: "q"}
	s.Put([]store.Row{{Key: k, Version: 5, Value: []byte("new")}, {Key: gone, Version: 5}},
		[]store.DeletedPartition{{Partition: whole, Version: 5}})
	late := []byte("late")
	s.Put([]store.Row{{Key: k, Version: 4, Value: late}, {Key: gone, Version: 4, Value: late}, {Key: other, Version: 5, Value: late}},
		[]store.DeletedPartition{{Partition: store.Partition{Table: store.Pending, Partition: "p"}, Version: 4}})
	rows, err := s.Get([]store.Key{k, gone, other})
	if err != nil {
		t.Fatal(err)
	}
	if string(rows[0].Value) != "new" || rows[1].Value != nil || rows[2].Value != nil {
		t.Fatalf("late writes changed the rows: %v", rows)
	}
}
