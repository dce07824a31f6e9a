package check

import (
	"bytes"
	"slices"
	"time"

	historypb "go.temporal.io/api/history/v1"
	"google.golang.org/protobuf/proto"

	"perdure/core/history"
	"perdure/core/journal"
	"perdure/core/port"
	"perdure/core/run"
	"perdure/core/run/runpb"
	"perdure/core/shard"
	"perdure/core/store"
	"perdure/sim/check/effect"
)

// Ledger is what is durable: the newest image of every row, and all histories,
// those of runs that were removed since included.
type Ledger struct {
	Fail      func(*Breach) // told once; the simulation ends
	Retention time.Duration // of the namespace

	Tell func(*Run, *historypb.HistoryEvent) // told of each event that becomes durable; nil: nobody is

	Runs []*Run // in the order of their beginning

	now     func() time.Duration        // true time
	stamps  map[store.ShardID]time.Time // latest time of an event of each shard
	floor   time.Time                   // the same, before the record that is being read
	changed time.Duration               // when the registry's rows changed last
	runs    map[string]*Run             // by run id
	parts   map[store.Partition]map[string]image
	last    map[store.ShardID]store.Seq
	trimmed map[store.ShardID]store.Seq
	tails   map[store.ShardID][]tailRecord
	tables  tables
	were    map[namespaceWas]bool // namespaces as they were ever durable
	shown   map[uint64]uint64     // version of the registry that each life of a node showed last
	level   port.Level            // of the cluster
	owners  map[store.ShardID]store.Fence
	writers map[store.Partition]writer

	changing time.Duration        // since when the layout has been changing as all is well; 0: it is not
	open     map[string]*Run      // of each workflow the run that began last
	times    map[string]*timeline // of each workflow id
	touched  []*Run
	shard    store.ShardID // of the record that is being read
	begun    []*Run        // by that record
	ended    []*Run        // the same
	quits    []quit        // the same
	effects  *effect.Ledger

	repeated []repeatedSignal
	arrivals []arrival
	given    map[given]string // who got each attempt of an activity
	Marks    Marks
	settled  time.Time // shard time from which timers must be punctual; zero: not yet
}

// image is a row and the record that wrote it. A nil value: deleted.
type image struct {
	shard store.ShardID
	seq   store.Seq
	value []byte
}

// Run is one run as the journal has it.
type Run struct {
	Key     port.RunKey
	Events  []*historypb.HistoryEvent
	Encoded [][]byte // each event as it is stored
	Row     *runpb.Run
	Raw     []byte // the run row
	Pending map[string][]byte
	Due     map[string]port.Task // its rows in due, by key; deadlines have no kind
	Gone    bool                 // removed after its retention

	workflow string
	size     int64 // bytes of its batches
	fold     fold
	order    order
	starts   map[start][]uint64 // nonces of each attempt, as they were seen
	attempts map[int64]int32    // the last one of each activity that began
	mark     bool               // in touched
	closed   bool
}

// NewLedger makes an empty ledger. tables reads the database's tables.
func NewLedger(now func() time.Duration, fail func(*Breach)) *Ledger {
	return &Ledger{
		Fail: fail, now: now, runs: map[string]*Run{}, parts: map[store.Partition]map[string]image{},
		owners: map[store.ShardID]store.Fence{}, writers: map[store.Partition]writer{}, stamps: map[store.ShardID]time.Time{}, open: map[string]*Run{}, times: map[string]*timeline{}, given: map[given]string{},
		last: map[store.ShardID]store.Seq{}, trimmed: map[store.ShardID]store.Seq{}, were: map[namespaceWas]bool{}, shown: map[uint64]uint64{}, tails: map[store.ShardID][]tailRecord{}, effects: effect.NewLedger(),
	}
}

// Run finds a run by its id.
func (l *Ledger) Run(id string) *Run { return l.runs[id] }

// Workflow is the workflow id of the run.
func (r *Run) Workflow() string { return r.workflow }

// Closed says that the run has ended.
func (r *Run) Closed() bool { return r.closed }

// Appended takes a record that just became durable.
func (l *Ledger) Appended(owner store.Fence, seq store.Seq, record []byte) {
	id := owner.Shard
	if b := l.committed(owner); b != nil {
		l.Fail(b)
		return
	}
	if seq != l.last[id]+1 {
		l.Fail(breach(TrimOnlyFlushed, "", "record %d of shard %d follows record %d", seq, id, l.last[id]))
		return
	}
	l.last[id] = seq
	r, err := journal.DecodeRecord(record)
	if err != nil {
		l.Fail(breach(TrimOnlyFlushed, "", "record %d of shard %d cannot be read: %v", seq, id, err))
		return
	}
	l.packed(r.Format)
	l.floor, l.shard = l.stamps[id], id
	l.removals(r.Rows)
	kept := tailRecord{seq: seq, deleted: r.Deleted}
	for _, p := range r.Deleted {
		l.failIf(l.writes(owner, p))
		l.deletePartition(id, seq, p)
	}
	for i := range r.Rows {
		l.failIf(l.writes(owner, store.Partition{Table: r.Rows[i].Key.Table, Partition: r.Rows[i].Key.Partition}))
		kept.keys = append(kept.keys, r.Rows[i].Key)
		l.put(id, seq, &r.Rows[i], r.Time)
	}
	l.tails[id] = append(l.tails[id], kept)
	l.settle(r.Time)
}

// clockKey is the row in due that keeps the time of a shard (core/shard, clock.go).
const clockKey = "c"

func (l *Ledger) part(p store.Partition) map[string]image {
	m := l.parts[p]
	if m == nil {
		m = map[string]image{}
		l.parts[p] = m
	}
	return m
}

func (l *Ledger) deletePartition(id store.ShardID, seq store.Seq, p store.Partition) {
	m := l.part(p)
	for k := range m { //ordered: every image becomes a delete of the same record
		m[k] = image{id, seq, nil}
	}
	if r := l.runs[p.Partition]; r != nil && p.Table == store.Pending {
		clear(r.Pending)
		l.touch(r)
	}
}

func (l *Ledger) put(id store.ShardID, seq store.Seq, row *store.Row, at time.Time) {
	k := row.Key
	m := l.part(store.Partition{Table: k.Table, Partition: k.Partition})
	before := m[k.Key].value
	value := bytes.Clone(row.Value)
	m[k.Key] = image{id, seq, value}
	switch k.Table {
	case store.Executions:
		l.putExecution(k.Key, value, at)
	case store.Pending:
		r := l.run(k.Partition)
		l.putPending(r, k.Key, before, value)
		l.touch(r)
	case store.History:
		if value != nil {
			l.putHistory(l.run(k.Partition), value)
		}
	case store.Metadata:
		l.changed = l.now()
		l.markChange(k.Key, before, value)
		l.putMetadata(k.Key, value)
		l.putNamespace(value)
	case store.Due:
		if k.Key == clockKey {
			return
		}
		l.putDue(k.Key, before, value)
	}
}

func (l *Ledger) putPending(r *Run, key string, before, value []byte) {
	if value == nil {
		delete(r.Pending, key)
		if key[0] == pendingClose && before != nil {
			l.quits = append(l.quits, quit{r, before})
		}
		return
	}
	r.Pending[key] = value
	if key[0] == 'a' {
		r.noteActivity(value)
		if b := r.retriesAsAsked(before, value); b != nil {
			l.Fail(b)
		}
	}
}

// run finds or makes a run. Rows of a run may come before its own row, inside one record.
func (l *Ledger) run(id string) *Run {
	r := l.runs[id]
	if r == nil {
		r = &Run{Key: port.RunKey{RunID: id}, Pending: map[string][]byte{}, Due: map[string]port.Task{}, fold: newFold()}
		l.runs[id] = r
		l.Runs = append(l.Runs, r)
	}
	return r
}

func (l *Ledger) touch(r *Run) {
	if !r.mark {
		r.mark = true
		l.touched = append(l.touched, r)
	}
}

func (l *Ledger) putExecution(key string, value []byte, at time.Time) {
	if key[0] != 'r' {
		return // a pointer to a current run
	}
	r := l.run(key[1:])
	l.touch(r)
	if value == nil {
		l.removed(r, at)
		return
	}
	row := &runpb.Run{}
	if err := proto.Unmarshal(value, row); err != nil {
		l.Fail(breach(StateEqualsFold, r.Key.RunID, "the run row cannot be read: %v", err))
		return
	}
	l.failIf(l.startsNow(r, r.Row.GetTask(), row.Task))
	l.Marks.row(r.Row, row)
	r.Row, r.Raw = row, value
	r.noteTask()
	r.Key.NamespaceID, r.Key.WorkflowID = row.NamespaceId, row.WorkflowId
}

func (l *Ledger) putHistory(r *Run, value []byte) {
	batches, err := history.DecodeRow(value)
	if err != nil {
		l.Fail(breach(HistoryWellFormed, r.Key.RunID, "a history row cannot be read: %v", err))
		return
	}
	l.touch(r)
	for _, b := range batches {
		r.size += int64(len(b.Events))
		events, err := b.Decode()
		if err != nil {
			l.Fail(breach(HistoryWellFormed, r.Key.RunID, "a batch cannot be read: %v", err))
			return
		}
		for i, e := range events {
			tail := b.Tail(b.First + int64(i))
			r.Encoded = append(r.Encoded, tail.Events[:len(tail.Events)-len(b.Tail(b.First+int64(i)+1).Events)])
			r.Events = append(r.Events, e)
			l.eventRecorded(r, e)
		}
	}
}

func (l *Ledger) putDue(key string, before, value []byte) {
	if before != nil {
		if t, err := shard.DecodeDue(before); err == nil {
			r := l.run(t.Run.RunID)
			delete(r.Due, key)
			l.touch(r)
		}
	}
	if value == nil {
		return
	}
	t, err := shard.DecodeDue(value)
	if err != nil {
		l.Fail(breach(DueEqualsIndex, "", "a row in due cannot be read: %v", err))
		return
	}
	r := l.run(t.Run.RunID)
	r.Due[key] = t
	l.touch(r)
}

// eventRecorded holds one event, as it becomes durable, to the promises about events.
func (l *Ledger) eventRecorded(r *Run, e *historypb.HistoryEvent) {
	if a := e.GetWorkflowExecutionStartedEventAttributes(); a != nil {
		r.workflow = a.WorkflowId
		l.begun = append(l.begun, r)
	}
	if l.Tell != nil {
		l.Tell(r, e)
	}
	if at := e.EventTime.AsTime(); at.After(l.stamps[l.shard]) {
		l.stamps[l.shard] = at
	}
	if closes(e.EventType) {
		l.ended = append(l.ended, r)
	}
	for _, b := range []*Breach{
		r.order.check(r, e), timerNeverEarly(r, e), l.timerPunctual(r, e), l.recorded(r, e), l.agrees(r, e), l.waitsForParent(r, e),
	} {
		if b != nil {
			l.Fail(b)
		}
	}
	r.fold.apply(e)
	l.arrives(r, e)
	l.Marks.event(r, e)
}

// settle holds the runs that a record changed to the promises about states.
func (l *Ledger) settle(at time.Time) {
	for _, r := range l.touched {
		r.mark = false
		if r.Row == nil || r.Gone {
			continue
		}
		r.closed = r.Row.Status != 1
		for _, b := range []*Breach{stateEqualsFold(r), dueEqualsIndex(r, at)} {
			if b != nil {
				l.Fail(b)
			}
		}
	}
	l.touched = l.touched[:0]
	l.judgeRepeated()
	l.judgeArrivals()
	l.judgeChains()
}

// judgeChains looks at the runs that a record began and ended.
func (l *Ledger) judgeChains() {
	for _, r := range l.ended {
		l.failIf(l.followed(r))
		l.failIf(l.leaves(r))
		if !slices.Contains(l.begun, r) {
			l.closesAlone(r)
		}
	}
	for _, r := range l.begun {
		l.passes(r, true, false)
		if r.Row != nil {
			l.failIf(l.chained(r))
		}
		if slices.Contains(l.ended, r) {
			l.closesAlone(r)
		}
	}
	for _, q := range l.quits {
		l.failIf(l.quit(q.run, q.policy))
	}
	l.begun, l.ended, l.quits = l.begun[:0], l.ended[:0], l.quits[:0]
}

// closesAlone notes a close that no other run follows at once.
func (l *Ledger) closesAlone(r *Run) {
	if r.Row.GetNewRunId() == "" {
		l.passes(r, false, false)
	}
}

func (l *Ledger) failIf(b *Breach) {
	if b != nil {
		l.Fail(b)
	}
}

// loaded is the run as a shard would load it.
func (r *Run) loaded() (*run.Run, error) { return run.NewFromRows(r.Raw, r.pendingRows()) }
