package check

import (
	"slices"
	"strings"

	"perdure/core/port"
	"perdure/core/store"
)

// P26 queue_order: of the tasks that a shard listed or offered to a queue, the oldest
// one is given out first; one that is offered while a poll waits may overtake.

// Queues follows what the queues were told and what they give out. A queue that
// asks a shard to list anew is not held to the old list any more.
type Queues struct {
	fail   func(*Breach)
	listed map[listKey][]string // keys of tasks, oldest first
	epochs map[heardKey]store.Epoch
}

// heardKey names what a machine heard of the owners of a shard: those of the past do not count.
type heardKey struct {
	boot  uint64
	at    port.Address
	shard uint32
}

// listKey names the list that a machine has of a queue at a shard.
type listKey struct {
	boot  uint64
	at    port.Address
	queue port.QueueKey
	shard port.Address
}

// NewQueues makes a follower that has heard nothing.
func NewQueues(fail func(*Breach)) *Queues {
	return &Queues{fail: fail, listed: map[listKey][]string{}, epochs: map[heardKey]store.Epoch{}}
}

// Stepped is told of each step of a machine of task queues. boot tells apart the lives of its node.
func (q *Queues) Stepped(boot uint64, at port.Address, in port.Input, out []port.Effect) {
	var fresh port.Task // may overtake what is only listed
	switch in := in.(type) {
	case port.Backlog:
		if q.heard(heardKey{boot, at, in.Shard.Index}, in.Epoch) {
			q.list(listKey{boot, at, in.Queue, in.Shard}, &in)
		}
	case port.Offer:
		if fresh = in.Task; fresh.Kind != port.QueryTask && q.heard(heardKey{boot, at, fresh.Shard.Index}, in.Epoch) {
			q.offered(listKey{boot, at, fresh.Queue, fresh.Shard}, fresh.Key)
		}
	case port.Withdrawn:
		q.drop(listKey{boot, at, in.Task.Queue, in.Task.Shard}, in.Task.Key)
	}
	for _, e := range out {
		send, ok := e.(port.Send)
		if !ok {
			continue
		}
		switch m := send.In.(type) {
		case port.Subscribe:
			delete(q.listed, listKey{boot, at, m.Queue, send.To})
		case port.Pull: // what is listed behind this point was forgotten for want of memory
			k := listKey{boot, at, m.Queue, send.To}
			end, _ := slices.BinarySearch(q.listed[k], m.After+"\x00")
			q.listed[k] = q.listed[k][:end]
		case port.Taken:
			k := listKey{boot, at, m.Task.Queue, m.Task.Shard}
			if m.Task.Kind != port.QueryTask && m.Task.Key != fresh.Key {
				q.taken(k, &m.Task)
			}
			q.drop(k, m.Task.Key)
		}
	}
}

// heard: an owner that is not known to be displaced.
func (q *Queues) heard(k heardKey, epoch store.Epoch) bool {
	if epoch < q.epochs[k] {
		return false
	}
	q.epochs[k] = epoch
	return true
}

func (q *Queues) offered(k listKey, key string) {
	if i, found := slices.BinarySearch(q.listed[k], key); !found {
		q.listed[k] = slices.Insert(q.listed[k], i, key)
	}
}

// goneFrom forgets offered tasks that would have to be in a list and are not.
func (q *Queues) goneFrom(k listKey, b *port.Backlog) {
	there := map[string]bool{}
	for i := range b.Tasks {
		there[b.Tasks[i].Key] = true
	}
	last := ""
	if n := len(b.Tasks); n > 0 {
		last = b.Tasks[n-1].Key
	}
	q.listed[k] = slices.DeleteFunc(q.listed[k], func(key string) bool {
		return key > b.After && (!b.More || key <= last) && !there[key]
	})
}

func (q *Queues) list(k listKey, b *port.Backlog) {
	if b.After != "" { // what follows the list is newer; the queue takes it in or asks again
		q.goneFrom(k, b)
		return
	}
	keys := make([]string, 0, len(b.Tasks))
	for i := range b.Tasks {
		keys = append(keys, b.Tasks[i].Key)
	}
	q.listed[k] = keys
}

func (q *Queues) taken(k listKey, t *port.Task) {
	if keys := q.listed[k]; len(keys) > 0 && keys[0] < t.Key {
		q.fail(breach(QueueOrder, t.Run.RunID, "queue %s gave out task %d of this run before an older one that the same shard had listed", t.Queue.Name, t.ID))
	}
}

func (q *Queues) drop(k listKey, key string) {
	keys := q.listed[k]
	if i, found := slices.BinarySearchFunc(keys, key, strings.Compare); found {
		q.listed[k] = slices.Delete(keys, i, i+1)
	}
}
