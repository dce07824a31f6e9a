// Package weakstore is the simulated database: the reference implementation of
// core/store behind time and faults. It is weaker than every real store.
//
// Fault model. Every call takes time before its effect and after it, sometimes very
// long. A call may fail before its effect, after it, or with its effect still to
// come. Reads do not see one moment. The effects of calls whose caller crashed may
// still come, unless the store is exclusive: then they die with their process.
// What appends and flushes may do depends on the kind of store: see sql.go, cassandra.go.
//
// It loses nothing that it acknowledged.
package weakstore

import (
	"time"

	"perdure/core/port"
	"perdure/core/store"
	"perdure/core/store/memory"
	"perdure/sim/universe"
)

// Kind is a profile: what kind of database the store behaves like, where the contract lets them differ.
type Kind string

// The kinds.
const (
	SQLite    Kind = "sqlite"    // SQL of one process alone
	SQL       Kind = "sql"       // servers: see sql.go
	Cassandra Kind = "cassandra" // see cassandra.go
)

// Config says how slow and how bad the store is. Probabilities are of one call.
type Config struct {
	Kind Kind
	Fast time.Duration // shortest and
	Slow time.Duration // longest half of a call in good times
	Step int           // rows that a flush writes at once, at most; 0: any number

	FailBefore float64
	FailAfter  float64
	Late       float64       // the caller is told of a failure, the effect comes afterwards
	LateBy     time.Duration // at most
	Tardy      float64       // half a call takes up to LateBy
	Twice      float64       // a batch of a flush is written twice, the second time late
}

// Watch is told what takes effect.
type Watch interface {
	// Appended: the record is in the journal for good.
	Appended(owner store.Fence, seq store.Seq, record []byte)
	// Trimmed: the journal was told that its records up to seq are in the tables.
	Trimmed(shard store.ShardID, seq store.Seq)
}

// Counts counts what happened, for the summary.
type Counts struct {
	Calls, FailedBefore, FailedAfter, Late, Tardy, Pieces, Twice, Unknown, Orphaned int
}

// Store is the simulated database.
type Store struct {
	Memory *memory.Store
	Counts Counts
	Marks  map[string]int // rare outcomes

	u     *universe.Universe
	rand  *universe.Rand
	cfg   Config
	watch Watch

	numbers map[store.Fence]uint64 // of the last flush that each owner asked for
	turns   map[store.ShardID]turn // of flushes in steps

	healed bool
	slow   time.Duration // until then everything takes longer
	down   time.Duration // until then everything fails
}

// New makes an empty store.
func New(u *universe.Universe, cfg Config, watch Watch) *Store {
	return &Store{Memory: memory.New(), Marks: map[string]int{}, numbers: map[store.Fence]uint64{}, turns: map[store.ShardID]turn{}, u: u, rand: u.Rand("store"), cfg: cfg, watch: watch}
}

// Exclusive says that one process alone holds the store.
func (s *Store) Exclusive() bool { return s.cfg.Kind == SQLite }

// Apart says that each shard has its appends to itself.
func (s *Store) Apart() bool { return s.cfg.Kind == Cassandra }

// Heal ends all faults that are not under way already.
func (s *Store) Heal() { s.healed, s.slow, s.down = true, 0, 0 }

// SlowFor makes everything slow for a while.
func (s *Store) SlowFor(d time.Duration) { s.slow = s.u.Now() + d }

// DownFor lets everything fail for a while.
func (s *Store) DownFor(d time.Duration) { s.down = s.u.Now() + d }

// Caller is whose call it is. Alive is asked before an effect, answer gets the
// completion. Go does what the process itself has to do between two round trips: later
// if it is paused, never if it has ended.
type Caller struct {
	Alive  func() bool
	Answer func(*port.Completed)
	Go     func(func())
}

// Do carries out a store effect of a machine.
func (s *Store) Do(e port.Effect, c Caller) {
	s.Counts.Calls++
	switch e := e.(type) {
	case port.AppendStore:
		s.append(e, c)
	case port.FlushStore:
		s.flush(e, c)
	case port.ReadStore:
		s.read(e, c)
	case port.OpenStore:
		s.simple(c, e.Tag, func(done *port.Completed) {
			done.Opened, done.Err = s.Memory.Open(e.Open)
			s.markOpened(&e.Open, done)
		})
	case port.CreateShard:
		s.simple(c, e.Tag, func(done *port.Completed) { done.Err = s.Memory.Create(e.Shard, e.Strips, e.Floor) })
	case port.WriteStore:
		s.simple(c, e.Tag, func(done *port.Completed) { done.Err = s.Memory.Write(e.Rows) })
	case port.RetireStore:
		s.simple(c, e.Tag, func(done *port.Completed) { done.Err = s.Memory.Retire(e.Fence) })
	case port.ReleaseStore:
		s.simple(c, e.Tag, func(done *port.Completed) { done.Err = s.Memory.Release(e.Fence) })
	case port.AskOwner:
		s.simple(c, e.Tag, func(done *port.Completed) {
			owners, err := s.Memory.Owners([]store.ShardID{e.Shard})
			if done.Err = err; err == nil {
				done.Held = owners[0]
			}
		})
	case port.ConfirmStore:
		s.simple(c, e.Tag, func(done *port.Completed) {
			owners, err := s.Memory.Confirm([]store.Fence{e.Fence})
			done.Err, done.Owner = err, err == nil && owners[0]
		})
	default:
		panic("weakstore: not a store call")
	}
}

// markOpened notes how an unknown append was resolved.
func (s *Store) markOpened(o *store.Open, done *port.Completed) {
	switch {
	case done.Err != nil || o.Known == 0:
	case done.Opened.Displaced.Nonce == 0:
	case done.Opened.Last > o.Known:
		s.Marks["unknown append was written"]++
	default:
		s.Marks["unknown append was not written"]++
	}
}

// half is the time that one half of a call takes.
func (s *Store) half() time.Duration {
	d := s.rand.Spread(s.cfg.Fast, s.cfg.Slow)
	if s.u.Now() < s.slow {
		d = 20*d + s.rand.Between(0, 200*time.Millisecond)
	}
	if !s.healed && s.rand.Chance(s.cfg.Tardy) {
		s.Counts.Tardy++
		d += s.lateness()
	}
	return d
}

// fate of one call or one record.
type fate uint8

const (
	fine   fate = iota
	before      // no effect
	after       // effect, but the caller is told of a failure
	late        // the same, and the effect comes after the answer
)

func (s *Store) fate() fate {
	if s.healed {
		return fine
	}
	if s.u.Now() < s.down {
		if s.rand.Chance(0.1) {
			s.Counts.FailedAfter++
			return after
		}
		s.Counts.FailedBefore++
		return before
	}
	switch x := s.rand.Float64(); {
	case x < s.cfg.FailBefore:
		s.Counts.FailedBefore++
		return before
	case x < s.cfg.FailBefore+s.cfg.FailAfter:
		s.Counts.FailedAfter++
		return after
	case x < s.cfg.FailBefore+s.cfg.FailAfter+s.cfg.Late:
		s.Counts.Late++
		return late
	}
	return fine
}

// lateness is how long after the answer a late effect comes.
func (s *Store) lateness() time.Duration { return s.rand.Spread(time.Millisecond, s.cfg.LateBy) }

// effect lets f happen unless it dies with its caller.
func (s *Store) effect(at time.Duration, c Caller, f func()) {
	s.u.At(at, func() {
		if !c.Alive() {
			if s.Exclusive() {
				return
			}
			s.Counts.Orphaned++
		}
		f()
	})
}

// simple carries out a call with one effect.
func (s *Store) simple(c Caller, tag uint64, do func(*port.Completed)) {
	at := s.u.Now() + s.half()
	end := at + s.half()
	done := &port.Completed{Tag: tag}
	switch s.fate() {
	case fine:
		s.effect(at, c, func() { do(done) })
	case before:
		done.Err = store.ErrUnavailable
	case after:
		s.effect(at, c, func() { do(&port.Completed{}) })
		done.Err = store.ErrUnavailable
	case late:
		s.effect(end+s.lateness(), c, func() { do(&port.Completed{}) })
		done.Err = store.ErrUnavailable
	}
	s.u.At(end, func() { c.Answer(done) })
}
