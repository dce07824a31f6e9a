package shard

import (
	"slices"
	"time"

	"github.com/tidwall/btree"

	"perdure/core/port"
)

// The backlog of task queues: an index over the dispatch rows in due. Memory is
// bounded in bytes: of each queue it holds the oldest tasks, all below a key.
// What is newer stays in the table and is read when it is asked for.
//
// W3: a task whose key is below its queue's window is in memory.
// W4: a queue that is not in the index has no task at this shard, once all strips are listed.

const (
	taskCost    = 250    // bytes of a task in memory, names apart
	queueTask   = 64     // a queue with fewer tasks in memory is not cut to make room for others
	listMax     = 100    // tasks of one answer
	readTasks   = 1024   // tasks that one read of a queue is about to find
	listedRows  = 8      // rows of a strip that one read of the directory takes
	listFirst   = 4      // reads of the directory for which a shard that is opened waits
	keyOfQueues = "q"    // where the dispatch rows of a strip begin
	keyBehind   = "r"    // and end
	nothing     = "\x00" // a window that holds nothing: below every task key
)

type queueIndex struct {
	queues map[port.QueueKey]*backlog
	large  map[*backlog]bool // those with more than queueTask tasks in memory
	held   map[offered]*held // offers that must be answered before the record leaves
	bytes  int
	budget int

	unlisted map[int]string // strips whose queues are not all known: where the list goes on
	ends     []subscriptionEnd
}

type offered struct {
	runID string
	kind  port.TaskKind
	stamp uint64
}

// held is a task that was offered and has no row yet: if the offer is taken, the
// task was never anywhere but in this record. The record waits for the answer.
//
// S6: when the record leaves, every task that waits has its row.
type held struct {
	task    port.Task
	settled bool // it has its row, or does not wait any more
}

// subscriptionEnd says when to look whether a queue is still polled.
type subscriptionEnd struct {
	at    time.Time
	queue port.QueueKey
}

// backlog is what waits in one queue at this shard, and until when its owner wants to hear of it.
type backlog struct {
	key    port.QueueKey
	prefix string // of its keys in due
	tasks  *btree.BTreeG[port.Task]
	window string // tasks from this key on are not in memory; empty: all are
	deep   []int  // strips, counted from the shard's first, that may hold many tasks beyond the window
	until  time.Time
	reads  int // under way

	subscribers []subscriber  // who wants to hear of new tasks, the newest last
	announce    time.Duration // monotonic: when the owner may be told again that something waits
}

// subscriber is an owner of the queue, or one that believes to be it.
type subscriber struct {
	from  port.Address
	until time.Time
}

// subscribersMost of one queue are offered its tasks: more owners at once there are not.
const subscribersMost = 3

// note takes the newest subscription; those that are over are forgotten.
func (b *backlog) note(from port.Address, until, now time.Time) {
	b.until = until
	if len(b.subscribers) == 1 && b.subscribers[0].from == from { // as a rule
		b.subscribers[0].until = until
		return
	}
	b.subscribers = slices.DeleteFunc(b.subscribers, func(x subscriber) bool { return x.from == from || !x.until.After(now) })
	if len(b.subscribers) == subscribersMost {
		b.subscribers = slices.Delete(b.subscribers, 0, 1)
	}
	b.subscribers = append(b.subscribers, subscriber{from, until})
}

func taskLess(a, b port.Task) bool { return a.Key < b.Key }

func newQueueIndex(budget int) queueIndex {
	return queueIndex{queues: map[port.QueueKey]*backlog{}, large: map[*backlog]bool{}, held: map[offered]*held{}, budget: budget}
}

// of finds a queue, or makes one: of an unknown queue memory holds all there is,
// which is nothing, unless some strip may have tasks that were not listed yet.
func (q *queueIndex) of(k port.QueueKey) *backlog {
	b := q.queues[k]
	if b == nil {
		b = &backlog{key: k, prefix: queuePrefix(k), tasks: btree.NewBTreeGOptions(taskLess, btree.Options{NoLocks: true, Degree: 16})}
		if q.maybeUnlisted(b.prefix) {
			b.window = nothing
		}
		q.queues[k] = b
	}
	return b
}

// maybeUnlisted: a strip whose list goes on before the end of the queue's keys may have tasks of it.
func (q *queueIndex) maybeUnlisted(prefix string) bool {
	end := prefixEnd(prefix)
	for _, from := range q.unlisted { //ordered: any of them
		if from < end {
			return true
		}
	}
	return false
}

func taskSize(t *port.Task) int {
	return taskCost + len(t.Run.WorkflowID) + len(t.Run.RunID) + len(t.Key)
}

func (q *queueIndex) add(t port.Task) {
	b := q.of(t.Queue)
	if b.window != "" && t.Key >= b.window {
		return
	}
	if old, replaced := b.tasks.Set(t); replaced {
		q.bytes -= taskSize(&old)
	}
	q.bytes += taskSize(&t)
	if b.tasks.Len() > queueTask {
		q.large[b] = true
	}
	if q.bytes > q.budget {
		q.makeRoom(b)
	}
}

func (q *queueIndex) remove(t *port.Task) {
	b := q.queues[t.Queue]
	if b == nil {
		return
	}
	if old, ok := b.tasks.Delete(*t); ok {
		q.bytes -= taskSize(&old)
		q.settle(b)
	}
	q.forget(b)
}

func (q *queueIndex) settle(b *backlog) {
	if b.tasks.Len() <= queueTask {
		delete(q.large, b)
	}
}

// forget drops a queue in which nothing waits and for which nobody does.
func (q *queueIndex) forget(b *backlog) {
	if b.tasks.Len() == 0 && b.window == "" && b.until.IsZero() && b.reads == 0 {
		delete(q.queues, b.key)
	}
}

// makeRoom cuts the longest queue to half; one that nobody polls goes first. If
// all are short, the newest tasks of the one that grew go.
func (q *queueIndex) makeRoom(grew *backlog) {
	var victim *backlog
	for b := range q.large { //ordered: the greatest of a total order
		if victim == nil || cutBefore(b, victim) {
			victim = b
		}
	}
	if victim != nil {
		q.cut(victim, victim.tasks.Len()/2)
		return
	}
	q.cut(grew, grew.tasks.Len()-1)
}

// shrink cuts queues until the rest is within a budget that became smaller.
func (q *queueIndex) shrink() {
	for q.bytes > q.budget {
		var victim *backlog
		for _, b := range q.queues { //ordered: the greatest of a total order
			if b.tasks.Len() > 0 && (victim == nil || cutBefore(b, victim)) {
				victim = b
			}
		}
		q.cut(victim, victim.tasks.Len()/2)
	}
}

// cutBefore orders queues by how little it hurts to cut them.
func cutBefore(a, b *backlog) bool {
	if a.until.IsZero() != b.until.IsZero() {
		return a.until.IsZero()
	}
	if a.tasks.Len() != b.tasks.Len() {
		return a.tasks.Len() > b.tasks.Len()
	}
	return a.prefix < b.prefix
}

// cut keeps the oldest tasks of a queue.
func (q *queueIndex) cut(b *backlog, keep int) {
	for b.tasks.Len() > keep {
		t, _ := b.tasks.PopMax()
		q.bytes -= taskSize(&t)
		b.window = t.Key
	}
	q.settle(b)
}
