package cluster

import (
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"perdure/core/frontend"
	"perdure/core/port"
)

// Call is one call of a client, as adapters/grpc and adapters/runtime carry it.
type Call struct {
	Request proto.Message // as the client made it
	Admit   proto.Message // as the frontend completed it; nil before
	Issued  time.Duration // when the client sent it
	Note    any           // of the watch

	p     *Process
	id    uint64
	trip  frontend.Trip
	try   int           // counts what was sent
	until time.Duration // deadline
	who   port.Client
	fresh bool // the registry was asked whether there is something new
	done  func(Result)
	ended bool // the client has its result, or has gone
}

// Result is what a client learns of its call.
type Result struct {
	Message proto.Message // of a success
	Refusal *port.Refusal
	Lost    bool // no answer: whether the call took effect is not known
}

// OK says that the call succeeded.
func (r Result) OK() bool { return r.Message != nil }

// Code is that of the refusal, 0 if there is none.
func (r Result) Code() port.Code {
	if r.Refusal == nil {
		return 0
	}
	return r.Refusal.Code
}

// Call sends a request to the process; done is called once, unless the client gives the call up.
func (p *Process) Call(req proto.Message, timeout time.Duration, client port.Client, done func(Result)) *Call {
	c := p.c
	call := &Call{Request: req, Issued: c.U.Now(), Note: c.watch.Issued(req), p: p, done: done, who: client, until: c.U.Now() + timeout}
	if !c.healed && c.rand.Chance(c.cfg.CallLoss) {
		c.Counts.LostRequests++
		c.U.At(c.U.Now()+c.rand.Between(0, timeout), func() { call.end(Result{Lost: true}) })
		return call
	}
	c.U.At(call.until, func() { call.timedOut() })
	c.U.After(c.wire(), func() {
		if !p.up {
			call.end(Result{Lost: true})
			return
		}
		p.now(func() { p.admit(call) })
	})
	return call
}

// admit does what the caller's goroutine does in production.
func (p *Process) admit(call *Call) {
	c := p.c
	if call.ended {
		return
	}
	if p.snapshot == nil || p.draining {
		p.wireBack(call, Result{Refusal: port.Refuse(port.Unavailable, "server is starting or shutting down")})
		return
	}
	if call.id == 0 {
		c.calls++
		call.id = c.calls
	}
	call.Admit = proto.Clone(call.Request)
	left := call.until - c.U.Now()
	plan, refusal := p.node.Frontend.Admit(p.snapshot, frontend.Caller{
		Now: p.Wall(), Deadline: p.Wall().Add(left), Call: port.Call{Node: p.id, ID: call.id}, Client: call.who, NewID: c.rand.UUID, Members: p.members,
	}, call.Admit)
	switch {
	case refusal != nil && frontend.Missed(refusal) && p.members != nil && !call.fresh:
		call.fresh = true
		at := port.Address{Node: p.id, Role: port.RoleRegistry}
		p.begin(call, frontend.Trip{In: port.Refresh{Call: port.Call{Node: p.id, ID: call.id}}, To: at})
	case refusal != nil:
		p.wireBack(call, Result{Refusal: refusal})
	case plan.Answer != nil:
		m, err := Decode(plan.Answer)
		if err != nil {
			panic("cluster: an answer cannot be decoded: " + err.Error())
		}
		p.wireBack(call, Result{Message: m})
	default:
		p.begin(call, frontend.Depart(plan))
	}
}

// begin sends a call on its way.
func (p *Process) begin(call *Call, t frontend.Trip) {
	call.trip = t
	p.calls[call.id] = call
	p.open = append(p.open, call)
	p.sweep()
	p.try(call)
}

// try sends it once, and again if another node says nothing for too long.
func (p *Process) try(call *Call) {
	c := p.c
	call.try++
	try := call.try
	p.sendCall(call.trip.To, port.Carried(call.trip.In, 0))
	if call.trip.To.Node == p.id || !c.clustered() {
		return
	}
	p.at(c.U.Now()+call.trip.Patience(), func() {
		if call.try == try && p.calls[call.id] == call {
			p.unheard(call)
		}
	})
}

func (p *Process) sendCall(to port.Address, in port.Input) {
	switch b := p.byAddr[to]; {
	case b != nil:
		p.post(b, in, p.c.hop())
	case to.Node != p.id && to.Node != 0:
		p.c.transmit(p, packet{to: to, in: in, from: port.Address{Node: p.id}})
	}
}

// unheard sends a call anew of which nothing is heard.
func (p *Process) unheard(call *Call) {
	before := call.trip.To
	if step := p.node.Frontend.Unheard(&call.trip, p.snapshot, p.members, call.until-p.c.U.Now()); !step.Again {
		return
	}
	p.c.Counts.Retries++
	p.follow(call, before, 0)
}

// follow goes where the trip says now, after a while; who had the call before is told to forget it.
func (p *Process) follow(call *Call, before port.Address, after time.Duration) {
	if before != call.trip.To {
		p.sendCall(before, port.Gone{Call: port.Call{Node: p.id, ID: call.id}})
	}
	call.try++
	try := call.try
	p.at(p.c.U.Now()+after, func() {
		if call.try == try && p.calls[call.id] == call {
			p.try(call)
		}
	})
}

// reroute sends calls anew that went to nodes which have left the view.
func (p *Process) reroute() {
	for _, call := range slices.Clone(p.open) {
		if to := call.trip.To.Node; p.calls[call.id] == call && to != p.id && p.members.Find(to) == nil {
			p.unheard(call)
		}
	}
}

// sweep forgets calls that have ended.
func (p *Process) sweep() {
	if len(p.open) < 64 || len(p.open) < 2*len(p.calls) {
		return
	}
	kept := p.open[:0]
	for _, c := range p.open {
		if !c.ended && p.calls[c.id] == c {
			kept = append(kept, c)
		}
	}
	clear(p.open[len(kept):])
	p.open = kept
}

// wireBack carries a result to the client.
func (p *Process) wireBack(call *Call, r Result) {
	p.c.U.After(p.c.wire(), func() { call.end(r) })
}

// end gives the client its result.
func (c *Call) end(r Result) {
	if c.ended {
		return
	}
	c.ended = true
	c.done(r)
}

// timedOut ends the call at its deadline; the machine learns it.
func (c *Call) timedOut() {
	if !c.ended {
		c.gone()
		c.end(Result{Lost: true})
	}
}

// GiveUp ends the call for its client without a result.
func (c *Call) GiveUp() {
	if !c.ended {
		c.ended = true
		c.gone()
	}
}

// gone tells the machine that nobody waits any more.
func (c *Call) gone() {
	p := c.p
	if !p.up || p.calls[c.id] != c {
		return
	}
	delete(p.calls, c.id)
	p.at(p.c.U.Now()+p.c.wire(), func() { p.sendCall(c.trip.To, port.Gone{Call: port.Call{Node: p.id, ID: c.id}}) })
}

// broken is the end of the connection with its node. Some clients notice at once.
func (c *Call) broken() {
	if c.ended || c.p.calls[c.id] != c {
		return
	}
	c.p.c.U.After(c.p.c.rand.Spread(time.Millisecond, 5*time.Second), func() { c.end(Result{Lost: true}) })
}

// reply hands a reply to its caller, here or at another node. Whoever it goes to,
// it is held against the promises now: its machine has made it.
func (p *Process) reply(b *box, r port.Reply) {
	if r.Call == (port.Call{}) {
		return
	}
	c := p.c
	if home := c.procs[r.Call.Node]; home != nil && home.up {
		if call := home.calls[r.Call.ID]; call != nil && (r.Body != nil || r.Refusal != nil) {
			c.watch.Replied(call, &r)
		}
	}
	if r.Call.Node != p.id {
		if c.clustered() {
			c.transmit(p, packet{to: port.Address{Node: r.Call.Node}, reply: &r, from: b.addr})
		}
		return
	}
	p.replied(b.addr, r)
}

// replied takes the reply of a machine, of this node or of another. If the caller
// has gone, the machine is told, provided that it cares.
func (p *Process) replied(from port.Address, r port.Reply) {
	c := p.c
	call := p.calls[r.Call.ID]
	if call == nil {
		p.undelivered(from, r, 0)
		return
	}
	if _, news := call.trip.In.(port.Refresh); news {
		delete(p.calls, r.Call.ID)
		p.admit(call)
		return
	}
	if r.Refusal != nil && r.Refusal.Moved != nil {
		before := call.trip.To
		if step := p.node.Frontend.Refused(&call.trip, r.Refusal, p.snapshot, p.members, call.until-c.U.Now()); step.Again {
			c.Counts.Retries++
			p.follow(call, before, step.After)
			return
		}
	}
	delete(p.calls, r.Call.ID)
	if !c.healed && c.rand.Chance(c.cfg.WireLoss) {
		c.Counts.LostReplies++
		c.U.After(c.rand.Spread(time.Millisecond, 5*time.Second), func() { call.end(Result{Lost: true}) })
		if c.rand.Chance(0.5) { // else the node believes that the reply arrived
			p.undelivered(from, r, c.rand.Spread(time.Millisecond, time.Second))
		}
		return
	}
	if r.Refusal != nil {
		p.wireBack(call, Result{Refusal: r.Refusal})
		return
	}
	m, err := Decode(r.Body)
	if err != nil {
		panic("cluster: an answer cannot be decoded: " + err.Error())
	}
	p.wireBack(call, Result{Message: m})
}

func (p *Process) undelivered(from port.Address, r port.Reply, after time.Duration) {
	if r.Token != nil && r.Call.ID > p.earlier {
		p.c.Counts.Undelivered++
		p.at(p.c.U.Now()+after, func() { p.sendCall(from, port.Undelivered{Reply: r}) })
	}
}
