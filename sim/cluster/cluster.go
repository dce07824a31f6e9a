// Package cluster runs nodes: the very machines of production, their effects
// executed on virtual time. It is the simulator's twin of adapters/runtime.
//
// Fault model. A message between two machines takes a drawn time; messages of
// one sender to one receiver stay in order. A machine may stall, a process may
// pause, crash at any step, drain, and come back cold with another clock. Calls
// may lose their connection before or after they took effect. Of the network
// between nodes see network.go, of their views of each other gossip.go.
package cluster

import (
	"strconv"
	"time"

	"google.golang.org/protobuf/proto"

	"perdure/core/node"
	"perdure/core/port"
	"perdure/core/validate"
	"perdure/sim/universe"
	"perdure/sim/weakstore"
)

// Config says what the nodes are made of and how slow their insides are.
type Config struct {
	Nodes        int  // that may be up at once; 1: they know nothing of each other
	RolesApart   bool // each node has one role, else all have all
	Links        Links
	Gossip       Gossip
	Shards       int
	QueueParts   int
	QueueWindow  int // 0: the default
	MemoryBytes  int
	MinRetention time.Duration
	Limits       validate.Limits
	FlushBytes   int
	FlushAge     time.Duration
	PackBytes    int
	HistoryRows  int // 0: the default

	Hop      time.Duration // longest usual time of a message between machines
	Wire     time.Duration // longest usual time between a client and a node
	WireLoss float64       // a reply is lost on its way to the client
	CallLoss float64       // a request is lost before it arrives
}

// Watch is told what machines answer, before anybody can see it.
type Watch interface {
	// Issued is told of each call as the client makes it; what it returns is kept as the call's Note.
	Issued(req proto.Message) any
	Replied(c *Call, r *port.Reply)
	// Halted is told that a process, whose program knows a level, ended because a machine asked for it.
	Halted(node port.NodeID, knows port.Level, why string)
	// Stepped is told of each step: the machine, what it was stepped with, and what it wants done.
	Stepped(p *Process, at port.Address, m port.Machine, in port.Input, out []port.Effect)
}

// Counts counts faults for the summary.
type Counts struct {
	Boots, Crashes, Drains, Pauses, Stalls, Jumps, LostReplies, LostRequests, Undelivered int

	Halts int // of programs that were too old for their cluster

	// Among nodes.
	CutMessages, LostMessages, Reordered, Doubled, Refused, Views, Forgotten, Retries, Cuts, SlowLinks int
}

// Cluster is the nodes and their store.
type Cluster struct {
	U      *universe.Universe
	Store  *weakstore.Store
	Counts Counts
	Marks  map[string]int

	cfg    Config
	rand   *universe.Rand
	watch  Watch
	digest digest
	boots  uint64
	calls  uint64
	healed bool

	ids   []port.NodeID
	procs map[port.NodeID]*Process // the latest life of each node
	roads map[link]*road
}

// New makes a cluster without processes.
func New(u *universe.Universe, s *weakstore.Store, cfg Config, watch Watch) *Cluster {
	c := &Cluster{U: u, Store: s, cfg: cfg, rand: u.Rand("cluster"), watch: watch, digest: digest{u}}
	c.procs, c.roads = map[port.NodeID]*Process{}, map[link]*road{}
	for i := range max(cfg.Nodes, 1) {
		c.ids = append(c.ids, port.NodeID(i+1))
	}
	return c
}

// clustered: nodes know of each other.
func (c *Cluster) clustered() bool { return len(c.ids) > 1 }

// roles are those of a node.
func (c *Cluster) roles(id port.NodeID) port.Roles {
	if !c.cfg.RolesApart || len(c.ids) < 3 {
		return port.AllRoles
	}
	return [...]port.Roles{port.Matches, port.ServesFrontend, port.KeepsHistory}[id%3]
}

// Serves reports whether clients may call a node.
func (c *Cluster) Serves(id port.NodeID) bool { return c.roles(id).Has(port.ServesFrontend) }

func address(id port.NodeID) string { return "node-" + strconv.Itoa(int(id)) }

// Heal ends what the wires lose.
func (c *Cluster) Heal() { c.healed = true }

// Boot starts a process of a node. Skew is how far its wall clock is off; level is
// the newest format that its program knows.
func (c *Cluster) Boot(id port.NodeID, skew time.Duration, level port.Level) *Process {
	c.boots++
	c.Counts.Boots++
	p := &Process{c: c, id: id, boot: c.boots, level: level, up: true, skew: skew, bootAt: c.U.Now(), byAddr: map[port.Address]*box{}, calls: map[uint64]*Call{}, earlier: c.calls}
	p.links, p.incoming, p.heard = map[port.NodeID]*node.Outgoing{}, map[port.NodeID]*node.Incoming{}, map[port.NodeID]time.Duration{}
	c.procs[id] = p
	n := node.New(node.Config{
		ID: id, Owner: c.member(id).Owner(), Roles: c.roles(id), Clustered: c.clustered(), Exclusive: c.Store.Exclusive(), Apart: c.Store.Apart(),
		Level: level, Shards: c.cfg.Shards, QueueParts: c.cfg.QueueParts, QueueWindow: c.cfg.QueueWindow, MemoryBytes: c.cfg.MemoryBytes, MinRetention: c.cfg.MinRetention, Limits: c.cfg.Limits,
		FlushBytes: c.cfg.FlushBytes, FlushAge: c.cfg.FlushAge, PackBytes: c.cfg.PackBytes, HistoryRows: c.cfg.HistoryRows,
		Rand: func(label string) func() uint64 {
			return c.U.Rand("boot " + strconv.FormatUint(p.boot, 10) + " " + label).Uint64
		},
	})
	p.node = n
	c.tell("node %d boots, clock off by %v, knows level %d", id, skew, level)
	for _, m := range n.First {
		p.add(m)
	}
	if c.clustered() {
		p.gossip()
	}
	return p
}

// Knows is the level that a node's program knows; 0 if it is not up.
func (c *Cluster) Knows(id port.NodeID) port.Level {
	if p := c.procs[id]; p != nil && p.up {
		return p.level
	}
	return 0
}

// hop is the time of one message inside a node.
func (c *Cluster) hop() time.Duration {
	if c.rand.IntN(4) == 0 {
		return c.rand.Spread(time.Microsecond, c.cfg.Hop)
	}
	return time.Duration(c.rand.Int64N(20_000))
}

// wire is the time of one message between a client and a node.
func (c *Cluster) wire() time.Duration { return c.rand.Spread(20*time.Microsecond, c.cfg.Wire) }
