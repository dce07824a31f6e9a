package workload

import (
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/proto"

	"perdure/core/port"
	"perdure/sim/cluster"
	"perdure/sim/program"
	"perdure/sim/universe"
)

// worker is a process that runs workflows and activities of one queue.
type worker struct {
	actor
	queue  string
	life   int // of its process; what an earlier one began is not ended
	sticky string
	cache  map[string]*program.Instance // by run id; looked up only
	began  map[string]int64             // the start of the last task of each run
	polls  []*poller
	old    [][]byte // tokens of earlier tasks, to answer with when it cheats
}

// poller is one loop of polls.
type poller struct {
	x    *worker
	life int
	req  func() proto.Message
	take func(proto.Message)
	call *cluster.Call
}

const (
	longPoll  = 70 * time.Second // of most workers, longer than servers let polls wait
	shortPoll = 15 * time.Second // of some
	cacheMax  = 6                // runs; small, so that they are replayed now and then
)

func newWorker(w *World, queue, name string) *worker {
	return &worker{actor: actor{world: w, rand: w.U.Rand(name), name: name}, queue: queue}
}

// begin starts a life: an empty memory, a sticky queue of its own, fresh polls.
func (x *worker) begin() {
	if x.world.stopped {
		return
	}
	x.life++
	x.sticky = fmt.Sprintf("%s-sticky-%d", x.name, x.life)
	x.cache, x.began = map[string]*program.Instance{}, map[string]int64{}
	x.polls = nil
	namespace := x.world.cfg.Namespace
	workflowPoll := func(q *taskqueuepb.TaskQueue) func() proto.Message {
		return func() proto.Message {
			return &workflowservice.PollWorkflowTaskQueueRequest{Namespace: namespace, TaskQueue: proto.Clone(q).(*taskqueuepb.TaskQueue), Identity: x.name}
		}
	}
	normal := &taskqueuepb.TaskQueue{Name: x.queue, Kind: enumspb.TASK_QUEUE_KIND_NORMAL}
	sticky := &taskqueuepb.TaskQueue{Name: x.sticky, Kind: enumspb.TASK_QUEUE_KIND_STICKY, NormalName: x.queue}
	takeTask := func(m proto.Message) { x.taskGiven(m.(*workflowservice.PollWorkflowTaskQueueResponse)) }
	x.poll(workflowPoll(normal), takeTask)
	x.poll(workflowPoll(sticky), takeTask)
	for range 2 {
		x.poll(func() proto.Message {
			return &workflowservice.PollActivityTaskQueueRequest{Namespace: namespace, TaskQueue: &taskqueuepb.TaskQueue{Name: x.queue}, Identity: x.name}
		}, func(m proto.Message) { x.activityGiven(m.(*workflowservice.PollActivityTaskQueueResponse)) })
	}
}

func (x *worker) poll(req func() proto.Message, take func(proto.Message)) {
	p := &poller{x: x, life: x.life, req: req, take: take}
	x.polls = append(x.polls, p)
	p.next()
}

// next polls once; what comes is worked on beside the next poll.
func (p *poller) next() {
	x := p.x
	if x.life != p.life || x.world.stopped {
		return
	}
	p.call = x.call(p.req(), universe.Pick(x.rand, longPoll, longPoll, shortPoll), func(r cluster.Result) {
		p.call = nil
		if x.life != p.life {
			return
		}
		if r.OK() {
			p.take(r.Message)
			x.world.U.After(x.rand.Spread(time.Microsecond, time.Millisecond), p.next)
			return
		}
		x.world.U.After(x.rand.Spread(50*time.Millisecond, 2*time.Second), p.next)
	})
}

// die ends the process; another one starts after a while.
func (x *worker) die() {
	if x.life == 0 {
		return
	}
	x.world.Counts.Deaths++
	x.stop()
	x.world.U.After(x.rand.Spread(10*time.Millisecond, 20*time.Second), x.begin)
}

// stop ends the polls and forgets everything.
func (x *worker) stop() {
	x.life++
	for _, p := range x.polls {
		if p.call != nil {
			p.call.GiveUp()
		}
	}
	x.polls, x.cache = nil, nil
}

// alive guards what a life does later.
func (x *worker) alive(f func()) func() {
	life := x.life
	return func() {
		if x.life == life {
			f()
		}
	}
}

// later does f after the time that some work takes; sometimes that is too long.
func (x *worker) later(usual time.Duration, f func()) {
	d := x.rand.Spread(100*time.Microsecond, usual)
	if x.world.bad(x.rand, x.world.cfg.Late) {
		d += x.rand.Between(time.Second, 30*time.Second)
	}
	x.world.U.After(d, x.alive(f))
}

// forged is a token that is not the task's own, if the worker cheats now.
func (x *worker) forged(own []byte) ([]byte, bool) {
	if !x.world.bad(x.rand, x.world.cfg.Forge) {
		return own, false
	}
	if len(x.old) > 0 && x.rand.IntN(2) == 0 {
		return x.old[x.rand.IntN(len(x.old))], true
	}
	bent := append([]byte(nil), own...)
	if len(bent) > 0 {
		bent[x.rand.IntN(len(bent))] ^= byte(1 + x.rand.IntN(255))
		x.world.bent[string(bent)] = true
	}
	return bent, true
}

// spent remembers the token of a task that has ended, for later mischief. One that
// is still good would be no forgery: who has it may answer as it likes.
func (x *worker) spent(token []byte, r cluster.Result) {
	if !r.OK() && r.Code() != port.NotFound {
		return
	}
	const most = 16
	if len(x.old) < most {
		x.old = append(x.old, token)
		return
	}
	x.old[x.rand.IntN(most)] = token
}
