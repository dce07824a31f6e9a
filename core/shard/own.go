package shard

import (
	"slices"
	"strings"
	"time"

	"perdure/core/ownership"
	"perdure/core/port"
)

// Coming and going: when this node opens the shard, how it leaves it, and what
// becomes of those who come while it is not here.

const (
	leaveWithin = time.Second // for flushes and replies of an owner that leaves
	earlyMost   = 4096        // inputs that wait for a shard which is being opened
	hopsMost    = 3           // times that a message is passed on
)

// obey does what the seat orders. A node that left may have to come again at once.
func (s *Shard) obey() {
	switch s.seat.End(s.now, s.out) {
	case ownership.Open:
		s.log.Open(s.now, s.out)
	case ownership.Abandon:
		s.log.Close(s.out)
		s.forget()
	case ownership.Leave:
		s.leave()
	case ownership.Yield:
		s.log.Close(s.out)
		s.lose()
		s.obey()
		return
	}
	if len(s.early) > 0 && !s.parks() {
		early := s.early
		s.early = nil
		for _, in := range early {
			s.redirect(in)
		}
	}
}

// parks says that what comes now is served soon.
func (s *Shard) parks() bool {
	if s.leaving || s.going.gone() {
		return false
	}
	return s.ready || s.log.Active() || s.seat.Parks()
}

// park keeps what comes before the shard is ready, or sends it elsewhere.
func (s *Shard) park(in port.Input) {
	if !s.parks() || len(s.early) >= earlyMost {
		s.redirect(in)
		return
	}
	s.early = append(s.early, in)
	s.seat.Asked()
}

func (s *Shard) runEarly() {
	if !s.ready || s.snapshot == nil {
		return
	}
	early := s.early
	s.early = nil
	for _, in := range early {
		s.serve(in)
	}
}

// loaded: what is needed at first is in memory.
func (s *Shard) loaded() {
	s.ready = true
	s.announceQueues()
	s.runEarly()
}

// lose drops the memory: another owner may have written since. Whoever waits is told to come again.
func (s *Shard) lose() {
	s.going.begun = false
	if s.leaving {
		s.leaving = false
		s.forget()
		s.seat.Left(s.out)
		return
	}
	s.seat.Lost(s.now)
	s.turnOut()
	s.forget()
	if len(s.early) > 0 {
		s.seat.Asked()
	}
}

// leave ends this node's time with the shard in good order: tasks that were only
// offered get their rows, everybody is sent on, and the journal goes on until all
// is written.
func (s *Shard) leave() {
	if s.going.begun && s.log.Active() { // nobody is here any more
		s.going.begun, s.leaving = false, true
		s.log.Leave(s.now, leaveWithin)
		return
	}
	s.going.begun = false
	if !s.ready {
		s.log.Close(s.out) // nothing was done yet
		s.forget()
		s.seat.Left(s.out)
		return
	}
	s.settleHeld()
	s.turnOut()
	s.forget()
	s.leaving = true
	s.log.Leave(s.now, leaveWithin)
}

// left ends what leave began.
func (s *Shard) left() {
	if !s.log.Left() {
		return
	}
	s.leaving = false
	s.seat.Left(s.out)
	s.obey()
}

// settleHeld gives their rows to all tasks whose offers are not answered: the
// record must not leave without them (S6).
func (s *Shard) settleHeld() {
	var all []*held
	for _, h := range s.queues.held { //ordered: sorted below
		if !h.settled {
			all = append(all, h)
		}
	}
	slices.SortFunc(all, func(a, b *held) int { return strings.Compare(a.task.Key, b.task.Key) })
	for _, h := range all {
		h.settled = true
		s.await(h.task)
	}
}

// turnOut sends away all who wait for something here.
func (s *Shard) turnOut() {
	s.cache.eachParked(func(in port.Input) { s.redirect(in) })
	s.waits.each(func(r *port.Request) { s.redirect(r) })
	s.refuseQueries()
	s.announceLeave()
}

// announceLeave tells the owners of task queues where the shard goes.
func (s *Shard) announceLeave() {
	if s.members == nil {
		return
	}
	var all []*backlog
	for _, b := range s.queues.queues { //ordered: sorted below
		if len(b.subscribers) > 0 {
			all = append(all, b)
		}
	}
	slices.SortFunc(all, func(a, b *backlog) int { return strings.Compare(a.prefix, b.prefix) })
	said := map[port.Address]bool{}
	for _, b := range all {
		for _, x := range b.subscribers {
			if !said[x.from] {
				said[x.from] = true
				s.out.Send(x.from, port.Elsewhere{Shard: s.cfg.Self, To: s.heir()})
			}
		}
	}
}

func (s *Shard) replyNow(c port.Call, f *port.Refusal) {
	s.out.Add(port.Reply{Call: c, Refusal: f})
}

// moved refuses a call that had no effect here.
func (s *Shard) moved() *port.Refusal { return port.MovedTo(s.elsewhere()) }

func (s *Shard) elsewhere() port.NodeID {
	if s.leaving {
		return s.heir()
	}
	if s.going.gone() {
		return 0
	}
	return s.seat.Elsewhere()
}

// heir is the node that will have the shard; 0: none, or unknown.
func (s *Shard) heir() port.NodeID {
	if s.going.gone() {
		return 0
	}
	return s.seat.Heir()
}

// redirect sends on what came for a shard that is not here. What is soft state of
// this node's time with the shard, and what is repeated anyway, is dropped.
func (s *Shard) redirect(in port.Input) {
	switch in := in.(type) {
	case *port.Request:
		s.replyNow(in.Call, s.moved())
	case port.Taken:
		s.out.Send(in.From, port.Elsewhere{Shard: s.cfg.Self, To: s.elsewhere()})
		s.untaken(&in)
	case port.Subscribe:
		s.out.Send(in.From, port.Elsewhere{Shard: s.cfg.Self, To: s.elsewhere()})
	case port.Pull:
		s.out.Send(in.From, port.Elsewhere{Shard: s.cfg.Self, To: s.elsewhere()})
	case *port.Message:
		if to, ok := s.passOn(in.To, in.Hops); ok {
			again := *in
			again.Hops++
			s.out.Send(to, &again)
		}
	case *port.Outcome:
		if to, ok := s.passOn(in.To, in.Hops); ok {
			again := *in
			again.Hops++
			s.out.Send(to, &again)
		}
	}
}

// passOn is where a message for a run of the shard is passed on to, if somebody may have it.
func (s *Shard) passOn(k port.RunKey, hops uint8) (port.Address, bool) {
	if hops >= hopsMost {
		return port.Address{}, false
	}
	if s.going.gone() {
		return s.follow(k)
	}
	n := s.elsewhere()
	return port.ShardAddress(n, s.cfg.Shard), n != 0
}
