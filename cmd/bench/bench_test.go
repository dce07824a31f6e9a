package main

import (
	"context"
	"io"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// floorAt serves the limit server on a free port.
func floorAt(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := newFloor()
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Stop()
		<-done
	})
	return l.Addr().String()
}

func TestEveryShapeEndsOnTheLimitServer(t *testing.T) {
	addr := floorAt(t)
	for _, name := range slices.Sorted(maps.Keys(shapes)) {
		for _, n := range []int{0, 1, 3} {
			l := load{Addr: addr, Namespace: "bench", Shape: name, N: n, Workflows: 30, Warm: 3, Open: 8, Pollers: 2, Slots: 4, Payload: 10, Conns: 2, Limit: time.Minute, Pids: []int{os.Getpid()}}
			if err := l.validate(); err != nil {
				t.Fatal(err)
			}
			r, err := l.run(context.Background(), io.Discard)
			if err != nil || r.Done != 30 || len(r.Errors) > 0 {
				t.Errorf("%s n=%d: %d of 30 done, %v, failed calls %v", name, n, r.Done, err, r.Errors)
			}
			if r.Rate <= 0 || r.Latency.P50 <= 0 || r.Latency.Max < r.Latency.P99 || r.Start.P50 <= 0 || r.Resident <= 0 {
				t.Errorf("%s n=%d: %+v", name, n, r)
			}
		}
	}
}

func TestQuantiles(t *testing.T) {
	var v []time.Duration
	for i := 100; i >= 1; i-- {
		v = append(v, time.Duration(i)*time.Millisecond)
	}
	if got := quantilesOf(v); got != (quantiles{50, 95, 99, 100}) {
		t.Errorf("of 1 to 100 ms: %+v", got)
	}
	if got := quantilesOf([]time.Duration{7 * time.Millisecond}); got != (quantiles{7, 7, 7, 7}) {
		t.Errorf("of one: %+v", got)
	}
	if got := quantilesOf(nil); got != (quantiles{}) {
		t.Errorf("of none: %+v", got)
	}
}

func TestStatOfAProcess(t *testing.T) {
	p := parseStat(7, []byte("7 (a (strange) name) S 3 7 7 0 -1 4194560 1 2 3 4 150 50 25 75 20 0 1 0 9 9 9"))
	if p != (process{pid: 7, parent: 3, name: "a (strange) name", cpu: 3}) {
		t.Errorf("%+v", p)
	}
}

func TestBadLoadsAreRefused(t *testing.T) {
	for text, want := range map[string]string{"nosuch:1:1:1": "there are chain, drain", "chain:1": "shape:n:open:workflows", "chain:-1:1:1": "--n", "chain:1:0:1": "--open"} {
		c := compareCommand{Loads: []string{text}, Scale: 1}
		if _, err := c.parse(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
