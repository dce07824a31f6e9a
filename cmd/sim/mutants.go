package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"perdure/sim/mutants"
)

// mutantsCommand shows what the simulator finds: it builds each mutant, runs
// seeds until one fails, and says which promise broke.
type mutantsCommand struct {
	Folder string        `default:"sim/mutants" placeholder:"DIR" help:"Where the mutants are. Default: ${default}."`
	Only   string        `placeholder:"TEXT" help:"Only mutants whose name has this in it."`
	Budget int           `default:"400" placeholder:"N" help:"Seeds that a mutant may survive. Default: ${default}."`
	From   uint64        `default:"1" placeholder:"N" help:"The first seed. Default: ${default}."`
	Jobs   int           `default:"2" placeholder:"N" help:"How many mutants to build and run at once. Default: ${default}."`
	Shrink string        `placeholder:"DIR" help:"Write a scenario of each mutant's failure into this folder."`
	Tests  string        `default:"sim/testdata" placeholder:"DIR" help:"Where scenarios named after mutants are; each must still find its own. Default: ${default}."`
	Each   time.Duration `default:"3m" placeholder:"DURATION" help:"A mutant that runs longer hangs. Default: ${default}."`
}

// verdict is what became of one mutant.
type verdict struct {
	seeds    int // that it took
	killer   string
	scenario string // what its scenario, if it has one, says of it
	err      error  // it could not be tried
}

// Bounds on the power of the simulator, below which the command fails.
const (
	killedLeast = 95 // percent
	medianMost  = 50 // seeds
)

// Run is called by the command line.
func (c *mutantsCommand) Run() error {
	all, err := mutants.Load(c.Folder)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(m *mutants.Mutant) bool { return !strings.Contains(m.Name, c.Only) })
	dir, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	fmt.Printf("%d mutants, up to %d seeds each, from %d\n", len(all), c.Budget, c.From)
	var took []int
	killers := map[string]int{}
	verdicts := c.tryAll(all, dir)
	for i, m := range all {
		v := <-verdicts[i]
		if v.err != nil {
			return v.err
		}
		if v.killer == "" {
			fmt.Printf("%-36s SURVIVED %d seeds: %s\n", m.Name, c.Budget, m.What)
			continue
		}
		fmt.Printf("%-36s %4d  %-28s %s\n", m.Name, v.seeds, v.killer, v.scenario)
		took = append(took, v.seeds)
		killers[v.killer]++
	}
	return c.summary(len(all), took, killers)
}

// tryAll tries the mutants, several at once, each in a folder of its own; a verdict comes for each.
func (c *mutantsCommand) tryAll(all []*mutants.Mutant, dir string) []chan verdict {
	verdicts := make([]chan verdict, len(all))
	for i := range verdicts {
		verdicts[i] = make(chan verdict, 1)
	}
	var next atomic.Int64
	for n := range max(c.Jobs, 1) {
		go func() {
			own := filepath.Join(dir, strconv.Itoa(n))
			err := os.MkdirAll(own, 0o700)
			for i := next.Add(1) - 1; i < int64(len(all)); i = next.Add(1) - 1 {
				var v verdict
				if err == nil {
					v, v.err = c.try(all[i], own)
				} else {
					v.err = err
				}
				verdicts[i] <- v
			}
		}()
	}
	return verdicts
}

// try builds a mutant and runs it.
func (c *mutantsCommand) try(m *mutants.Mutant, dir string) (verdict, error) {
	root, err := os.Getwd()
	if err != nil {
		return verdict{}, err
	}
	bin, err := buildMutant(m, root, dir)
	if err != nil {
		return verdict{}, err
	}
	v, err := c.hunt(bin, filepath.Join(dir, "totals.json"))
	if err != nil {
		return v, err
	}
	v.scenario, err = c.scenario(m, bin)
	if c.Shrink != "" && v.killer != "" {
		seed := strconv.FormatUint(c.From+uint64(v.seeds)-1, 10)
		well, err := os.Executable()
		if err != nil {
			return v, err
		}
		said, failed := exec.Command(bin, "shrink", "--seed", seed, "--well", well, "--words", "Caught "+m.Name+": "+m.What, "--out", filepath.Join(c.Shrink, m.Name+".scenario")).CombinedOutput()
		v.scenario = strings.TrimSpace(string(said))
		if failed != nil {
			v.scenario += " (no scenario)"
		}
	}
	return v, err
}

// buildMutant builds the simulator with a mutant, in dir; root is that of the repository.
func buildMutant(m *mutants.Mutant, root, dir string) (bin string, err error) {
	source, err := os.ReadFile(filepath.Join(root, m.File))
	if err != nil {
		return "", fmt.Errorf("mutant %s: %w; run this in the root of the repository", m.Name, err)
	}
	mutated, err := m.Apply(string(source))
	if err != nil {
		return "", err
	}
	file, overlay, bin := filepath.Join(dir, "mutated.go"), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "sim")
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(root, m.File): file}})
	if err != nil {
		return "", err
	}
	if err := errors.Join(os.WriteFile(file, []byte(mutated), 0o600), os.WriteFile(overlay, replace, 0o600)); err != nil {
		return "", err
	}
	if err := build(root, bin, "-overlay", overlay); err != nil {
		return "", fmt.Errorf("mutant %s: %w", m.Name, err)
	}
	return bin, nil
}

// build builds the simulator.
func build(root, bin string, flags ...string) error {
	c := exec.Command("go", slices.Concat([]string{"build", "-o", bin}, flags, []string{"./cmd/sim"})...)
	c.Dir, c.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if said, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("the simulator does not build: %w\n%s", err, said)
	}
	return nil
}

// scenario plays the scenario that was shrunk from this mutant, if there is one.
func (c *mutantsCommand) scenario(m *mutants.Mutant, bin string) (string, error) {
	file := filepath.Join(c.Tests, m.Name+".scenario")
	x, err := readScenario(file)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", file, err)
	}
	said, failed := exec.Command(bin, "replay", "--scenario", file).CombinedOutput()
	if failed == nil {
		return "its scenario finds nothing any more: shrink it anew", nil
	}
	if !strings.Contains(string(said), string(x.Promise)) {
		return "its scenario breaks another promise now", nil
	}
	return "and by its scenario", nil
}

// hunt runs seeds with a mutant until one fails.
func (c *mutantsCommand) hunt(bin, report string) (verdict, error) {
	ctx, cancel := context.WithTimeout(context.Background(), c.Each)
	defer cancel()
	_ = os.Remove(report)
	run := exec.CommandContext(ctx, bin, "run", "--once", "--first", "--seeds", strconv.Itoa(c.Budget), "--from", strconv.FormatUint(c.From, 10), "--jobs", "1", "--json", report)
	said, err := run.CombinedOutput()
	if ctx.Err() != nil {
		return verdict{seeds: c.Budget, killer: fmt.Sprintf("hangs for %v", c.Each)}, nil
	}
	raw, missing := os.ReadFile(report)
	if missing != nil { // it did not get so far
		return verdict{}, fmt.Errorf("%w: %s", errors.Join(err, missing), said)
	}
	var t summary
	if err := json.Unmarshal(raw, &t); err != nil {
		return verdict{}, err
	}
	if len(t.Failures) == 0 {
		return verdict{}, nil
	}
	first := slices.MinFunc(t.Failures, func(a, b failure) int { return int(int64(a.Seed - b.Seed)) })
	return verdict{seeds: int(first.Seed-c.From) + 1, killer: first.Promise}, nil
}

func (c *mutantsCommand) summary(all int, took []int, killers map[string]int) error {
	slices.Sort(took)
	if len(took) == 0 {
		return errors.New("no mutant was killed")
	}
	median, percent := took[len(took)/2], 100*len(took)/all
	fmt.Printf("killed %d of %d (%d%%), median after %d seeds\n", len(took), all, percent, median)
	for _, k := range sortedKeys(killers) {
		fmt.Printf("  %4d %s\n", killers[k], k)
	}
	if percent < killedLeast || median > medianMost {
		return fmt.Errorf("at least %d%% must be killed, the median after at most %d seeds: a survivor needs a checker", killedLeast, medianMost)
	}
	return nil
}
