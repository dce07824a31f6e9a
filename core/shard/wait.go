package shard

import (
	"container/heap"
	"time"

	"perdure/core/port"
)

// waits are the history calls that wait for a run to change.
type waits struct {
	byRun map[port.RunKey][]*wait
	order waitHeap
}

type wait struct {
	req   *port.Request
	key   port.RunKey
	until time.Time
	index int // in the heap; -1: gone
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

func (w *waits) add(k port.RunKey, r *port.Request, until time.Time) {
	if w.byRun == nil {
		w.byRun = map[port.RunKey][]*wait{}
	}
	x := &wait{req: r, key: k, until: until}
	w.byRun[k] = append(w.byRun[k], x)
	heap.Push(&w.order, x)
}

func (w *waits) has(k port.RunKey) bool { return len(w.byRun[k]) > 0 }

// wake hands all that wait for a run back to serve.
func (w *waits) wake(k port.RunKey, serve func(*port.Request)) {
	all := w.byRun[k]
	if len(all) == 0 {
		return
	}
	delete(w.byRun, k)
	for _, x := range all {
		heap.Remove(&w.order, x.index)
	}
	for _, x := range all {
		serve(x.req)
	}
}

// expired takes the next one whose time is over.
func (w *waits) expired(now time.Time) (*port.Request, bool) {
	if len(w.order) == 0 || w.order[0].until.After(now) {
		return nil, false
	}
	x := heap.Pop(&w.order).(*wait)
	w.drop(x)
	return x.req, true
}

func (w *waits) drop(x *wait) {
	all := w.byRun[x.key]
	for i, y := range all {
		if y == x {
			all = append(all[:i], all[i+1:]...)
			break
		}
	}
	if len(all) == 0 {
		delete(w.byRun, x.key)
		return
	}
	w.byRun[x.key] = all
}

// forget drops what a caller that has gone waits for.
func (w *waits) forget(c port.Call) {
	for _, x := range w.order {
		if x.req.Call == c {
			heap.Remove(&w.order, x.index)
			w.drop(x)
			return
		}
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
