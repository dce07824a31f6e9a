package main

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"perdure/sim"
	"perdure/sim/mutants"
)

// mutant is a bug that nearly every seed finds.
const mutant = "run-timer-early"

// The simulator as it is and one with a bug in the product, built in a folder when they are first wanted.
var (
	folder  string
	well    = sync.OnceValues(func() (string, error) { return built("well", "") })
	mutated = sync.OnceValues(func() (string, error) { return built("mutated", mutant) })
)

func TestMain(m *testing.M) {
	var err error
	if folder, err = os.MkdirTemp("", "sim"); err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(folder)
	os.Exit(code)
}

// built is a simulator in a folder of its own, with a mutant or without.
func built(name, mutant string) (string, error) {
	root, err := filepath.Abs("../..")
	if err != nil {
		return "", err
	}
	dir := filepath.Join(folder, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	if mutant == "" {
		bin := filepath.Join(dir, "sim")
		return bin, build(root, bin)
	}
	all, err := mutants.Load(filepath.Join(root, "sim", "mutants"))
	if err != nil {
		return "", err
	}
	for _, m := range all {
		if m.Name == mutant {
			return buildMutant(m, root, dir)
		}
	}
	return "", errors.New("there is no mutant " + mutant)
}

// outcome is what a command said and how it ended.
type outcome struct {
	out, err string
	status   int
}

func run(t *testing.T, binary func() (string, error), args ...string) outcome {
	t.Helper()
	bin, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	var out, said strings.Builder
	c := exec.Command(bin, args...)
	c.Stdout, c.Stderr = &out, &said
	var exit *exec.ExitError
	if err := c.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return outcome{out.String(), said.String(), c.ProcessState.ExitCode()}
}

// hash finds the hash that a line tells.
func hash(t *testing.T, text string) string {
	t.Helper()
	found := regexp.MustCompile(`hash ([0-9a-f]{16})`).FindStringSubmatch(text)
	if found == nil {
		t.Fatalf("no hash in %q", text)
	}
	return found[1]
}

func TestASeedThatKeepsItsPromisesSucceeds(t *testing.T) {
	file := filepath.Join(t.TempDir(), "summary.json")
	got := run(t, well, "run", "--seed", "3", "--json", file)
	if got.status != 0 || !strings.Contains(got.out, "seeds 3 to 3,") || !strings.Contains(got.out, " 0 failed") {
		t.Fatalf("%+v", got)
	}
	replayed := run(t, well, "replay", "--seed", "3")
	if replayed.status != 0 || hash(t, replayed.out) != hash(t, got.out) {
		t.Errorf("run says %s, replay ends with status %d and %s", hash(t, got.out), replayed.status, hash(t, replayed.out))
	}
	text, err := os.ReadFile(file)
	var s summary
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	if err != nil || s.From != 3 || s.Seeds != 1 || s.Steps == 0 || s.VirtualSeconds == 0 || len(s.Marks) == 0 || len(s.Failures) != 0 {
		t.Errorf("the summary is %+v, %v", s, err)
	}
}

func TestAFailingSeedPrintsTheCommandThatReplaysIt(t *testing.T) {
	file := filepath.Join(t.TempDir(), "summary.json")
	got := run(t, mutated, "run", "--once", "--first", "--seeds", "40", "--from", "1", "--json", file)
	if got.status == 0 || !strings.Contains(got.err, " failed") {
		t.Fatalf("the bug was not found: %+v", got)
	}
	failed := regexp.MustCompile(`FAILED seed (\d+), (hash [0-9a-f]{16}): (\S+)`).FindStringSubmatch(got.out)
	command := regexp.MustCompile(`replay it: bin/sim (.*)`).FindStringSubmatch(got.out)
	if failed == nil || command == nil {
		t.Fatalf("no failure with a command in %s", got.out)
	}
	var s summary
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	if err != nil || len(s.Failures) == 0 || !strings.Contains(got.out, s.Failures[0].Text) {
		t.Errorf("the summary has the failures %+v, %v", s.Failures, err)
	}
	replayed := run(t, mutated, strings.Fields(command[1])...)
	if replayed.status == 0 || hash(t, replayed.out) != hash(t, failed[2]) || !strings.Contains(replayed.err, failed[3]) {
		t.Errorf("status %d, hash %s, %q; want hash %s and %s", replayed.status, hash(t, replayed.out), replayed.err, failed[2], failed[3])
	}
	if got := run(t, well, strings.Fields(command[1])...); got.status != 0 {
		t.Errorf("without the bug: %+v", got)
	}
}

func TestAFailingSeedShrinksToAScenario(t *testing.T) {
	got := run(t, mutated, "run", "--once", "--first", "--jobs", "1", "--seeds", "40", "--from", "1")
	seed := regexp.MustCompile(`FAILED seed (\d+),`).FindStringSubmatch(got.out)
	if seed == nil {
		t.Fatalf("the bug was not found: %+v", got)
	}
	healthy, err := well()
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	file := filepath.Join(folder, "small.scenario")
	if got := run(t, mutated, "shrink", "--seed", seed[1], "--tries", "60", "--well", healthy, "--words", "Caught a bug.", "--out", file); got.status != 0 {
		t.Fatalf("%+v", got)
	}
	x, err := readScenario(file)
	if err != nil || len(x.Words) != 1 || x.Words[0] != "Caught a bug." {
		t.Fatalf("%+v, %v", x, err)
	}
	whole := sim.Record(x.Seed, sim.Options{})
	if len(x.Ops)+len(x.Faults) >= len(whole.Ops)+len(whole.Faults) {
		t.Errorf("%d operations and %d faults were left", len(x.Ops), len(x.Faults))
	}
	if got := run(t, mutated, "replay", "--scenario", file); got.status == 0 || !strings.Contains(got.err, string(x.Promise)) {
		t.Errorf("with the bug, want %s: %+v", x.Promise, got)
	}
	if got := run(t, well, "run", "--seeds", "1", "--from", "3", "--once", "--regressions", folder); got.status != 0 || !strings.Contains(got.out, "1 scenarios of ") {
		t.Errorf("without the bug: %+v", got)
	}
	if got := run(t, mutated, "run", "--seeds", "1", "--from", "3", "--once", "--calm", "--regressions", folder); got.status == 0 || !strings.Contains(got.out, "bin/sim replay --scenario "+file) {
		t.Errorf("a regression: %+v", got)
	}
}

func TestReplayTellsWhatIsAskedFor(t *testing.T) {
	story := run(t, well, "replay", "--seed", "3", "--calm")
	if story.status != 0 || strings.Contains(story.out, " -> ") || strings.Count(story.out, "\n") < 10 {
		t.Errorf("a story of %d lines, status %d", strings.Count(story.out, "\n"), story.status)
	}
	broken := run(t, well, "replay", "--seed", "3", "--break", "100")
	steps := regexp.MustCompile(`(?m)^ *\S+ #(\d+) `).FindAllStringSubmatch(broken.out, -1)
	if broken.status != 0 || len(steps) != lead+1 || steps[0][1] != "80" || steps[lead][1] != "100" {
		t.Errorf("%d steps up to a break at 100: %q, status %d", len(steps), steps, broken.status)
	}
	seed := uint64(3)
	for sim.Draw(seed, false).Cluster.Shards < 2 {
		seed++
	}
	one := run(t, well, "replay", "--seed", strconv.FormatUint(seed, 10), "--verbose", "--shard", "2")
	told := regexp.MustCompile(`(?m)^ *\S+ #\d+ `).Split(one.out, -1)[1:]
	if len(told) == 0 {
		t.Error("no steps of one shard")
	}
	for _, step := range told { // with what came of it
		if !regexp.MustCompile(`shard ?2\b`).MatchString(step) {
			t.Errorf("a step that has nothing to do with shard 2: %s", step)
		}
	}
}

func TestWrongCommandsAreRefused(t *testing.T) {
	empty := t.TempDir()
	bad := filepath.Join(empty, "bad.scenario")
	if err := os.WriteFile(bad, []byte("no scenario\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{}, "run"},
		{[]string{"dance"}, "dance"},
		{[]string{"run", "--seeds", "many"}, "--seeds"},
		{[]string{"run", "--nosuch"}, "--nosuch"},
		{[]string{"run", "--for", "long"}, "--for"},
		{[]string{"replay"}, "--seed"},
		{[]string{"replay", "--seed", "1", "--scenario", bad}, "--scenario"},
		{[]string{"replay", "--scenario", filepath.Join(empty, "missing")}, "missing"},
		{[]string{"replay", "--scenario", bad}, "no scenario"},
		{[]string{"shrink", "--seed", "3", "--calm"}, "nothing to shrink"},
		{[]string{"run", "--seed", "3", "--once", "--calm", "--regressions", empty}, "bad.scenario"},
		{[]string{"run", "--seed", "3", "--once", "--calm", "--required"}, "no seed reached these paths"},
		{[]string{"mutants", "--folder", empty, "--only", "nosuch"}, "mutant"},
	} {
		got := run(t, well, c.args...)
		if got.status == 0 || !strings.Contains(got.err, c.says) {
			t.Errorf("%q: status %d, %q; want a failure that says %q", c.args, got.status, got.err, c.says)
		}
	}
}
