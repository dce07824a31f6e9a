package shard

import (
	"container/list"

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

	// hist is a window of the history: consecutive batches, from histFrom on. It is
	// whole up to the end if it holds the last event.
	hist     []history.Batch
	histSize int
	cut      bool // the window was read up to a bound: it is a page as it is
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

func (c *cache) remove(e *entry) {
	delete(c.runs, e.key)
	l := c.list(e)
	l.order.Remove(e.elem)
	l.size -= e.size
}

// resize accounts for what the entry holds now.
func (c *cache) resize(e *entry) {
	if c.runs[e.key] != e {
		return // it was let go
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
	for _, w := range c.workflows { //ordered: refusals of independent callers, only when the shard is lost
		for _, in := range w.parked {
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
		if e.loading || e.reading || len(e.parked) > 0 || s.waits.has(e.key) {
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

const maxWindow = 1 << 20 // bytes of history kept with a run

func (e *entry) appendHistory(b history.Batch) {
	if n := len(e.hist); n > 0 && e.hist[n-1].Last+1 != b.First {
		return // a window of the past stays one
	}
	e.hist = append(e.hist, b)
	e.histSize += len(b.Events)
	for e.histSize > maxWindow && len(e.hist) > 1 {
		e.histSize -= len(e.hist[0].Events)
		e.hist = e.hist[1:]
	}
}

// batches gives up to most batches beginning with the one that holds event from,
// and whether the window covers them.
func (e *entry) batches(from int64, most int) ([]history.Batch, bool) {
	last := e.run.LastEvent()
	if from > last {
		return nil, true
	}
	if len(e.hist) == 0 || from < e.hist[0].First {
		return nil, false
	}
	i := 0
	if from > e.hist[0].Last {
		lo, hi := 0, len(e.hist)
		for lo < hi { // first batch that ends at or after from
			m := (lo + hi) / 2
			if e.hist[m].Last < from {
				lo = m + 1
			} else {
				hi = m
			}
		}
		i = lo
	}
	if i == len(e.hist) {
		return nil, false
	}
	out := e.hist[i:]
	if len(out) >= most {
		return out[:most], true
	}
	return out, e.cut || out[len(out)-1].Last == last
}

// setHistory replaces the window by what was read.
func (e *entry) setHistory(bs []history.Batch, cut bool) {
	e.hist, e.histSize, e.cut = bs, 0, cut
	for _, b := range bs {
		e.histSize += len(b.Events)
	}
}
