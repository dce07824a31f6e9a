package sim

import (
	"time"

	"perdure/core/run"
	"perdure/core/validate"
	"perdure/sim/cluster"
	"perdure/sim/universe"
	"perdure/sim/weakstore"
	"perdure/sim/workload"
)

// Plan is everything that is drawn before a universe begins. Each seed has some
// faults and not others, so that a rare path is not hidden behind a common one.
type Plan struct {
	Cluster cluster.Config
	Store   weakstore.Config
	World   workload.Config
	Faults  Faults
}

// Faults says how often things go wrong with nodes, machines and the store; zero: never.
type Faults struct {
	For time.Duration // virtual time until everything heals

	Crash, Drain, Stall, Pause, Jump, Slow, Down, Worker, Rival, Split, OneWay, Link, Roll, Upgrade, Layout time.Duration // mean time between two of a kind

	DownTime time.Duration // at most, of a crashed node
	Skew     time.Duration // at most, of a clock after a start
}

// minRetention is longer than a message between runs may be repeated (run.MessageAge),
// and longer than a record may collect changes while the store is down or the
// process paused: a run that closes and goes in one record leaves no trace for the
// checkers to look at.
const minRetention = run.MessageAge + 5*time.Minute

// Draw makes the plan of a seed. Calm plans have no faults at all.
func Draw(seed uint64, calm bool) Plan {
	r := universe.Stream(seed, 0x706c616e)
	p := Plan{
		Cluster: cluster.Config{
			Shards: 1 + r.IntN(4), QueueParts: 1 + r.IntN(4), MemoryBytes: 192 << 20,
			MinRetention: time.Second, Hop: r.Spread(20*time.Microsecond, 20*time.Millisecond), Wire: r.Spread(time.Millisecond, 100*time.Millisecond),
			FlushBytes: int(r.Spread(1<<10, 8<<20)), FlushAge: r.Spread(time.Millisecond, 10*time.Second), Limits: validate.Defaults(),
		},
		Store: weakstore.Config{Kind: universe.Pick(r, weakstore.SQLite, weakstore.SQL, weakstore.Cassandra), Fast: 10 * time.Microsecond, Slow: r.Spread(200*time.Microsecond, 50*time.Millisecond), LateBy: 10 * time.Second},
		World: workload.Config{
			Namespace: "sim", Retention: r.Between(minRetention, 40*time.Minute), Queues: 1 + r.IntN(2), Workers: 1 + r.IntN(2), Clients: 1 + r.IntN(4),
			Starts: 8 + r.IntN(40), Pool: 1 + r.IntN(12), Depth: r.IntN(3), Pace: r.Spread(100*time.Millisecond, 10*time.Second), Query: 0.08 * r.Float64(),
		},
		Faults: Faults{For: r.Between(10*time.Second, 90*time.Second), DownTime: r.Spread(time.Millisecond, 20*time.Second)},
	}
	p.Cluster.PackBytes = p.Cluster.FlushBytes >> 6
	if r.IntN(8) == 0 { // more runs than caches keep
		p.World.Starts, p.World.Pool, p.World.Pace = 150, 100, p.World.Pace/10
		p.Cluster.Shards, p.Cluster.MemoryBytes = 1, 16<<10
	} else if r.IntN(4) == 0 { // caches and windows that are always full
		p.Cluster.MemoryBytes = int(r.Spread(16<<10, 1<<20))
	}
	if r.IntN(4) == 0 {
		p.Cluster.Limits.BufferedEvents = 2 + r.IntN(6)
	}
	if r.IntN(2) == 0 {
		p.Store.Step = 1 + r.IntN(50)
	}
	if r.IntN(3) == 0 { // queues that ask shards again and again
		p.Cluster.QueueWindow = 1 + r.IntN(4)
	}
	if r.IntN(6) == 0 {
		p.World.Query = 0.2 + 0.3*r.Float64()
	}
	if !calm {
		p.drawFaults(r)
	}
	p.drawNodes(universe.Stream(seed, 0x6e6f6465), calm)
	if r := universe.Stream(seed, 0x6c657665); !calm && r.IntN(4) == 0 {
		p.Faults.Upgrade = r.Between(2*time.Second, 40*time.Second)
		p.Faults.For += time.Minute // the level is not raised at once
	}
	if r := universe.Stream(seed, 0x6c61796f); !calm && r.IntN(3) == 0 {
		p.Faults.Layout = r.Spread(300*time.Millisecond, 30*time.Second)
	}
	if r := universe.Stream(seed, 0x68697374); r.IntN(4) > 0 { // histories that are read in many parts
		p.Cluster.HistoryRows = 1 + r.IntN(3)
	}
	return p
}

// drawNodes makes a cluster of a node, unless its store is for one process alone.
func (p *Plan) drawNodes(r *universe.Rand, calm bool) {
	c := &p.Cluster
	c.Nodes = 1
	if p.Store.Kind == weakstore.SQLite || r.IntN(4) == 0 {
		return
	}
	c.Nodes = 2 + r.IntN(6)
	c.RolesApart = r.IntN(3) == 0
	c.Shards = 1 + r.IntN(8)
	c.Links.Delay = r.Spread(100*time.Microsecond, 50*time.Millisecond)
	c.Gossip = cluster.Gossip{Every: r.Between(200*time.Millisecond, 2*time.Second)}
	c.Gossip.Suspect = c.Gossip.Every*3 + r.Between(0, 3*time.Second)
	p.Faults.Rival = 0
	if calm {
		return
	}
	rate := func(most float64) float64 { return some(r, most*r.Float64()) }
	c.Links.Loss, c.Links.Twice, c.Links.Reorder = rate(0.03), rate(0.05), rate(0.05)
	c.Gossip.Forget, c.Gossip.Alone = rate(0.1), rate(0.5)
	mean := func() time.Duration { return some(r, r.Between(3*time.Second, 30*time.Second)) }
	f := &p.Faults
	f.Split, f.OneWay, f.Link, f.Roll = mean(), mean(), mean(), mean()*4
	if p.World.Reads == 0 && r.IntN(3) == 0 { // somebody must ask those that are not owners any more
		p.World.Reads, p.World.Pace = 0.7*r.Float64(), p.World.Pace/4
		p.Store.Tardy = 0.02 + 0.06*r.Float64()
	}
}

// some is x with probability a half, else zero.
func some[T float64 | time.Duration](r *universe.Rand, x T) T {
	if r.IntN(2) == 0 {
		return 0
	}
	return x
}

func (p *Plan) drawFaults(r *universe.Rand) {
	rate := func(most float64) float64 { return some(r, most*r.Float64()) }
	p.Cluster.WireLoss, p.Cluster.CallLoss = rate(0.05), rate(0.05)
	if r.IntN(3) == 0 {
		p.Cluster.Limits.Blob, p.Cluster.Limits.BlobCut, p.World.Oversize = 8<<10, 2<<10, 9<<10
	}
	p.Store.FailBefore, p.Store.FailAfter, p.Store.Late, p.Store.Tardy, p.Store.Twice = rate(0.02), rate(0.02), rate(0.02), rate(0.02), rate(0.2)
	w := &p.World
	w.Vanish, w.Late, w.Twice, w.Forge = rate(0.05), rate(0.05), rate(0.1), rate(0.05)
	w.FailTask, w.BadTask, w.Die, w.Hostile, w.Abandon = rate(0.1), rate(0.1), rate(0.01), rate(0.2), rate(0.1)
	mean := func() time.Duration { return some(r, r.Between(2*time.Second, 30*time.Second)) }
	f := &p.Faults
	f.Crash, f.Drain, f.Stall, f.Pause, f.Jump, f.Slow, f.Down, f.Worker = mean(), mean()*3, mean(), mean(), mean(), mean(), mean(), mean()
	f.Skew = some(r, r.Spread(time.Millisecond, 10*time.Second))
	if p.Store.Kind != weakstore.SQLite {
		if f.Rival = mean(); f.Rival > 0 { // somebody must ask the one that is not the owner any more
			p.World.Reads, p.World.Pace = 0.7*r.Float64(), p.World.Pace/4
			if r.IntN(3) == 0 { // and meet owners that are finding out whether they still are
				p.Store.FailAfter, p.Store.Tardy = 0.05+0.1*r.Float64(), 0.03+0.05*r.Float64()
			}
		}
	}
}
