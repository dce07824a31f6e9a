// Command sim runs simulated clusters under faults, each decided by a seed.
package main

import (
	"fmt"
	"os"
	"runtime/debug"

	"github.com/alecthomas/kong"

	"perdure/sim"
)

type commands struct {
	Run     runCommand     `cmd:"" help:"Run seeds and check all promises; a failure prints the command that replays it."`
	Mutants mutantsCommand `cmd:"" help:"Build small bugs into the product, one at a time, and show which checker finds each."`
	Replay  replayCommand  `cmd:"" help:"Run one seed again and tell what happens."`
}

// gcPercent: a universe is small and short-lived, and most of what it makes is garbage at once.
const gcPercent = 400

func main() {
	debug.SetGCPercent(gcPercent)
	var c commands
	ctx := kong.Parse(&c, kong.Name("sim"), kong.UsageOnError(), kong.Description(
		"Runs the machines of the server in whole virtual clusters, on virtual time, under faults that a seed decides. See docs/simulator.md."))
	ctx.FatalIfErrorf(ctx.Run())
}

// replayCommand tells the story of one seed.
type replayCommand struct {
	Seed    uint64 `required:"" placeholder:"N" help:"The seed."`
	Calm    bool   `help:"Without faults."`
	Verbose bool   `help:"Tell every input, effect and fault as it happens."`
}

// Run is called by the command line.
func (c *replayCommand) Run() error {
	o := sim.Options{Calm: c.Calm}
	if c.Verbose {
		o.Trace = func(line string) { fmt.Println(line) }
	}
	r := sim.Run(c.Seed, o)
	fmt.Printf("seed %d: %d steps, %v of virtual time, %d runs, hash %016x\n", r.Seed, r.Steps, r.Virtual, r.Runs, r.Hash)
	if r.Breach != nil {
		fmt.Fprintln(os.Stderr, r.Breach)
		os.Exit(1)
	}
	for _, line := range r.Marks.Lines() {
		fmt.Println(" ", line)
	}
	return nil
}
