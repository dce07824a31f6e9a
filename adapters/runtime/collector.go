package runtime

import (
	goruntime "runtime"
	"runtime/debug"
	"runtime/metrics"
)

// Collector paces Go's garbage collector by a budget in bytes: a small heap is
// collected seldom, so that a busy server with little memory in use does not
// spend its time marking; a heap near the budget is collected as Go would.
type Collector struct{ budget uint64 }

// The range of GOGC that the pacing uses, in percent.
const (
	leastGrowth = 50
	mostGrowth  = 1600
)

// PaceCollector lets the heap grow to budget bytes between two collections.
func PaceCollector(budget int) {
	c := &Collector{budget: uint64(max(budget, 16<<20))}
	c.pace()
	c.watch()
}

// watch arranges for pace to run after each collection: a finalizer that arms itself again.
func (c *Collector) watch() {
	type mark struct{ c *Collector }
	m := &mark{c}
	var again func(*mark)
	again = func(m *mark) {
		m.c.pace()
		goruntime.SetFinalizer(m, again)
	}
	goruntime.SetFinalizer(m, again)
}

// pace reads what the last collection marked. The size of the heap would not do: right
// after a collection it still counts what is yet to be swept, and every other collection came early.
func (c *Collector) pace() {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	debug.SetGCPercent(growth(c.budget, live[0].Value.Uint64()))
}

// growth is the percentage by which a live heap may grow to reach the budget.
func growth(budget, live uint64) int {
	live = max(live, 1<<20)
	if live >= budget {
		return leastGrowth
	}
	return int(min(max((budget-live)*100/live, leastGrowth), mostGrowth))
}
