package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"perdure/sim"
)

// shrinkCommand makes a small scenario of a seed that fails.
type shrinkCommand struct {
	Seed  uint64        `required:"" placeholder:"N" help:"The seed."`
	Calm  bool          `help:"Without faults."`
	Out   string        `placeholder:"FILE" help:"Write the scenario to this file. Default: print it."`
	Words string        `placeholder:"TEXT" help:"What the scenario says it caught."`
	Well  string        `placeholder:"FILE" help:"A simulator without the bug: what it finds fault with as well is not kept."`
	Tries int           `default:"4000" placeholder:"N" help:"Universes to run. Default: ${default}."`
	For   time.Duration `default:"3m" placeholder:"DURATION" help:"Stop after this time. Default: ${default}."`
}

// Run is called by the command line.
func (c *shrinkCommand) Run() error {
	begun := time.Now()
	x := sim.Record(c.Seed, sim.Options{Calm: c.Calm})
	if x.Promise == "" {
		return fmt.Errorf("seed %d keeps all promises: there is nothing to shrink", c.Seed)
	}
	if c.Words != "" {
		x.Words = []string{c.Words}
	}
	tried := 0
	fails := func(y *sim.Scenario) bool {
		if time.Since(begun) > c.For {
			return false
		}
		tried++
		r := sim.Play(y, sim.Options{})
		return r.Breach != nil && r.Breach.Promise == x.Promise && c.passesElsewhere(y)
	}
	whole := x.Clone()
	found := false
	for i := uint64(0); i < again && !found; i++ { // written out, chance is another
		whole.Seed = c.Seed + i
		found = fails(whole)
	}
	if !found {
		return fmt.Errorf("seed %d breaks %s, but not as a scenario: replay it instead", c.Seed, x.Promise)
	}
	small := sim.Shrink(whole, c.Tries, fails)
	text := small.Text()
	fmt.Printf("%s: from %d operations and %d faults to %d and %d, %d lines, after %d universes and %v\n", x.Promise,
		len(x.Ops), len(x.Faults), len(small.Ops), len(small.Faults), strings.Count(text, "\n"), tried, time.Since(begun).Round(time.Millisecond))
	if c.Out == "" {
		fmt.Print(text)
		return nil
	}
	return os.WriteFile(c.Out, []byte(text), 0o600)
}

// passesElsewhere: the scenario asks for nothing that breaks a promise by itself.
func (c *shrinkCommand) passesElsewhere(x *sim.Scenario) bool {
	if c.Well == "" {
		return true
	}
	f, err := os.CreateTemp("", "*.scenario")
	if err != nil {
		return false
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.WriteString(x.Text())
	return errors.Join(err, f.Close()) == nil && exec.Command(c.Well, "replay", "--scenario", f.Name()).Run() == nil
}

// again is how often a scenario that was written out is tried.
const again = 30
