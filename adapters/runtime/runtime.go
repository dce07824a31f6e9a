// Package runtime runs the core's machines in production: it gives each one a
// mailbox, steps it, and executes the effects of its steps. It decides nothing
// that the simulator does not decide in the same way.
//
// Whoever posts an input to a machine that nobody is stepping steps it on its
// own goroutine, and then whatever that step woke, until nothing is left (see
// stepper.go). So a chain of request, shard, committer, queue and shard costs
// no switch between goroutines.
//
// Promises: one goroutine at a time steps a machine; inputs of one sender to
// one machine arrive in the order they were sent; completions, alarms and
// messages are never dropped while the runtime runs; requests of callers are
// bounded per machine and refused above that.
package runtime

import (
	"context"
	"log/slog"
	"math/rand/v2"
	goruntime "runtime"
	"sync"
	"sync/atomic"
	"time"

	"perdure/core/node"
	"perdure/core/port"
	"perdure/core/store"
)

// Config says what a Runtime works with. Zero fields take the defaults named beside them.
type Config struct {
	Store store.Store
	Log   *slog.Logger // default: slog.Default()
	Node  port.NodeID
	// Machines are those to add for a state of the registry, before any machine hears of it; nil: none ever.
	Machines func(*port.Snapshot) []node.Machine

	// Halted hears of a machine that cannot go on, and why: the server is to be stopped. It must not wait. Default: the log says so.
	Halted func(why string)

	Requests int // callers' inputs that may wait at one machine; default 4096
	Steps    int // steps a goroutine does in one go before a worker takes over; default 64
	Workers  int // goroutines that take work over; default GOMAXPROCS

	Reads    int // store reads at once; default 8
	Writes   int // blob writes at once; default 4
	Flushes  int // flushes at once; default 2
	Controls int // opens, creates, releases, confirmations at once; default 2

	OutageNotice time.Duration // how long the store takes no changes before health checks and the log say so; default 1 s
	OutageRefuse time.Duration // and before callers are refused; default 5 s, not less than the notice
}

func (c *Config) setDefaults() {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Halted == nil {
		c.Halted = func(why string) { c.Log.Error("the server cannot do its work", "why", why) }
	}
	c.OutageNotice, c.OutageRefuse = orDefault(c.OutageNotice, time.Second), orDefault(c.OutageRefuse, 5*time.Second)
	for _, d := range []struct {
		field *int
		value int
	}{
		{&c.Requests, 4096}, {&c.Steps, 64}, {&c.Workers, goruntime.GOMAXPROCS(0)},
		{&c.Reads, 8}, {&c.Writes, 4}, {&c.Flushes, 2}, {&c.Controls, 2},
	} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d <= 0 {
		return otherwise
	}
	return d
}

// Runtime runs the machines of one node.
type Runtime struct {
	config   Config
	log      *slog.Logger
	begun    time.Time // zero of the monotonic clock
	calls    calls
	snapshot atomic.Pointer[port.Snapshot]
	ready    chan struct{} // closed by the first Publish
	rest     handover
	drainer  drainer
	outage   outage

	reads, writes, flushes, controls *pool

	mu        sync.Mutex // guards the growth of machines
	machines  atomic.Pointer[directory]
	published sync.Once
	stopped   atomic.Bool
}

// New makes a runtime without machines.
func New(c Config) *Runtime {
	c.setDefaults()
	r := &Runtime{config: c, log: c.Log, begun: time.Now(), ready: make(chan struct{})}
	r.outage = outage{notice: c.OutageNotice, refuse: max(c.OutageRefuse, c.OutageNotice), log: c.Log, refused: r.calls.refuseAll}
	r.calls.generation = rand.Uint64() >> slotBits
	r.machines.Store(&directory{})
	r.rest.wake = sync.NewCond(&r.rest.mu)
	r.drainer.look = make(chan struct{}, 1)
	r.reads = newPool(r, c.Reads)
	r.writes = newPool(r, c.Writes)
	r.flushes = newPool(r, c.Flushes)
	r.controls = newPool(r, c.Controls)
	return r
}

// Add gives a machine its address. It may be called at any time; a machine
// added after Start is started at once.
func (r *Runtime) Add(addr port.Address, m port.Machine) {
	r.mu.Lock()
	next := r.machines.Load().with(newMailbox(r, addr, m))
	r.machines.Store(next)
	started := r.rest.started()
	r.mu.Unlock()
	if started {
		r.Post(addr, port.Start{})
	}
}

// grow adds the machines that a state of the registry wants and returns their mailboxes, for
// the caller to start. Only the registry publishes, so one goroutine at a time is here.
func (r *Runtime) grow(s *port.Snapshot) (added []*mailbox) {
	if r.config.Machines == nil {
		return nil
	}
	made := r.config.Machines(s)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped.Load() {
		return nil
	}
	next := r.machines.Load()
	for _, m := range made {
		box := newMailbox(r, m.Address, m.Machine)
		next = next.with(box)
		added = append(added, box)
	}
	r.machines.Store(next)
	return added
}

// Start hands every machine its first input.
func (r *Runtime) Start() {
	r.mu.Lock()
	all := r.machines.Load().all
	r.rest.start(r)
	r.mu.Unlock()
	for _, m := range all {
		r.Post(m.addr, port.Start{})
	}
}

// Snapshot is the last published state of the registry, nil before the first.
func (r *Runtime) Snapshot() *port.Snapshot { return r.snapshot.Load() }

// Ready is closed once there is a snapshot, so that frontends can admit requests.
func (r *Runtime) Ready() <-chan struct{} { return r.ready }

// Post hands an input to a machine and steps it if nobody else does. It
// reports whether there is such a machine.
func (r *Runtime) Post(to port.Address, in port.Input) bool {
	m := r.machines.Load().find(to)
	if m == nil {
		return false
	}
	r.postTo(m, in)
	return true
}

func (r *Runtime) postTo(m *mailbox, in port.Input) {
	if m.post(in) {
		r.stepFrom(m)
	}
}

// Drain asks every machine to end what can be ended, and returns when no
// machine has anything to do, no call waits and no store call is under way, or
// when ctx ends.
func (r *Runtime) Drain(ctx context.Context) error {
	r.drainer.on.Store(true)
	for _, m := range r.machines.Load().all {
		r.postTo(m, port.Drain{})
	}
	for !r.quiet() {
		select {
		case <-r.drainer.look:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// drainer tells Drain to look again whenever something has ended.
type drainer struct {
	on   atomic.Bool
	look chan struct{}
}

func (d *drainer) ended() {
	if !d.on.Load() {
		return
	}
	select {
	case d.look <- struct{}{}:
	default:
	}
}

// quiet reports whether nothing is under way. A machine becomes busy only by
// something that is under way elsewhere (a step, a call, a store call, an
// alarm), so store calls are looked at before machines and after.
func (r *Runtime) quiet() bool {
	return r.calls.open.Load() == 0 && r.storeQuiet() && r.machines.Load().quiet() && r.storeQuiet() && r.machines.Load().quiet()
}

// Stop ends everything at once: what waits in mailboxes is dropped, as in a
// crash; callers that still wait are refused. When it returns no machine is being stepped
// and no store call is under way, so the store may be closed.
func (r *Runtime) Stop() {
	r.mu.Lock()
	r.stopped.Store(true)
	all := r.machines.Load().all
	r.mu.Unlock()
	r.outage.stop()
	r.drainer.on.Store(true)
	for _, m := range all {
		m.close()
	}
	r.calls.refuseAll(port.Refuse(port.Unavailable, "server is shutting down"))
	for _, p := range []*pool{r.reads, r.writes, r.flushes, r.controls} {
		p.close()
	}
	for _, m := range all {
		m.lane.close()
	}
	for r.rest.started() && !r.machines.Load().quiet() {
		<-r.drainer.look
	}
	r.rest.stop()
}
