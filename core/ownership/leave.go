package ownership

import "perdure/core/port"

// An owner leaves when another node claims the shard and its own view has moved it, or when it drains.

// claimed answers who wants the shard. One that wants it too but does not hold it
// gives way: the other one is further.
func (s *Seat) claimed(in port.Claim, out *port.Effects) {
	switch s.phase {
	case leaving:
		s.heir(in.From)
		return
	case holding, opening:
		if s.phase == holding && !s.wants() {
			s.heir(in.From)
			s.phase, s.order, s.at = leaving, Leave, 0
			return
		}
		out.Send(in.From, port.Claimed{From: s.cfg.Self})
		return
	}
	out.Send(in.From, port.Claimed{From: s.cfg.Self, Granted: true})
}

// heir notes a claim; the same node may repeat it.
func (s *Seat) heir(a port.Address) {
	for _, x := range s.claims {
		if x == a {
			return
		}
	}
	s.claims = append(s.claims, a)
}

// Heir is the node for which the shard is being left; 0 if there is none yet.
func (s *Seat) Heir() port.NodeID {
	if len(s.claims) > 0 {
		return s.claims[0].Node
	}
	return s.Elsewhere()
}

// Left says that the shard was released, or that this could not be done.
func (s *Seat) Left(out *port.Effects) {
	s.phase, s.at, s.owner = away, 0, 0
	for i, a := range s.claims {
		if i == 0 {
			s.owner = a.Node
		}
		out.Send(a, port.Claimed{From: s.cfg.Self, Granted: true})
	}
	s.claims = nil
}
