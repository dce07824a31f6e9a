package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"perdure/sim"
	"perdure/sim/check"
)

// runCommand runs many seeds.
type runCommand struct {
	Seed  uint64        `placeholder:"N" help:"Run this one seed."`
	Seeds int           `default:"100" placeholder:"N" help:"How many seeds to run, one after another from --from. Default: ${default}."`
	From  uint64        `placeholder:"N" help:"The first seed. Default: a fresh one, from the time."`
	Jobs  int           `default:"2" placeholder:"N" help:"How many to run at once. Default: ${default}."`
	For   time.Duration `placeholder:"DURATION" help:"Begin no seed after this time. Default: no limit."`
	Once  bool          `help:"Run each seed once; by default twice, and the hashes of all inputs and effects must agree."`
	Calm  bool          `help:"Without faults."`
	First bool          `help:"End at the first failure."`

	Regressions string `placeholder:"DIR" help:"Play the scenarios in this folder too; each must keep all promises."`
	Required    bool   `help:"Fail if a mark that is required was not reached (some 200 seeds reach all)."`
	JSON        string `name:"json" placeholder:"FILE" help:"Write the summary to this file too."`
}

// totals is what many seeds add up to.
type totals struct {
	mu       sync.Mutex
	seeds    int
	failures []failure
	steps    uint64
	virtual  time.Duration
	slowest  time.Duration
	slow     uint64
	marks    check.Marks
	reached  map[string]int // seeds that reached each mark
	faults   map[string]int
	calm     bool
	hash     uint64 // of the last seed
}

// failure is a seed that broke a promise.
type failure struct {
	Seed    uint64
	Promise string
	Text    string
}

// Run is called by the command line.
func (c *runCommand) Run() error {
	if c.Seed != 0 {
		c.From, c.Seeds = c.Seed, 1
	}
	if c.From == 0 {
		c.From = uint64(time.Now().Unix())
	}
	fmt.Printf("seeds %d to %d, %d at once\n", c.From, c.From+uint64(c.Seeds)-1, c.Jobs)
	t := &totals{faults: map[string]int{}, reached: map[string]int{}, calm: c.Calm}
	begun := time.Now()
	stop := make(chan struct{})
	go t.progress(c.Seeds, begun, stop)
	c.all(t, begun)
	played, err := c.regressions(t)
	close(stop)
	if err != nil {
		return err
	}
	t.print(time.Since(begun))
	if err := t.write(c.JSON, c.From, time.Since(begun)); err != nil {
		return err
	}
	if c.Seeds == 1 {
		fmt.Printf("seed %d: hash %016x\n", c.From, t.hash)
	}
	if c.Regressions != "" {
		fmt.Printf("%d scenarios of %s played\n", played, c.Regressions)
	}
	if n := len(t.failures); n > 0 {
		return fmt.Errorf("%d of %d seeds and %d scenarios failed", n, t.seeds, played)
	}
	if missing := t.missing(); c.Required && len(missing) > 0 {
		return fmt.Errorf("no seed reached these paths: %s; run more seeds, or give the workload what leads there", strings.Join(missing, "; "))
	}
	return nil
}

// missing are the required marks that were not reached.
func (t *totals) missing() (names []string) {
	for _, name := range sim.Required {
		if t.marks.Named[name] == 0 {
			names = append(names, name)
		}
	}
	return names
}

// regressions plays the scenarios of a folder, twice each.
func (c *runCommand) regressions(t *totals) (int, error) {
	if c.Regressions == "" {
		return 0, nil
	}
	files, err := filepath.Glob(filepath.Join(c.Regressions, "*.scenario"))
	if err != nil {
		return 0, err
	}
	for _, file := range files {
		x, err := readScenario(file)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", file, err)
		}
		r := sim.Play(x, sim.Options{})
		if again := sim.Play(x, sim.Options{}); r.Breach == nil && again.Hash != r.Hash {
			r.Breach = &check.Breach{Promise: check.SameSeedSameHash, Text: fmt.Sprintf("hash %016x, then %016x", r.Hash, again.Hash)}
		}
		if r.Breach != nil {
			fmt.Printf("FAILED %s: %s\n  replay it: bin/sim replay --scenario %s --verbose\n", file, r.Breach, file)
			t.failures = append(t.failures, failure{r.Seed, string(r.Breach.Promise), r.Breach.Error()})
		}
	}
	return len(files), nil
}

func (c *runCommand) all(t *totals, begun time.Time) {
	next := make(chan uint64)
	var wg sync.WaitGroup
	for range max(c.Jobs, 1) {
		wg.Go(func() {
			for seed := range next {
				c.one(t, seed)
			}
		})
	}
	for i := range c.Seeds {
		if c.For > 0 && time.Since(begun) > c.For || c.First && t.failed() {
			break
		}
		next <- c.From + uint64(i)
	}
	close(next)
	wg.Wait()
}

// one runs a seed, twice unless told otherwise.
func (c *runCommand) one(t *totals, seed uint64) {
	begun := time.Now()
	r := sim.Run(seed, sim.Options{Calm: c.Calm})
	if r.Breach == nil && !c.Once {
		if again := sim.Run(seed, sim.Options{Calm: c.Calm}); again.Hash != r.Hash {
			r.Breach = &check.Breach{Promise: check.SameSeedSameHash, Text: fmt.Sprintf("hash %016x after %d steps, then %016x after %d; two runs differ first at step %d",
				r.Hash, r.Steps, again.Hash, again.Steps, sim.FirstDifference(seed, sim.Options{Calm: c.Calm}))}
		}
	}
	t.add(r, sim.Explain(r, sim.Options{Calm: c.Calm}), time.Since(begun))
}

func (t *totals) failed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.failures) > 0
}

func (t *totals) add(r *sim.Report, explained []string, took time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.seeds++
	t.steps += r.Steps
	t.hash = r.Hash
	t.virtual += r.Virtual
	if took > t.slowest {
		t.slowest, t.slow = took, r.Seed
	}
	t.marks.Merge(&r.Marks)
	for name := range r.Marks.Named {
		t.reached[name]++
	}
	for name, n := range map[string]int{
		"node crashes": r.Cluster.Crashes, "node drains": r.Cluster.Drains, "nodes paused": r.Cluster.Pauses, "clock jumps": r.Cluster.Jumps,
		"replies lost": r.Cluster.LostReplies, "requests lost": r.Cluster.LostRequests, "replies that found nobody": r.Cluster.Undelivered, "rival nodes": r.Rivals,
		"store calls failed before their effect": r.Store.FailedBefore, "store calls failed after their effect": r.Store.FailedAfter,
		"store calls with a late effect": r.Store.Late, "appends of unknown outcome": r.Store.Unknown, "flushes in part": r.Store.Pieces, "batches written twice": r.Store.Twice, "halves of store calls that took long": r.Store.Tardy,
		"messages cut off": r.Cluster.CutMessages, "messages lost": r.Cluster.LostMessages, "messages doubled": r.Cluster.Doubled, "messages out of order": r.Cluster.Reordered,
		"messages refused as old or repeated": r.Cluster.Refused, "links cut": r.Cluster.Cuts, "links slowed": r.Cluster.SlowLinks, "programs too old for their cluster": r.Cluster.Halts,
		"views of the cluster": r.Cluster.Views, "members forgotten": r.Cluster.Forgotten, "calls sent again by frontends": r.Cluster.Retries,
		"workers that died": r.World.Deaths, "tasks whose worker vanished": r.World.Vanished, "stale answers": r.World.Stale,
	} {
		t.faults[name] += n
	}
	if r.Breach != nil {
		t.failures = append(t.failures, failure{r.Seed, string(r.Breach.Promise), r.Breach.Error()})
		calm := ""
		if t.calm {
			calm = " --calm"
		}
		for _, line := range explained {
			fmt.Println("  |", line)
		}
		fmt.Printf("FAILED seed %d, hash %016x: %s\n  replay it: bin/sim replay --seed %d --verbose%s\n", r.Seed, r.Hash, r.Breach, r.Seed, calm)
	}
}
