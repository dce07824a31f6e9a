package cluster

import (
	"time"

	"perdure/core/node"
	"perdure/core/port"
	"perdure/sim/universe"
	"perdure/sim/weakstore"
)

// Process is one life of a node, from its start to its end.
type Process struct {
	c        *Cluster
	id       port.NodeID
	boot     uint64
	level    port.Level
	up       bool
	paused   bool
	draining bool
	deferred []func() // what happened while the process was paused
	bootAt   time.Duration
	skew     time.Duration // of the wall clock

	node     *node.Node
	snapshot *port.Snapshot
	boxes    []*box
	byAddr   map[port.Address]*box
	calls    map[uint64]*Call // looked up only
	earlier  uint64           // the last id of a call before this life
	open     []*Call          // in the order of their beginning, ended ones included until swept

	members  *port.Members                 // this node's view, nil if it is alone
	heard    map[port.NodeID]time.Duration // when others were reached last; looked up only
	links    map[port.NodeID]*node.Outgoing
	incoming map[port.NodeID]*node.Incoming
}

// box is one machine and what its executor keeps for it.
type box struct {
	p       *Process
	addr    port.Address
	machine port.Machine
	index   int
	out     port.Effects
	last    map[int]time.Duration // when the last message of each sender arrives, by its index; looked up only
	stalled time.Duration         // until then nothing is stepped
	alarm   alarm
}

// add takes a machine in and starts it.
func (p *Process) add(m node.Machine) {
	b := &box{p: p, addr: m.Address, machine: m.Machine, index: len(p.boxes), last: map[int]time.Duration{}}
	p.boxes = append(p.boxes, b)
	p.byAddr[m.Address] = b
	p.post(b, port.Start{}, 0)
	if p.draining {
		p.post(b, port.Drain{}, 0)
	}
}

// Boot tells the lives of a node apart.
func (p *Process) Boot() uint64 { return p.boot }

// Up says that the process lives.
func (p *Process) Up() bool { return p.up }

// Ready says that the process lives and frontends can admit requests.
func (p *Process) Ready() bool { return p.up && p.snapshot != nil }

// Snapshot is the registry as this process knows it, nil before the first.
func (p *Process) Snapshot() *port.Snapshot { return p.snapshot }

// Wall is the wall clock of the process.
func (p *Process) Wall() time.Time { return universe.Epoch.Add(p.c.U.Now() + p.skew) }

func (p *Process) mono() time.Duration { return p.c.U.Now() - p.bootAt }

func (p *Process) clock() port.Clock { return port.Clock{Wall: p.Wall(), Mono: p.mono()} }

// at lets f happen inside the process: never if it has ended, later if it is paused.
func (p *Process) at(when time.Duration, f func()) {
	p.c.U.At(when, func() { p.now(f) })
}

func (p *Process) now(f func()) {
	switch {
	case !p.up:
	case p.paused:
		p.deferred = append(p.deferred, f)
	default:
		f()
	}
}

// post hands an input to a machine after a while.
func (p *Process) post(b *box, in port.Input, after time.Duration) {
	p.at(p.c.U.Now()+after, func() { p.arrive(b, in) })
}

func (p *Process) arrive(b *box, in port.Input) {
	if p.c.U.Now() < b.stalled {
		p.at(b.stalled, func() { p.arrive(b, in) })
		return
	}
	p.step(b, in)
}

func (p *Process) step(b *box, in port.Input) {
	c := p.c
	c.U.Stepped()
	c.U.Number(uint64(c.U.Now()))
	c.U.Number(p.boot<<8 | uint64(b.index))
	c.digest.input(in)
	if c.U.Tracing() {
		c.tell("#%d %s <- %s", c.U.Steps(), name(b.addr), inputStory(in))
	}
	c.markInput(in)
	b.machine.Step(p.clock(), in, &b.out)
	c.watch.Stepped(p, b.addr, b.machine, in, b.out.List)
	for _, e := range b.out.List {
		c.markEffect(e)
		c.digest.effect(e)
		if c.U.Tracing() {
			c.tell("    -> %s", effectStory(e))
		}
		if p.up {
			p.execute(b, e)
		}
	}
	b.out.Reset()
}

// execute does one effect of a step, as adapters/runtime does.
func (p *Process) execute(b *box, e port.Effect) {
	switch e := e.(type) {
	case port.Send:
		p.send(b, e)
	case port.Reply:
		p.reply(b, e)
	case port.Alarm:
		b.alarm.set(b, e.At)
	case port.Publish:
		p.publish(b, e.Snapshot)
	case port.Halt:
		p.c.Counts.Halts++
		p.c.tell("* node %d halts: %s", p.id, e.Why)
		p.end()
		p.c.watch.Halted(p.id, p.level, e.Why)
	default:
		p.c.Store.Do(e, weakstore.Caller{
			Alive:  func() bool { return p.up },
			Answer: func(done *port.Completed) { p.now(func() { p.arrive(b, done) }) },
			Go:     p.now,
		})
	}
}

func (p *Process) send(b *box, e port.Send) {
	if e.To.Node != p.id {
		if e.To.Node == 0 || !p.c.clustered() {
			return // nobody is known to be the one; who sends repeats it
		}
		p.c.transmit(p, packet{to: e.To, in: e.In, from: b.addr})
		return
	}
	to := p.byAddr[e.To]
	switch {
	case to == nil && e.To.Role == port.RoleShard:
		return // of a layout that is not this one; who sends repeats it
	case to == nil:
		panic("cluster: message to an unknown machine")
	}
	at := max(p.c.U.Now()+p.c.hop(), to.last[b.index])
	to.last[b.index] = at
	p.at(at, func() { p.arrive(to, e.In) })
}

func (p *Process) publish(b *box, s *port.Snapshot) {
	p.snapshot = s
	for _, m := range p.node.Machines(s, p.members) {
		p.add(m)
	}
	for _, to := range p.boxes {
		p.send(b, port.Send{To: to.addr, In: port.Published{Snapshot: s}})
	}
}

// Crash ends the process at once: machines, memory and connections are gone.
func (p *Process) Crash() {
	p.c.Counts.Crashes++
	p.c.tell("* node %d crashes", p.id)
	p.end()
}

func (p *Process) end() {
	p.up, p.deferred = false, nil
	for _, c := range p.open {
		c.broken()
	}
	p.open, p.calls = nil, nil
}

// Drain asks every machine to end what can be ended, and ends the process after a while.
func (p *Process) Drain(within time.Duration, ended func()) {
	p.c.Counts.Drains++
	p.c.tell("* node %d drains", p.id)
	p.draining = true
	if p.c.clustered() {
		p.setView()
	}
	for _, b := range p.boxes {
		p.post(b, port.Drain{}, 0)
	}
	p.c.U.After(within, func() {
		if p.up {
			p.end()
			ended()
		}
	})
}

// Pause stops the process without its knowing; Resume lets it go on, with everything that came meanwhile.
func (p *Process) Pause() {
	p.c.Counts.Pauses++
	p.c.tell("* node %d pauses", p.id)
	p.paused = true
}

// Resume ends a pause.
func (p *Process) Resume() {
	if !p.up || !p.paused {
		return
	}
	p.c.tell("* node %d resumes", p.id)
	p.paused = false
	waiting := p.deferred
	p.deferred = nil
	for _, f := range waiting {
		p.now(f)
	}
}

// Relayout asks the registry's machine for another number of shards; one that does not own the registry refuses.
func (p *Process) Relayout(shards int) {
	if b := p.byAddr[port.Address{Node: p.id, Role: port.RoleRegistry}]; p.up && b != nil {
		p.post(b, &port.Request{Body: port.Relayout{Shards: shards}}, p.c.wire())
	}
}

// Stall keeps one machine from being stepped for a while.
func (p *Process) Stall(pick int, d time.Duration) {
	b := p.boxes[pick%len(p.boxes)]
	p.c.Counts.Stalls++
	b.stalled = max(b.stalled, p.c.U.Now()+d)
}

// Jump moves the wall clock.
func (p *Process) Jump(d time.Duration) {
	p.c.Counts.Jumps++
	p.c.tell("* clock of node %d jumps by %v", p.id, d)
	p.skew += d
}

// Skew is how far the wall clock is off.
func (p *Process) Skew() time.Duration { return p.skew }
