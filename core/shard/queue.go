package shard

import (
	"slices"
	"strings"
	"time"

	"github.com/tidwall/btree"

	"perdure/core/journal"
	"perdure/core/port"
	"perdure/core/run"
	"perdure/core/store"
)

// The backlog of task queues: an index over the dispatch rows in due, and the
// offers and answers between this shard and the owners of the queues. Memory is
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

// listFromTable reads tasks of a queue, of all strips at once, and answers with
// them. They are kept if they follow those in memory.
func (s *Shard) listFromTable(to port.Address, b *backlog, after string, most int) {
	from := b.window
	if after >= from {
		from = after + "\x00"
	}
	strips := s.log.Strips()
	n := int(strips.To - strips.From)
	ranges := make([]store.Range, 0, n)
	for p := strips.From; p < strips.To; p++ {
		ranges = append(ranges, store.Range{Table: store.Due, Partition: stripPartition(p), From: b.prefix + from, To: prefixEnd(b.prefix), Limit: max(readTasks/n, 4)})
	}
	b.reads++
	s.read(nil, ranges, func(ev *journal.Event) {
		b.reads--
		tasks, window := s.mergeTasks(ev, b.prefix)
		if b.window == from { // it was not cut meanwhile
			b.window = window
			for _, t := range tasks {
				s.queues.add(t)
			}
		}
		answer := port.Backlog{Shard: s.cfg.Self, Queue: b.key, After: after, Tasks: tasks, More: window != "", Epoch: s.log.Fence().Epoch}
		if len(tasks) > most {
			answer.Tasks, answer.More = tasks[:most], true
		}
		s.out.Send(to, answer)
		s.queues.forget(b)
	})
}

// mergeTasks puts the tasks of all strips in order, up to the first key at which
// the rows of a strip were cut off.
func (s *Shard) mergeTasks(ev *journal.Event, prefix string) (tasks []port.Task, window string) {
	for _, next := range ev.Next {
		if next != "" && (window == "" || next[len(prefix):] < window) {
			window = next[len(prefix):]
		}
	}
	for _, rows := range ev.Scans {
		for _, row := range rows {
			if t := s.taskAt(row); window == "" || t.Key < window {
				tasks = append(tasks, t)
			}
		}
	}
	slices.SortFunc(tasks, func(a, b port.Task) int { return strings.Compare(a.Key, b.Key) })
	return tasks, window
}

// loadQueues reads the first tasks of each strip after the journal was opened. Of
// a strip with more, the queues that follow are listed later, in the background.
func (s *Shard) loadQueues() {
	strips := s.log.Strips()
	var ranges []store.Range
	for p := strips.From; p < strips.To; p++ {
		ranges = append(ranges, store.Range{Table: store.Due, Partition: stripPartition(p), From: keyOfQueues, To: keyBehind, Limit: openRows})
	}
	s.read(nil, ranges, func(ev *journal.Event) {
		s.queues.unlisted = map[int]string{}
		for i, next := range ev.Next {
			switch rows := ev.Scans[i]; {
			case next == "":
			case len(rows) == 0: // all rows read were withdrawn since: that a scan is short does not say that it is complete
				s.queues.unlisted[i] = next
			default: // of its last queue there may be more
				s.queues.unlisted[i] = queuePrefix(s.taskAt(rows[len(rows)-1]).Queue)
			}
		}
		for _, rows := range ev.Scans {
			for _, row := range rows {
				s.queues.add(s.taskAt(row)) // of a queue that is not fully listed nothing is kept
			}
		}
		s.listQueues()
		s.loaded()
	})
}

// listQueues goes on with the directory: which queues there are in the strips
// that had too many tasks to be read at first.
func (s *Shard) listQueues() {
	if len(s.queues.unlisted) == 0 {
		return
	}
	strips := s.log.Strips()
	var at []int
	var ranges []store.Range
	for i := range int(strips.To - strips.From) {
		if from, ok := s.queues.unlisted[i]; ok {
			at = append(at, i)
			ranges = append(ranges, store.Range{Table: store.Due, Partition: stripPartition(strips.From + uint16(i)), From: from, To: keyBehind, Limit: listedRows})
		}
	}
	s.read(nil, ranges, func(ev *journal.Event) {
		for n, i := range at {
			s.listed(i, ev.Scans[n], ev.Next[n])
		}
		s.listQueues()
	})
}

// listed notes the queues of some rows and skips the rest of the last one.
func (s *Shard) listed(strip int, rows []store.Row, next string) {
	for _, row := range rows {
		s.queues.of(s.taskAt(row).Queue) // not fully in memory, as this strip is not listed yet
	}
	switch {
	case next == "":
		delete(s.queues.unlisted, strip)
	case len(rows) == 0:
		s.queues.unlisted[strip] = next
	default:
		s.queues.unlisted[strip] = prefixEnd(queuePrefix(s.taskAt(rows[len(rows)-1]).Queue))
	}
}

func (s *Shard) taskAt(row store.Row) port.Task {
	t, err := DecodeDue(row.Value)
	if err != nil {
		panic("shard: " + err.Error())
	}
	t.Shard = s.cfg.Self // rows do not say it: they outlive their shard
	return t
}

// expireSubscriptions forgets queues that nobody polls and nothing waits in.
func (s *Shard) expireSubscriptions() {
	q := &s.queues
	n := 0
	for n < len(q.ends) && !q.ends[n].at.After(s.now.Wall) {
		if b := q.queues[q.ends[n].queue]; b != nil && !b.until.After(s.now.Wall) {
			b.until, b.subscribers = time.Time{}, nil
			q.forget(b)
		}
		n++
	}
	q.ends = q.ends[n:]
}
