package weakstore_test

import (
	"testing"
	"time"

	"perdure/core/store"
	"perdure/core/store/conformance"
	"perdure/sim/universe"
	"perdure/sim/weakstore"
)

func TestConformance(t *testing.T) {
	for _, cfg := range []weakstore.Config{
		{Kind: weakstore.SQL, Fast: time.Microsecond, Slow: time.Millisecond},
		{Kind: weakstore.SQL, Fast: time.Microsecond, Slow: time.Millisecond, Step: 2},
		{Kind: weakstore.Cassandra, Fast: time.Microsecond, Slow: time.Millisecond},
		{Kind: weakstore.Cassandra, Fast: time.Microsecond, Slow: time.Millisecond, Step: 2},
	} {
		seed := uint64(0)
		conformance.Run(t, func(testing.TB) conformance.Subject {
			seed++
			u := universe.New(seed, nil)
			s := weakstore.NewBlocking(u, weakstore.New(u, cfg, nil))
			same := func() (store.Store, error) { return s, nil }
			return conformance.Subject{Store: s, Crash: same, Restart: same, Join: same, Beside: s.Beside, Discard: func() {}}
		})
	}
}
