package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"
)

const reportEvery = 10 * time.Second

// progress prints a line now and then until stop is closed.
func (t *totals) progress(seeds int, begun time.Time, stop <-chan struct{}) {
	tick := time.NewTicker(reportEvery)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			t.mu.Lock()
			fmt.Printf("%d of %d seeds, %d failed, %.0f steps/s\n", t.seeds, seeds, len(t.failures), float64(t.steps)/time.Since(begun).Seconds())
			t.mu.Unlock()
		}
	}
}

func (t *totals) print(took time.Duration) {
	fmt.Printf("%d seeds in %v: %d failed; %d steps (%.0f/s), %v of virtual time; slowest seed %d with %v\n",
		t.seeds, took.Round(time.Millisecond), len(t.failures), t.steps, float64(t.steps)/took.Seconds(), t.virtual.Round(time.Second), t.slow, t.slowest.Round(time.Millisecond))
	fmt.Println("faults:")
	for _, name := range sortedKeys(t.faults) {
		fmt.Printf("  %8d %s\n", t.faults[name], name)
	}
	fmt.Println("marks:")
	for _, name := range sortedKeys(t.marks.Named) {
		fmt.Printf("  %8d in %6d seeds: %s\n", t.marks.Named[name], t.reached[name], name)
	}
}

// summary is what --json writes.
type summary struct {
	From, Steps    uint64
	Seeds          int
	Seconds        float64 // of wall time
	VirtualSeconds float64
	Faults, Marks  map[string]int
	Reached        map[string]int // seeds that reached each mark
	Failures       []failure
}

// write puts the summary into a file, if there is to be one.
func (t *totals) write(file string, from uint64, took time.Duration) error {
	if file == "" {
		return nil
	}
	text, err := json.MarshalIndent(summary{from, t.steps, t.seeds, took.Seconds(), t.virtual.Seconds(), t.faults, t.marks.Named, t.reached, t.failures}, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o600)
}

func sortedKeys(m map[string]int) []string { return slices.Sorted(maps.Keys(m)) }
