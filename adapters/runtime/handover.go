package runtime

import "sync"

// handover holds machines that have work and were on the list of a goroutine
// that had to go on with something else. A few workers step them.
type handover struct {
	mu      sync.Mutex
	wake    *sync.Cond
	list    []*mailbox
	idle    int
	on, off bool
	workers sync.WaitGroup
}

func (h *handover) started() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.on
}

func (h *handover) start(r *Runtime) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.on {
		panic("runtime: started twice")
	}
	h.on = true
	for range r.config.Workers {
		h.workers.Add(1)
		go h.work(r)
	}
}

func (h *handover) add(list []*mailbox) {
	h.mu.Lock()
	h.list = append(h.list, list...)
	idle := h.idle
	h.mu.Unlock()
	for range min(idle, len(list)) {
		h.wake.Signal()
	}
}

func (h *handover) work(r *Runtime) {
	defer h.workers.Done()
	s := new(stepper)
	for {
		m := h.get()
		if m == nil {
			return
		}
		s.begin(r, nil) // its steps are counted too: machines that keep each other busy must not keep a worker for ever
		s.push(m)
		s.run()
	}
}

func (h *handover) get() *mailbox {
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(h.list) == 0 {
		if h.off {
			return nil
		}
		h.idle++
		h.wake.Wait()
		h.idle--
	}
	m := h.list[0]
	h.list = h.list[1:]
	if len(h.list) == 0 {
		h.list = nil
	}
	return m
}

func (h *handover) stop() {
	h.mu.Lock()
	h.off = true
	h.mu.Unlock()
	h.wake.Broadcast()
	h.workers.Wait()
}
