package check

import (
	"perdure/core/port"
	"perdure/core/shard"
)

// P34 granted_when_left: nodes of one cluster take shards from each other with a word. One that opens a
// shard has been told by the store who has it, and has asked that node, if there is one; an owner says yes
// only when it serves the shard no more.

// Claims follows what nodes of a cluster ask each other for.
type Claims struct {
	fail  func(*Breach)
	seats map[machine]*seat
}

// seat is what one life of a machine knows of the owner of its shard.
type seat struct {
	tag   uint64      // of its question to the store
	told  bool        // the store has answered,
	owner port.NodeID // that this node has it; 0: nobody
	asked bool        // and that node was asked since
}

// NewClaims makes a follower that has heard nothing.
func NewClaims(fail func(*Breach)) *Claims { return &Claims{fail, map[machine]*seat{}} }

// Stepped is told of each step of a machine that has a journal.
func (c *Claims) Stepped(boot uint64, at port.Address, m port.Machine, in port.Input, out []port.Effect) {
	k := machine{boot, at}
	s := c.seats[k]
	if s == nil {
		s = &seat{}
		c.seats[k] = s
	}
	done, completed := in.(*port.Completed)
	if completed && s.tag != 0 && done.Tag == s.tag && done.Err == nil {
		s.told, s.owner, s.asked = true, port.OwnerNode(done.Held.Address), false
	}
	for _, e := range out {
		switch e := e.(type) {
		case port.AskOwner:
			s.tag = e.Tag
		case port.OpenStore:
			if !(completed && done.Owner) && e.Open.Known == 0 {
				c.opens(at, s)
			}
		case port.Send:
			switch x := e.In.(type) {
			case port.Claim:
				s.asked = s.asked || e.To.Node == s.owner
			case port.Claimed:
				if h, ok := m.(*shard.Shard); ok && x.Granted && h.Memory().Serving {
					c.fail(breach(GrantedWhenLeft, "", "node %d grants the claim of node %d for shard %d, which it serves", at.Node, e.To.Node, at.Index))
				}
			}
		}
	}
}

func (c *Claims) opens(at port.Address, s *seat) {
	switch {
	case !s.told:
		c.fail(breach(GrantedWhenLeft, "", "node %d opens shard %d, and the store was not asked who has it", at.Node, at.Index))
	case s.owner != 0 && s.owner != at.Node && !s.asked:
		c.fail(breach(GrantedWhenLeft, "", "node %d opens shard %d of node %d, which was not asked for it", at.Node, at.Index, s.owner))
	}
}
