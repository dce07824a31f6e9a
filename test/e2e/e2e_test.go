// Package e2e plays small programs against the built server through the
// official Go SDK, as users would write them. Each case stands alone: it has ids
// and a task queue of its own. Every case is played twice: beside others on a
// server that lives, and together with all others on a server that is killed
// and started again on the same folder while each case is halfway through.
//
// A case waits for events (a result, an event of a history, a call of an
// activity), never for time to pass.
package e2e

import (
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.temporal.io/sdk/worker"

	"perdure/adapters/store/service"
	"perdure/test/server"
)

// testCase is one program. It calls halfway once, where a kill would hurt most.
type testCase struct {
	name string
	play func(s *scene)
}

var cases = slices.Concat(startCases, signalCases, queryCases, historyCases, workerCases, activityCases, timeoutCases,
	localActivityCases, asyncCases, childCases, externalCases, chainCases, codeCases, namespaceCases, refusalCases)

// together is how many cases are played side by side on the server that lives.
const together = 24

// cachedRuns is fewer than the runs of most moments, so workers lose what they cached all the time.
const cachedRuns = 40

func TestMain(m *testing.M) {
	worker.SetStickyWorkflowCacheSize(cachedRuns)
	code := m.Run()
	server.RemoveBinary()
	os.Exit(code)
}

func TestCases(t *testing.T) {
	playAll(t, newHouse(t), alone)
}

var free = make(chan struct{}, together)

// alone waits for nobody halfway, but enters only when there is room.
func alone() (halfway, leave func()) {
	free <- struct{}{}
	return func() {}, func() { <-free }
}

// TestCasesAcrossAKill lets every case come halfway, kills the server, starts it again, and lets all go on.
func TestCasesAcrossAKill(t *testing.T) {
	h := newHouse(t)
	half := newBarrier(len(cases), func() { h.killAndRestart(t) })
	playAll(t, h, half.enter)
}

// TestCasesOnStores plays the cases on real databases: across a kill, and on a
// server that lives too unless time is short.
func TestCasesOnStores(t *testing.T) {
	for _, kind := range service.Stores("postgres", "mysql", "cassandra") {
		t.Run(kind, func(t *testing.T) {
			if strings.HasPrefix(kind, "cassandra") {
				attemptTime = lateTried
				defer func() { attemptTime = soonTried }()
			}
			t.Run("killed", func(t *testing.T) {
				h := newHouse(t, "--store", service.Fresh(t, kind, "e2e_killed"))
				playAll(t, h, newBarrier(len(cases), func() { h.killAndRestart(t) }).enter)
			})
			if testing.Short() {
				return
			}
			t.Run("alive", func(t *testing.T) {
				playAll(t, newHouse(t, "--store", service.Fresh(t, kind, "e2e_alive")), alone)
			})
		})
	}
}

// playAll plays every case: it enters, calls halfway in its middle, and leaves.
func playAll(t *testing.T, h *house, enter func() (halfway, leave func())) {
	var all sync.WaitGroup
	for _, c := range cases {
		all.Go(func() {
			halfway, leave := enter()
			defer leave()
			t.Run(c.name, func(t *testing.T) { c.run(t, h, halfway) })
		})
	}
	all.Wait()
}

func (c testCase) run(t *testing.T, h *house, halfway func()) {
	s := newScene(t, h, c.name)
	reached := false
	s.halfway = func() {
		reached = true
		halfway()
	}
	c.play(s)
	if !reached {
		t.Error("the case never said that it is halfway")
	}
}
