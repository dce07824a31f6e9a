package runtime

import (
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"perdure/core/port"
)

// stepper steps machines on one goroutine: the first one, and every machine
// that was idle when a step sent it something. It is a loop over a list, not a
// recursion, and machines on the list are stepped in the order they woke.
type stepper struct {
	r     *Runtime
	list  []*mailbox
	head  int
	steps int // may be done before the rest is handed over
	clock port.Clock
	lane  *lane // whose goroutine this is, if it is one's
	yield bool  // that lane has an append to do now

	// what is being stepped, for the last words
	at *mailbox
	in port.Input
}

var steppers = sync.Pool{New: func() any { return new(stepper) }}

// stepsPerClock is how many steps of one machine share a reading of the clock.
const stepsPerClock = 16

func (s *stepper) begin(r *Runtime, l *lane) {
	s.r, s.lane, s.yield = r, l, false
	s.steps = r.config.Steps
	s.list, s.head = s.list[:0], 0
}

func (s *stepper) push(m *mailbox) { s.list = append(s.list, m) }

// stepFrom steps a machine that now belongs to the caller, and what it wakes.
func (r *Runtime) stepFrom(m *mailbox) {
	s := steppers.Get().(*stepper)
	s.begin(r, nil)
	s.push(m)
	s.run()
	steppers.Put(s)
}

// run works through the list. What is left when the steps are used up goes to the workers.
func (s *stepper) run() {
	defer s.crash()
	for s.head < len(s.list) && s.steps > 0 && !s.yield {
		m := s.list[s.head]
		s.head++
		if s.head == len(s.list) {
			s.list, s.head = s.list[:0], 0
		}
		s.turn(m)
	}
	if s.head < len(s.list) {
		s.r.rest.add(s.list[s.head:])
	}
	s.list, s.head, s.at, s.in = s.list[:0], 0, nil, nil
}

// turn steps one machine with what waits for it.
func (s *stepper) turn(m *mailbox) {
	m.take()
	s.at = m
	for n := 0; m.next < len(m.batch) && s.steps > 0 && !s.yield; n++ {
		if n%stepsPerClock == 0 {
			s.clock = s.r.now()
		}
		s.in = m.batch[m.next]
		m.next++
		s.steps--
		m.machine.Step(s.clock, s.in, &m.out)
		for i := 0; i < len(m.out.List); i++ {
			s.execute(m, m.out.List[i])
		}
		m.out.Reset()
	}
	if m.leave() {
		s.r.drainer.ended()
		return
	}
	s.push(m)
}

func (r *Runtime) now() port.Clock {
	t := time.Now()
	return port.Clock{Wall: t.Round(0).UTC(), Mono: t.Sub(r.begun)}
}

// execute does one effect of a machine's step.
func (s *stepper) execute(m *mailbox, e port.Effect) {
	switch e := e.(type) {
	case port.Send:
		s.send(m, e)
	case port.Reply:
		s.reply(m, e)
	case port.Alarm:
		m.mu.Lock()
		if !m.closed {
			m.alarm.set(e.At, s.clock.Wall)
		}
		m.mu.Unlock()
	case port.AppendStore:
		if m.lane.put(e) && s.lane == &m.lane {
			s.yield = true
		}
	case port.Publish:
		s.publish(e.Snapshot)
	case port.Halt:
		s.r.config.Halted(e.Why)
	default:
		s.r.callStore(m, e)
	}
}

func (s *stepper) send(m *mailbox, e port.Send) {
	to := m
	if e.To != m.addr {
		to = s.r.machines.Load().find(e.To)
	}
	switch {
	case to == nil && e.To.Role == port.RoleShard:
		return // of another layout than this node's; who sends repeats it
	case to == nil:
		s.r.log.Error("message to an unknown machine dropped", "from", m.addr, "to", e.To, "input", fmt.Sprintf("%T", e.In))
		return
	}
	if to.post(e.In) {
		s.push(to)
	}
}

// reply hands the reply to its caller. If the caller has gone, the machine is
// told, provided that it cares.
func (s *stepper) reply(m *mailbox, e port.Reply) {
	if e.Call == (port.Call{}) || s.r.calls.deliver(m, e) || e.Token == nil {
		return
	}
	if m.post(port.Undelivered{Reply: e}) {
		s.push(m)
	}
}

func (s *stepper) publish(snapshot *port.Snapshot) {
	r := s.r
	for _, m := range r.grow(snapshot) {
		s.post(m, port.Start{})
		if r.drainer.on.Load() {
			s.post(m, port.Drain{})
		}
	}
	r.snapshot.Store(snapshot)
	r.published.Do(func() { close(r.ready) })
	for _, m := range r.machines.Load().all {
		s.post(m, port.Published{Snapshot: snapshot})
	}
}

func (s *stepper) post(m *mailbox, in port.Input) {
	if m.post(in) {
		s.push(m)
	}
}

// crash ends the process after a machine broke an invariant. Nothing is
// tidied: what was acknowledged is in the store, and what is in memory can no longer be trusted.
func (s *stepper) crash() {
	v := recover()
	if v == nil {
		return
	}
	addr := port.Address{}
	if s.at != nil {
		addr = s.at.addr
	}
	s.r.log.Error("a machine broke an invariant; the process ends now and recovers from its journal when it is started again",
		"machine", fmt.Sprintf("%v %d", addr.Role, addr.Index), "input", fmt.Sprintf("%T", s.in), "panic", fmt.Sprint(v))
	fmt.Fprintf(os.Stderr, "panic: %v\n\n%s\n", v, debug.Stack())
	os.Exit(2)
}
