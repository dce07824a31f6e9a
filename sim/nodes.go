package sim

import (
	"fmt"
	"time"

	"perdure/core/port"
	"perdure/sim/cluster"
	"perdure/sim/universe"
)

// nodes keeps a process running and breaks it. Node 1 is the one that clients
// should have; node 2 is a rival that believes the same of itself for a while,
// as happens when a dead node turns out to be alive.
type nodes struct {
	s      *simulation
	rand   *universe.Rand
	first  *cluster.Process
	rival  *cluster.Process
	healed bool
	Rivals int

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
	n.boot()
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

func (n *nodes) boot() {
	if n.first != nil && n.first.Up() {
		return
	}
	n.first = n.s.cluster.Boot(1, n.skew())
}

// skew is how far the clock is off after a start.
func (n *nodes) skew() time.Duration {
	most := n.s.plan.Faults.Skew
	if n.healed || most == 0 {
		return 0
	}
	return n.rand.Between(-most, most)
}

// target is a process that lives.
func (n *nodes) target(r *universe.Rand) *cluster.Process {
	a, b := n.first, n.rival
	if b != nil && b.Up() && (!a.Up() || r.IntN(2) == 0) {
		return b
	}
	if a != nil && a.Up() {
		return a
	}
	return nil
}

func (n *nodes) some() *cluster.Process { return n.target(n.rand) }

// again boots node 1 after a while.
func (n *nodes) again() {
	n.s.u.After(n.rand.Spread(100*time.Microsecond, n.s.plan.Faults.DownTime), n.boot)
}

func (n *nodes) crash() {
	if n.first.Up() {
		n.first.Crash()
		n.again()
	}
}

func (n *nodes) drain() {
	if n.first.Up() {
		n.first.Drain(n.rand.Spread(time.Millisecond, 10*time.Second), n.again)
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
// later, and then the other. (Nobody tells a stale owner that its rival is gone:
// that is the membership's part, which does not exist yet.)
func (n *nodes) challenge() {
	if n.rival != nil && n.rival.Up() {
		return
	}
	n.Rivals++
	n.rival = n.s.cluster.Boot(port.NodeID(2), n.skew())
	order := []*cluster.Process{n.first, n.rival}
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
	n.s.u.After(at+n.rand.Spread(time.Millisecond, time.Second), n.boot)
}

// heal ends all that, with node 1 up and alone.
func (n *nodes) heal() {
	n.healed = true
	if n.rival != nil && n.rival.Up() {
		n.rival.Crash()
		if n.first.Up() {
			n.first.Crash()
		}
	}
	n.first.Resume()
	n.s.u.After(time.Second, n.boot)
}
