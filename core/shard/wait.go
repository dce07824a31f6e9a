package shard

import (
	"container/heap"
	"slices"
	"time"

	"perdure/core/port"
)

// waits are the history calls that wait for a run to change.
type waits struct {
	byRun  map[port.RunKey][]*wait
	byCall map[port.Call]*wait
	order  waitHeap
}

type wait struct {
	req    *port.Request
	key    port.RunKey
	closed bool // nothing but the close of the run is waited for
	until  time.Time
	index  int // in the heap; -1: gone
}

func newWaits() waits {
	return waits{byRun: map[port.RunKey][]*wait{}, byCall: map[port.Call]*wait{}}
}

type waitHeap []*wait

func (h waitHeap) Len() int           { return len(h) }
func (h waitHeap) Less(i, j int) bool { return h[i].until.Before(h[j].until) }
func (h waitHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push is for container/heap.
func (h *waitHeap) Push(x any) {
	w := x.(*wait)
	w.index = len(*h)
	*h = append(*h, w)
}

// Pop is for container/heap.
func (h *waitHeap) Pop() any {
	old := *h
	w := old[len(old)-1]
	*h = old[:len(old)-1]
	w.index = -1
	return w
}

func (w *waits) add(k port.RunKey, r *port.Request, closed bool, until time.Time) {
	if before := w.byCall[r.Call]; before != nil { // a frontend that heard nothing asks again
		w.remove(before)
	}
	x := &wait{req: r, key: k, closed: closed, until: until}
	w.byRun[k] = append(w.byRun[k], x)
	w.byCall[r.Call] = x
	heap.Push(&w.order, x)
}

// wake hands those that wait for a run back to serve; those that wait for its
// close only if it is closed.
func (w *waits) wake(k port.RunKey, closed bool, serve func(*port.Request)) {
	var woken []*wait
	for _, x := range w.byRun[k] {
		if closed || !x.closed {
			woken = append(woken, x)
		}
	}
	for _, x := range woken {
		w.remove(x)
	}
	for _, x := range woken {
		serve(x.req)
	}
}

// expired takes the next one whose time is over.
func (w *waits) expired(now time.Time) (*port.Request, bool) {
	if len(w.order) == 0 || w.order[0].until.After(now) {
		return nil, false
	}
	x := w.order[0]
	w.remove(x)
	return x.req, true
}

func (w *waits) remove(x *wait) {
	heap.Remove(&w.order, x.index)
	if w.byCall[x.req.Call] == x {
		delete(w.byCall, x.req.Call)
	}
	rest := slices.DeleteFunc(w.byRun[x.key], func(y *wait) bool { return y == x })
	if len(rest) == 0 {
		delete(w.byRun, x.key)
		return
	}
	w.byRun[x.key] = rest
}

// forget drops what a caller that has gone waits for.
func (w *waits) forget(c port.Call) {
	if x := w.byCall[c]; x != nil {
		w.remove(x)
	}
}

func (w *waits) next() time.Time {
	if len(w.order) == 0 {
		return time.Time{}
	}
	return w.order[0].until
}

// each visits all in the order of their ends.
func (w *waits) each(f func(*port.Request)) {
	for _, x := range w.order {
		f(x.req)
	}
}
