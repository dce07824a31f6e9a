// Package ownership decides when a node opens a shard and when it leaves it.
//
// A view of the cluster says who should own a shard, the store says who does.
// A node that should own one reads the store first: it opens the shard if nobody
// has it; else it asks the owner to leave, and opens if that has left or does not
// answer. An owner stays as long as its own view says so, or nobody else asks.
// So views that disagree cost time, and no shard goes back and forth.
//
// A node that is alone has nobody to ask. It opens what it wants at once; once it
// was displaced, by a server that nobody told it of, it comes again when somebody
// asks for the shard, or after a long wait. So the one that clients talk to has it.
//
// Fault model: every message may be lost, late or old; views may be wrong in any
// way. What keeps two owners apart is the store's fence alone, never this package.
//
// O1  A seat orders Open only after the store named the owner and that owner is this
// node, nobody, has granted the claim, or did not answer for as long as it may.
// O2  An owner that was displaced learns it within verify, also if nobody comes. One
// without a cluster makes no statement unasked: its shard asks when somebody waits there.
// O3  A claim is granted only by a node that does not hold the shard.
package ownership

import (
	"time"

	"perdure/core/placement"
	"perdure/core/port"
	"perdure/core/store"
)

// Config says whose seat it is.
type Config struct {
	Self      port.Address // the machine of the shard at this node
	Shard     store.ShardID
	Members   *port.Members // the first view; nil: this node is alone
	Exclusive bool          // store.Exclusive(): there is nobody to ask
	Rand      func() uint64 // for jitter
}

// Order is what the machine has to do.
type Order uint8

// The orders. Open: open the journal, then call Opened or Lost. Abandon: forget
// the opening. Leave: flush, release, drop, then call Left. Yield: another node is
// the owner; drop, then call Lost.
const (
	Nothing Order = iota
	Open
	Abandon
	Leave
	Yield
)

type phase uint8

const (
	away     phase = iota // does not want it
	asking                // the store, who has it
	claiming              // asked that owner
	waiting               // until the next try
	opening
	holding
	leaving
)

func (p phase) String() string {
	return [...]string{"away", "asking", "claiming", "waiting", "opening", "holding", "leaving"}[p]
}

// Seat is one node's part in the ownership of one shard.
type Seat struct {
	cfg      Config
	members  *port.Members
	enabled  bool // the shard exists
	draining bool

	phase  phase
	order  Order
	at     time.Duration // when the phase is over, 0: never
	again  time.Duration // when a claim is repeated
	tag    uint64        // of the question under way
	owner  port.NodeID   // whom the store named last, 0: nobody or unknown
	tries  int           // without success
	lost   int           // disputes
	asked  time.Duration // a node that is alone may open from here on, if somebody comes
	since  time.Duration // holding
	claims []port.Address
}

// New makes a seat that wants nothing before Enable.
func New(cfg Config) Seat { return Seat{cfg: cfg, members: cfg.Members} }

// Enable says that the shard exists.
func (s *Seat) Enable() { s.enabled = true }

// Disable says that the shard does not exist any more. Whoever claimed it finds that out.
func (s *Seat) Disable(out *port.Effects) {
	s.enabled, s.order = false, Nothing
	s.Left(out)
}

// Enabled reports whether the shard is known to exist.
func (s *Seat) Enabled() bool { return s.enabled }

// View takes a new view of the cluster.
func (s *Seat) View(m *port.Members) {
	s.members = m
	switch s.phase {
	case waiting:
		s.phase, s.at = away, 0
	case holding:
		s.at = 1 // make sure: a view changes when nodes come, go, or were paused
	}
}

// Drain leaves the shard, for good, if there may be somebody else to have it.
func (s *Seat) Drain() { s.draining = true }

// wants says that this node should own the shard.
func (s *Seat) wants() bool {
	if !s.enabled || s.draining && !s.alone() {
		return false
	}
	n, ok := placement.Shard(s.members, s.cfg.Self.Node, s.cfg.Shard)
	return ok && n == s.cfg.Self.Node
}

// alone: nobody else can own the shard, or nobody can be asked.
func (s *Seat) alone() bool { return s.members == nil || s.cfg.Exclusive }

// Parks says that what comes now may wait: the shard will be open soon, or the
// claim for it is answered soon.
func (s *Seat) Parks() bool {
	switch s.phase {
	case asking, claiming, opening:
		return true
	case away, waiting:
		return s.alone() || s.phase == away && s.wants()
	}
	return false
}

// Asked says that somebody came for the shard and waits.
func (s *Seat) Asked() {
	if s.phase == waiting && s.alone() {
		s.at = min(s.at, s.asked)
	}
}

// Elsewhere is the node that may have the shard; 0 if this node does not know better.
func (s *Seat) Elsewhere() port.NodeID {
	n, _ := placement.Shard(s.members, s.cfg.Self.Node, s.cfg.Shard)
	if n == s.cfg.Self.Node {
		n = s.owner
	}
	if n == s.cfg.Self.Node {
		return 0
	}
	return n
}

// Tags of the seat's own questions have this bit, and not that of the journal.
const ownTag = 1 << 62

// Handle takes the inputs that are the seat's own.
func (s *Seat) Handle(now port.Clock, in port.Input, out *port.Effects) bool {
	switch in := in.(type) {
	case port.Claim:
		s.claimed(in, out)
	case port.Claimed:
		s.answered(now, in)
	case port.Yours:
		s.invited(in)
	case *port.Completed:
		if in.Tag&ownTag == 0 || in.Tag>>63 != 0 {
			return false
		}
		s.named(now, in, out)
	default:
		return false
	}
	return true
}

// End closes a step: it says what is to be done, once.
func (s *Seat) End(now port.Clock, out *port.Effects) Order {
	s.look(now, out)
	order := s.order
	s.order = Nothing
	return order
}

func (s *Seat) look(now port.Clock, out *port.Effects) {
	wants := s.wants()
	switch s.phase {
	case away:
		if wants {
			s.ask(out)
		}
	case waiting:
		if !wants {
			s.phase, s.at = away, 0
		} else if now.Mono >= s.at {
			s.ask(out)
		}
	case asking:
		if !wants {
			s.phase = away
		}
	case claiming:
		s.claim(now, wants, out)
	case opening:
		if !wants {
			s.phase, s.order = away, Abandon
		}
	case holding:
		if s.draining && !s.alone() {
			s.phase, s.order, s.at = leaving, Leave, 0
		} else if s.at != 0 && now.Mono >= s.at {
			s.at = 0
			s.tag = (s.tag+1)&(ownTag-1) | ownTag
			out.Add(port.AskOwner{Tag: s.tag, Shard: s.cfg.Shard})
		}
	}
}

// NextAlarm is when End wants to be called; zero: it need not be.
func (s *Seat) NextAlarm(now port.Clock) time.Time {
	at := s.at
	if s.phase == claiming {
		at = min(at, s.again)
	}
	if at == 0 {
		return time.Time{}
	}
	return now.Wall.Add(at - now.Mono)
}
