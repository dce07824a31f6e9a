package shard

import (
	"cmp"
	"container/list"
	"slices"
	"strings"

	"perdure/core/history"
	"perdure/core/port"
	"perdure/core/run"
	"perdure/core/store"
)

// workflowKey names a workflow id.
type workflowKey struct{ namespaceID, workflowID string }

// workflow knows the current run of a workflow id.
type workflow struct {
	known   bool   // current is what the store says
	current string // run id, "" if there is none
	loading bool
	parked  []port.Input
}

// entry is one run in memory.
type entry struct {
	key     port.RunKey
	run     *run.Run // nil while loading, or if there is no such run
	loading bool
	parked  []port.Input

	seq    store.Seq // of the last record that changed it
	size   int
	closed bool // in the list of closed runs
	elem   *list.Element

	hist     []history.Batch // a window of the history, see window.go
	histSize int
	reading  bool // a read of history is under way
}

// cache holds runs up to a budget in bytes, least recently used first out. Closed
// runs are seldom asked for again: they get a small part of it, so that the
// collector has less to walk over.
type cache struct {
	open, closed lru
	workflows    map[workflowKey]*workflow
	runs         map[port.RunKey]*entry
}

// lru is a list of runs with a budget of its own.
type lru struct {
	budget, size int
	order        *list.List // of *entry, front: used last
}

// closedShare of the budget is for closed runs.
const closedShare = 16

func newCache(budget int) cache {
	return cache{
		open: lru{budget: budget, order: list.New()}, closed: lru{budget: budget / closedShare, order: list.New()},
		workflows: map[workflowKey]*workflow{}, runs: map[port.RunKey]*entry{},
	}
}

func (c *cache) list(e *entry) *lru {
	if e.closed {
		return &c.closed
	}
	return &c.open
}

func (c *cache) workflow(k port.RunKey) *workflow {
	wk := workflowKey{k.NamespaceID, k.WorkflowID}
	w := c.workflows[wk]
	if w == nil {
		w = &workflow{}
		c.workflows[wk] = w
	}
	return w
}

func (c *cache) forgetWorkflow(k port.RunKey) {
	delete(c.workflows, workflowKey{k.NamespaceID, k.WorkflowID})
}

func (c *cache) add(e *entry) {
	c.runs[e.key] = e
	e.elem = c.list(e).order.PushFront(e)
}

func (c *cache) used(e *entry) { c.list(e).order.MoveToFront(e.elem) }

func (c *cache) has(e *entry) bool { return c.runs[e.key] == e }

func (c *cache) remove(e *entry) {
	delete(c.runs, e.key)
	l := c.list(e)
	l.order.Remove(e.elem)
	l.size -= e.size
}

// resize accounts for what the entry holds now, unless it was removed.
func (c *cache) resize(e *entry) {
	if !c.has(e) {
		return
	}
	n := 400 + e.histSize
	if e.run != nil {
		n += e.run.Size()
	}
	if closed := e.run != nil && e.run.Closed(); closed != e.closed {
		l := c.list(e)
		l.order.Remove(e.elem)
		l.size -= e.size
		e.closed, e.size = closed, 0
		e.elem = c.list(e).order.PushFront(e)
	}
	c.list(e).size += n - e.size
	e.size = n
}

func (c *cache) eachParked(f func(port.Input)) {
	for _, l := range []*lru{&c.open, &c.closed} {
		for el := l.order.Front(); el != nil; el = el.Next() {
			for _, in := range el.Value.(*entry).parked {
				f(in)
			}
		}
	}
	var waiting []workflowKey
	for k, w := range c.workflows { //ordered: sorted below
		if len(w.parked) > 0 {
			waiting = append(waiting, k)
		}
	}
	slices.SortFunc(waiting, func(a, b workflowKey) int {
		return cmp.Or(strings.Compare(a.namespaceID, b.namespaceID), strings.Compare(a.workflowID, b.workflowID))
	})
	for _, k := range waiting {
		for _, in := range c.workflows[k].parked {
			f(in)
		}
	}
}

// trimMemory lets runs go that are not in use, oldest first.
func (s *Shard) trimMemory() {
	s.trim(&s.cache.closed)
	s.trim(&s.cache.open)
}

func (s *Shard) trim(l *lru) {
	c := &s.cache
	for el := l.order.Back(); el != nil && l.size > l.budget && l.order.Len() > keepRuns; {
		e := el.Value.(*entry)
		el = el.Prev()
		if e.loading || e.reading || len(e.parked) > 0 {
			continue
		}
		c.remove(e)
		if w := c.workflows[workflowKey{e.key.NamespaceID, e.key.WorkflowID}]; w != nil && w.current == e.key.RunID && !w.loading {
			c.forgetWorkflow(e.key)
		}
	}
}

// keepRuns are kept however small the budget is: a step that needs two runs, or a
// run and its pointer, would else wait for ever for one while the other is let go.
const keepRuns = 16
