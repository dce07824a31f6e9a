package journal

import (
	"time"

	"perdure/core/port"
	"perdure/core/store"
)

// waiting is a reply or message that may not leave yet.
type waiting struct {
	at     store.Seq
	ticket uint64 // of the proof of ownership it needs, 0 if it needs none
	effect port.Effect
}

// proofs tells which waiting replies have a proof of ownership that was made
// after they were asked for (J10). Replies draw ascending tickets; a proof counts
// for all tickets drawn before the call that became the proof was issued.
type proofs struct {
	retry
	ticket uint64 // last one drawn
	proven uint64

	tag   uint64        // of the Confirm under way
	asked uint64        // last ticket drawn before it
	sure  time.Duration // monotonic: when ownership was proven last
	fence store.Fence
}

func (p *proofs) prove(ticket uint64, at time.Duration) {
	p.proven, p.sure = max(p.proven, ticket), at
	p.retry = retry{}
}

// ProveWithin makes sure that this node owns the shard, if it was not proven for
// so long: the owner of a log that writes nothing would not notice that it was displaced.
func (l *Log) ProveWithin(age time.Duration) {
	if l.state == active && !l.cfg.Exclusive && l.proofs.tag == 0 && l.last.Mono-l.proofs.sure > age {
		l.proofs.ticket++
	}
}

// Reply lets the reply out when at is durable and this node is proven to have
// owned the shard at some time after this call. The zero Call is not answered.
func (l *Log) Reply(r port.Reply, at store.Seq, out *port.Effects) {
	switch {
	case r.Call == port.Call{}:
	case !l.Active():
		out.Add(moved(r))
	case l.cfg.Exclusive:
		l.ReplyUnproven(r, at, out)
	default:
		l.proofs.ticket++
		l.wait(waiting{at: at, ticket: l.proofs.ticket, effect: r})
	}
}

// ReplyUnproven is Reply without the proof of ownership: for what promises nothing
// until the caller comes back with it, and is turned away then if it is stale.
func (l *Log) ReplyUnproven(r port.Reply, at store.Seq, out *port.Effects) {
	switch {
	case r.Call == port.Call{}:
	case !l.Active():
		out.Add(moved(r))
	case l.state == active && at <= l.durable:
		out.Add(r)
	default:
		l.wait(waiting{at: at, effect: r})
	}
}

// SendAfter lets the message out when at is durable. A closed log forgets it.
func (l *Log) SendAfter(to port.Address, in port.Input, at store.Seq, out *port.Effects) {
	switch {
	case !l.Active():
	case at <= l.durable:
		out.Send(to, in)
	default:
		l.wait(waiting{at: at, effect: port.Send{To: to, In: in}})
	}
}

// SendProven (J13) lets the message out when at is durable and this node is proven to
// have owned the shard at some time after this call: for what follows from memory
// or tables alone, and would be wrong from an owner that was displaced. A closed log forgets it.
func (l *Log) SendProven(to port.Address, in port.Input, at store.Seq, out *port.Effects) {
	if l.cfg.Exclusive {
		l.SendAfter(to, in, at, out)
		return
	}
	if l.Active() {
		l.proofs.ticket++
		l.wait(waiting{at: at, ticket: l.proofs.ticket, effect: port.Send{To: to, In: in}})
	}
}

func (l *Log) wait(w waiting) {
	assert(w.at <= l.seq+1, "J10: nothing waits for a position that no record will have")
	if w.at > l.seq {
		l.open.awaited = true
	}
	l.waiting = append(l.waiting, w)
}

// letOut lets out what may leave, in the order it came.
func (l *Log) letOut(out *port.Effects) {
	rest := l.waiting[:0]
	for _, w := range l.waiting {
		if w.at <= l.durable && w.ticket <= l.proofs.proven {
			out.Add(w.effect)
		} else {
			rest = append(rest, w)
		}
	}
	clear(l.waiting[len(rest):])
	l.waiting = rest
}

// refuseWaiting answers all waiting replies and forgets the messages: their cause is not durable.
func (l *Log) refuseWaiting(out *port.Effects) {
	for _, w := range l.waiting {
		if r, ok := w.effect.(port.Reply); ok {
			out.Add(moved(r))
		}
	}
	l.waiting = nil
}

// moved sends the caller's frontend looking for the new owner. The token is the dropped memory's.
func moved(r port.Reply) port.Reply {
	return port.Reply{Call: r.Call, Refusal: port.MovedMaybe()}
}

// endConfirm asks the store who owns the shard if replies wait for a proof that
// no append is going to give. One call at a time; later replies wait for the next.
func (l *Log) endConfirm(out *port.Effects) {
	p := &l.proofs
	if p.due(l.last.Mono) {
		p.at = 0
	}
	coming := p.proven
	if l.handed.out {
		coming = max(coming, l.handed.ticket)
	}
	if l.cfg.Exclusive || p.ticket <= coming || l.writeDue() || p.tag != 0 || p.at != 0 {
		return
	}
	p.tag, p.asked, p.fence = l.nextTag(), p.ticket, l.fence
	out.Add(port.ConfirmStore{Tag: p.tag, Fence: l.fence})
}

func (l *Log) confirmCompleted(c *port.Completed, out *port.Effects) Event {
	p := &l.proofs
	p.tag = 0
	switch {
	case c.Err != nil:
		p.again(l)
	case c.Owner:
		p.prove(p.asked, l.last.Mono)
		if l.state == active {
			l.letOut(out)
		}
	case p.fence == l.fence && l.state == active:
		return l.lost(store.ErrFenced, out)
	}
	return Event{} // our own Open may have displaced the pair that was asked about
}
