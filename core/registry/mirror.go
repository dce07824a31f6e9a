package registry

import (
	"time"

	"perdure/core/port"
)

// A node whose registry machine does not own the registry shows what the owner
// published: it is told of every change, and asks now and then whether it missed
// one. So what it shows is at most staleness old, as long as the owner can be reached.

const (
	staleness = 5 * time.Second // between two questions that are answered
	askAgain  = time.Second     // after one that is not
	mostCalls = 1000            // that wait for an answer
)

type mirror struct {
	shown *port.Snapshot // what was published at this node last
	at    time.Duration  // when to ask, 0: never
	asked uint64         // tag of the last question
	calls []refreshing
}

// refreshing is a caller that waits for the answer to a question.
type refreshing struct {
	call  port.Call
	tag   uint64
	until time.Duration
}

func (m *mirror) version() uint64 {
	if m.shown == nil {
		return 0
	}
	return m.shown.Version
}

func (m *mirror) next() time.Duration {
	at := m.at
	if len(m.calls) > 0 && (at == 0 || m.calls[0].until < at) {
		at = m.calls[0].until
	}
	return at
}

// show publishes a snapshot at this node, unless the cluster has gone beyond what this server knows.
func (r *Registry) show(s *port.Snapshot) {
	if s.Level > r.cfg.Level {
		r.halt(r.tooOld(s.Level))
		return
	}
	if s.Version > r.mirror.version() {
		r.mirror.shown = s
		r.out.Add(port.Publish{Snapshot: s})
	}
}

// push tells all other nodes of a change.
func (r *Registry) push(s *port.Snapshot) {
	if r.members == nil {
		return
	}
	for i := range r.members.All {
		if n := r.members.All[i].Node; n != r.cfg.Self.Node {
			r.out.Send(port.Address{Node: n, Role: port.RoleRegistry}, port.Fetched{Snapshot: s})
		}
	}
}

// reflect asks the owner when it is time, and lets go whoever waited long enough.
func (r *Registry) reflect() {
	m := &r.mirror
	for len(m.calls) > 0 && m.calls[0].until <= r.now.Mono {
		r.out.Add(port.Reply{Call: m.calls[0].call})
		m.calls = m.calls[1:]
	}
	switch {
	case r.members == nil || r.phase == serving:
		m.at = 0
	case m.at <= r.now.Mono:
		m.at = r.now.Mono + askAgain
		r.ask()
	}
}

func (r *Registry) ask() {
	m := &r.mirror
	m.asked++
	if n := r.elsewhere(); n != 0 {
		r.out.Send(port.Address{Node: n, Role: port.RoleRegistry}, port.Fetch{From: r.cfg.Self, Tag: m.asked, Version: m.version(), Level: r.cfg.Level})
	}
}

// fetch answers another node, once this one is proven to be the owner still.
func (r *Registry) fetch(in *port.Fetch) {
	if r.phase != serving {
		return // it asks again
	}
	r.levels.hear(r.now.Mono, in.From.Node, in.Level)
	if len(r.unsent) > 0 {
		return // the same
	}
	answer := port.Fetched{Tag: in.Tag}
	if r.mirror.version() > in.Version {
		answer.Snapshot = r.mirror.shown
	}
	r.log.SendProven(in.From, answer, r.log.Durable(), r.out)
}

// fetched takes in what the owner sent. The answer to a question serves all who came before it was asked.
func (r *Registry) fetched(in *port.Fetched) {
	if r.phase == serving {
		return
	}
	if in.Snapshot != nil {
		r.show(in.Snapshot)
	}
	if in.Tag == 0 || r.halted {
		return
	}
	m := &r.mirror
	m.at = r.now.Mono + staleness
	kept := m.calls[:0]
	for _, c := range m.calls {
		if c.tag <= in.Tag {
			r.out.Add(port.Reply{Call: c.call})
		} else {
			kept = append(kept, c)
		}
	}
	m.calls = kept
}

// refresh answers when this node has heard of everything that was published before.
// An owner must be proven to be it still; one that is not refuses, and who asks is as wise as before.
func (r *Registry) refresh(c port.Call) {
	m := &r.mirror
	switch {
	case r.phase == serving:
		r.log.Reply(port.Reply{Call: c}, max(r.changed, r.log.Durable()), r.out)
		return
	case r.members == nil || len(m.calls) >= mostCalls:
		r.out.Add(port.Reply{Call: c})
		return
	}
	r.ask()
	m.calls = append(m.calls, refreshing{c, m.asked, r.now.Mono + askAgain})
}
