package run

import (
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"perdure/core/history"
	"perdure/core/port"
	"perdure/core/run/runpb"
)

// Changes is what one transition leaves behind, for the shard to record.
type Changes struct {
	Row     []byte          // the run row, always
	Batches []history.Batch // new history
	Pending []Row           // pending rows put and deleted
	Dropped []Dispatch      // tasks that wait no more
	Added   []Dispatch      // tasks that can be taken now
	Next    *Run            // the run that follows in the chain; its own Changes are in NextChanges
	NextRun *Changes
	Closed  bool // by this transition
	First   bool // the run's first transition

	DueGone, Due int64 // times of the run's row in due: the one to delete, the one to put; 0: none

	Oversize string // why the run was ended instead; the call that caused it is refused with this
}

// Dispatch is a task that waits in a task queue.
type Dispatch struct {
	Kind     port.TaskKind
	Queue    port.QueueKey
	ID       int64 // scheduled event id
	Attempt  int32
	Stamp    uint64
	Priority int32
	Time     int64 // Unix ns, orders the queue
}

// tx is a transition under way.
type tx struct {
	env     *Env
	events  []*historypb.HistoryEvent
	borders []int // index in events after which a batch ends

	want     bool // something happened that a workflow task must see
	force    bool // a workflow task is wanted though nothing happened
	oversize string
	rearm    bool // the row in due must move
	flushed  bool // buffered events became events
	closed   bool
	first    bool
	touched  []touch
	rows     []Row
	dropped  []Dispatch
	added    []Dispatch
	next     *Run
	nextDone *Changes

	undo     []func() // while commands run: how to take each of them back
	undoable bool
}

// touch names a pending row to write at the end.
type touch struct {
	kind  byte
	id    int64
	fresh bool
}

func (r *Run) begin(env *Env) *tx {
	if r.tx != nil {
		panic("run: transition inside a transition")
	}
	r.tx = &tx{env: env}
	return r.tx
}

// event adds an event that is never buffered.
func (r *Run) event(kind enumspb.EventType) *historypb.HistoryEvent {
	e := r.newEvent(kind)
	r.assign(e)
	return e
}

func (r *Run) newEvent(kind enumspb.EventType) *historypb.HistoryEvent {
	return &historypb.HistoryEvent{EventType: kind, EventTime: timestamp(r.tx.env.Now), Version: r.S.Version}
}

func (r *Run) assign(e *historypb.HistoryEvent) {
	e.EventId = r.S.NextEventId
	r.S.NextEventId++
	r.S.LastEventTaskId++
	e.TaskId = r.S.LastEventTaskId
	r.tx.events = append(r.tx.events, e)
}

// later adds an event that waits while a worker holds a workflow task. wake
// says that a workflow task must see it.
func (r *Run) later(e *historypb.HistoryEvent, wake bool) {
	r.buffer = append(r.buffer, e)
	if wake {
		r.tx.want = true
	}
}

// endBatch closes the batch of the events so far: WorkflowTaskStarted ends one.
func (r *Run) endBatch() {
	if n := len(r.tx.events); n > 0 {
		r.tx.borders = append(r.tx.borders, n)
	}
}

// taskRuns reports whether a worker holds the workflow task.
func (r *Run) taskRuns() bool { return r.S.Task != nil && r.S.Task.StartedId != 0 }

// flush gives buffered events their ids: first all but the ends of activities and
// children, then these, each in the order of arrival.
func (r *Run) flush() {
	if len(r.buffer) == 0 {
		return
	}
	r.tx.flushed = true
	started := map[int64]int64{}
	for _, e := range r.buffer {
		if !ends(e) {
			r.assign(e)
			noteStarted(e, started)
			r.flushedRequest(e)
		}
	}
	for _, e := range r.buffer {
		if ends(e) {
			fixStarted(e, started)
			r.assign(e)
		}
	}
	r.fixChildren(started)
	r.dropBufferRows()
}

// dropBufferRows empties the buffer; rows exist for events of earlier transitions only.
func (r *Run) dropBufferRows() {
	stored := r.storedBuffer()
	for i := int64(0); i < stored; i++ {
		r.tx.rows = append(r.tx.rows, Row{Key: idKey(rowBuffer, r.buffered-stored+i)})
	}
	r.buffer, r.buffered, r.size = nil, 0, 0
}

// storedBuffer is how many of the buffered events have a row.
func (r *Run) storedBuffer() int64 { return r.buffered }

func ends(e *historypb.HistoryEvent) bool {
	switch e.EventType {
	case enumspb.EVENT_TYPE_ACTIVITY_TASK_COMPLETED, enumspb.EVENT_TYPE_ACTIVITY_TASK_FAILED,
		enumspb.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT, enumspb.EVENT_TYPE_ACTIVITY_TASK_CANCELED,
		enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED, enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_FAILED,
		enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_CANCELED, enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TIMED_OUT,
		enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TERMINATED:
		return true
	}
	return false
}

// commit ends the transition: buffered events are flushed if no worker holds the
// task, a workflow task is scheduled if one is wanted, everything is encoded.
func (r *Run) commit() *Changes {
	t := r.tx
	if !r.Closed() {
		r.settle()
		r.enforceLimits()
	}
	r.endBatch()
	c := &Changes{Dropped: t.dropped, Added: t.added, Next: t.next, NextRun: t.nextDone, Closed: t.closed, First: t.first, Oversize: t.oversize}
	from := 0
	for _, to := range t.borders {
		if to == from {
			continue
		}
		b := history.Encode(t.events[from:to])
		if b.First == 1 {
			r.started, r.startLinks = t.events[0].GetWorkflowExecutionStartedEventAttributes(), t.events[0].Links
			r.S.StartEventSize = int64(len(b.Events))
		}
		r.S.HistorySize += int64(len(b.Events))
		r.S.Batches++
		r.S.CloseEventBatch = b.First
		c.Batches = append(c.Batches, b)
		from = to
	}
	r.S.Transitions++
	r.moveDue(c)
	c.Pending = r.encodeRows()
	c.Row = encode(r.S)
	r.stored = c.Row
	r.tx = nil
	return c
}

// settle flushes and schedules, as far as the running task lets it.
func (r *Run) settle() {
	if r.taskRuns() {
		return
	}
	if r.S.Task == nil && (r.tx.want || r.tx.force) && r.canSchedule() {
		r.scheduleTask()
		return
	}
	r.flush()
}

// abort throws the transition away (R5); only what commands did can be taken back.
func (r *Run) abort() {
	t := r.tx
	for i := len(t.undo) - 1; i >= 0; i-- {
		t.undo[i]()
	}
	r.S = &runpb.Run{}
	if err := proto.Unmarshal(r.stored, r.S); err != nil {
		panic("run: own row cannot be decoded: " + err.Error())
	}
	r.rebuildDeadlines()
	r.latest, r.tx = nil, nil
}

func (r *Run) onUndo(f func()) {
	if r.tx.undoable {
		r.tx.undo = append(r.tx.undo, f)
	}
}

func (r *Run) touch(kind byte, id int64) { r.tx.touched = append(r.tx.touched, touch{kind, id, false}) }

func (r *Run) touchNew(kind byte, id int64) {
	r.tx.touched = append(r.tx.touched, touch{kind, id, true})
}

// encodeRows writes each touched row once, as it is now.
func (r *Run) encodeRows() []Row {
	t := r.tx
	rows := t.rows
	for i, x := range t.touched {
		if touchedLater(t.touched[i+1:], x) {
			continue
		}
		fresh := x.fresh || touchedFresh(t.touched[:i], x)
		v := r.pendingValue(x.kind, x.id)
		if v == nil && fresh {
			continue // came and went inside this transition
		}
		rows = append(rows, Row{Key: idKey(x.kind, x.id), Value: v, Fresh: fresh})
	}
	stored := r.storedBuffer()
	for i := stored; i < int64(len(r.buffer)); i++ {
		v := encode(r.buffer[i])
		r.size += len(v)
		rows = append(rows, Row{Key: idKey(rowBuffer, r.buffered), Value: v})
		r.buffered++
	}
	return rows
}

func touchedLater(rest []touch, x touch) bool {
	if len(rest) > 64 { // a task with thousands of commands touches each row once
		rest = rest[:64]
	}
	for _, y := range rest {
		if y.kind == x.kind && y.id == x.id {
			return true
		}
	}
	return false
}

func touchedFresh(before []touch, x touch) bool {
	for i := len(before) - 1; i >= 0 && i >= len(before)-64; i-- {
		if y := before[i]; y.kind == x.kind && y.id == x.id && y.fresh {
			return true
		}
	}
	return false
}

func (r *Run) pendingValue(kind byte, id int64) []byte {
	switch kind {
	case rowActivity:
		if a, ok := r.activities.get(id); ok {
			return encode(a)
		}
	case rowInput:
		if in, ok := r.inputs.get(id); ok {
			return encode(in)
		}
	case rowTimer:
		if x, ok := r.timers.get(id); ok {
			return encode(x)
		}
	case rowChild:
		if x, ok := r.children.get(id); ok {
			return encode(x)
		}
	case rowSignal:
		if x, ok := r.signals.get(id); ok {
			return encode(x)
		}
	case rowCancel:
		if x, ok := r.cancels.get(id); ok {
			return encode(x)
		}
	case rowClose:
		if x, ok := r.closes.get(id); ok {
			return encode(x)
		}
	case rowMemo:
		if r.memo != nil {
			return nonNil(encode(r.memo))
		}
	case rowAttributes:
		if r.attributes != nil {
			return nonNil(encode(r.attributes))
		}
	}
	return nil
}

// nonNil keeps an empty message apart from a deleted row.
func nonNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

func (r *Run) add(d Dispatch) { r.tx.added = append(r.tx.added, d) }

// drop takes a task out of its queue; one that was added by this very transition
// was never there: the shard drops first and adds then.
func (r *Run) drop(d Dispatch) {
	t := r.tx
	for i, x := range t.added {
		if x == d {
			t.added = append(t.added[:i], t.added[i+1:]...)
			return
		}
	}
	t.dropped = append(t.dropped, d)
}

func (r *Run) stamp() uint64 {
	r.S.Stamp++
	return r.S.Stamp
}

func timestamp(ns int64) *timestamppb.Timestamp {
	return &timestamppb.Timestamp{Seconds: ns / 1e9, Nanos: int32(ns % 1e9)}
}
