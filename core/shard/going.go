package shard

import (
	"slices"
	"time"

	"perdure/core/placement"
	"perdure/core/port"
	"perdure/core/store"
)

// The end of a shard that leaves the layout (core/registry, relayout.go). Its owner
// serves no more, empties the journal, and ends it when the registry has noted its epoch,
// for the shards that follow must begin above it. Every step may be cut off, and every message
// lost: whoever opens the shard next goes on, and one who cannot open it any more knows that it has ended.
//
// S7: after the first step nothing but the shard's time is written.

type going struct {
	wanted bool          // by the registry
	begun  bool          // nothing is served any more
	ended  bool          // for good: whatever comes is sent on
	at     time.Duration // monotonic: when to tell the registry again
}

const tellAgain = time.Second

// placed takes what a layout says of this shard.
func (s *Shard) placed(snapshot *port.Snapshot) {
	s.going.wanted = slices.Contains(snapshot.Going, s.cfg.Shard)
	there := slices.ContainsFunc(snapshot.Layout, func(r port.ShardRange) bool { return r.Shard == s.cfg.Shard })
	switch {
	case s.going.ended:
	case there:
		s.seat.Enable() // before, it may not exist
	case s.seat.Enabled():
		s.end()
	}
}

// goOn takes the next step towards the end, when its time has come.
func (s *Shard) goOn() {
	g := &s.going
	switch {
	case !g.wanted:
	case g.ended:
		s.tellRegistry(port.Retired{From: s.cfg.Self})
	case !g.begun && s.ready:
		s.beginEnd()
	case g.begun && s.log.Emptied():
		s.tellRegistry(port.Emptied{From: s.cfg.Self, Epoch: s.log.Fence().Epoch})
	}
}

// tellRegistry says it again and again, until a snapshot shows that it was heard.
func (s *Shard) tellRegistry(in port.Input) {
	if s.now.Mono < s.going.at {
		return
	}
	s.going.at = s.now.Mono + tellAgain
	if to, ok := placement.ShardAddress(s.members, s.cfg.Self.Node, store.RegistryShard); ok {
		s.out.Send(to, in)
	}
}

// beginEnd turns everybody away and leaves the shard's time behind, in each strip, since
// nobody knows here which shard comes next to which.
func (s *Shard) beginEnd() {
	s.settleHeld()
	s.leaveTime()
	s.going.begun, s.going.at = true, 0
	s.turnOut()
	s.forget()
	s.log.Empty()
}

// mayEnd is the registry's leave to end the journal.
func (s *Shard) mayEnd(in port.Retire) {
	if s.going.begun && s.log.Emptied() && s.log.Fence().Epoch == in.Epoch {
		s.log.Retire(s.now, s.out)
	}
}

// end: the shard does not exist any more. This machine stays, to send on who comes late.
func (s *Shard) end() {
	s.going = going{wanted: s.going.wanted, ended: true}
	s.leaving = false
	s.log.Close(s.out)
	s.seat.Disable(s.out)
	s.turnOut()
	s.forget()
}

// gone says that the shard serves no more, here nor elsewhere.
func (g *going) gone() bool { return g.begun || g.ended }

// follow is the shard that has a run now, once this one has ended.
func (s *Shard) follow(k port.RunKey) (port.Address, bool) {
	if !s.going.ended || s.snapshot == nil {
		return port.Address{}, false
	}
	to := s.shardOf(k)
	return to, to.Node != 0 && to.Index != s.cfg.Self.Index
}

// nextTelling is when the registry is to be told again.
func (s *Shard) nextTelling() time.Time {
	if g := &s.going; g.wanted && (g.ended || g.begun && s.log.Emptied()) {
		return s.now.Wall.Add(g.at - s.now.Mono)
	}
	return time.Time{}
}
