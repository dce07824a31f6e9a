package runtime

import (
	"sync"
	"time"

	"perdure/core/port"
)

// keepInputs is the capacity a mailbox keeps after a burst.
const keepInputs = 1024

// mailbox holds what waits for one machine, and the machine.
//
// busy means that some goroutine steps the machine or has it on its list of
// work. Only the one that turned busy on may touch the fields below the line.
type mailbox struct {
	addr    port.Address
	machine port.Machine

	mu       sync.Mutex
	waiting  []port.Input
	requests int // callers' inputs among waiting
	busy     bool
	closed   bool
	alarm    alarm

	// of the goroutine that is stepping the machine
	batch []port.Input // taken out of waiting
	next  int          // first of batch that was not stepped yet
	out   port.Effects

	lane lane // this machine's appends
}

func newMailbox(r *Runtime, addr port.Address, m port.Machine) *mailbox {
	box := &mailbox{addr: addr, machine: m}
	box.alarm.ring = func() { r.ring(box) }
	box.lane.init(r, box)
	return box
}

// post adds an input and reports whether the caller must now step the machine.
func (m *mailbox) post(in port.Input) (mine bool) {
	m.mu.Lock()
	mine = m.add(in)
	m.mu.Unlock()
	return mine
}

// postRequest is post for an input that may be refused.
func (m *mailbox) postRequest(in port.Input, limit int) (mine, refused bool) {
	m.mu.Lock()
	if m.requests >= limit || m.closed {
		m.mu.Unlock()
		return false, true
	}
	m.requests++
	mine = m.add(in)
	m.mu.Unlock()
	return mine, false
}

func (m *mailbox) add(in port.Input) (mine bool) {
	if m.closed {
		return false
	}
	m.waiting = append(m.waiting, in)
	mine = !m.busy
	m.busy = true
	return mine
}

// take makes sure that batch holds the next inputs to step. The two slices
// swap places, so that in a steady state nothing is allocated.
func (m *mailbox) take() {
	if m.next < len(m.batch) {
		return
	}
	clear(m.batch)
	spare := m.batch[:0]
	if cap(spare) > keepInputs {
		spare = nil
	}
	m.mu.Lock()
	m.batch, m.waiting = m.waiting, spare
	m.requests = 0
	m.mu.Unlock()
	m.next = 0
}

// leave ends a turn: it reports whether the machine is idle now. If not, it
// still belongs to the caller.
func (m *mailbox) leave() (idle bool) {
	if m.next < len(m.batch) {
		m.mu.Lock()
		defer m.mu.Unlock()
		if !m.closed {
			return false
		}
		m.busy = false
		return true
	}
	m.mu.Lock()
	idle = len(m.waiting) == 0 || m.closed
	m.busy = !idle
	m.mu.Unlock()
	return idle
}

func (m *mailbox) quiet() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !m.busy
}

// close drops what waits and refuses everything from now on.
func (m *mailbox) close() {
	m.mu.Lock()
	m.closed = true
	m.waiting = nil
	m.alarm.set(time.Time{}, time.Time{})
	m.mu.Unlock()
}
