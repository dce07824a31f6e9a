package runtime

import (
	"context"
	"sync"
	"sync/atomic"

	enumspb "go.temporal.io/api/enums/v1"

	"perdure/core/port"
)

// A call id is generation<<slotBits | slot. The slot finds the Waiter without
// a map; the generation, one higher at each use, tells its uses apart. Generations start
// at random, so that a reply to an earlier process finds nobody.
const (
	slotBits  = 20
	chunkBits = 8
	maxCalls  = 1 << slotBits
)

type chunk [1 << chunkBits]Waiter

// calls are the callers of this node that wait for a reply.
type calls struct {
	chunks [maxCalls >> chunkBits]atomic.Pointer[chunk]
	open   atomic.Int64

	mu         sync.Mutex
	free       []*Waiter
	generation uint64
	size       int // slots made so far
}

// Waiter is one caller's wait for one reply. Begin hands it out, End takes it back.
type Waiter struct {
	r    *Runtime
	slot uint64
	wake chan struct{} // capacity 1; used only while sleeping

	mu       sync.Mutex
	id       uint64 // 0: nobody waits
	answered bool
	sleeping bool
	reply    port.Reply
	from     *mailbox // made the reply

	stepper stepper
}

// Begin takes a Waiter, so that the request can carry its Call. Nil if a million calls wait already.
func (r *Runtime) Begin() *Waiter {
	c := &r.calls
	c.mu.Lock()
	if len(c.free) == 0 && !c.grow(r) {
		c.mu.Unlock()
		return nil
	}
	w := c.free[len(c.free)-1]
	c.free = c.free[:len(c.free)-1]
	c.generation++
	id := c.generation<<slotBits | w.slot
	c.mu.Unlock()
	c.open.Add(1)
	w.mu.Lock()
	w.id = id
	w.mu.Unlock()
	return w
}

func (c *calls) grow(r *Runtime) bool {
	if c.size == maxCalls {
		return false
	}
	fresh := new(chunk)
	c.chunks[c.size>>chunkBits].Store(fresh)
	for i := range fresh {
		fresh[i].r, fresh[i].slot = r, uint64(c.size+i)
		c.free = append(c.free, &fresh[i])
	}
	c.size += len(fresh)
	return true
}

// Call is the name under which a machine replies to this caller.
func (w *Waiter) Call() port.Call { return port.Call{Node: w.r.config.Node, ID: w.id} }

// Do posts the input and waits for the reply. The error is that of ctx: the
// caller went before the reply came, and the machine was told so.
func (w *Waiter) Do(ctx context.Context, to port.Address, in port.Input) (*port.Answer, *port.Refusal, error) {
	m := w.r.machines.Load().find(to)
	if m == nil {
		return nil, port.Refuse(port.Unavailable, "%v %d is not served by this node", to.Role, to.Index), nil
	}
	if w.r.outage.closed.Load() {
		return nil, unavailableStore, nil
	}
	mine, refused := m.postRequest(in, w.r.config.Requests)
	if refused {
		return nil, w.r.overloaded(), nil
	}
	if mine {
		w.stepper.begin(w.r, nil)
		w.stepper.push(m)
		w.stepper.run()
	}
	if err := w.wait(ctx); err != nil {
		w.r.postTo(m, port.Gone{Call: port.Call{Node: w.r.config.Node, ID: w.id}})
		return nil, nil, err
	}
	return w.reply.Body, w.reply.Refusal, nil
}

func (r *Runtime) overloaded() *port.Refusal {
	if r.stopped.Load() {
		return port.Refuse(port.Unavailable, "server is shutting down")
	}
	return port.Exhausted(enumspb.RESOURCE_EXHAUSTED_CAUSE_SYSTEM_OVERLOADED, enumspb.RESOURCE_EXHAUSTED_SCOPE_SYSTEM, "too many requests are waiting; retry with back-off")
}

// wait returns when the reply is there, or the error of ctx. A reply often
// comes while the caller steps machines itself, so that is looked at first.
func (w *Waiter) wait(ctx context.Context) error {
	w.mu.Lock()
	if w.answered {
		w.mu.Unlock()
		return nil
	}
	if w.wake == nil {
		w.wake = make(chan struct{}, 1)
	}
	w.sleeping = true
	w.mu.Unlock()
	select {
	case <-w.wake:
		return nil
	case <-ctx.Done():
	}
	w.mu.Lock()
	if w.answered {
		w.mu.Unlock()
		<-w.wake // it was sent, or is about to be: take it before the Waiter is used again
		return nil
	}
	w.answered = true // by nobody: a reply that comes now finds its caller gone
	w.mu.Unlock()
	return ctx.Err()
}

// Undelivered reports that the reply which Do returned could not be handed to
// the client any more. The machine that made it is told, provided that it cares.
func (w *Waiter) Undelivered() {
	if w.from != nil && w.reply.Token != nil {
		w.r.postTo(w.from, port.Undelivered{Reply: w.reply})
	}
}

// End gives the Waiter back. Replies that come later find their caller gone.
func (w *Waiter) End() {
	w.mu.Lock()
	w.id, w.answered, w.sleeping = 0, false, false
	w.reply, w.from = port.Reply{}, nil
	w.mu.Unlock()
	c := &w.r.calls
	c.mu.Lock()
	c.free = append(c.free, w)
	c.mu.Unlock()
	if c.open.Add(-1) == 0 {
		w.r.drainer.ended()
	}
}

// deliver hands a reply to its caller and reports false if the caller has gone.
func (c *calls) deliver(from *mailbox, reply port.Reply) bool {
	slot := reply.Call.ID & (maxCalls - 1)
	chunk := c.chunks[slot>>chunkBits].Load()
	if chunk == nil {
		return false
	}
	return chunk[slot&(1<<chunkBits-1)].answer(from, reply)
}

func (w *Waiter) answer(from *mailbox, reply port.Reply) bool {
	w.mu.Lock()
	if w.id != reply.Call.ID || w.answered || w.r.config.Node != reply.Call.Node {
		w.mu.Unlock()
		return false
	}
	w.reply, w.from, w.answered = reply, from, true
	sleeping := w.sleeping
	w.mu.Unlock()
	if sleeping {
		w.wake <- struct{}{}
	}
	return true
}

// refuseAll answers every caller that waits.
func (c *calls) refuseAll(refusal *port.Refusal) {
	for i := range c.chunks {
		chunk := c.chunks[i].Load()
		if chunk == nil {
			return
		}
		for j := range chunk {
			w := &chunk[j]
			w.mu.Lock()
			id := w.id
			w.mu.Unlock()
			if id != 0 {
				w.answer(nil, port.Reply{Call: port.Call{Node: w.r.config.Node, ID: id}, Refusal: refusal})
			}
		}
	}
}
