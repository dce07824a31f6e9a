// Command sim runs simulated clusters under faults, each decided by a seed.
package main

import (
	"runtime/debug"
	"strconv"

	"github.com/alecthomas/kong"
)

type commands struct {
	Run     runCommand     `cmd:"" help:"Run seeds and check all promises; a failure prints the command that replays it."`
	Shrink  shrinkCommand  `cmd:"" help:"Make a small scenario of a seed that fails."`
	Mutants mutantsCommand `cmd:"" help:"Build small bugs into the product, one at a time, and show which checker finds each."`
	Replay  replayCommand  `cmd:"" help:"Run one seed again and tell what happens."`
}

// gcPercent: a universe is small and short-lived, and most of what it makes is garbage at once.
const gcPercent = 400

func main() {
	debug.SetGCPercent(gcPercent)
	var c commands
	ctx := kong.Parse(&c, kong.Name("sim"), kong.UsageOnError(), kong.Vars{"lead": strconv.Itoa(lead)}, kong.Description(
		"Runs the machines of the server in whole virtual clusters, on virtual time, under faults that a seed decides. See docs/simulator.md."))
	ctx.FatalIfErrorf(ctx.Run())
}
