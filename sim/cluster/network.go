package cluster

import (
	"time"

	"perdure/core/node"
	"perdure/core/port"
)

// The network between nodes. A message takes a drawn time; it may be lost, come
// twice, or overtake others; links are cut in one direction or both, or slow. What
// comes twice or late is dropped where it arrives, by the code that production will
// use (core/node, link.go); so machines see loss and delay.

// Links says how bad the network between nodes is. Probabilities are of one message.
type Links struct {
	Delay   time.Duration // longest usual time
	Loss    float64
	Twice   float64
	Reorder float64
}

// link is one direction between two nodes.
type link struct{ from, to port.NodeID }

// road is what is known of a link.
type road struct {
	cut  time.Duration // until then nothing gets through
	slow time.Duration // until then everything takes long
	last time.Duration // when the last message arrives that keeps to the order
}

// packet is one message.
type packet struct {
	stamp node.Stamp
	to    port.Address
	in    port.Input  // for the machine at to
	reply *port.Reply // for a caller at node to.Node, if set
	from  port.Address
	wall  time.Time // of the sender when it was sent
}

func (c *Cluster) road(from, to port.NodeID) *road {
	k := link{from, to}
	r := c.roads[k]
	if r == nil {
		r = &road{}
		c.roads[k] = r
	}
	return r
}

// Cut lets nothing through from one node to another for a while.
func (c *Cluster) Cut(from, to port.NodeID, d time.Duration) {
	r := c.road(from, to)
	r.cut = max(r.cut, c.U.Now()+d)
}

// Slow makes a link slow for a while.
func (c *Cluster) Slow(from, to port.NodeID, d time.Duration) {
	r := c.road(from, to)
	r.slow = max(r.slow, c.U.Now()+d)
}

// open says that a link is not cut.
func (c *Cluster) open(from, to port.NodeID) bool {
	return c.healed || c.U.Now() >= c.road(from, to).cut
}

// transmit sends a packet on its way.
func (c *Cluster) transmit(p *Process, k packet) {
	out := p.links[k.to.Node]
	if out == nil {
		out = &node.Outgoing{Life: p.boot}
		p.links[k.to.Node] = out
	}
	k.stamp, k.wall = out.Next(), p.Wall()
	r := c.road(p.id, k.to.Node)
	l := c.cfg.Links
	switch {
	case !c.open(p.id, k.to.Node):
		c.Counts.CutMessages++
		return
	case !c.healed && c.rand.Chance(l.Loss):
		c.Counts.LostMessages++
		return
	}
	at := c.U.Now() + c.travel(r)
	if !c.healed && c.rand.Chance(l.Reorder) {
		c.Counts.Reordered++
	} else {
		at = max(at, r.last)
		r.last = at
	}
	c.U.At(at, func() { c.deliver(k) })
	if !c.healed && c.rand.Chance(l.Twice) {
		c.Counts.Doubled++
		c.U.At(at+c.travel(r), func() { c.deliver(k) })
	}
}

func (c *Cluster) travel(r *road) time.Duration {
	d := c.rand.Spread(20*time.Microsecond, c.cfg.Links.Delay)
	if !c.healed && c.U.Now() < r.slow {
		d = 20*d + c.rand.Between(0, 300*time.Millisecond)
	}
	return d
}

// deliver hands a packet to the process that has the node's address now.
func (c *Cluster) deliver(k packet) {
	p := c.procs[k.to.Node]
	if p == nil || !p.up {
		return
	}
	p.now(func() { p.received(k) })
}

func (p *Process) received(k packet) {
	in := p.incoming[k.from.Node]
	if in == nil {
		in = &node.Incoming{}
		p.incoming[k.from.Node] = in
	}
	if !in.Accept(k.stamp) {
		p.c.Counts.Refused++
		return
	}
	if k.reply != nil {
		p.replied(k.from, *k.reply)
		return
	}
	b := p.byAddr[k.to]
	if b == nil {
		return // a role that this node does not have
	}
	p.arrive(b, port.Carried(k.in, p.Wall().Sub(k.wall)))
}
