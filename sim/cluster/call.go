package cluster

import (
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
	to    *box
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
	call := &Call{Request: req, Issued: c.U.Now(), Note: c.watch.Issued(req), p: p, done: done}
	deadline := c.U.Now() + timeout
	if !c.healed && c.rand.Chance(c.cfg.CallLoss) {
		c.Counts.LostRequests++
		c.U.At(c.U.Now()+c.rand.Between(0, timeout), func() { call.end(Result{Lost: true}) })
		return call
	}
	c.U.At(deadline, func() { call.timedOut() })
	c.U.After(c.wire(), func() {
		if !p.up {
			call.end(Result{Lost: true})
			return
		}
		p.now(func() { p.admit(call, deadline, client) })
	})
	return call
}

// admit does what the caller's goroutine does in production.
func (p *Process) admit(call *Call, deadline time.Duration, client port.Client) {
	c := p.c
	if call.ended {
		return
	}
	if p.snapshot == nil || p.draining {
		p.wireBack(call, Result{Refusal: port.Refuse(port.Unavailable, "server is starting or shutting down")})
		return
	}
	c.calls++
	call.id = c.calls
	call.Admit = proto.Clone(call.Request)
	left := deadline - c.U.Now()
	plan, refusal := p.frontend.Admit(p.snapshot, frontend.Caller{
		Now: p.Wall(), Deadline: p.Wall().Add(left), Call: port.Call{Node: p.id, ID: call.id}, Client: client, NewID: c.rand.UUID,
	}, call.Admit)
	switch {
	case refusal != nil:
		p.wireBack(call, Result{Refusal: refusal})
	case plan.Answer != nil:
		m, err := Decode(plan.Answer)
		if err != nil {
			panic("cluster: an answer cannot be decoded: " + err.Error())
		}
		p.wireBack(call, Result{Message: m})
	default:
		call.to = p.byAddr[plan.To]
		p.calls[call.id] = call
		p.open = append(p.open, call)
		p.sweep()
		p.post(call.to, plan.In, c.hop())
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
	if c.to == nil || !p.up || p.calls[c.id] != c {
		return
	}
	delete(p.calls, c.id)
	p.post(c.to, port.Gone{Call: port.Call{Node: p.id, ID: c.id}}, p.c.wire())
}

// broken is the end of the connection with its node. Some clients notice at once.
func (c *Call) broken() {
	if c.ended || c.p.calls[c.id] != c {
		return
	}
	c.p.c.U.After(c.p.c.rand.Spread(time.Millisecond, 5*time.Second), func() { c.end(Result{Lost: true}) })
}

// reply hands a reply to its caller. If the caller has gone, the machine is
// told, provided that it cares.
func (p *Process) reply(b *box, r port.Reply) {
	if r.Call == (port.Call{}) {
		return
	}
	c := p.c
	call := p.calls[r.Call.ID]
	if call == nil || r.Call.Node != p.id {
		p.undelivered(b, r, 0)
		return
	}
	delete(p.calls, r.Call.ID)
	c.watch.Replied(call, &r)
	if !c.healed && c.rand.Chance(c.cfg.WireLoss) {
		c.Counts.LostReplies++
		c.U.After(c.rand.Spread(time.Millisecond, 5*time.Second), func() { call.end(Result{Lost: true}) })
		if c.rand.Chance(0.5) { // else the node believes that the reply arrived
			p.undelivered(b, r, c.rand.Spread(time.Millisecond, time.Second))
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

func (p *Process) undelivered(b *box, r port.Reply, after time.Duration) {
	if r.Token != nil {
		p.c.Counts.Undelivered++
		p.post(b, port.Undelivered{Reply: r}, after)
	}
}
