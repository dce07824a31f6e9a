package shard

import (
	"time"

	"github.com/tidwall/btree"

	"perdure/core/port"
	"perdure/core/run"
)

// The backlog of task queues: an index over the dispatch rows in due, and the
// offers and answers between this shard and the owners of the queues.

type queueIndex struct {
	queues map[port.QueueKey]*backlog
	held   map[offered]bool // offers that must be answered before the record leaves
}

type offered struct {
	runID string
	kind  port.TaskKind
	stamp uint64
}

// backlog is what waits in one queue at this shard, and who wants to hear of it.
type backlog struct {
	tasks *btree.BTreeG[port.Task]
	until time.Time // of the subscription
}

func taskLess(a, b port.Task) bool { return a.Key < b.Key }

func newQueueIndex() queueIndex {
	return queueIndex{queues: map[port.QueueKey]*backlog{}, held: map[offered]bool{}}
}

func (q *queueIndex) of(k port.QueueKey) *backlog {
	b := q.queues[k]
	if b == nil {
		b = &backlog{tasks: btree.NewBTreeGOptions(taskLess, btree.Options{NoLocks: true, Degree: 16})}
		q.queues[k] = b
	}
	return b
}

func (q *queueIndex) add(t port.Task) { q.of(t.Queue).tasks.Set(t) }

func (q *queueIndex) remove(t *port.Task) {
	b := q.queues[t.Queue]
	if b == nil {
		return
	}
	b.tasks.Delete(*t)
	if b.tasks.Len() == 0 && b.until.IsZero() {
		delete(q.queues, t.Queue)
	}
}

func (s *Shard) taskOf(e *entry, d *run.Dispatch) port.Task {
	return port.Task{
		Shard: s.cfg.Self, Queue: d.Queue, Run: e.key, Kind: d.Kind, ID: d.ID, Attempt: d.Attempt, Stamp: d.Stamp,
		Key: taskKey(d.Priority, d.Time, e.key.RunID, d.ID, d.Stamp),
	}
}

// dispatch makes a task wait in its queue and offers it to whoever listens.
func (s *Shard) dispatch(e *entry, d *run.Dispatch) {
	t := s.taskOf(e, d)
	s.log.Put(dispatchKey(&t), encodeDispatch(&t), true)
	s.queues.add(t)
	s.offer(t)
}

// offer tells the queue's owner. Its answer decides whether the task rides in the
// record that makes it, so the record waits for it.
func (s *Shard) offer(t port.Task) {
	b := s.queues.of(t.Queue)
	if !t.Queue.Sticky() && b.until.Before(s.now.Wall) {
		return // nobody listens
	}
	s.queues.held[offered{t.Run.RunID, t.Kind, t.Stamp}] = true
	s.log.Hold()
	s.out.Send(s.queueAddress(t.Queue), port.Offer{Task: t, Expect: true})
}

// answered notes that an offer needs no more waiting.
func (s *Shard) answered(t *port.Task) {
	k := offered{t.Run.RunID, t.Kind, t.Stamp}
	if s.queues.held[k] {
		delete(s.queues.held, k)
		s.log.Release()
	}
}

func (s *Shard) withdraw(e *entry, d *run.Dispatch) {
	t := s.taskOf(e, d)
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

// listMax bounds a list of tasks.
const listMax = 100

func (s *Shard) subscribe(in *port.Subscribe) {
	b := s.queues.of(in.Queue)
	b.until = in.Until
	s.list(in.From, in.Queue, "", listMax)
}

func (s *Shard) pull(in *port.Pull) { s.list(in.From, in.Queue, in.After, in.Max) }

func (s *Shard) list(to port.Address, q port.QueueKey, after string, most int) {
	b := s.queues.of(q)
	answer := port.Backlog{Shard: s.cfg.Self, Queue: q, After: after}
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
	s.out.Send(to, answer)
}
