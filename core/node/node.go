// Package node composes the machines of one server: registry, shards, committer,
// task queues, and the frontend before them. Production and the simulator run
// the same composition.
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

	Shards       int             // of a new store; default 4
	QueueParts   int             // default 4
	MemoryBytes  int             // caches and unflushed rows of all shards together; default 192 MiB
	MinRetention time.Duration   // shortest retention of a namespace; default 24 h
	Limits       validate.Limits // default validate.Defaults()

	FlushBytes int           // of a shard; default: see shard.Config
	FlushAge   time.Duration // the same

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

// members is the view that a node starts with: nobody, or none if it is alone.
func (c *Config) members() *port.Members {
	if c.Clustered {
		return &port.Members{}
	}
	return nil
}

// Machine is one machine and where it is reached.
type Machine struct {
	Address port.Address
	Machine port.Machine
}

// Node is the composition.
type Node struct {
	Frontend *frontend.Frontend
	Machines []Machine // in the order in which they are started
}

// New composes a node.
func New(cfg Config) *Node {
	cfg.defaults()
	n := &Node{Frontend: frontend.New(frontend.Settings{Node: cfg.ID, QueueParts: cfg.QueueParts, Limits: cfg.Limits})}
	committer := n.addCommitters(&cfg)
	if cfg.Roles.Has(port.Matches) {
		for i := range cfg.QueueParts {
			at := port.Address{Node: cfg.ID, Role: port.RoleQueues, Index: uint32(i)}
			n.add(at, taskqueue.New(taskqueue.Config{Self: at, Members: cfg.members(), Parts: cfg.QueueParts, Budget: cfg.MemoryBytes / 8 / cfg.QueueParts}))
		}
	}
	if cfg.Roles.Has(port.KeepsHistory) {
		for i := 1; i <= cfg.Shards; i++ {
			n.add(newShard(&cfg, committer(store.ShardID(i)), store.ShardID(i)))
		}
	}
	at := port.Address{Node: cfg.ID, Role: port.RoleRegistry}
	n.add(at, registry.New(registry.Config{
		Self: at, Members: cfg.members(), Committer: committer(store.RegistryShard), Owner: cfg.Owner, Shards: cfg.Shards, Exclusive: cfg.Exclusive, MinRetention: cfg.MinRetention, Rand: cfg.Rand("registry"),
	}))
	return n
}

// addCommitters adds one committer for all shards, or one for each: a committer
// has one append in flight, so it is a lane. It returns which one is a shard's.
func (n *Node) addCommitters(cfg *Config) func(store.ShardID) port.Address {
	at := func(s store.ShardID) port.Address {
		if !cfg.Apart {
			s = store.RegistryShard
		}
		return port.Address{Node: cfg.ID, Role: port.RoleCommitter, Index: uint32(s)}
	}
	for i := 0; cfg.Roles.Has(port.KeepsHistory) && (i == 0 || cfg.Apart && i <= cfg.Shards); i++ {
		c := at(store.ShardID(i))
		n.add(c, journal.NewCommitter(c))
	}
	return at
}

func newShard(cfg *Config, committer port.Address, id store.ShardID) (port.Address, port.Machine) {
	at := port.ShardAddress(cfg.ID, id)
	each := cfg.MemoryBytes / cfg.Shards
	var opened func(int)
	if cfg.Opened != nil {
		opened = func(tailRows int) { cfg.Opened(id, tailRows) }
	}
	return at, shard.New(shard.Config{
		Self: at, Members: cfg.members(), Committer: committer, Shard: id, Owner: cfg.Owner, QueueParts: cfg.QueueParts, Exclusive: cfg.Exclusive,
		Rand: cfg.Rand("shard " + strconv.Itoa(int(id))), Limits: cfg.Limits,
		CacheBytes: each * 3 / 8, UnflushedMax: each * 3 / 8, DispatchBytes: each / 8, DeadlineBytes: each / 8, FlushBytes: cfg.FlushBytes, FlushAge: cfg.FlushAge, Opened: opened,
		Quarantined: cfg.Quarantined,
	})
}

func (n *Node) add(at port.Address, m port.Machine) {
	n.Machines = append(n.Machines, Machine{at, m})
}
