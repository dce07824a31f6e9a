// Package workload is the outside of a simulated cluster: clients that call the
// API and workers that behave as SDKs do, well or badly.
package workload

import (
	"fmt"
	"strings"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"perdure/core/port"
	"perdure/sim/check"
	"perdure/sim/cluster"
	"perdure/sim/universe"
)

// Config says how much there is to do and how badly clients and workers behave.
type Config struct {
	Namespace string
	Retention time.Duration
	Queues    int
	Workers   int // of each queue
	Clients   int
	Starts    int // workflows that all clients start together
	Pool      int // workflow ids that they share
	Depth     int // of children
	Pace      time.Duration

	Vanish   float64 // a worker forgets a task that it was given
	Late     float64 // it answers late
	Twice    float64 // it answers twice
	Forge    float64 // it answers with a token that is not its own
	FailTask float64 // it fails a workflow task
	BadTask  float64 // it answers a workflow task with a bad command
	Die      float64 // it is killed instead of answering, and starts again
	Hostile  float64 // a client sends nonsense
	Abandon  float64 // a client gives up a call
	Query    float64 // a client asks a query instead of something else
	Reads    float64 // it reads
	Oversize int     // bytes of a payload that is too large; 0: the limits are too far away
}

// World is everything outside the cluster.
type World struct {
	U      *universe.Universe
	Ledger *check.Ledger
	Fail   func(*check.Breach)
	Target func(*universe.Rand) *cluster.Process // a process to call, nil if none is up

	cfg     Config
	rand    *universe.Rand
	healed  bool
	settled bool // all is well and stays so
	stopped bool
	bent    check.Bent
	workers []*worker
	clients []*client
	Counts  Counts

	Ops    []*Op // what clients did so far
	Script []*Op // what they are to do; nil: they draw it

	undone   int               // ops of the script that are not done yet, those for later apart
	began    bool              // clients have begun
	moreFrom time.Duration     // when clients went on after the faults
	started  map[string]string // run by op
	origin   map[string]string // op by run
}

// Counts counts what clients and workers did.
type Counts struct {
	Calls, Lost, Tasks, Activities, Queries, Answered, Vanished, Stale, Misses, Deaths int
}

// New makes a world in which nothing has begun.
func New(u *universe.Universe, cfg Config, l *check.Ledger, fail func(*check.Breach), target func(*universe.Rand) *cluster.Process) *World {
	return &World{U: u, Ledger: l, Fail: fail, Target: target, cfg: cfg, rand: u.Rand("world"), bent: check.Bent{},
		started: map[string]string{}, origin: map[string]string{}}
}

// Begin makes the namespace and, when it is there, lets everybody begin.
func (w *World) Begin() {
	a := &actor{world: w, rand: w.U.Rand("setup"), name: "setup"}
	a.retry(func() proto.Message {
		return &workflowservice.RegisterNamespaceRequest{Namespace: w.cfg.Namespace, WorkflowExecutionRetentionPeriod: durationpb.New(w.cfg.Retention)}
	}, func(cluster.Result) { w.beginAll() })
}

func (w *World) beginAll() {
	for q := range w.cfg.Queues {
		for n := range w.cfg.Workers {
			x := newWorker(w, queueName(q), fmt.Sprintf("worker-%d-%d", q, n))
			w.workers = append(w.workers, x)
			x.begin()
		}
	}
	w.began = true
	if w.Script != nil {
		w.play(false)
		return
	}
	for n := range w.cfg.Clients {
		c := newClient(w, n)
		w.clients = append(w.clients, c)
		c.next()
	}
}

// play does what the script says, up to the end of the faults or after it.
func (w *World) play(after bool) {
	for _, o := range w.Script {
		if o.After != after {
			continue
		}
		at := o.At
		if after {
			at += w.moreFrom
		}
		w.undone++
		w.U.At(at, func() { w.perform(o, func() { w.undone-- }) })
	}
}

// since is the time of an op that begins now.
func (w *World) since() (at time.Duration, after bool) {
	if w.settled {
		return w.U.Now() - w.moreFrom, true
	}
	return w.U.Now(), false
}

// know notes the run that an op started.
func (w *World) know(o *Op, workflow, run string) {
	w.started[o.ID] = run
	if w.origin[run] == "" {
		w.origin[run] = o.ID
	}
	for _, c := range w.clients {
		if strings.HasPrefix(o.ID, c.name+".") {
			c.know(workflow, run)
		}
	}
}

func (w *World) tell(format string, args ...any) {
	w.U.Trace(fmt.Sprintf("%12.6f * ", w.U.Now().Seconds()) + fmt.Sprintf(format, args...))
}

func queueName(n int) string { return fmt.Sprintf("queue-%d", n) }

// Heal ends the bad behaviour of everybody.
func (w *World) Heal() { w.healed = true }

// More gives every client some more to do, at a leisurely pace.
func (w *World) More(starts int, pace time.Duration) {
	w.cfg.Pace, w.settled, w.moreFrom = pace, true, w.U.Now()
	if w.Script != nil {
		w.play(true)
		return
	}
	for _, c := range w.clients {
		c.left = starts
		if c.done {
			c.done = false
			c.next()
		}
	}
}

// Stop ends all polls: nothing is left to do.
func (w *World) Stop() {
	w.stopped = true
	for _, x := range w.workers {
		x.stop()
	}
}

// Done says that all clients have done what they were to do.
func (w *World) Done() bool {
	if !w.began || w.undone > 0 {
		return false
	}
	for _, c := range w.clients {
		if !c.done {
			return false
		}
	}
	return true
}

// KillWorker ends a worker's process; it starts again after a while with nothing in its memory.
func (w *World) KillWorker(r *universe.Rand) {
	if len(w.workers) > 0 {
		w.workers[r.IntN(len(w.workers))].die()
	}
}

// bad is whether something bad is done now.
func (w *World) bad(r *universe.Rand, p float64) bool { return !w.healed && r.Chance(p) }

// actor is somebody who calls the API.
type actor struct {
	world *World
	rand  *universe.Rand
	name  string
	info  port.Client
}

const callTimeout = 10 * time.Second

// call sends one request; done is called once.
func (a *actor) call(req proto.Message, timeout time.Duration, done func(cluster.Result)) *cluster.Call {
	w := a.world
	w.Counts.Calls++
	p := w.Target(a.rand)
	if p == nil {
		w.U.After(a.rand.Spread(time.Millisecond, time.Second), func() { done(cluster.Result{Lost: true}) })
		return nil
	}
	begun := w.settled
	return p.Call(req, timeout, a.info, func(r cluster.Result) {
		if r.Lost {
			w.Counts.Lost++
		}
		w.check(check.Called{Request: req, Within: timeout, Lost: r.Lost, Well: begun && !w.stopped}, r.OK())
		done(r)
	})
}

// check holds the end of a call to what every call is promised.
func (w *World) check(c check.Called, accepted bool) {
	for _, b := range []*check.Breach{check.CallAnswered(c), w.bent.Accepted(c.Request, accepted)} {
		if b != nil {
			w.Fail(b)
		}
	}
}

// retry sends a request until there is an answer that a repetition would not change.
func (a *actor) retry(make func() proto.Message, done func(cluster.Result)) {
	a.call(make(), callTimeout, func(r cluster.Result) {
		if !again(r) {
			done(r)
			return
		}
		a.world.U.After(a.rand.Spread(10*time.Millisecond, 2*time.Second), func() { a.retry(make, done) })
	})
}

// again: what SDKs retry.
func again(r cluster.Result) bool {
	return r.Lost || r.Code() == port.Unavailable || r.Code() == port.ResourceExhausted || r.Code() == port.DeadlineExceeded
}
