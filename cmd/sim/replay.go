package main

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"

	"perdure/sim"
)

// replayCommand tells the story of one seed or scenario.
type replayCommand struct {
	Seed     uint64 `xor:"what" required:"" placeholder:"N" help:"The seed."`
	Scenario string `xor:"what" required:"" placeholder:"FILE" help:"A scenario instead of a seed."`
	Calm     bool   `help:"Without faults."`
	Verbose  bool   `help:"Tell every step of every machine: input, effects, records. Default: what clients do, what becomes durable, and faults."`
	RunID    string `name:"run" placeholder:"TEXT" help:"Only what names this run or workflow."`
	Node     int    `placeholder:"N" help:"Only this node."`
	Shard    int    `placeholder:"N" help:"Only this shard."`
	Break    uint64 `placeholder:"STEP" help:"Stop after this step, and tell it and the ${lead} steps before it."`
}

// lead is how many steps before that of a break are told.
const lead = 20

// Run is called by the command line.
func (c *replayCommand) Run() error {
	t := &teller{verbose: c.Verbose || c.Break > 0, match: c.filter()}
	if c.Break > lead {
		t.from = c.Break - lead
	}
	o := sim.Options{Calm: c.Calm, Trace: t.line}
	if c.Break > 0 {
		o.Step = func(step, _ uint64) bool { return step < c.Break }
	}
	r, err := c.play(o)
	if err != nil {
		return err
	}
	t.flush()
	fmt.Printf("seed %d: %d steps, %v of virtual time, %d runs, hash %016x\n", r.Seed, r.Steps, r.Virtual, r.Runs, r.Hash)
	if r.Breach != nil {
		return r.Breach
	}
	return nil
}

func (c *replayCommand) play(o sim.Options) (*sim.Report, error) {
	if c.Scenario == "" {
		return sim.Run(c.Seed, o), nil
	}
	x, err := readScenario(c.Scenario)
	if err != nil {
		return nil, err
	}
	return sim.Play(x, o), nil
}

func readScenario(file string) (*sim.Scenario, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	x, err := sim.ParseScenario(string(text))
	return x, errors.Join(err)
}

// filter says which lines are told.
func (c *replayCommand) filter() func(line string) bool {
	var all []func(string) bool
	if c.RunID != "" {
		all = append(all, func(l string) bool { return strings.Contains(l, c.RunID) })
	}
	if c.Node > 0 {
		all = append(all, regexp.MustCompile(fmt.Sprintf(`\bn%d\.|node %d\b`, c.Node, c.Node)).MatchString)
	}
	if c.Shard > 0 {
		all = append(all, regexp.MustCompile(fmt.Sprintf(`shard ?%d\b`, c.Shard)).MatchString)
	}
	return func(line string) bool {
		for _, f := range all {
			if !f(line) {
				return false
			}
		}
		return true
	}
}

// teller prints the lines of a trace. A step and what comes of it are told
// together, if any line of them is asked for.
type teller struct {
	verbose bool
	match   func(string) bool
	from    uint64 // step
	group   []string
	step    uint64
}

func (t *teller) line(line string) {
	at, rest, _ := strings.Cut(strings.TrimLeft(line, " "), " ")
	story := strings.HasPrefix(rest, "* ")
	if !t.verbose {
		if story && t.match(line) {
			fmt.Printf("%12s %s\n", at, rest[2:])
		}
		return
	}
	if strings.HasPrefix(rest, "#") || story {
		t.flush()
	}
	_, _ = fmt.Sscanf(rest, "#%d", &t.step)
	t.group = append(t.group, line)
}

func (t *teller) flush() {
	if t.step >= t.from && t.match(strings.Join(t.group, "\n")) {
		for _, l := range t.group {
			fmt.Println(l)
		}
	}
	t.group = t.group[:0]
}
