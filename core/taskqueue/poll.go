package taskqueue

import (
	"time"

	"go.temporal.io/api/workflowservice/v1"

	"perdure/core/port"
)

// admit serves a poll or lets it wait. A poll that comes back because its task
// was gone (again) waits before those that came later.
//
// A poll that is sent again while its first copy is on its way to a shard may be
// served twice: the second answer finds its caller gone, and its start is taken back.
func (m *Queues) admit(now port.Clock, p *port.Poll, again bool, out *port.Effects) {
	wait := p.Deadline.Sub(now.Wall)
	switch {
	case wait <= 0, m.draining && m.members == nil:
		answerEmpty(p, out)
		return
	case m.draining:
		out.Add(port.Reply{Call: p.Call, Refusal: port.MovedTo(0)})
		return
	}
	if n, mine := m.owns(p.Queue); !mine {
		out.Add(port.Reply{Call: p.Call, Refusal: port.MovedTo(n)})
		return
	}
	if _, waits := m.calls[p.Call]; waits && !again {
		return // its frontend heard nothing for a while and sent it once more
	}
	q := m.queues[p.Queue]
	if q == nil {
		q = m.open(now, p.Queue)
	}
	q.seen = now.Mono
	if now.Mono >= q.renew {
		m.renew(now, q, out)
	}
	if task, ok := m.next(q); ok {
		out.Send(task.Shard, port.Taken{From: m.cfg.Self, Task: task, Poll: p})
	} else {
		m.wait(q, p, again, now.Mono+wait)
	}
	m.readOn(q, out)
}

// wait puts a poll in line.
func (m *Queues) wait(q *queue, p *port.Poll, again bool, until time.Duration) {
	w := m.free
	if w == nil {
		w = &waiter{}
		w.timer.waiter = w
	} else {
		m.free = w.next
	}
	w.poll, w.queue, w.timer.at = p, q, until
	if again {
		q.again.add(w)
	} else {
		q.fresh.add(w)
	}
	m.timers.add(&w.timer)
	m.calls[p.Call] = w
}

// leave takes a poll out of its line.
func (m *Queues) leave(now port.Clock, w *waiter) *port.Poll {
	p := w.poll
	w.queue.seen = now.Mono
	w.line.remove(w)
	m.timers.remove(&w.timer)
	if m.calls[p.Call] == w {
		delete(m.calls, p.Call)
	}
	w.poll, w.queue, w.line, w.prev = nil, nil, nil, nil
	w.next, m.free = m.free, w
	return p
}

// next takes the task to hand out: queries first, then the oldest of all shards.
func (m *Queues) next(q *queue) (port.Task, bool) {
	if q.queries.len() > 0 {
		t := q.queries.pop()
		m.bytes -= size(&t)
		return t, true
	}
	if len(q.ready) == 0 {
		return port.Task{}, false
	}
	s := q.ready[0]
	t := s.window.pop()
	m.bytes -= size(&t)
	q.settle(s)
	return t, true
}

// serve hands out tasks until there are no more or nobody waits (Q1).
func (m *Queues) serve(now port.Clock, q *queue, out *port.Effects) {
	for w := q.first(); w != nil; w = q.first() {
		task, ok := m.next(q)
		if !ok {
			return
		}
		out.Send(task.Shard, port.Taken{From: m.cfg.Self, Task: task, Poll: m.leave(now, w)})
	}
}

// end answers a poll that got nothing.
func (m *Queues) end(now port.Clock, w *waiter, out *port.Effects) {
	answerEmpty(m.leave(now, w), out)
}

// gone forgets the poll of a caller that left. One whose poll is on its way to a
// shard is not known here; the shard learns it from Undelivered.
func (m *Queues) gone(now port.Clock, call port.Call) {
	if w := m.calls[call]; w != nil {
		m.leave(now, w)
	}
}

// shutdown takes the good-bye of the worker that owned a sticky queue: its tasks
// go to the normal queue from now on, without waiting for the queue to fall silent.
func (m *Queues) shutdown(now port.Clock, r *port.Request, out *port.Effects) {
	req := r.Body.(*workflowservice.ShutdownWorkerRequest)
	key := port.QueueKey{NamespaceID: r.Namespace.ID, Name: req.StickyTaskQueue, Type: port.WorkflowQueue, Normal: req.TaskQueue}
	if n, mine := m.owns(key); !mine {
		out.Add(port.Reply{Call: r.Call, Refusal: port.MovedTo(n)})
		return
	}
	if q := m.queues[key]; q != nil {
		for w := q.first(); w != nil; w = q.first() {
			m.end(now, w, out)
		}
		m.forget(q, out)
	}
	out.Add(port.Reply{Call: r.Call, Body: &port.Answer{Message: &workflowservice.ShutdownWorkerResponse{}}})
}

// drain ends all polls, in the order of the timers, which follows from the inputs alone.
func (m *Queues) drain(now port.Clock, out *port.Effects) {
	m.draining = true
	var all []*waiter
	for _, e := range m.timers {
		if e.timer.waiter != nil {
			all = append(all, e.timer.waiter)
		}
	}
	for _, w := range all {
		m.end(now, w, out)
	}
}

func answerEmpty(p *port.Poll, out *port.Effects) {
	answer := &port.Answer{}
	if p.Queue.Type == port.ActivityQueue {
		answer.Message = &workflowservice.PollActivityTaskQueueResponse{}
	} else {
		answer.Message = &workflowservice.PollWorkflowTaskQueueResponse{}
	}
	out.Add(port.Reply{Call: p.Call, Body: answer})
}
