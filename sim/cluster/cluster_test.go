package cluster

import (
	"slices"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"perdure/core/port"
	"perdure/core/validate"
	"perdure/sim/universe"
	"perdure/sim/weakstore"
)

// world is a cluster whose steps are looked at.
type world struct {
	*testing.T
	u       *universe.Universe
	c       *Cluster
	stepped func(p *Process, at port.Address, in port.Input)
}

func (w *world) Issued(proto.Message) any { return nil }

func (w *world) Halted(node port.NodeID, _ port.Level, why string) {
	w.Errorf("node %d halts: %s", node, why)
}

func (w *world) Replied(*Call, *port.Reply) {}

func (w *world) Stepped(p *Process, at port.Address, _ port.Machine, in port.Input, _ []port.Effect) {
	if w.stepped != nil {
		w.stepped(p, at, in)
	}
}

// boot starts so many nodes and waits until all of them serve and see each other.
func boot(t *testing.T, seed uint64, nodes int, edit func(*Config)) *world {
	t.Helper()
	cfg := Config{
		Nodes: nodes, Shards: 2, QueueParts: 1, MemoryBytes: 1 << 20, MinRetention: time.Second, Limits: validate.Defaults(),
		FlushBytes: 1 << 20, FlushAge: time.Second, Hop: time.Millisecond, Wire: time.Millisecond,
		Links: Links{Delay: 10 * time.Millisecond}, Gossip: Gossip{Every: time.Second, Suspect: 4 * time.Second},
	}
	if edit != nil {
		edit(&cfg)
	}
	w := &world{T: t, u: universe.New(seed, nil)}
	w.c = New(w.u, weakstore.New(w.u, weakstore.Config{Fast: time.Microsecond, Slow: time.Millisecond}, nil), cfg, w)
	for _, id := range w.c.ids {
		w.c.Boot(id, 0, port.NewestLevel)
	}
	w.until(func() bool {
		for _, id := range w.c.ids {
			if !w.node(id).Ready() {
				return false
			}
		}
		return nodes == 1 || w.agreed()
	})
	return w
}

func (w *world) node(id port.NodeID) *Process { return w.c.procs[id] }

// until lets things happen until it is so, at most for two minutes.
func (w *world) until(so func() bool) {
	w.Helper()
	for end := w.u.Now() + 2*time.Minute; ; {
		switch {
		case w.u.Now() > end:
			w.Fatalf("not so by %v", end)
		case so():
			return
		case !w.u.Next():
			w.Fatal("nothing happens any more, and it is not so")
		}
	}
}

func (w *world) wait(d time.Duration) {
	w.Helper()
	over := false
	w.u.After(d, func() { over = true })
	w.until(func() bool { return over })
}

// agreed says that all processes that are up see the same nodes, which are up.
func (w *world) agreed() bool {
	var up []port.NodeID
	for _, id := range w.c.ids {
		if p := w.c.procs[id]; p != nil && p.up {
			up = append(up, id)
		}
	}
	for _, id := range up {
		p := w.c.procs[id]
		if p.members == nil || len(p.members.All) != len(up) {
			return false
		}
		for i, m := range p.members.All {
			if m.Node != up[i] {
				return false
			}
		}
	}
	return true
}

// nobody is a node whose calls are not made: that they are gone says nothing to any machine.
const nobody = 99

func registry(id port.NodeID) port.Address { return port.Address{Node: id, Role: port.RoleRegistry} }

// sends sends numbered messages from the registry of a node to a machine.
func (w *world) sends(from port.NodeID, to port.Address, first, last int) {
	p := w.node(from)
	for n := first; n <= last; n++ {
		p.send(p.byAddr[registry(from)], port.Send{To: to, In: port.Gone{Call: port.Call{Node: nobody, ID: uint64(n)}}})
	}
}

// hears collects the numbers of messages as machines are stepped with them.
func (w *world) hears() *[]int {
	var heard []int
	w.stepped = func(_ *Process, _ port.Address, in port.Input) {
		if g, ok := in.(port.Gone); ok && g.Call.Node == nobody {
			heard = append(heard, int(g.Call.ID))
		}
	}
	return &heard
}

// ordered says that numbers grow: nothing overtook, nothing came twice.
func ordered(numbers []int) bool {
	return slices.IsSorted(numbers) && len(slices.Compact(slices.Clone(numbers))) == len(numbers)
}

func TestMessagesInsideANodeAllArriveInOrder(t *testing.T) {
	w := boot(t, 1, 1, nil)
	heard := w.hears()
	w.sends(1, registry(1), 1, 300)
	w.node(1).Stall(0, time.Second)
	w.wait(10 * time.Millisecond)
	w.sends(1, registry(1), 301, 400)
	w.wait(5 * time.Second)
	if len(*heard) != 400 || !ordered(*heard) {
		t.Errorf("%d of 400 arrived, in order: %t", len(*heard), ordered(*heard))
	}
}

// Between nodes messages get lost, come twice and overtake each other; machines see loss alone. Healed links lose nothing.
func TestMessagesBetweenNodesArriveOnceInOrderOrNot(t *testing.T) {
	w := boot(t, 2, 2, nil)
	w.c.cfg.Links.Loss, w.c.cfg.Links.Twice, w.c.cfg.Links.Reorder = 0.1, 0.3, 0.3
	heard := w.hears()
	for n := 1; n <= 1000; n++ {
		w.sends(1, registry(2), n, n)
		w.wait(time.Millisecond)
	}
	w.wait(time.Second)
	if n := len(*heard); !ordered(*heard) || n < 300 || n > 950 {
		t.Errorf("%d of 1000 arrived, once and in order: %t", n, ordered(*heard))
	}
	if x := w.c.Counts; x.LostMessages == 0 || x.Doubled == 0 || x.Reordered == 0 || x.Refused == 0 {
		t.Errorf("counted %+v", x)
	}
	w.c.Heal()
	*heard = nil
	w.sends(1, registry(2), 2001, 3000)
	w.wait(time.Second)
	if len(*heard) != 1000 || !ordered(*heard) {
		t.Errorf("healed: %d of 1000 arrived, in order: %t", len(*heard), ordered(*heard))
	}
}

func TestACutIsOfOneDirectionAndPasses(t *testing.T) {
	w := boot(t, 3, 2, nil)
	heard := w.hears()
	w.c.Cut(1, 2, 3*time.Second)
	w.c.Cut(1, 2, time.Second) // a shorter one does not end the longer
	w.wait(2 * time.Second)
	w.sends(1, registry(2), 1, 10)
	w.sends(2, registry(1), 11, 20)
	w.wait(2 * time.Second)
	if len(*heard) != 10 || (*heard)[0] != 11 {
		t.Fatalf("arrived across a cut from 1 to 2: %v", *heard)
	}
	w.sends(1, registry(2), 21, 30)
	w.wait(time.Second)
	if len(*heard) != 20 {
		t.Errorf("arrived after the cut: %v", *heard)
	}
	w.c.Cut(1, 2, time.Hour)
	w.c.Heal()
	w.sends(1, registry(2), 31, 40)
	w.wait(time.Second)
	if len(*heard) != 30 {
		t.Errorf("arrived after everything healed: %v", *heard)
	}
}

func TestAPausedProcessGoesOnWithWhatCame(t *testing.T) {
	w := boot(t, 4, 1, nil)
	p := w.node(1)
	heard := w.hears()
	w.sends(1, registry(1), 1, 50)
	p.Pause()
	quiet := w.u.Steps()
	w.wait(30 * time.Second)
	if w.u.Steps() != quiet {
		t.Fatalf("%d steps while it was paused", w.u.Steps()-quiet)
	}
	p.Resume()
	w.wait(time.Second)
	if len(*heard) != 50 || !ordered(*heard) {
		t.Errorf("%d of 50 arrived, in order: %t", len(*heard), ordered(*heard))
	}
}

func TestACrashedProcessDoesNothingAnyMore(t *testing.T) {
	for _, paused := range []bool{false, true} {
		w := boot(t, 5, 2, nil)
		p := w.node(2)
		w.stepped = func(x *Process, _ port.Address, _ port.Input) {
			if x == p && !p.Up() {
				t.Fatal("a process was stepped after its end")
			}
		}
		w.sends(1, registry(2), 1, 50)
		if paused {
			p.Pause()
			w.wait(time.Second)
		}
		p.Crash()
		again := w.c.Boot(2, time.Second, port.NewestLevel)
		if p.Boot() == again.Boot() || w.node(2) != again {
			t.Fatal("two lives of a node are one")
		}
		p.Resume()
		w.until(w.agreed)
	}
}

// Views follow what can be reached: both sides of a cut forget the other, and find it again.
func TestViewsFollowCuts(t *testing.T) {
	w := boot(t, 6, 3, nil)
	for _, id := range []port.NodeID{1, 2} {
		w.c.Cut(3, id, 20*time.Second)
	}
	w.wait(10 * time.Second)
	if w.agreed() || len(w.node(3).members.All) != 1 || len(w.node(1).members.All) != 2 {
		t.Errorf("node 3 sees %v, node 1 sees %v", w.node(3).members.All, w.node(1).members.All)
	}
	w.wait(15 * time.Second)
	if !w.agreed() {
		t.Error("the nodes do not see each other after the cut")
	}
	over := false
	w.node(2).Drain(10*time.Second, func() { over = true })
	w.wait(3 * time.Second)
	if over || len(w.node(1).members.All) != 2 {
		t.Errorf("while node 2 drains node 1 sees %v", w.node(1).members.All)
	}
	w.until(func() bool { return over })
	if w.node(2).Up() {
		t.Error("a node that has drained is still there")
	}
}

// register makes a namespace; result is nil until the call ends.
func (w *world) register(name string) *Result {
	var ended *Result
	result := new(*Result)
	w.node(1).Call(&workflowservice.RegisterNamespaceRequest{Namespace: name, WorkflowExecutionRetentionPeriod: durationpb.New(time.Hour)}, 20*time.Second, port.Client{}, func(r Result) {
		if *result != nil {
			w.Fatal("a call ended twice")
		}
		*result = &r
		ended = &r
	})
	w.until(func() bool { return ended != nil })
	w.wait(30 * time.Second) // a second end would come by now
	return ended
}

func (w *world) isThere(name string) bool {
	var ended *Result
	w.node(1).Call(&workflowservice.DescribeNamespaceRequest{Namespace: name}, 20*time.Second, port.Client{}, func(r Result) { ended = &r })
	w.until(func() bool { return ended != nil })
	if !ended.OK() && ended.Code() != port.NotFound {
		w.Fatalf("describing %s: %+v", name, ended)
	}
	return ended.OK()
}

// A lost request has no effect, a lost reply has: its client cannot tell.
func TestWhatIsLostOnTheWire(t *testing.T) {
	for _, c := range []struct {
		what           string
		calls, wires   float64
		lost, happened bool
	}{{"nothing", 0, 0, false, true}, {"the request", 1, 0, true, false}, {"the reply", 0, 1, true, true}} {
		w := boot(t, 7, 1, func(cfg *Config) { cfg.CallLoss, cfg.WireLoss = c.calls, c.wires })
		r := w.register("one")
		w.c.Heal()
		if r.Lost != c.lost || r.OK() == c.lost || w.isThere("one") != c.happened {
			t.Errorf("%s is lost: the client has %+v, the namespace is there: %t", c.what, *r, w.isThere("one"))
		}
	}
}

// polls begins a poll that finds nothing.
func (w *world) polls(timeout time.Duration, done func(Result)) *Call {
	w.Helper()
	if r := w.register("one"); !r.OK() {
		w.Fatalf("%+v", *r)
	}
	q := &taskqueuepb.TaskQueue{Name: "q", Kind: enumspb.TASK_QUEUE_KIND_NORMAL}
	call := w.node(1).Call(&workflowservice.PollWorkflowTaskQueueRequest{Namespace: "one", TaskQueue: q}, timeout, port.Client{}, done)
	w.wait(time.Second)
	return call
}

func TestCallsOfACrashedProcessAreLost(t *testing.T) {
	w := boot(t, 8, 1, nil)
	var ended *Result
	w.polls(time.Hour, func(r Result) { ended = &r })
	w.node(1).Crash()
	w.until(func() bool { return ended != nil })
	if !ended.Lost {
		t.Errorf("a call under way: %+v", *ended)
	}
	if r := w.register("two"); !r.Lost {
		t.Errorf("a call after the crash: %+v", *r)
	}
}

// Its machine learns that nobody waits any more.
func TestACallThatIsGivenUpNeverEnds(t *testing.T) {
	w := boot(t, 9, 1, nil)
	call := w.polls(40*time.Second, func(r Result) { t.Errorf("it ended with %+v", r) })
	gone := false
	w.stepped = func(_ *Process, at port.Address, in port.Input) {
		_, is := in.(port.Gone)
		gone = gone || is && at.Role == port.RoleQueues
	}
	call.GiveUp()
	w.wait(time.Second)
	if !gone {
		t.Error("the queue still waits")
	}
	w.wait(time.Minute)
}

func TestACallEndsAtItsDeadline(t *testing.T) {
	w := boot(t, 9, 1, nil)
	w.register("one")
	w.node(1).Pause()
	begun, ended := w.u.Now(), time.Duration(0)
	w.node(1).Call(&workflowservice.DescribeNamespaceRequest{Namespace: "one"}, 3*time.Second, port.Client{}, func(r Result) {
		if ended = w.u.Now(); !r.Lost {
			t.Errorf("a paused node answered: %+v", r)
		}
	})
	w.wait(time.Minute)
	if ended-begun != 3*time.Second {
		t.Errorf("it ended after %v", ended-begun)
	}
}

func TestAClusterFollowsFromItsSeed(t *testing.T) {
	sum := func(seed uint64) uint64 {
		w := boot(t, seed, 3, func(cfg *Config) {
			cfg.Links.Loss, cfg.Links.Twice, cfg.Links.Reorder, cfg.Gossip.Forget = 0.02, 0.05, 0.05, 0.05
		})
		w.u.After(5*time.Second, w.node(2).Crash)
		w.u.After(9*time.Second, func() { w.c.Boot(2, 3*time.Second, port.NewestLevel) })
		w.wait(time.Minute)
		return w.u.Sum()
	}
	if a, b, other := sum(10), sum(10), sum(11); a != b || a == other {
		t.Errorf("seed 10 gave %016x and %016x, seed 11 %016x", a, b, other)
	}
}

// A network may bring the second copy of a reply after its caller had the first
// and the node was restarted: nobody is told that it was not delivered.
func TestAReplyToAnEarlierLifeIsNotCalledUndelivered(t *testing.T) {
	w := boot(t, 12, 2, nil)
	told := map[uint64]bool{}
	w.stepped = func(p *Process, _ port.Address, in port.Input) {
		if u, is := in.(port.Undelivered); is && p.id == 2 {
			told[u.Reply.Call.ID] = true
		}
	}
	answers := func(id uint64) {
		p := w.node(2)
		p.reply(p.byAddr[registry(2)], port.Reply{Call: port.Call{Node: 1, ID: id}, Refusal: port.Refuse(port.NotFound, "nothing"), Token: &port.Token{}})
		w.wait(time.Second)
	}
	call := func() uint64 {
		ended := false
		c := w.node(1).Call(&workflowservice.ListNamespacesRequest{}, time.Minute, port.Client{}, func(Result) { ended = true })
		w.until(func() bool { return ended })
		return c.id
	}
	before := call()
	w.node(1).Crash()
	w.c.Boot(1, 0, port.NewestLevel)
	w.until(func() bool { return w.node(1).Ready() })
	now := call()
	answers(before)
	answers(now)
	if told[before] || !told[now] {
		t.Errorf("told that the reply to a call of the earlier life found nobody: %t, of the present life: %t", told[before], told[now])
	}
}
