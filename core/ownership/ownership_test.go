package ownership

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"perdure/core/port"
	"perdure/core/store"
	"perdure/core/store/memory"
)

const shard = store.ShardID(5)

func member(n port.NodeID) port.Member {
	return port.Member{Node: n, Address: "host", Roles: port.AllRoles}
}

func view(nodes ...port.NodeID) *port.Members {
	m := &port.Members{}
	for _, n := range nodes {
		m.All = append(m.All, member(n))
	}
	return m
}

// world is some nodes with one seat each, a store, and the messages under way.
type world struct {
	t     testing.TB
	now   time.Duration
	store *memory.Store
	nodes map[port.NodeID]*host
	wire  []port.Send
	open  int // opens that displaced an owner who was alive and reachable
}

// host is the machine around a seat, as a shard is.
type host struct {
	w     *world
	id    port.NodeID
	seat  Seat
	fence store.Fence // of the journal, if it is open
	out   port.Effects
	deaf  bool // gets no messages
	opens int
}

func newWorld(t testing.TB, nodes ...port.NodeID) *world {
	w := &world{t: t, store: memory.New(), nodes: map[port.NodeID]*host{}}
	if err := w.store.Create(shard, store.Strips{To: 16}, 0); err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes {
		h := &host{w: w, id: n}
		h.seat = New(Config{Self: port.ShardAddress(n, shard), Shard: shard, Members: view(), Rand: func() uint64 { return uint64(n) * 7919 }})
		h.seat.Enable()
		w.nodes[n] = h
	}
	return w
}

func (w *world) clock() port.Clock { return port.Clock{Wall: time.Unix(0, 0).Add(w.now), Mono: w.now} }

// step lets one node handle an input, nil for the time alone, and does what it orders.
func (h *host) step(in port.Input) {
	w := h.w
	if in != nil {
		if m, ok := in.(*port.Members); ok {
			h.seat.View(m)
		} else if !h.seat.Handle(w.clock(), in, &h.out) {
			w.t.Fatalf("node %d: %T was not handled", h.id, in)
		}
	}
	for {
		order := h.seat.End(w.clock(), &h.out)
		switch order {
		case Open:
			o, err := w.store.Open(store.Open{Shard: shard, Owner: member(h.id).Owner(), Nonce: store.Nonce(w.now) + store.Nonce(h.id)})
			if err != nil {
				w.t.Fatal(err)
			}
			if n := port.OwnerNode(o.Address); n != 0 && n != h.id && !w.nodes[n].deaf {
				w.open++
			}
			h.fence = store.Fence{Shard: shard, Epoch: o.Epoch, Nonce: store.Nonce(w.now) + store.Nonce(h.id)}
			h.opens++
			h.seat.Opened(w.clock())
		case Yield:
			h.fence = store.Fence{}
			h.seat.Lost(w.clock())
		case Leave:
			if err := w.store.Release(h.fence); err != nil && !errors.Is(err, store.ErrFenced) {
				w.t.Fatal(err)
			}
			h.fence = store.Fence{}
			h.seat.Left(&h.out)
		}
		var asked []port.Input
		for _, e := range h.out.List {
			switch e := e.(type) {
			case port.Send:
				w.wire = append(w.wire, e)
			case port.AskOwner:
				owners, _ := w.store.Owners([]store.ShardID{e.Shard})
				asked = append(asked, &port.Completed{Tag: e.Tag, Held: owners[0]})
			}
		}
		h.out.Reset()
		for _, a := range asked {
			h.seat.Handle(w.clock(), a, &h.out)
		}
		if order == Nothing && len(asked) == 0 && len(h.out.List) == 0 {
			return
		}
	}
}

// deliver hands over the i-th message under way.
func (w *world) deliver(i int) {
	m := w.wire[i]
	w.wire = append(w.wire[:i:i], w.wire[i+1:]...)
	if h := w.nodes[m.To.Node]; h != nil && !h.deaf {
		h.step(m.In)
	}
}

// pass lets time pass, with a step of every node each 100 ms; owners notice that they were displaced.
func (w *world) pass(d time.Duration) {
	for end := w.now + d; w.now < end; {
		w.now += 100 * time.Millisecond
		for n := port.NodeID(1); n <= port.NodeID(len(w.nodes)); n++ {
			h := w.nodes[n]
			if still, _ := w.store.Confirm([]store.Fence{h.fence}); h.fence.Epoch != 0 && !still[0] {
				h.fence = store.Fence{}
				h.seat.Lost(w.clock())
			}
			h.step(nil)
		}
		for len(w.wire) > 0 {
			w.deliver(0)
		}
	}
}

func (w *world) owner() port.NodeID {
	owners, _ := w.store.Owners([]store.ShardID{shard})
	return port.OwnerNode(owners[0].Address)
}

// wanted is the node that a view puts the shard at.
func wanted(t testing.TB, m *port.Members) port.NodeID {
	for _, x := range m.All {
		s := New(Config{Self: port.ShardAddress(x.Node, shard), Shard: shard})
		s.Enable()
		s.View(m)
		if s.wants() {
			return x.Node
		}
	}
	t.Fatal("nobody")
	return 0
}

// When the view moves a shard its owner leaves it for the new one: nobody is displaced.
func TestOwnerLeavesForWhoIsPlaced(t *testing.T) {
	w := newWorld(t, 1, 2, 3)
	all := view(1, 2, 3)
	to := wanted(t, all)
	first := to%3 + 1
	w.nodes[first].step(view(first))
	w.pass(time.Second)
	if w.owner() != first {
		t.Fatalf("the owner is node %d", w.owner())
	}
	for _, h := range w.nodes {
		h.step(all)
	}
	w.pass(5 * time.Second)
	if w.owner() != to || w.open != 0 || w.nodes[first].fence.Epoch != 0 {
		t.Errorf("the owner is node %d, not %d; %d were displaced", w.owner(), to, w.open)
	}
}

// Two nodes that both believe to be the owner, and reach each other: the first one keeps the shard.
func TestViewsThatDisagreeMoveNothing(t *testing.T) {
	w := newWorld(t, 1, 2)
	w.nodes[1].step(view(1))
	w.pass(time.Second)
	w.nodes[2].step(view(2))
	w.pass(5 * time.Minute)
	if w.owner() != 1 || w.nodes[1].opens != 1 || w.nodes[2].opens != 0 {
		t.Errorf("the owner is node %d; opened %d and %d times", w.owner(), w.nodes[1].opens, w.nodes[2].opens)
	}
}

// An owner that does not answer is displaced, after a while.
func TestSilentOwnerIsDisplaced(t *testing.T) {
	w := newWorld(t, 1, 2)
	w.nodes[1].step(view(1))
	w.pass(time.Second)
	w.nodes[1].deaf = true
	w.nodes[2].step(view(2))
	w.pass(unseen - 200*time.Millisecond)
	if w.owner() != 1 {
		t.Fatal("displaced at once")
	}
	w.pass(2 * time.Second)
	if w.owner() != 2 {
		t.Error("never displaced")
	}
}

// Two nodes that reach the store and not each other displace each other, but ever more seldom.
func TestDisputesSlowDown(t *testing.T) {
	w := newWorld(t, 1, 2)
	w.nodes[1].deaf, w.nodes[2].deaf = true, true
	w.nodes[1].step(view(1))
	w.nodes[2].step(view(2))
	w.pass(2 * time.Minute)
	if n := w.nodes[1].opens + w.nodes[2].opens; n > 20 {
		t.Errorf("%d opens in two minutes", n)
	}
}

// Two servers that nobody told of each other: the one that is talked to keeps the
// shard but for moments, whatever the other one has left to do.
func TestWhoIsAskedKeepsTheShardFromOneThatIsAlone(t *testing.T) {
	w := newWorld(t, 1, 2)
	for n := port.NodeID(1); n <= 2; n++ {
		w.nodes[n].step((*port.Members)(nil))
	}
	had := 0
	const tenths = 3000
	for range tenths {
		w.nodes[2].seat.Asked()
		w.pass(100 * time.Millisecond)
		if w.owner() == 2 {
			had++
		}
	}
	if had < tenths*9/10 {
		t.Errorf("it had the shard for %d of %d tenths of a second", had, tenths)
	}
	if n := w.nodes[1].opens; n > 15 {
		t.Errorf("the other one took it %d times", n)
	}
}

// Two such servers that are both talked to take turns, each long enough to do something.
func TestTwoThatAreAskedTakeTurns(t *testing.T) {
	w := newWorld(t, 1, 2)
	for n := port.NodeID(1); n <= 2; n++ {
		w.nodes[n].step((*port.Members)(nil))
	}
	had := map[port.NodeID]int{}
	const tenths = 600
	for range tenths {
		w.nodes[1].seat.Asked()
		w.nodes[2].seat.Asked()
		w.pass(100 * time.Millisecond)
		had[w.owner()]++
	}
	if had[1] < tenths/5 || had[2] < tenths/5 {
		t.Errorf("the first had the shard for %d of %d tenths of a second, the second for %d", had[1], tenths, had[2])
	}
	if n := w.nodes[1].opens + w.nodes[2].opens; n > 60 {
		t.Errorf("%d opens in a minute", n)
	}
}

func TestDrainingNodeLeavesAtOnceAndStaysAway(t *testing.T) {
	w := newWorld(t, 1, 2)
	h := w.nodes[1]
	h.step(view(1))
	w.pass(time.Second)
	h.seat.Drain()
	w.pass(time.Minute)
	if w.owner() != 0 || h.opens != 1 {
		t.Errorf("the owner is node %d, opened %d times", w.owner(), h.opens)
	}
}

// Whatever views nodes had, whatever was lost: once all views are the same and
// messages arrive, the node that is placed owns the shard, and it stays so.
func TestEqualViewsSettle(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t, 1, 2, 3)
		node := func() port.NodeID { return port.NodeID(rapid.IntRange(1, 3).Draw(rt, "node")) }
		rt.Repeat(map[string]func(*rapid.T){
			"view": func(rt *rapid.T) {
				n := node()
				nodes := []port.NodeID{}
				for x := port.NodeID(1); x <= 3; x++ {
					if x == n || rapid.Bool().Draw(rt, "sees") {
						nodes = append(nodes, x)
					}
				}
				w.nodes[n].step(view(nodes...))
			},
			"deaf": func(rt *rapid.T) { h := w.nodes[node()]; h.deaf = !h.deaf },
			"pass": func(rt *rapid.T) {
				w.pass(time.Duration(rapid.IntRange(1, 50).Draw(rt, "tenths")) * 100 * time.Millisecond)
			},
			"lose": func(rt *rapid.T) { w.wire = nil },
			"late": func(rt *rapid.T) {
				if n := len(w.wire); n > 0 {
					w.deliver(rapid.IntRange(0, n-1).Draw(rt, "message"))
				}
			},
			"tick": func(rt *rapid.T) { w.now += time.Millisecond; w.nodes[node()].step(nil) },
		})
		all := view(1, 2, 3)
		for n := port.NodeID(1); n <= 3; n++ {
			w.nodes[n].deaf = false
			w.nodes[n].step(all)
		}
		w.pass(2 * time.Minute)
		to := wanted(t, all)
		if w.owner() != to || !w.nodes[to].seat.Holds() {
			rt.Fatalf("the owner is node %d, not %d", w.owner(), to)
		}
		opens := w.nodes[to].opens
		w.pass(time.Minute)
		if w.owner() != to || w.nodes[to].opens != opens {
			rt.Fatalf("the shard moved on with nothing to move it")
		}
	})
}

// Holds says that the journal is open and stays so.
func (s *Seat) Holds() bool { return s.phase == holding }
