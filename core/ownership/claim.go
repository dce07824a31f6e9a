package ownership

import (
	"time"

	"perdure/core/port"
)

// Before a node opens a shard it asks the store who has it, and that node to leave.

// Waits of a claimant, in monotonic time.
const (
	patience = 2 * time.Second // for an owner that is in the view: it may be leaving
	unseen   = time.Second     // for one that is not
	repeat   = 500 * time.Millisecond
	leastGap = 250 * time.Millisecond // between two tries
	mostGap  = 5 * time.Second
	doublets = 4 // times that patience doubles with each dispute lost
)

// ask asks the store who would be displaced.
func (s *Seat) ask(out *port.Effects) {
	if s.alone() {
		s.open()
		return
	}
	s.tag = (s.tag+1)&(ownTag-1) | ownTag
	s.phase, s.at = asking, 0
	out.Add(port.AskOwner{Tag: s.tag, Shard: s.cfg.Shard})
}

// named is told whom the store has as the owner.
func (s *Seat) named(now port.Clock, done *port.Completed, out *port.Effects) {
	s.checked(now, done, out)
	if s.phase != asking || done.Tag != s.tag {
		return
	}
	if done.Err != nil {
		s.wait(now)
		return
	}
	s.owner = port.OwnerNode(done.Held.Address)
	if s.owner == 0 || s.owner == s.cfg.Self.Node {
		s.open()
		return
	}
	s.phase, s.again = claiming, now.Mono
	s.at = unseen
	if s.members.Find(s.owner) != nil {
		s.at = patience
	}
	s.at = s.at<<min(s.lost, doublets) + now.Mono
}

// claim repeats the question to the owner, until it is taken for dead.
func (s *Seat) claim(now port.Clock, wants bool, out *port.Effects) {
	switch {
	case !wants:
		s.phase, s.at = away, 0
	case now.Mono >= s.at:
		s.open()
	case now.Mono >= s.again:
		s.again = now.Mono + repeat
		to := s.cfg.Self
		to.Node = s.owner
		out.Send(to, port.Claim{From: s.cfg.Self})
	}
}

// answered is told what the owner says.
func (s *Seat) answered(now port.Clock, in port.Claimed) {
	switch {
	case s.phase != claiming || in.From.Node != s.owner:
	case in.Granted:
		s.open()
	default:
		s.wait(now)
	}
}

func (s *Seat) open() { s.phase, s.order, s.at = opening, Open, 0 }

// Opening says that the order to open the journal still stands.
func (s *Seat) Opening() bool { return s.phase == opening }

// wait spaces the tries; two nodes that try at the same time drift apart.
func (s *Seat) wait(now port.Clock) {
	gap := min(leastGap<<min(s.tries, 10), mostGap)
	s.tries++
	s.phase, s.at = waiting, now.Mono+s.jittered(gap)
}

func (s *Seat) jittered(d time.Duration) time.Duration {
	return d + time.Duration(s.cfg.Rand()%uint64(d/2))
}
