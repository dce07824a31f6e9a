package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// result is what one load came to. Times are in milliseconds unless their name says seconds.
type result struct {
	Label        string             `json:"label"`
	Shape        string             `json:"shape"`
	N            int                `json:"n"`
	Open         int                `json:"open"`
	Workflows    int                `json:"workflows"`
	Done         int                `json:"done"`
	Seconds      float64            `json:"seconds"`
	StartSeconds float64            `json:"start_seconds,omitempty"` // of a backlog: until all was started
	Rate         float64            `json:"workflows_per_second"`
	Latency      quantiles          `json:"latency_ms"`
	Start        quantiles          `json:"start_latency_ms"`
	CPU          map[string]float64 `json:"cpu_seconds,omitempty"`
	CPUEach      float64            `json:"cpu_ms_per_workflow,omitempty"`
	Resident     float64            `json:"resident_mib,omitempty"`
	Peak         float64            `json:"peak_mib,omitempty"`
	Errors       map[string]int     `json:"errors,omitempty"`
	Ratio        float64            `json:"ratio_to_floor,omitempty"`
}

type quantiles struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

func (r *result) finish(times []taken, before, after use) {
	done := max(r.Done, 1)
	whole, start := make([]time.Duration, len(times)), make([]time.Duration, len(times))
	for i, t := range times {
		whole[i], start[i] = t.whole, t.start
	}
	r.Latency, r.Start = quantilesOf(whole), quantilesOf(start)
	r.Rate = float64(r.Done) / r.Seconds
	r.Resident, r.Peak = after.resident, after.peak
	r.CPU = map[string]float64{}
	total := 0.0
	for name, seconds := range after.cpu {
		if used := seconds - before.cpu[name]; used > 0 {
			r.CPU[name] = used
			total += used
		}
	}
	r.CPUEach = total * 1000 / float64(done)
}

// quantilesOf sorts v. A quantile is the smallest time that so many of all do not exceed.
func quantilesOf(v []time.Duration) quantiles {
	slices.Sort(v)
	at := func(percent int) float64 {
		if len(v) == 0 {
			return 0
		}
		i := (len(v)*percent+99)/100 - 1
		return float64(v[max(i, 0)].Microseconds()) / 1000
	}
	return quantiles{at(50), at(95), at(99), at(100)}
}

func printTable(out io.Writer, results []result) {
	w := tabwriter.NewWriter(out, 2, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\tload\topen\tdone\twf/s\tof floor\tp50 ms\tp95\tp99\tmax\tstart p50\tp99\tCPU ms/wf\tMiB\tpeak\t")
	for _, r := range results {
		ratio := ""
		if r.Ratio > 0 {
			ratio = fmt.Sprintf("%.1f%%", 100*r.Ratio)
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%d/%d\t%.1f\t%s\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%.3f\t%.0f\t%.0f\t\n", r.Label, r.name(), r.Open, r.Done, r.Workflows,
			r.Rate, ratio, r.Latency.P50, r.Latency.P95, r.Latency.P99, r.Latency.Max, r.Start.P50, r.Start.P99, r.CPUEach, r.Resident, r.Peak)
	}
	w.Flush()
	for _, r := range results {
		if len(r.CPU) > 1 {
			fmt.Fprintf(out, "%s %s: CPU seconds %s\n", r.Label, r.name(), list(r.CPU, "%s %.2f"))
		}
		if r.StartSeconds > 0 {
			fmt.Fprintf(out, "%s %s: started in %.2f s, worked off in %.2f s\n", r.Label, r.name(), r.StartSeconds, r.Seconds-r.StartSeconds)
		}
		if len(r.Errors) > 0 {
			fmt.Fprintf(out, "%s %s: failed calls: %s\n", r.Label, r.name(), list(r.Errors, "%s x%d"))
		}
	}
}

func (r *result) name() string { return fmt.Sprintf("%s n=%d", r.Shape, r.N) }

func list[V any](m map[string]V, format string) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, fmt.Sprintf(format, k, m[k]))
	}
	return strings.Join(parts, ", ")
}
