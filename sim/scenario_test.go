package sim

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"perdure/sim/workload"
)

// TestScenarioIsItsText: what is written is read again, and means the same.
func TestScenarioIsItsText(t *testing.T) {
	for seed := uint64(1); seed <= 6; seed++ {
		x := Record(seed, Options{})
		if len(x.Ops) == 0 {
			t.Fatalf("seed %d: no operations", seed)
		}
		y, err := ParseScenario(x.Text())
		if err != nil {
			t.Fatal(err)
		}
		if x.Text() != y.Text() && strings.ReplaceAll(x.Text(), "  ", " ") != strings.ReplaceAll(y.Text(), "  ", " ") {
			t.Errorf("seed %d: written\n%s\nread\n%s", seed, x.Text(), y.Text())
		}
		a, b := Play(x, Options{}), Play(y, Options{})
		if a.Breach != nil || a.Hash != b.Hash {
			t.Errorf("seed %d: %v, hash %016x, from its text %016x", seed, a.Breach, a.Hash, b.Hash)
		}
		if seeded := Run(seed, Options{}); a.Runs < seeded.Runs*8/10 {
			t.Errorf("seed %d: %d runs, as a scenario %d", seed, seeded.Runs, a.Runs)
		}
	}
}

func TestScenarioRefusesNonsense(t *testing.T) {
	for _, text := range []string{"sead 1", "seed x", "plan Nothing 1", "plan Cluster.Shards x", "fault 1s crash", "fault soon crash 1", "op 1s", "op 1s client-0.1 Nonsense {}", "op 1s client-0.1 after"} {
		if _, err := ParseScenario(text); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}

// TestShrinkFindsTheCause: of a recorded seed nothing is left but what a failure is made of.
func TestShrinkFindsTheCause(t *testing.T) {
	x := Record(4, Options{})
	x.Faults = append(x.Faults, Fault{3 * time.Second, "crash", 77}, Fault{4 * time.Second, "pause", 78})
	x.Plan.Cluster.Shards = 3
	culprit := x.Ops[len(x.Ops)/2].ID
	asked := 0
	small := Shrink(x, 5000, func(y *Scenario) bool {
		asked++
		has := func(kind string) bool {
			for _, f := range y.Faults {
				if f.Kind == kind && f.Number > 70 {
					return true
				}
			}
			return false
		}
		return has("crash") && has("pause") && y.Plan.Cluster.Shards == 3 && contains(y.Ops, culprit)
	})
	text := small.Text()
	if len(small.Faults) != 2 || len(small.Ops) != 1 || small.Ops[0].ID != culprit || strings.Count(text, "\nplan ") > 2 {
		t.Errorf("left after %d tries:\n%s", asked, text)
	}
}

func contains(ops []*workload.Op, id string) bool {
	for _, o := range ops {
		if o.ID == id {
			return true
		}
	}
	return false
}

// TestRegressions plays what was kept of bugs that were found; each says what it caught.
func TestRegressions(t *testing.T) {
	files, err := filepath.Glob("testdata/*.scenario")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d scenarios, %v", len(files), err)
	}
	const most = 30 // lines
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		x, err := ParseScenario(string(text))
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if len(x.Words) == 0 || x.Promise == "" || strings.Count(string(text), "\n") > most {
			t.Errorf("%s: a regression says what it caught and which promise broke, in %d lines at most", file, most)
		}
		if r := Play(x, Options{}); r.Breach != nil {
			t.Errorf("%s: %v\nreplay it: bin/sim replay --verbose --scenario sim/%s", file, r.Breach, file)
		}
	}
}
