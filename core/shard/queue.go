package shard

import (
	"slices"
	"strings"
	"time"

	"perdure/core/port"
	"perdure/core/run"
)

// Offers and answers between this shard and the owners of task queues.

func (s *Shard) taskOf(e *entry, d *run.Dispatch) port.Task {
	return port.Task{
		Shard: s.cfg.Self, Queue: d.Queue, Run: e.key, Kind: d.Kind, ID: d.ID, Attempt: d.Attempt, Stamp: d.Stamp,
		Key: taskKey(d.Priority, d.Time, e.key.RunID, d.ID, d.Stamp),
	}
}

// dispatch makes a task wait in its queue. If somebody may listen at this node it
// is offered first, and gets its row only if nobody takes it. An answer from
// another node may never come: no record waits for it.
func (s *Shard) dispatch(e *entry, d *run.Dispatch) {
	t := s.taskOf(e, d)
	b := s.queues.queues[t.Queue]
	if b == nil || b.until.Before(s.now.Wall) {
		s.dispatchUnheard(t)
		return
	}
	offer := port.Offer{Task: t, Expect: true, Epoch: s.log.Fence().Epoch}
	last := len(b.subscribers) - 1
	s.offer(b.subscribers[last].from, offer)
	offer.Expect = false
	for _, x := range b.subscribers[:last] { // the queue moves: its other owners hear of it
		s.out.Send(x.from, offer)
	}
}

// dispatchUnheard is dispatch for a queue that nobody subscribed to. Whether the
// worker of a sticky queue lives must be found out. The owner of another one may be
// at another node, and its subscription lost: it is told of a task now and then.
func (s *Shard) dispatchUnheard(t port.Task) {
	offer := port.Offer{Task: t, Expect: true, Epoch: s.log.Fence().Epoch, Announce: true}
	if t.Queue.Sticky() {
		s.offer(s.queueAddress(t.Queue), offer)
		return
	}
	s.await(t)
	if b := s.queues.queues[t.Queue]; b != nil && s.members != nil && s.now.Mono >= b.announce {
		b.announce = s.now.Mono + announceAgain
		offer.Expect = false
		s.out.Send(s.queueAddress(t.Queue), offer)
	}
}

// announceAgain is how long a queue that nobody subscribed to is not told of more tasks.
const announceAgain = time.Second

func (s *Shard) offer(to port.Address, o port.Offer) {
	if to.Node == s.cfg.Self.Node {
		s.queues.held[offeredTask(&o.Task)] = &held{task: o.Task}
		s.log.Hold()
	} else {
		s.await(o.Task)
	}
	s.out.Send(to, o)
}

// announceQueues tells the owners of all queues in which something waits that the
// shard is here now.
func (s *Shard) announceQueues() {
	var all []*backlog
	for _, b := range s.queues.queues { //ordered: sorted below
		if b.tasks.Len() > 0 {
			all = append(all, b)
		}
	}
	slices.SortFunc(all, func(a, b *backlog) int { return strings.Compare(a.prefix, b.prefix) })
	for _, b := range all {
		t, _ := b.tasks.Min()
		b.announce = s.now.Mono + announceAgain
		s.out.Send(s.queueAddress(b.key), port.Offer{Task: t, Epoch: s.log.Fence().Epoch, Announce: true})
	}
}

// listener is the machine to which tasks of a queue are offered: the one that
// subscribed last, else the one that should own the queue.
func (s *Shard) listener(q port.QueueKey) port.Address {
	if b := s.queues.queues[q]; b != nil && len(b.subscribers) > 0 && !b.until.Before(s.now.Wall) {
		return b.subscribers[len(b.subscribers)-1].from
	}
	return s.queueAddress(q)
}

// await gives a task its row and its place in the queue.
func (s *Shard) await(t port.Task) {
	s.log.Put(dispatchKey(&t), encodeDispatch(&t), true)
	s.queues.add(t)
}

func offeredTask(t *port.Task) offered { return offered{t.Run.RunID, t.Kind, t.Stamp} }

// answered lets the record go that waited for the answer to an offer. A task that
// still waits now gets its row.
func (s *Shard) answered(t *port.Task) {
	k := offeredTask(t)
	h := s.queues.held[k]
	if h == nil {
		return
	}
	delete(s.queues.held, k)
	if !h.settled {
		s.await(h.task)
	}
	s.log.Release()
}

// awaitHeld gives their rows to the offered tasks of a queue that is being listed:
// the list must not leave out what was offered before it.
func (s *Shard) awaitHeld(q port.QueueKey) {
	var all []*held
	for _, h := range s.queues.held { //ordered: sorted below
		if h.task.Queue == q && !h.settled {
			all = append(all, h)
		}
	}
	slices.SortFunc(all, func(a, b *held) int { return strings.Compare(a.task.Key, b.task.Key) })
	for _, h := range all {
		h.settled = true
		s.await(h.task)
	}
}

func (s *Shard) withdraw(e *entry, d *run.Dispatch) {
	t := s.taskOf(e, d)
	if h := s.queues.held[offeredTask(&t)]; h != nil && !h.settled {
		h.settled = true
		return
	}
	s.log.Delete(dispatchKey(&t))
	s.queues.remove(&t)
}

func (s *Shard) declined(d *port.Declined) {
	s.answered(&d.Task)
	if d.Task.Kind == port.QueryTask {
		s.queryDeclined(d)
		return
	}
	if !d.Dead {
		return
	}
	e, ok := s.load(d.Task.Run, *d)
	if !ok || e == nil || e.run == nil {
		return
	}
	if c, ok := e.run.StickyLost(s.env(e.key.NamespaceID, e.key), d.Task.Stamp); ok {
		s.apply(e, c)
	}
}

func (s *Shard) subscribe(in *port.Subscribe) {
	b := s.queues.of(in.Queue)
	b.note(in.From, in.Until, s.now.Wall)
	s.queues.ends = append(s.queues.ends, subscriptionEnd{in.Until, in.Queue})
	s.list(in.From, b, "", listMax)
}

func (s *Shard) pull(in *port.Pull) {
	b := s.queues.of(in.Queue)
	s.list(in.From, b, in.After, min(in.Max, 10*listMax))
	s.queues.forget(b)
}

// list answers with the oldest tasks above a key. What memory does not hold is
// read first: an empty answer means that there are no more.
func (s *Shard) list(to port.Address, b *backlog, after string, most int) {
	s.awaitHeld(b.key)
	answer := port.Backlog{Shard: s.cfg.Self, Queue: b.key, After: after, More: b.window != "", Epoch: s.log.Fence().Epoch}
	b.tasks.Ascend(port.Task{Key: after}, func(t port.Task) bool {
		if t.Key == after {
			return true
		}
		if len(answer.Tasks) == most {
			answer.More = true
			return false
		}
		answer.Tasks = append(answer.Tasks, t)
		return true
	})
	if len(answer.Tasks) == 0 && answer.More {
		s.listFromTable(to, b, after, most)
		return
	}
	s.out.Send(to, answer)
}
