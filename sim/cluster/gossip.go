package cluster

import (
	"slices"
	"time"

	"perdure/core/port"
)

// Views of the cluster. Each process looks for each other one now and then; one
// that it has not reached for a while is gone for it, one that drains says so. So
// views differ for seconds after every change, with every cut and every pause; and a
// process may forget another one for no reason at all.

// Gossip says how views come about.
type Gossip struct {
	Every   time.Duration // between two looks, about
	Suspect time.Duration // unreached for that long: gone
	Forget  float64       // chance, at each look, to forget somebody
	Alone   float64       // chance that a process begins with nobody but itself in its view
}

// gossip begins to look around.
func (p *Process) gossip() {
	if !p.c.rand.Chance(p.c.cfg.Gossip.Alone) || p.c.healed {
		p.look()
	} else {
		p.setView()
	}
	p.lookAgain()
}

func (p *Process) lookAgain() {
	every := p.c.cfg.Gossip.Every
	p.at(p.c.U.Now()+p.c.rand.Between(every/2, every*3/2), func() {
		p.look()
		p.lookAgain()
	})
}

// look reaches whoever can be reached.
func (p *Process) look() {
	c := p.c
	for _, id := range c.ids {
		o := c.procs[id]
		if id == p.id || o == nil || !o.up || o.paused || !c.open(p.id, id) || !c.open(id, p.id) {
			continue
		}
		if o.draining {
			delete(p.heard, id)
			continue
		}
		p.heard[id] = c.U.Now()
	}
	if g := c.cfg.Gossip; !c.healed && c.rand.Chance(g.Forget) {
		delete(p.heard, c.ids[c.rand.IntN(len(c.ids))])
		c.Counts.Forgotten++
	}
	p.setView()
}

// setView tells the machines if the view has changed.
func (p *Process) setView() {
	c := p.c
	view := &port.Members{}
	for _, id := range c.ids {
		at, heard := p.heard[id]
		if id == p.id && !p.draining || heard && c.U.Now()-at <= c.cfg.Gossip.Suspect {
			view.All = append(view.All, c.member(id))
		}
	}
	if p.members != nil && slices.Equal(p.members.All, view.All) {
		return
	}
	p.members = view
	c.Counts.Views++
	if c.U.Tracing() {
		var ids []port.NodeID
		for _, m := range view.All {
			ids = append(ids, m.Node)
		}
		c.tell("node %d sees nodes %v", p.id, ids)
	}
	for _, b := range p.boxes {
		p.post(b, view, 0)
	}
	p.reroute()
}

// member is how a node describes itself.
func (c *Cluster) member(id port.NodeID) port.Member {
	return port.Member{Node: id, Address: address(id), Roles: c.roles(id), QueueParts: c.cfg.QueueParts}
}
