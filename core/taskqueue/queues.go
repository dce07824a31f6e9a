// Package taskqueue matches tasks with the workers that poll for them. One
// machine, Queues, owns a part of all task queues of a node.
//
// It holds soft state only: the polls that wait, the heads of each queue's
// backlog, and queries nobody has picked up yet. The backlog itself stays with
// the shards, which validate every task when it is given out (port.Taken), so a
// task handed out twice is harmless and a machine that starts empty loses
// nothing but polls.
//
// Fault model: messages between this machine and one shard arrive in order.
// Any of them may be lost; what a lost one would have said is learned again at
// the next renewal of the subscription. Two machines may own one queue for a while.
//
// Invariants:
//
//	Q1  A queue with a waiting poll knows no task: nobody waits beside work.
//	Q2  The window of a shard has no gaps: every untaken task it was told of, with a
//	    key up to the point read, is in the window or on its way in a Taken.
//	Q3  A queue with a waiting poll is subscribed at every shard of the layout
//	    and renews at least every renewEvery.
//	Q4  A poll is in one place: waiting here, on its way to a shard, or ended.
//	Q5  A query that was offered is kept, taken or declined while its shard is in
//	    the layout; never forgotten.
//	Q6  A queue without polls that was not seen for its memory holds nothing.
//	Q7  Tasks in memory stay within Config.Budget and one task a window.
//	Q8  The armed alarm is never later than the earliest timer.
package taskqueue

import (
	"fmt"
	"time"

	"perdure/core/port"
	"perdure/core/store"
)

// Periods. All are measured in monotonic time; a jump of the wall clock does not touch them.
const (
	renewEvery   = 10 * time.Second // of subscriptions, while polls wait
	subscribeFor = 30 * time.Second // so two renewals may be lost
	stickyMemory = 10 * time.Second // without a poll a sticky queue is dead after it
	normalMemory = 20 * time.Second // without a poll queries of a normal queue are refused after it
)

// wallSlack is how far the wall clock may fall behind before the alarm is set anew:
// an alarm is in wall time, and would ring as much too late.
const wallSlack = time.Second

// expirePerStep bounds the timers handled in one step; the rest follows in the next.
const expirePerStep = 256

// Config is fixed at construction.
type Config struct {
	Self    port.Address
	Members *port.Members // the first view; nil: this node is alone

	// Window is how many tasks of one queue are listed from one shard: 100 (1 to 1,000).
	Window int
	// Queries is how many queries of one queue are kept: 1,000 (1 to 10,000).
	Queries int
	// Parts of all task queues at this node, when it is alone: 1.
	Parts int
	// Budget bounds the bytes of all tasks in memory: 64 MiB (0.1 KiB to 1 GiB).
	Budget int
}

// Queues is the machine.
type Queues struct {
	cfg      Config
	started  time.Duration
	members  *port.Members // nil: this node is alone
	layout   []store.ShardID
	shards   []port.Address        // where they are, as far as is known; in the order of the layout
	epochs   []store.Epoch         // of their owners, 0: not heard of
	followed []time.Duration       // when each may be followed elsewhere again
	places   map[store.ShardID]int // of each shard in the layout; looked up only
	queues   map[port.QueueKey]*queue
	calls    map[port.Call]*waiter
	timers   timers
	armed    bool
	alarm    time.Duration // when the armed alarm fires
	rings    time.Time     // the same in wall time, as that was then
	bytes    int           // of all tasks in memory
	free     *waiter       // waiters to use again
	draining bool
}

// New makes the machine; its first input is port.Start.
func New(cfg Config) *Queues {
	if cfg.Window == 0 {
		cfg.Window = 100
	}
	if cfg.Queries == 0 {
		cfg.Queries = 1000
	}
	if cfg.Parts == 0 {
		cfg.Parts = 1
	}
	if cfg.Budget == 0 {
		cfg.Budget = 64 << 20
	}
	return &Queues{
		cfg:     cfg,
		members: cfg.Members,
		queues:  map[port.QueueKey]*queue{},
		calls:   map[port.Call]*waiter{},
	}
}

// Step implements port.Machine.
func (m *Queues) Step(now port.Clock, in port.Input, out *port.Effects) {
	m.expire(now, out)
	switch in := in.(type) {
	case port.Offer:
		m.offer(now, &in, out)
	case *port.Poll:
		m.admit(now, in, false, out)
	case port.Untaken:
		m.admit(now, in.Poll, true, out)
	case port.Elsewhere:
		m.elsewhere(now, &in, out)
	case *port.Members:
		m.view(now, in, out)
	case port.Backlog:
		m.backlog(now, &in, out)
	case port.Withdrawn:
		m.withdraw(&in.Task)
	case *port.Request:
		m.shutdown(now, in, out)
	case port.Gone:
		m.gone(now, in.Call)
	case port.Alarmed:
		m.armed = false
	case port.Published:
		m.publish(now, in.Snapshot, out)
	case port.Start:
		m.started = now.Mono
	case port.Drain:
		m.drain(now, out)
	case port.Undelivered:
		// Only empty answers are sent from here; nothing is lost with one.
	default:
		panic(fmt.Sprintf("taskqueue: unexpected input %T", in))
	}
	m.arm(now, out)
}

// expire handles what is due: polls that end empty, queues to renew or forget.
func (m *Queues) expire(now port.Clock, out *port.Effects) {
	for n := 0; n < expirePerStep && len(m.timers) > 0 && m.timers[0].at <= now.Mono; n++ {
		t := m.timers[0].timer
		if t.waiter != nil {
			m.end(now, t.waiter, out)
		} else {
			m.look(now, t.queue, out)
		}
	}
}

// arm asks for an alarm only if the one under way would come too late (Q8). An
// alarm that turns out to be early costs one idle step; taking each one back
// would cost an effect for each poll.
func (m *Queues) arm(now port.Clock, out *port.Effects) {
	if len(m.timers) == 0 {
		return
	}
	at := m.timers[0].at
	if m.armed && m.alarm <= at && now.Wall.Add(m.alarm-now.Mono).After(m.rings.Add(-wallSlack)) {
		return
	}
	m.armed, m.alarm = true, at
	m.rings = now.Wall.Add(at - now.Mono)
	out.Add(port.Alarm{At: m.rings})
}

// Memory tells how many bytes of tasks are held, how many may be, and in how many
// windows, each of which may hold one task whatever the budget (Q7).
func (m *Queues) Memory() (bytes, budget, windows int) {
	for _, q := range m.queues { //ordered: a sum
		windows += len(q.sources) + 1
	}
	return m.bytes, m.cfg.Budget, windows
}
