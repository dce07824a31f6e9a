package check

import (
	"slices"
	"strings"

	"perdure/core/port"
)

// P26 queue_order: of the tasks that a shard listed to a queue, the oldest one is
// given out first.

// Queues follows what the queues were told and what they give out. A queue that
// asks a shard to list anew is not held to the old list any more.
type Queues struct {
	fail   func(*Breach)
	listed map[listKey][]string // keys of tasks, oldest first
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
	return &Queues{fail: fail, listed: map[listKey][]string{}}
}

// Stepped is told of each step of a machine of task queues. boot tells apart the lives of its node.
func (q *Queues) Stepped(boot uint64, at port.Address, in port.Input, out []port.Effect) {
	var fresh port.Task // may overtake what is only listed
	switch in := in.(type) {
	case port.Backlog:
		q.list(listKey{boot, at, in.Queue, in.Shard}, &in)
	case port.Offer:
		fresh = in.Task
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

func (q *Queues) list(k listKey, b *port.Backlog) {
	if b.After != "" {
		return // what follows the list is newer
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
