package ownership

import (
	"time"

	"perdure/core/port"
)

// An owner makes sure now and then that it was not displaced, and steps back when it was.

// Waits of an owner, in monotonic time.
const (
	verify   = 10 * time.Second // an idle owner makes sure that it was not displaced
	unwanted = 3 * time.Second  // ... one whose view moved the shard away
	firmly   = time.Minute      // an owner for that long has not been displaced in a dispute
	idly     = time.Minute      // before a node that is alone and was displaced opens again unasked
)

// Opened says that the journal is open.
func (s *Seat) Opened(now port.Clock) {
	if s.phase == opening {
		s.phase, s.at, s.since, s.owner, s.tries = holding, 0, now.Mono, s.cfg.Self.Node, 0
		if !s.alone() {
			s.at = now.Mono + verify
		}
	}
}

// Proven says that the shard was this node's a moment ago.
func (s *Seat) Proven(now port.Clock) {
	if s.phase == holding && s.at > 1 {
		s.at = now.Mono + verify
	}
}

// invited is told that another node has the shard and would leave it to this one.
// Either this node did not notice that it was displaced, or it should try again.
func (s *Seat) invited(in port.Yours) {
	s.owner = in.From.Node
	switch s.phase {
	case holding:
		s.at = 1
	case waiting:
		s.phase, s.at = away, 0
	}
}

// checked is told who has the shard that this node believes to hold.
func (s *Seat) checked(now port.Clock, done *port.Completed, out *port.Effects) {
	if s.phase != holding || done.Tag != s.tag {
		return
	}
	s.at = now.Mono + verify
	n := port.OwnerNode(done.Held.Address)
	switch {
	case done.Err != nil:
		s.at = now.Mono + unwanted
	case n != s.cfg.Self.Node:
		s.order = Yield
	case !s.wants():
		s.at = now.Mono + unwanted
		if to := s.Elsewhere(); to != 0 {
			at := s.cfg.Self
			at.Node = to
			out.Send(at, port.Yours{From: s.cfg.Self})
		}
	}
}

// Lost says that another owner displaced this one.
func (s *Seat) Lost(now port.Clock) {
	if s.phase == holding && now.Mono-s.since >= firmly {
		s.lost = 0
	}
	if s.phase == holding || s.phase == opening {
		s.lost++
	}
	s.phase, s.at, s.owner, s.order = away, 0, 0, Nothing
	if s.alone() && !s.cfg.Exclusive {
		s.stepBack(now)
	}
}

// stepBack keeps two nodes that are alone from taking turns: each would hold the
// shard for less than it takes to do something with it.
func (s *Seat) stepBack(now port.Clock) {
	s.phase = waiting
	s.at = now.Mono + s.jittered(idly)
	s.asked = now.Mono
	if s.lost > 1 { // somebody talks to the other one too
		s.asked += s.jittered(leastGap << min(s.lost-2, doublets))
	}
}
