package cassandra

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"flag"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"perdure/adapters/store/service"
	"perdure/adapters/store/target"
	"perdure/core/store"
	"perdure/core/store/conformance"
)

// TestMain draws fewer examples unless told otherwise: each step of one is some thirty requests.
func TestMain(m *testing.M) {
	flag.Parse()
	chosen := false
	flag.Visit(func(f *flag.Flag) { chosen = chosen || f.Name == "rapid.checks" })
	if !chosen {
		if err := flag.Set("rapid.checks", "25"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

func TestConformance(t *testing.T) {
	opts := ready(t)
	conformance.Run(t, func(t testing.TB) conformance.Subject { return subject(t, fresh(opts)) })
}

// which service of scripts/services the tests use: CASSANDRA=cassandra4 or cassandra-three for another one.
func which() string { return cmp.Or(os.Getenv("CASSANDRA"), "cassandra") }

var setUp sync.Once

// ready is a running cluster with the tables of the tests.
func ready(t testing.TB) Options {
	t.Helper()
	at, err := target.Parse(service.Start(t, which()), "")
	if err != nil {
		t.Fatal(err)
	}
	opts, err := FromTarget(at)
	if err != nil {
		t.Fatal(err)
	}
	opts.Keyspace = "perdure_test"
	opts = opts.withDefaults()
	setUp.Do(func() {
		s, err := Open(opts)
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
	})
	return opts
}

// What tests leave behind must not meet what later ones do: each has a space of
// its own in the keyspace, numbered from a random one. Making tables anew takes seconds.
var spaces = func() *atomic.Uint32 {
	var first [4]byte
	rand.Read(first[:])
	n := new(atomic.Uint32)
	n.Store(binary.LittleEndian.Uint32(first[:]) >> 1)
	return n
}()

func fresh(opts Options) Options {
	opts.space = spaces.Add(1)
	return opts
}

func subject(t testing.TB, opts Options) conformance.Subject {
	t.Helper()
	x, err := conformance.Reopened(func() (store.Store, error) { return open(opts) }, func() {})
	if err != nil {
		t.Fatal(err)
	}
	x.Beside = service.Beside
	return x
}

func TestCallsAfterCloseAreUnavailable(t *testing.T) {
	x := subject(t, fresh(ready(t)))
	defer x.Discard()
	conformance.Closed(t, x.Store)
}

// mustOpen is a store of its own for a test.
func mustOpen(t testing.TB, opts Options) *Store {
	t.Helper()
	s, err := open(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// own makes and opens a shard.
func own(t testing.TB, s *Store, id store.ShardID) store.Fence {
	t.Helper()
	if err := s.Create(id, store.Strips{To: 16}, 0); err != nil {
		t.Fatal(err)
	}
	return reopen(t, s, id)
}

var nonces atomic.Uint64

func reopen(t testing.TB, s *Store, id store.ShardID) store.Fence {
	t.Helper()
	n := store.Nonce(nonces.Add(1))
	o, err := s.Open(store.Open{Shard: id, Owner: "here:1", Nonce: n})
	if err != nil {
		t.Fatal(err)
	}
	return store.Fence{Shard: id, Epoch: o.Epoch, Nonce: n}
}
