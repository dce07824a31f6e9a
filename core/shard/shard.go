// Package shard owns a range of runs: it loads them, lets transitions of
// core/run happen in memory, hands the changed rows to the journal, keeps the
// index of what is due, and answers callers once what they are told is durable.
//
// A step never waits. What needs rows that are not in memory is parked with the
// run (load.go) and handled again, from its beginning, when they have come; so
// nothing may change before everything it needs is there.
package shard

import (
	"errors"
	"time"

	"perdure/core/history"
	"perdure/core/journal"
	"perdure/core/ownership"
	"perdure/core/placement"
	"perdure/core/port"
	"perdure/core/run"
	"perdure/core/store"
	"perdure/core/validate"
)

// Config is what a shard is made of.
type Config struct {
	Self, Committer port.Address
	Members         *port.Members // the first view; nil: this node is alone
	Shard           store.ShardID
	Owner           string
	QueueParts      int
	Exclusive       bool
	Rand            func() uint64 // seeded, this machine's own
	Limits          validate.Limits

	NodeBytes     int           // memory for all shards that the node owns, from which those below follow (memory.go); 0: they are as set
	CacheBytes    int           // runs in memory, default 32 MiB
	FlushBytes    int           // see journal.LogConfig
	PackBytes     int           // see journal.LogConfig
	FlushAge      time.Duration // default 3 s: of longer waits more rows of a strip come into one page
	UnflushedMax  int           // default 32 MiB: callers are pushed back above it
	DispatchBytes int           // tasks of queues kept in memory, default 8 MiB
	DeadlineBytes int           // deadlines kept in memory, default 8 MiB
	HistoryRows   int           // rows of history that are read at once, default 32; a row is at most 64 KiB or one batch
	Quarantined   func(run port.RunKey, what string)
	Opened        func(tailRows int) // rows replayed: bounded by what was not flushed, not by the number of runs
}

// leastUnflushed lets one ordinary transition through at any time.
const leastUnflushed = 64 << 10

func (c *Config) defaults() {
	setDefault(&c.CacheBytes, 32<<20)
	setDefault(&c.FlushBytes, 8<<20)
	setDefault(&c.FlushAge, 3*time.Second)
	setDefault(&c.UnflushedMax, 32<<20)
	c.UnflushedMax = max(c.UnflushedMax, leastUnflushed)
	c.FlushBytes = min(c.FlushBytes, c.UnflushedMax/2) // room is made before callers are pushed back
	setDefault(&c.DispatchBytes, 8<<20)
	setDefault(&c.DeadlineBytes, 8<<20)
	setDefault(&c.HistoryRows, 32)
}

func setDefault[T int | time.Duration](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

// Shard is the machine.
type Shard struct {
	cfg      Config
	log      *journal.Log
	snapshot *port.Snapshot
	lent     map[string]*port.Namespace // of requests, until the next snapshot; see lend
	now      port.Clock
	time     int64 // shard time of this step, Unix ns
	clock    int64 // time up to which the stored clock covers; Unix ns
	low      low
	out      *port.Effects
	members  *port.Members // nil: this node is alone
	seat     ownership.Seat
	ready    bool
	leaving  bool
	going    going
	draining bool
	early    []port.Input // came before the shard was ready

	cache   cache
	absent  absent
	reads   map[uint64]readDone
	failed  []failedRead // in the order in which they are repeated
	due     dueIndex
	queues  queueIndex
	waits   waits
	queries queries
	armed   time.Time

	suspects    map[uint64]suspect // until a proof of ownership comes back
	lastSuspect uint64

	transition run.Env     // see env
	moving     port.RunKey // the run of the transition
	deciding   bool        // a run decides: nothing of it is recorded yet
	sick       map[port.RunKey]string
}

// New makes a shard that opens itself when it is started.
func New(cfg Config) *Shard {
	cfg.defaults()
	s := &Shard{cfg: cfg, members: cfg.Members}
	s.log = journal.NewLog(journal.LogConfig{
		Self: cfg.Self, Committer: cfg.Committer, Shard: cfg.Shard, Owner: cfg.Owner, Exclusive: cfg.Exclusive,
		Nonce:      func() store.Nonce { return store.Nonce(cfg.Rand()) },
		FlushBytes: cfg.FlushBytes, FlushAge: cfg.FlushAge, PackBytes: cfg.PackBytes, MaxBytes: cfg.UnflushedMax, Coalesce: history.Coalesce,
	})
	s.seat = ownership.New(ownership.Config{Self: cfg.Self, Shard: cfg.Shard, Members: cfg.Members, Exclusive: cfg.Exclusive, Rand: cfg.Rand})
	s.transition = s.newEnv()
	s.forget()
	return s
}

// forget drops everything that is not in the store.
func (s *Shard) forget() {
	s.ready = false
	s.clock, s.low = 0, low{}
	s.cache = newCache(s.cfg.CacheBytes)
	s.absent = absent{}
	s.suspects = map[uint64]suspect{}
	s.reads, s.failed = map[uint64]readDone{}, nil
	s.due = newDueIndex(s.cfg.DeadlineBytes)
	s.queues = newQueueIndex(s.cfg.DispatchBytes)
	s.waits = newWaits()
	s.queries = newQueries(s.queries.last)
}

// Step handles one input.
func (s *Shard) Step(now port.Clock, in port.Input, out *port.Effects) {
	s.now, s.out = now, out
	s.time = s.log.Time(now).UnixNano()
	if ev, handled := s.log.Handle(now, in, out); handled {
		s.logEvent(&ev)
	} else if !s.seat.Handle(now, in, out) {
		s.handle(in)
	}
	s.obey()
	s.fireDue()
	s.raiseLow()
	s.expireWaits()
	s.expireSubscriptions()
	s.repeatReads()
	s.trimMemory()
	s.goOn()
	s.log.End(now, out)
	s.left()
	s.arm()
}

func (s *Shard) handle(in port.Input) {
	switch in := in.(type) {
	case port.Published:
		s.published(in.Snapshot)
		return
	case *port.Members:
		s.members = in
		s.seat.View(in)
		s.shareMemory()
		return
	case port.Start:
		return
	case port.Alarmed:
		s.armed = time.Time{}
		return
	case port.Drain:
		s.drain()
		return
	case *port.Completed:
		s.proven(in)
		return
	case port.Retire:
		s.mayEnd(in)
		return
	}
	if !s.ready || s.snapshot == nil {
		s.park(in)
		return
	}
	s.serve(in)
}

// published takes a new state of the registry. The first one that has this shard
// in its layout lets it be opened: before, the shard may not exist.
func (s *Shard) published(snapshot *port.Snapshot) {
	s.snapshot, s.lent = snapshot, nil
	s.shareMemory()
	if snapshot.Level >= port.PackedLevel {
		s.log.Pack()
	}
	s.placed(snapshot)
	s.runEarly()
}

// serve handles what needs an open shard. A broken invariant inside one run is
// that run's own trouble (quarantine.go).
func (s *Shard) serve(in port.Input) {
	defer s.contain(in)
	switch in := in.(type) {
	case *port.Request:
		s.request(in)
	case port.Taken:
		s.taken(&in)
	case port.Declined:
		s.declined(&in)
	case port.Subscribe:
		s.subscribe(&in)
	case port.Pull:
		s.pull(&in)
	case *port.Message:
		s.message(in)
	case *port.Outcome:
		s.outcome(in)
	case port.Gone:
		s.gone(in.Call)
	case port.Undelivered:
		s.undelivered(&in.Reply)
	case port.Wake:
		s.wakeRun(in.Run)
	}
}

func (s *Shard) logEvent(ev *journal.Event) {
	switch ev.Kind {
	case journal.Opened:
		s.seat.Opened(s.now)
		s.shareMemory()
		if s.cfg.Opened != nil {
			s.cfg.Opened(s.log.TailRows())
		}
		s.loadDue()
	case journal.Read:
		done := s.reads[ev.Tag]
		delete(s.reads, ev.Tag)
		if done != nil {
			done(ev)
		}
	case journal.Durable:
		s.seat.Proven(s.now)
	case journal.Lost:
		s.lose()
	case journal.Retired:
		s.end()
	case journal.Failed:
		switch {
		case errors.Is(ev.Err, journal.ErrRecord):
			s.out.Add(port.Halt{Why: ev.Err.Error()})
		case errors.Is(ev.Err, store.ErrRetired):
			s.end()
		}
	}
}

// expireWaits ends the waits of callers whose time is over.
func (s *Shard) expireWaits() {
	for r, ok := s.waits.expired(s.now.Wall); ok; r, ok = s.waits.expired(s.now.Wall) {
		s.historyTimedOut(r)
	}
	s.expireQueries()
}

// drain ends what can be ended: long polls are answered, the journal is flushed.
func (s *Shard) drain() {
	s.draining = true
	s.seat.Drain()
	s.waits.each(func(r *port.Request) { s.historyTimedOut(r) })
	s.waits = newWaits()
	s.refuseQueries()
	s.log.FlushNow()
}

// arm asks for the one alarm that is needed. One that is too early is left: it
// does no harm, and most deadlines are gone before they are due.
func (s *Shard) arm() {
	at := s.log.NextAlarm()
	if s.ready {
		at = earlier(at, s.due.next(s.time, s.now.Wall))
	}
	at = earlier(at, s.waits.next())
	at = earlier(at, s.queries.next())
	at = earlier(at, s.nextRead())
	at = earlier(at, s.nextTelling())
	at = earlier(at, s.seat.NextAlarm(s.now))
	if !at.IsZero() && (s.armed.IsZero() || at.Before(s.armed)) {
		s.armed = at
		s.out.Add(port.Alarm{At: at})
	}
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func (s *Shard) queueAddress(q port.QueueKey) port.Address {
	at, _ := placement.Queue(s.members, s.cfg.Self.Node, s.cfg.QueueParts, q)
	return at
}
