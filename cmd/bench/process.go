package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// use is what processes and their children have used so far.
type use struct {
	cpu      map[string]float64 // seconds, by the name of the program
	resident float64            // MiB
	peak     float64            // MiB
}

const ticks = 100 // a second: what Linux reports CPU time in

// process is one line of the system's table.
type process struct {
	pid, parent int
	name        string
	cpu         float64
}

// usage adds up the processes and all their descendants. It knows Linux only.
func usage(pids []int) (use, error) {
	u := use{cpu: map[string]float64{}}
	if len(pids) == 0 {
		return u, nil
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return u, fmt.Errorf("--pids: the use of processes can be read on Linux only: %w", err)
	}
	var all []process
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			if stat, err := os.ReadFile("/proc/" + e.Name() + "/stat"); err == nil {
				all = append(all, parseStat(pid, stat))
			}
		}
	}
	wanted := map[int]bool{}
	for _, pid := range pids {
		wanted[pid] = true
	}
	for grew := true; grew; {
		grew = false
		for _, p := range all {
			if wanted[p.parent] && !wanted[p.pid] {
				wanted[p.pid], grew = true, true
			}
		}
	}
	for _, p := range all {
		if wanted[p.pid] {
			u.cpu[p.name] += p.cpu
			u.resident += memory(p.pid, "VmRSS:")
			u.peak += memory(p.pid, "VmHWM:")
		}
	}
	return u, nil
}

// parseStat reads proc(5) stat: the name is in parentheses and may hold any character.
func parseStat(pid int, stat []byte) process {
	from, to := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	p := process{pid: pid, name: string(stat[from+1 : to])}
	fields := strings.Fields(string(stat[to+1:]))
	p.parent, _ = strconv.Atoi(fields[1])
	for _, field := range fields[11:15] { // of itself and of children that have ended, in user and system mode
		n, _ := strconv.ParseFloat(field, 64)
		p.cpu += n / ticks
	}
	return p
}

// memory is a line of proc(5) status, in MiB.
func memory(pid int, line string) float64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for text := range strings.Lines(string(status)) {
		if rest, found := strings.CutPrefix(text, line); found {
			kib, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kib / 1024
		}
	}
	return 0
}
