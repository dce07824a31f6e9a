// Package node composes the machines of one server: registry, shards, committer,
// task queues, and the frontend before them. Production and the simulator run
// the same composition.
//
// Which shards there are is the registry's to say: so a node begins without any,
// and makes their machines when it hears of the layout (Machines).
package node

import (
	"strconv"
	"time"

	"perdure/core/frontend"
	"perdure/core/journal"
	"perdure/core/port"
	"perdure/core/registry"
	"perdure/core/shard"
	"perdure/core/store"
	"perdure/core/taskqueue"
	"perdure/core/validate"
)

// Config is what a node is made of.
type Config struct {
	ID        port.NodeID // default 1
	Owner     string      // by which others find the node; in a cluster port.Member.Owner
	Roles     port.Roles  // default all
	Clustered bool        // there may be other nodes: it does nothing before it is told who belongs to the cluster (port.Members)
	Exclusive bool        // store.Exclusive()
	Apart     bool        // store.Apart()
	// Rand makes the seeded generator of a machine, named by a label.
	Rand func(label string) func() uint64

	Shards       int             // of a new store, 1 to 1024; default 4. A store that is there keeps its own number
	QueueParts   int             // default 4
	QueueWindow  int             // tasks of a queue that are listed from a shard at once; default: see taskqueue.Config
	MemoryBytes  int             // caches and unflushed rows of all shards that the node owns; default 192 MiB
	Level        port.Level      // of stored formats that this server knows; default port.NewestLevel
	MinRetention time.Duration   // shortest retention of a namespace; default 24 h
	Limits       validate.Limits // default validate.Defaults()

	FlushBytes int           // of a shard; default: see shard.Config
	FlushAge   time.Duration // the same
	PackBytes  int           // see journal.LogConfig

	HistoryRows int // that a shard reads at once; default: see shard.Config

	Opened func(shard store.ShardID, tailRows int) // hears of every shard that this node opens; default: nobody does
	// Quarantined hears of every run that broke an invariant and was set aside; default: nobody does.
	Quarantined func(run port.RunKey, what string)
}

// Defaults of a node.
const (
	DefaultShards      = 4
	defaultQueueParts  = 4
	defaultMemoryBytes = 192 << 20
)

func (c *Config) defaults() {
	if c.ID == 0 {
		c.ID = 1
	}
	if c.Roles == 0 {
		c.Roles = port.AllRoles
	}
	if c.Shards == 0 {
		c.Shards = DefaultShards
	}
	if c.QueueParts == 0 {
		c.QueueParts = defaultQueueParts
	}
	if c.MemoryBytes == 0 {
		c.MemoryBytes = defaultMemoryBytes
	}
	if c.MinRetention == 0 {
		c.MinRetention = 24 * time.Hour
	}
	if c.Limits == (validate.Limits{}) {
		c.Limits = validate.Defaults()
	}
}

// members is the view that a machine starts with: nobody, or none if the node is alone.
func (c *Config) members(newest *port.Members) *port.Members {
	if c.Clustered && newest == nil {
		return &port.Members{}
	}
	return newest
}

// Machine is one machine and where it is reached.
type Machine struct {
	Address port.Address
	Machine port.Machine
}

// Node is the composition.
type Node struct {
	Frontend *frontend.Frontend
	First    []Machine // in the order in which they are started

	cfg    Config
	shards map[store.ShardID]bool // whose machines were made; looked up only
}

// New composes a node.
func New(cfg Config) *Node {
	cfg.defaults()
	n := &Node{
		Frontend: frontend.New(frontend.Settings{Node: cfg.ID, QueueParts: cfg.QueueParts, Limits: cfg.Limits}),
		cfg:      cfg, shards: map[store.ShardID]bool{},
	}
	members := cfg.members(nil)
	if cfg.Roles.Has(port.KeepsHistory) {
		n.First = append(n.First, n.committer(store.RegistryShard))
	}
	if cfg.Roles.Has(port.Matches) {
		for i := range cfg.QueueParts {
			at := port.Address{Node: cfg.ID, Role: port.RoleQueues, Index: uint32(i)}
			n.First = append(n.First, Machine{at, taskqueue.New(taskqueue.Config{Self: at, Members: members, Parts: cfg.QueueParts, Window: cfg.QueueWindow, Budget: cfg.MemoryBytes / 8 / cfg.QueueParts})})
		}
	}
	at := port.Address{Node: cfg.ID, Role: port.RoleRegistry}
	n.First = append(n.First, Machine{at, registry.New(registry.Config{
		Self: at, Members: members, Committer: n.committerOf(store.RegistryShard), Owner: cfg.Owner, Shards: cfg.Shards, Exclusive: cfg.Exclusive, Level: cfg.Level, MinRetention: cfg.MinRetention, Rand: cfg.Rand("registry"),
	})})
	return n
}

// Machines makes those that the node lacks for a state of the registry, in the
// order in which they are started; m is the newest view of the cluster, nil if the
// node is alone or knows none yet. Whoever executes a port.Publish adds them before any machine hears
// of the snapshot. The machine of a shard that has left the layout stays until the
// node is started again: it sends on who comes late.
func (n *Node) Machines(s *port.Snapshot, m *port.Members) (made []Machine) {
	if !n.cfg.Roles.Has(port.KeepsHistory) {
		return nil
	}
	for _, r := range s.Layout {
		if n.shards[r.Shard] {
			continue
		}
		n.shards[r.Shard] = true
		if n.cfg.Apart {
			made = append(made, n.committer(r.Shard))
		}
		made = append(made, n.shard(r.Shard, n.cfg.members(m)))
	}
	return made
}

// committerOf is the committer of a shard: one serves all shards, or each has its
// own. A committer has one append in flight, so it is a lane.
func (n *Node) committerOf(s store.ShardID) port.Address {
	if !n.cfg.Apart {
		s = store.RegistryShard
	}
	return port.Address{Node: n.cfg.ID, Role: port.RoleCommitter, Index: uint32(s)}
}

func (n *Node) committer(s store.ShardID) Machine {
	at := n.committerOf(s)
	return Machine{at, journal.NewCommitter(at)}
}

func (n *Node) shard(id store.ShardID, members *port.Members) Machine {
	cfg := &n.cfg
	at := port.ShardAddress(cfg.ID, id)
	var opened func(int)
	if cfg.Opened != nil {
		opened = func(tailRows int) { cfg.Opened(id, tailRows) }
	}
	return Machine{at, shard.New(shard.Config{
		Self: at, Members: members, Committer: n.committerOf(id), Shard: id, Owner: cfg.Owner, QueueParts: cfg.QueueParts, Exclusive: cfg.Exclusive,
		Rand: cfg.Rand("shard " + strconv.Itoa(int(id))), Limits: cfg.Limits,
		NodeBytes: cfg.MemoryBytes, FlushBytes: cfg.FlushBytes, FlushAge: cfg.FlushAge, PackBytes: cfg.PackBytes, HistoryRows: cfg.HistoryRows, Opened: opened,
		Quarantined: cfg.Quarantined,
	})}
}
