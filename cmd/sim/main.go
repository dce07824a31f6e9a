package main

import (
	"fmt"
	"os"
	"strconv"
	"time"

	"perdure/sim"
)

func main() {
	seed, _ := strconv.ParseUint(os.Args[1], 10, 64)
	n := 1
	if len(os.Args) > 2 {
		n, _ = strconv.Atoi(os.Args[2])
	}
	calm := os.Getenv("CALM") != ""
	begun := time.Now()
	steps := uint64(0)
	var trace func(string)
	if os.Getenv("V") != "" {
		trace = func(l string) { fmt.Println(l) }
	}
	bad := 0
	for i := range n {
		r := sim.Run(seed+uint64(i), sim.Options{Calm: calm, Trace: trace})
		steps += r.Steps
		if r.Breach != nil {
			bad++
			fmt.Println("seed", r.Seed, "steps", r.Steps, "virtual", r.Virtual, "runs", r.Runs, r.Breach)
		}
		if n == 1 {
			fmt.Printf("%+v\n", r)
			for _, l := range r.Marks.Lines() {
				fmt.Println(l)
			}
		}
	}
	d := time.Since(begun)
	fmt.Println(n, "seeds", bad, "bad", steps, "steps", d, int(float64(steps)/d.Seconds()), "steps/s")
}
