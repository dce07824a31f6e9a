// Package sim is the deterministic simulator: whole virtual clusters under
// faults, in one goroutine, from a seed. See docs/simulator.md.
package sim

import (
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"perdure/core/port"
	"perdure/sim/check"
	"perdure/sim/cluster"
	"perdure/sim/universe"
	"perdure/sim/weakstore"
	"perdure/sim/workload"
)

// Bounds of a universe. One that is not done by then is stuck, and that is a failure.
const (
	patience    = 5 * time.Minute // virtual time that faults last longer for clients that are not through; some plans let nobody through
	closeWithin = 2 * time.Hour   // virtual time from the end of the faults until all runs are closed
	graceTimers = 90 * time.Second
	maxSteps    = 5_000_000
	lookEvery   = 10 * time.Second

	// When all is well again clients go on for a while: what was left in a bad state shows.
	moreStarts = 3
	morePace   = time.Minute
)

// Options of one run.
type Options struct {
	Calm  bool              // no faults
	Trace func(line string) // told everything that happens; nil: nobody listens

	// Step is told the number of each step and the hash of everything before it. False ends the universe.
	Step func(step, sum uint64) bool
}

// Report is what a run of a seed has to say.
type Report struct {
	Seed    uint64
	Hash    uint64
	Steps   uint64
	Virtual time.Duration
	Breach  *check.Breach // nil: all promises were kept
	Marks   check.Marks
	Cluster cluster.Counts
	Store   weakstore.Counts
	World   workload.Counts
	Rivals  int
	Runs    int
}

// Run runs one seed.
func Run(seed uint64, o Options) *Report {
	s := newSimulation(seed, Draw(seed, o.Calm), nil, o)
	s.run()
	return s.report()
}

// Play runs a scenario.
func Play(x *Scenario, o Options) *Report {
	s := newSimulation(x.Seed, x.Plan, x, o)
	s.run()
	return s.report()
}

// FirstDifference runs a seed twice and says at which step the two differ first; 0: nowhere.
func FirstDifference(seed uint64, o Options) uint64 {
	var sums []uint64
	o.Step = func(_, sum uint64) bool {
		sums = append(sums, sum)
		return true
	}
	Run(seed, o)
	differs := uint64(0)
	o.Step = func(step, sum uint64) bool {
		if step > uint64(len(sums)) || sums[step-1] != sum {
			differs = step
		}
		return differs == 0
	}
	Run(seed, o)
	return differs
}

// Record is the scenario of a seed: what was drawn, written out.
func Record(seed uint64, o Options) *Scenario {
	plan := Draw(seed, o.Calm)
	s := newSimulation(seed, plan, nil, o)
	s.run()
	x := &Scenario{Seed: seed, Plan: plan, Ops: s.world.Ops, Faults: s.nodes.happened}
	if s.breach != nil {
		x.Promise = s.breach.Promise
	}
	return x
}

// simulation is one universe and everything in it.
type simulation struct {
	plan    Plan
	u       *universe.Universe
	ledger  *check.Ledger
	queues  *check.Queues
	memory  *check.Memory
	claims  *check.Claims
	levels  *check.Levels
	store   *weakstore.Store
	cluster *cluster.Cluster
	world   *workload.World
	nodes   *nodes
	breach  *check.Breach
	phase   string
	traced  bool
	script  *Scenario // nil: everything is drawn
	options Options
	stopped bool // by whoever watches
}

func newSimulation(seed uint64, plan Plan, script *Scenario, o Options) *simulation {
	s := &simulation{plan: plan, script: script, u: universe.New(seed, o.Trace), traced: o.Trace != nil, options: o}
	s.ledger = check.NewLedger(s.u.Now, s.fail)
	s.queues, s.memory, s.claims = check.NewQueues(s.fail), check.NewMemory(s.fail), check.NewClaims(s.fail)
	s.store = weakstore.New(s.u, s.plan.Store, s)
	if s.traced {
		s.ledger.Tell = s.recorded
	}
	s.ledger.Tables(s.store.Memory)
	s.ledger.Retention = s.plan.World.Retention
	s.cluster = cluster.New(s.u, s.store, s.plan.Cluster, s)
	s.levels = check.NewLevels(s.cluster.Knows, s.fail)
	s.nodes = &nodes{s: s, rand: s.u.Rand("nodes")}
	s.world = workload.New(s.u, s.plan.World, s.ledger, s.fail, s.nodes.target)
	if script != nil {
		s.world.Script = script.Ops
		if s.world.Script == nil {
			s.world.Script = []*workload.Op{}
		}
	}
	return s
}

// fail notes the first breach; the loop ends.
func (s *simulation) fail(b *check.Breach) {
	if s.breach == nil {
		s.breach = b
		s.tell("* BREACH %v", b)
	}
}

func (s *simulation) tell(format string, args ...any) {
	if s.traced {
		s.u.Trace(fmt.Sprintf("%12.6f ", s.u.Now().Seconds()) + fmt.Sprintf(format, args...))
	}
}

// run lets all phases pass. A panic of the core, or of the simulator, is a breach.
func (s *simulation) run() {
	defer func() {
		if v := recover(); v != nil {
			s.fail(&check.Breach{Promise: check.NoPanic, Text: fmt.Sprintf("panic while %s: %v\n%s", s.phase, v, stack())})
		}
	}()
	s.phase = "faults last"
	s.nodes.begin()
	s.world.Begin()
	s.until(s.plan.Faults.For+patience, func() bool { return s.u.Now() >= s.plan.Faults.For && s.world.Done() })
	s.heal()
	s.close()
	s.retire()
	s.end()
}

// stack is the part of the stack that tells where it happened.
func stack() string {
	lines := strings.Split(string(debug.Stack()), "\n")
	var kept []string
	for _, l := range lines {
		if strings.Contains(l, "perdure/") && !strings.Contains(l, "sim.stack") {
			kept = append(kept, strings.TrimSpace(l))
		}
	}
	return strings.Join(kept[:min(len(kept), 14)], "\n")
}

// until lets things happen until a condition holds; false if it did not in time.
func (s *simulation) until(within time.Duration, done func() bool) bool {
	end := s.u.Now() + within
	look := s.u.Now()
	for s.breach == nil && !s.stopped {
		if s.u.Now() >= look {
			look = s.u.Now() + lookEvery/100
			if done() {
				return true
			}
			if s.u.Now() >= end {
				return false
			}
		}
		if s.u.Steps() > maxSteps {
			s.fail(&check.Breach{Promise: check.NoSilentStall, Text: fmt.Sprintf("%d steps, and no end while %s", s.u.Steps(), s.phase)})
			return false
		}
		if !s.u.Next() {
			return done()
		}
	}
	return false
}

// wait lets time pass.
func (s *simulation) wait(d time.Duration) {
	at := s.u.Now() + d
	s.u.At(at, func() {})
	s.until(d+time.Second, func() bool { return s.u.Now() >= at })
}

func (s *simulation) heal() {
	if s.breach != nil || s.stopped {
		return
	}
	s.phase = "faults are over"
	s.tell("* everything heals")
	s.store.Heal()
	s.cluster.Heal()
	s.nodes.heal()
	s.world.Heal()
	s.wait(graceTimers)
	s.ledger.Settled(s.nodes.wall())
	s.world.More(moreStarts, morePace)
}

// close waits until every run has closed and owes nothing, and looks for stalls meanwhile.
func (s *simulation) close() {
	if s.breach != nil || s.stopped {
		return
	}
	s.phase = "runs close"
	look := s.u.Now()
	closed := s.until(closeWithin, func() bool {
		if s.u.Now() >= look {
			look = s.u.Now() + lookEvery
			for _, b := range append(s.nodes.told(), s.ledger.Stalled(s.nodes.wall()), s.ledger.LayoutSettled()) {
				if b != nil {
					s.fail(b)
				}
			}
		}
		if !s.world.Done() {
			return false
		}
		n, _ := s.ledger.Unfinished()
		return n == 0
	})
	if closed || s.breach != nil || s.stopped {
		return
	}
	if n, first := s.ledger.Unfinished(); n > 0 {
		s.fail(check.NeverClosed(first, n, closeWithin))
	} else {
		s.fail(&check.Breach{Promise: check.NoSilentStall, Text: fmt.Sprintf("clients are not through %v after the faults ended", closeWithin)})
	}
}

// retire waits until the retention of every run is over and all of it is gone.
func (s *simulation) retire() {
	if s.breach != nil || s.stopped {
		return
	}
	s.phase = "runs are removed"
	s.wait(10 * time.Second) // answers that are under way
	s.world.Stop()
	within := s.plan.World.Retention + 5*time.Minute
	s.nodes.relapse(s.plan.World.Retention + time.Minute)
	gone := s.until(within, func() bool {
		n, _ := s.ledger.Left()
		return n == 0
	})
	if n, first := s.ledger.Left(); !gone && s.breach == nil && !s.stopped {
		s.fail(check.NeverRemoved(first, n, within))
	}
}

// end looks at what must hold when nothing is left to do.
func (s *simulation) end() {
	if s.breach != nil || s.stopped {
		return
	}
	s.phase = "everything ends"
	s.wait(30 * time.Second) // flushes
	for _, f := range []func() *check.Breach{s.levelReached, s.ledger.AcknowledgedOnce, s.ledger.NothingLeft, s.ledger.TablesEmpty} {
		if b := f(); b != nil && s.breach == nil {
			s.fail(b)
		}
	}
}

// levelReached: all nodes were upgraded long ago.
func (s *simulation) levelReached() *check.Breach { return s.ledger.LevelReached(port.NewestLevel) }

func (s *simulation) report() *Report {
	s.ledger.Marks.Merge(&check.Marks{Named: s.cluster.Marks})
	s.ledger.Marks.Merge(&check.Marks{Named: s.store.Marks})
	return &Report{
		Seed: s.u.Seed, Hash: s.u.Sum(), Steps: s.u.Steps(), Virtual: s.u.Now(), Breach: s.breach, Marks: s.ledger.Marks,
		Cluster: s.cluster.Counts, Store: s.store.Counts, World: s.world.Counts, Rivals: s.nodes.Rivals, Runs: len(s.ledger.Runs),
	}
}
