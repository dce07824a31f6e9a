package sim

import (
	"fmt"
	"time"

	"perdure/core/port"
	"perdure/sim/check"
	"perdure/sim/cluster"
	"perdure/sim/universe"
)

// nodes keeps processes running and breaks them. In a cluster all are alike. Of a
// store without one, node 1 is the one that clients should have; node 2 is a rival that
// believes the same of itself for a while, as happens when a dead node turns out to be alive.
type nodes struct {
	s      *simulation
	rand   *universe.Rand
	all    []*cluster.Process // the latest life of each node
	old    []bool             // nodes whose program was not upgraded yet
	healed bool
	Rivals int

	relayouts int // asked for so far

	happened []Fault // so far
}

// Fault is one fault of a node: the number-th of its kind. Kind and number name the
// stream of chance from which it draws how bad it is.
type Fault struct {
	At     time.Duration
	Kind   string
	Number int
}

func (n *nodes) begin() {
	n.all = make([]*cluster.Process, max(n.count(), 2))
	n.old = make([]bool, len(n.all))
	for i := range n.old {
		n.old[i] = n.s.plan.Faults.Upgrade > 0
	}
	for i := range n.count() {
		if i == 0 || n.rand.IntN(4) > 0 {
			n.boot(i)
		} else { // it joins later
			n.s.u.After(n.rand.Spread(10*time.Millisecond, n.s.plan.Faults.For), func() { n.boot(i) })
		}
	}
	if n.s.script != nil {
		for _, f := range n.s.script.Faults {
			n.s.u.At(f.At, func() { n.happens(f) })
		}
		return
	}
	f := n.s.plan.Faults
	for _, k := range []struct {
		kind string
		mean time.Duration
	}{
		{"crash", f.Crash}, {"drain", f.Drain}, {"stall", f.Stall}, {"pause", f.Pause}, {"jump", f.Jump},
		{"slow", f.Slow}, {"down", f.Down}, {"worker", f.Worker}, {"rival", f.Rival},
		{"split", f.Split}, {"one-way", f.OneWay}, {"link", f.Link}, {"roll", f.Roll}, {"upgrade", f.Upgrade}, {"layout", f.Layout},
	} {
		n.every(k.kind, k.mean)
	}
}

// happens lets a fault happen.
func (n *nodes) happens(f Fault) {
	n.happened = append(n.happened, f)
	n.rand = n.s.u.Rand(fmt.Sprintf("fault %s %d", f.Kind, f.Number))
	switch f.Kind {
	case "crash":
		n.crash()
	case "drain":
		n.drain()
	case "stall":
		if p := n.some(); p != nil {
			p.Stall(n.rand.IntN(64), n.rand.Spread(time.Millisecond, 5*time.Second))
		}
	case "pause":
		n.pause()
	case "jump":
		n.jump()
	case "slow":
		n.s.store.SlowFor(n.rand.Spread(10*time.Millisecond, 5*time.Second))
	case "down":
		n.s.store.DownFor(n.rand.Spread(10*time.Millisecond, 5*time.Second))
	case "worker":
		n.s.world.KillWorker(n.rand)
	case "rival":
		n.challenge()
	case "split":
		n.split()
	case "one-way":
		n.oneWay()
	case "link":
		n.slowLink()
	case "roll":
		n.roll(0)
	case "upgrade":
		n.upgrade(n.rand.IntN(len(n.old)), 0)
	case "layout":
		n.relayout()
	default:
		panic("sim: there is no fault " + f.Kind)
	}
}

// every lets a kind of fault happen again and again until everything heals.
func (n *nodes) every(kind string, mean time.Duration) {
	if mean == 0 {
		return
	}
	rand, number := n.s.u.Rand("faults "+kind), 0
	var again func()
	again = func() {
		if n.healed {
			return
		}
		number++
		n.happens(Fault{n.s.u.Now(), kind, number})
		n.s.u.After(rand.Between(mean/10, 2*mean), again)
	}
	n.s.u.After(rand.Between(0, 2*mean), again)
}

// count is how many nodes there should be.
func (n *nodes) count() int { return max(n.s.plan.Cluster.Nodes, 1) }

func (n *nodes) boot(i int) {
	if !n.up(i) {
		n.all[i] = n.s.cluster.Boot(port.NodeID(i+1), n.skew(), n.level(port.NodeID(i+1)))
	}
}

func (n *nodes) up(i int) bool { return n.all[i] != nil && n.all[i].Up() }

// first is any process that lives, else one that did.
func (n *nodes) first() *cluster.Process {
	for i := range n.all {
		if n.up(i) {
			return n.all[i]
		}
	}
	return n.all[0]
}

// keys are those of task tokens, nil if no node has heard of them.
func (n *nodes) keys() []port.Key {
	for _, p := range n.all {
		if p != nil && p.Snapshot() != nil {
			return p.Snapshot().Keys
		}
	}
	return nil
}

// wall is the time that nodes should have.
func (n *nodes) wall() time.Time {
	if n.count() > 1 {
		return universe.Epoch.Add(n.s.u.Now())
	}
	return n.first().Wall()
}

// skew is how far the clock is off after a start.
func (n *nodes) skew() time.Duration {
	most := n.s.plan.Faults.Skew
	if n.healed || most == 0 {
		return 0
	}
	return n.rand.Between(-most, most)
}

// target is a process that lives and that clients may call.
func (n *nodes) target(r *universe.Rand) *cluster.Process {
	return n.pick(r, func(i int) bool { return n.s.cluster.Serves(port.NodeID(i + 1)) })
}

func (n *nodes) some() *cluster.Process {
	return n.pick(n.rand, func(int) bool { return true })
}

func (n *nodes) pick(r *universe.Rand, may func(int) bool) *cluster.Process {
	var up []*cluster.Process
	for i, p := range n.all {
		if n.up(i) && may(i) {
			up = append(up, p)
		}
	}
	if len(up) == 0 {
		return nil
	}
	return up[r.IntN(len(up))]
}

// again boots a node after a while.
func (n *nodes) again(i int) {
	n.s.u.After(n.rand.Spread(100*time.Microsecond, n.s.plan.Faults.DownTime), func() { n.boot(i) })
}

// one is a node that may go down; a rival goes down by itself.
func (n *nodes) one() int { return n.rand.IntN(n.count()) }

func (n *nodes) crash() {
	if i := n.one(); n.up(i) {
		n.all[i].Crash()
		n.again(i)
	}
}

func (n *nodes) drain() {
	if i := n.one(); n.up(i) {
		n.all[i].Drain(n.rand.Spread(time.Millisecond, 10*time.Second), func() { n.again(i) })
	}
}

// roll drains one node after the other, each when the one before is up again.
func (n *nodes) roll(i int) {
	if i >= n.count() || n.healed {
		return
	}
	next := func() {
		n.boot(i)
		n.s.u.After(n.rand.Spread(10*time.Millisecond, 5*time.Second), func() { n.roll(i + 1) })
	}
	if !n.up(i) {
		next()
		return
	}
	n.all[i].Drain(n.rand.Spread(100*time.Millisecond, 5*time.Second), func() {
		n.s.u.After(n.rand.Spread(time.Millisecond, 2*time.Second), next)
	})
}

// level is what a node's program knows.
func (n *nodes) level(id port.NodeID) port.Level {
	if n.old[id-1] {
		return port.FirstLevel
	}
	return port.NewestLevel
}

// relayoutsMost bounds the layouts of a universe: until its node restarts, the
// machines of a shard that has ended stay, and hear of each change of the registry.
const relayoutsMost = 40

// relayout asks for another number of shards, at whichever node decides that.
func (n *nodes) relayout() {
	if n.relayouts++; n.relayouts > relayoutsMost {
		return
	}
	shards := 1 + n.rand.IntN(12)
	n.s.tell("* the layout is to have %d shards", shards)
	for i := range n.all {
		if n.up(i) {
			n.all[i].Relayout(shards)
		}
	}
}

// upgrade gives one node after the other the newest program, from some node on.
// It stops now and then, as people do, and goes on when the fault happens again.
func (n *nodes) upgrade(first, done int) {
	if done >= len(n.old) || n.healed || n.rand.IntN(4) == 0 {
		return
	}
	i := (first + done) % len(n.old)
	if !n.old[i] {
		n.upgrade(first, done+1)
		return
	}
	n.old[i] = false
	n.s.tell("* node %d gets a newer program", i+1)
	next := func() {
		if i < n.count() {
			n.boot(i)
		}
		n.s.u.After(n.rand.Spread(10*time.Millisecond, 5*time.Second), func() { n.upgrade(first, done+1) })
	}
	if !n.up(i) {
		next()
		return
	}
	n.all[i].Drain(n.rand.Spread(100*time.Millisecond, 5*time.Second), func() {
		n.s.u.After(n.rand.Spread(time.Millisecond, 2*time.Second), next)
	})
}

// refused is a node whose program is too old for its cluster: whoever runs it gets it a newer one.
func (n *nodes) refused(i int) {
	n.old[i] = false
	if i < n.count() {
		n.again(i)
	}
}

// split cuts the nodes into two parts that do not reach each other.
func (n *nodes) split() {
	d := n.rand.Spread(100*time.Millisecond, 30*time.Second)
	side := make([]bool, n.count())
	for i := range side {
		side[i] = n.rand.IntN(2) == 0
	}
	n.s.cluster.Counts.Cuts++
	for i := range side {
		for j := range side {
			if side[i] != side[j] {
				n.s.cluster.Cut(port.NodeID(i+1), port.NodeID(j+1), d)
			}
		}
	}
	n.s.tell("* nodes are split for %v: %v", d, side)
}

// oneWay lets nothing through in one direction of one link.
func (n *nodes) oneWay() {
	from, to := n.one(), n.one()
	if from != to {
		n.s.cluster.Counts.Cuts++
		n.s.cluster.Cut(port.NodeID(from+1), port.NodeID(to+1), n.rand.Spread(100*time.Millisecond, 30*time.Second))
	}
}

func (n *nodes) slowLink() {
	from, to := n.one(), n.one()
	if from != to {
		n.s.cluster.Counts.SlowLinks++
		n.s.cluster.Slow(port.NodeID(from+1), port.NodeID(to+1), n.rand.Spread(100*time.Millisecond, 30*time.Second))
	}
}

func (n *nodes) pause() {
	p := n.some()
	if p == nil {
		return
	}
	p.Pause()
	n.s.u.After(n.rand.Spread(time.Millisecond, 20*time.Second), p.Resume)
}

// jump moves a clock, mostly forward.
func (n *nodes) jump() {
	p := n.some()
	if p == nil {
		return
	}
	d := n.rand.Spread(time.Millisecond, time.Minute)
	if n.rand.IntN(4) == 0 {
		d = -d / 10
	}
	p.Jump(d)
}

// challenge lets a second process open the same shards; one of the two dies
// later, and then the other: nobody tells nodes that are alone of each other.
func (n *nodes) challenge() {
	const rival = 1
	if n.up(rival) {
		return
	}
	n.Rivals++
	n.boot(rival)
	order := []*cluster.Process{n.all[0], n.all[rival]}
	if n.rand.IntN(2) == 0 {
		order[0], order[1] = order[1], order[0]
	}
	at := time.Duration(0)
	for _, p := range order {
		at += n.rand.Spread(10*time.Millisecond, 5*time.Second)
		n.s.u.After(at, func() {
			if p.Up() {
				p.Crash()
			}
		})
	}
	n.s.u.After(at+n.rand.Spread(time.Millisecond, time.Second), func() { n.boot(0) })
}

// told holds what each node knows of the registry against what is durable.
func (n *nodes) told() (breaches []*check.Breach) {
	for i := range n.count() {
		if p := n.all[i]; p != nil && p.Ready() {
			breaches = append(breaches, n.s.ledger.Known(p.Snapshot()), n.s.ledger.LayoutKnown(p.Snapshot()))
		}
	}
	return breaches
}

// relapse crashes the node some more times while runs are removed.
func (n *nodes) relapse(within time.Duration) {
	rand := n.s.u.Rand("relapse")
	if n.s.script != nil || n.s.plan.Faults.Crash == 0 {
		return
	}
	const first = 1000 // number
	for i := range rand.IntN(6) {
		n.s.u.After(rand.Between(within/2, within), func() { n.happens(Fault{n.s.u.Now(), "crash", first + i}) })
	}
}

// heal ends all that: every node is up, and its clock is right if it has others; of
// two rivals none goes on.
func (n *nodes) heal() {
	n.healed = true
	if n.count() == 1 && n.up(1) {
		n.all[1].Crash()
		if n.up(0) {
			n.all[0].Crash()
		}
	}
	for i := range n.count() {
		if p := n.all[i]; p != nil {
			p.Resume()
			if n.count() > 1 {
				p.Jump(-p.Skew())
			}
		}
		n.s.u.After(time.Second, func() { n.finish(i) })
	}
}

// finish ends an upgrade that is not through, and boots what is down.
func (n *nodes) finish(i int) {
	if n.old[i] {
		n.old[i] = false
		if n.up(i) {
			n.all[i].Drain(time.Second, func() { n.boot(i) })
			return
		}
	}
	n.boot(i)
}
