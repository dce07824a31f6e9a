package sim

import "testing"

// Few seeds, as every test run has them; `make sim` runs many, and fresh ones.
const seeds = 30

func TestSeedsKeepAllPromises(t *testing.T) {
	for seed := uint64(1); seed <= seeds; seed++ {
		first := Run(seed, Options{})
		if first.Breach != nil {
			t.Errorf("seed %d: %v\nreplay it: bin/sim replay --seed %d --verbose", seed, first.Breach, seed)
			continue
		}
		if again := Run(seed, Options{}); again.Hash != first.Hash {
			t.Errorf("seed %d: hash %016x after %d steps, then %016x after %d", seed, first.Hash, first.Steps, again.Hash, again.Steps)
		}
	}
}

func TestCalmSeeds(t *testing.T) {
	for seed := uint64(1); seed <= seeds; seed++ {
		if r := Run(seed, Options{Calm: true}); r.Breach != nil {
			t.Errorf("seed %d without faults: %v\nreplay it: bin/sim replay --calm --seed %d --verbose", seed, r.Breach, seed)
		}
	}
}

func TestTracingChangesNothing(t *testing.T) {
	lines := 0
	quiet, told := Run(3, Options{}), Run(3, Options{Trace: func(string) { lines++ }})
	if quiet.Hash != told.Hash || lines < int(told.Steps) {
		t.Errorf("hash %016x, traced %016x, %d lines", quiet.Hash, told.Hash, lines)
	}
}
