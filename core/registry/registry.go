// Package registry is the machine of what the whole cluster shares: its id, the
// keys of task tokens, the layout of shards, namespaces and their search
// attributes. It all fits into memory; every change is one record, and a
// snapshot of the whole is published as soon as the record is durable, before
// whoever asked for the change hears of it.
//
// Fault model: that of core/journal. A start that is cut off anywhere is taken
// up by the next one; a registry that lost its journal to another owner drops
// its memory and reads it anew.
package registry

import (
	"errors"
	"time"

	"perdure/core/journal"
	"perdure/core/ownership"
	"perdure/core/port"
	"perdure/core/store"
	"perdure/core/validate"
)

// Config says what a registry belongs to and what a first start makes.
type Config struct {
	Self, Committer port.Address
	Members         *port.Members // the first view; nil: this node is alone
	Owner           string        // address of the node
	Exclusive       bool          // store.Exclusive()

	// Rand is seeded and this machine's own. The keys of task tokens come from it:
	// outside the simulator it must be a generator that nobody can guess.
	Rand func() uint64

	Shards           int           // of a first start; default 4, 1 to 1024
	ClusterName      string        // default "active"
	MinRetention     time.Duration // default 1 h
	DefaultRetention time.Duration // of the namespace "default"; default 3 days

	Level  port.Level      // that this server knows; default port.NewestLevel. A new store begins with it
	Limits validate.Limits // default validate.Defaults()
}

func (c *Config) defaults() {
	setDefault(&c.Shards, 4)
	setDefault(&c.Level, port.NewestLevel)
	setDefault(&c.ClusterName, "active")
	setDefault(&c.MinRetention, time.Hour)
	setDefault(&c.DefaultRetention, 3*24*time.Hour)
	setDefault(&c.Limits, validate.Defaults())
	if c.Shards < 1 || c.Shards > port.Strips {
		panic("registry: a layout has 1 to 1024 shards")
	}
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// phase says how far the registry has come after its journal was opened.
type phase uint8

const (
	closed   phase = iota // no memory
	reading               // rows are being read
	creating              // the layout is recorded, its shards are being made
	serving
)

// Registry is the machine.
type Registry struct {
	cfg   Config
	log   *journal.Log
	out   *port.Effects
	now   port.Clock
	armed time.Time

	members  *port.Members // nil: this node is alone
	seat     ownership.Seat
	leaving  bool
	mirror   mirror
	draining bool
	halted   bool

	phase     phase
	levels    levels
	state     state
	changed   store.Seq   // position of the last change
	published store.Seq   // everything up to here was published
	unsent    []unsent    // snapshots that wait for their position
	read      read        // while reading
	shards    creation    // while creating, or at the end of a change of the layout
	creations uint64      // shards asked for so far
	own       ownCreation // of the registry's shard, before the journal can be opened
}

// unsent is a snapshot and the position that it shows.
type unsent struct {
	at       store.Seq
	snapshot *port.Snapshot
}

// New makes a registry that opens itself when it is started.
func New(cfg Config) *Registry {
	cfg.defaults()
	r := &Registry{cfg: cfg, members: cfg.Members, log: journal.NewLog(journal.LogConfig{
		Self: cfg.Self, Committer: cfg.Committer, Shard: store.RegistryShard, Owner: cfg.Owner, Exclusive: cfg.Exclusive,
		Nonce: func() store.Nonce { return store.Nonce(cfg.Rand()) },
	})}
	r.seat = ownership.New(ownership.Config{Self: cfg.Self, Shard: store.RegistryShard, Members: cfg.Members, Exclusive: cfg.Exclusive, Rand: cfg.Rand})
	return r
}

// Step handles one input.
func (r *Registry) Step(now port.Clock, in port.Input, out *port.Effects) {
	r.now, r.out = now, out
	if r.halted {
		return
	}
	if !r.handleLog(in) && !r.seat.Handle(now, in, out) {
		r.handle(in)
	}
	if r.halted {
		return
	}
	r.obey()
	r.retry()
	r.raiseLevel()
	r.log.End(now, out)
	r.left()
	r.reflect()
	r.arm()
}

// handleLog lets the log have its inputs. What it lets out follows what it
// reports: a snapshot is published before the reply of the change that made it.
func (r *Registry) handleLog(in port.Input) bool {
	var let port.Effects
	ev, handled := r.log.Handle(r.now, in, &let)
	if !handled {
		return false
	}
	switch ev.Kind {
	case journal.Opened:
		r.opened()
	case journal.Read:
		r.readDone(&ev)
	case journal.Durable:
		r.publish()
	case journal.Lost:
		r.lose()
	case journal.Failed:
		r.openFailed(ev.Err)
	}
	r.out.List = append(r.out.List, let.List...)
	return true
}

func (r *Registry) handle(in port.Input) {
	switch in := in.(type) {
	case port.Start:
		r.seat.Enable()
	case *port.Members:
		r.members = in
		r.seat.View(in)
		r.mirror.at = 0
	case port.Fetch:
		r.fetch(&in)
	case port.Fetched:
		r.fetched(&in)
	case port.Refresh:
		r.refresh(in.Call)
	case port.Emptied:
		r.emptied(in)
	case port.Retired:
		r.retired(in)
	case *port.Completed:
		r.created(in)
	case *port.Request:
		r.request(in)
	case port.Alarmed:
		r.armed = time.Time{} // it is spent, even if it came a little early
	case port.Drain:
		r.draining = true
		r.seat.Drain()
		r.log.FlushNow()
	}
}

// forget drops the memory.
func (r *Registry) forget() {
	r.phase, r.state, r.unsent = closed, state{}, nil
	r.read, r.shards, r.levels = read{}, creation{}, levels{}
	r.changed, r.published = 0, 0
}

// change makes a snapshot of what was changed; it leaves when that is durable.
func (r *Registry) change() {
	r.changed = r.log.Seq()
	if r.phase == serving {
		r.unsent = append(r.unsent, unsent{r.changed, r.snapshot()})
	}
}

// publish hands out the newest snapshot that shows nothing but what is durable.
func (r *Registry) publish() {
	if r.phase == creating {
		r.createShards()
	}
	var newest *port.Snapshot
	for len(r.unsent) > 0 && r.unsent[0].at <= r.log.Durable() {
		newest, r.unsent = r.unsent[0].snapshot, r.unsent[1:]
	}
	if newest != nil {
		r.show(newest)
		r.push(newest)
	}
	r.createNext()
}

// snapshot is the state as frontends and machines see it. Its version grows, also from owner to owner.
func (r *Registry) snapshot() *port.Snapshot {
	return r.state.snapshot(uint64(store.MakeVersion(r.log.Fence().Epoch, r.log.Seq())))
}

func (r *Registry) arm() {
	at := r.log.NextAlarm()
	for _, next := range [...]time.Duration{r.read.at, r.shards.at, r.levels.at, r.mirror.next()} {
		if next == 0 {
			continue
		}
		if wall := r.now.Wall.Add(next - r.now.Mono); at.IsZero() || wall.Before(at) {
			at = wall
		}
	}
	if next := r.seat.NextAlarm(r.now); at.IsZero() || !next.IsZero() && next.Before(at) {
		at = next
	}
	if !at.Equal(r.armed) {
		r.armed = at
		r.out.Add(port.Alarm{At: at})
	}
}

// openFailed makes the registry's own shard in a store that is new. The log tries again by itself.
func (r *Registry) openFailed(err error) {
	if errors.Is(err, journal.ErrRecord) {
		r.halt(err)
		return
	}
	if errors.Is(err, store.ErrNoShard) && !r.own.underway {
		r.own.underway = true
		r.out.Add(port.CreateShard{Tag: ownTag, Shard: store.RegistryShard})
	}
}
