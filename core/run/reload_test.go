package run

import (
	"fmt"
	"math/rand"
	"slices"
	"testing"
	"time"

	commandpb "go.temporal.io/api/command/v1"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
	historypb "go.temporal.io/api/history/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"perdure/core/port"
	"perdure/core/run/runpb"
	"perdure/core/validate"
)

// Whatever happens to a run, the run loaded from its rows is the one in memory:
// random transitions, failed completions among them, and a comparison after each.
func TestLoadedRunIsTheRunInMemory(t *testing.T) {
	for seed := int64(0); seed < 300; seed++ {
		w := newWalk(seed)
		if seed%4 == 0 {
			w.env.Limits.HistoryEvents = 60
		}
		for step := 0; step < 80 && !w.run.Closed(); step++ {
			op := w.step()
			if diff := w.compare(); diff != "" {
				t.Fatalf("seed %d, step %d, %s: %s", seed, step, op, diff)
			}
		}
	}
}

// walk takes one run through random transitions and keeps its rows.
type walk struct {
	rng    *rand.Rand
	env    *Env
	run    *Run
	row    []byte
	rows   map[string][]byte
	signal int
}

func newWalk(seed int64) *walk {
	w := &walk{rng: rand.New(rand.NewSource(seed)), rows: map[string][]byte{}}
	limits := validate.Defaults()
	ns := &port.Namespace{ID: "ns", Name: "ns", Retention: 24 * time.Hour}
	w.env = &Env{
		Now: 1_700_000_000_000_000_000, Rand: w.rng.Uint64, Namespace: ns, Limits: &limits,
		NewRunID: w.id, NewID: w.id, Lookup: func(string) *port.Namespace { return nil },
		Movable: func(int64) bool { return w.rng.Intn(2) == 0 },
	}
	r, c := New(w.env, Spec{WorkflowID: "w", RunID: w.id(), RequestID: w.id(), Started: &historypb.WorkflowExecutionStartedEventAttributes{
		WorkflowType: &commonpb.WorkflowType{Name: "T"}, TaskQueue: normalQueue("q"), WorkflowTaskTimeout: durationpb.New(10 * time.Second),
	}})
	w.run = r
	w.record(c)
	return w
}

func (w *walk) id() string {
	return fmt.Sprintf("%08x-0000-4000-8000-%012x", w.rng.Uint32(), w.rng.Int63n(1<<48))
}

func (w *walk) record(c *Changes) {
	if c == nil {
		return
	}
	w.row = c.Row
	for _, p := range c.Pending {
		if _, known := w.rows[p.Key]; known && p.Fresh && p.Value != nil {
			panic(fmt.Sprintf("row %q is called fresh but was written before", p.Key))
		}
		if p.Value == nil {
			delete(w.rows, p.Key)
		} else {
			w.rows[p.Key] = p.Value
		}
	}
}

// step does one thing and names it.
func (w *walk) step() string {
	ops := []struct {
		name string
		do   func()
	}{
		{"time", w.passTime}, {"signal", w.sendSignal}, {"start task", w.startTask}, {"complete task", w.complete}, {"complete task", w.complete},
		{"fail task", w.failTask}, {"start activity", w.startActivity}, {"end activity", w.endActivity}, {"heartbeat", w.heartbeat}, {"outcome", w.outcome},
		{"undelivered", w.undelivered},
	}
	op := ops[w.rng.Intn(len(ops))]
	op.do()
	return op.name
}

func (w *walk) passTime() {
	w.env.Now += w.rng.Int63n(int64(4 * time.Second))
	w.record(w.run.Fire(w.env))
}

func (w *walk) sendSignal() {
	w.signal++
	c, _ := w.run.Signal(w.env, &Signal{Name: "s", RequestID: w.id(), Key: fmt.Sprint("key", w.signal)})
	w.record(c)
}

func (w *walk) startTask() {
	if task := w.run.S.Task; task != nil {
		c, started := w.run.StartTask(w.env, task.Stamp, Starter{Identity: "worker", RequestID: w.id()})
		w.record(c)
		if started && !w.run.taskRuns() {
			panic("a worker was told of a task that does not run")
		}
	}
}

func (w *walk) complete() {
	if !w.run.taskRuns() {
		return
	}
	c := &Completion{Identity: "worker", ReturnNew: w.rng.Intn(2) == 0, ForceNew: w.rng.Intn(4) == 0, Eager: true}
	if w.rng.Intn(3) == 0 {
		c.Sticky = &taskqueuepb.StickyExecutionAttributes{WorkerTaskQueue: &taskqueuepb.TaskQueue{Name: "sticky"}, ScheduleToStartTimeout: durationpb.New(5 * time.Second)}
	}
	for range w.rng.Intn(6) {
		c.Commands = append(c.Commands, w.command())
	}
	if w.rng.Intn(30) == 0 {
		c.Commands = append(c.Commands, &commandpb.Command{CommandType: enumspb.COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION,
			Attributes: &commandpb.Command_CompleteWorkflowExecutionCommandAttributes{CompleteWorkflowExecutionCommandAttributes: &commandpb.CompleteWorkflowExecutionCommandAttributes{}}})
	}
	w.record(w.run.CompleteTask(w.env, w.run.Token(), c).Changes)
}

// command is any command; with few ids, so that many are refused.
func (w *walk) command() *commandpb.Command {
	name := fmt.Sprint(w.rng.Intn(12))
	switch w.rng.Intn(7) {
	case 0:
		return &commandpb.Command{CommandType: enumspb.COMMAND_TYPE_START_TIMER, Attributes: &commandpb.Command_StartTimerCommandAttributes{
			StartTimerCommandAttributes: &commandpb.StartTimerCommandAttributes{TimerId: name, StartToFireTimeout: durationpb.New(time.Duration(w.rng.Intn(9)) * time.Second)}}}
	case 1:
		return &commandpb.Command{CommandType: enumspb.COMMAND_TYPE_CANCEL_TIMER, Attributes: &commandpb.Command_CancelTimerCommandAttributes{
			CancelTimerCommandAttributes: &commandpb.CancelTimerCommandAttributes{TimerId: name}}}
	case 2:
		return &commandpb.Command{CommandType: enumspb.COMMAND_TYPE_REQUEST_CANCEL_ACTIVITY_TASK, Attributes: &commandpb.Command_RequestCancelActivityTaskCommandAttributes{
			RequestCancelActivityTaskCommandAttributes: &commandpb.RequestCancelActivityTaskCommandAttributes{ScheduledEventId: w.someActivity()}}}
	case 3:
		return &commandpb.Command{CommandType: enumspb.COMMAND_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION, Attributes: &commandpb.Command_SignalExternalWorkflowExecutionCommandAttributes{
			SignalExternalWorkflowExecutionCommandAttributes: &commandpb.SignalExternalWorkflowExecutionCommandAttributes{Execution: &commonpb.WorkflowExecution{WorkflowId: "x"}, SignalName: "s"}}}
	case 4:
		return &commandpb.Command{CommandType: enumspb.COMMAND_TYPE_START_CHILD_WORKFLOW_EXECUTION, Attributes: &commandpb.Command_StartChildWorkflowExecutionCommandAttributes{
			StartChildWorkflowExecutionCommandAttributes: &commandpb.StartChildWorkflowExecutionCommandAttributes{WorkflowId: name, WorkflowType: &commonpb.WorkflowType{Name: "C"}}}}
	case 5:
		return &commandpb.Command{CommandType: enumspb.COMMAND_TYPE_MODIFY_WORKFLOW_PROPERTIES, Attributes: &commandpb.Command_ModifyWorkflowPropertiesCommandAttributes{
			ModifyWorkflowPropertiesCommandAttributes: &commandpb.ModifyWorkflowPropertiesCommandAttributes{UpsertedMemo: &commonpb.Memo{Fields: map[string]*commonpb.Payload{name: {Data: []byte(name)}}}}}}
	}
	return &commandpb.Command{CommandType: enumspb.COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK, Attributes: &commandpb.Command_ScheduleActivityTaskCommandAttributes{
		ScheduleActivityTaskCommandAttributes: &commandpb.ScheduleActivityTaskCommandAttributes{
			ActivityId: name, ActivityType: &commonpb.ActivityType{Name: "A"}, TaskQueue: normalQueue("a"), StartToCloseTimeout: durationpb.New(5 * time.Second),
			ScheduleToCloseTimeout: durationpb.New(time.Duration(w.rng.Intn(20)) * time.Second), HeartbeatTimeout: durationpb.New(time.Duration(w.rng.Intn(3)) * time.Second),
			RequestEagerExecution: w.rng.Intn(4) == 0,
		}}}
}

func (w *walk) someActivity() int64 {
	ids := w.run.activities.ids()
	if len(ids) == 0 {
		return 1
	}
	return ids[w.rng.Intn(len(ids))]
}

func (w *walk) failTask() {
	if w.run.taskRuns() && w.rng.Intn(3) == 0 {
		c, _ := w.run.FailTask(w.env, w.run.Token(), enumspb.WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE, nil, "worker", "")
		w.record(c)
	}
}

func (w *walk) startActivity() {
	if a, ok := w.run.Activity(w.someActivity()); ok {
		c, started := w.run.StartActivity(w.env, a.ScheduledId, a.Stamp, Starter{Identity: "worker", RequestID: w.id()})
		w.record(c)
		if _, there := w.run.Activity(a.ScheduledId); started && !there {
			panic("a worker was told of an activity that is gone")
		}
	}
}

func (w *walk) endActivity() {
	a, ok := w.run.Activity(w.someActivity())
	if !ok {
		return
	}
	k := w.run.ActivityToken(a)
	var c *Changes
	switch w.rng.Intn(3) {
	case 0:
		c, _ = w.run.CompleteActivity(w.env, k, nil, "worker", w.rng.Intn(2) == 0)
	case 1:
		c, _ = w.run.CancelActivityTask(w.env, k, nil, "worker")
	default:
		c, _ = w.run.FailActivity(w.env, k, &failurepb.Failure{Message: "no"}, nil, "worker")
	}
	w.record(c)
}

func (w *walk) heartbeat() {
	if a, ok := w.run.Activity(w.someActivity()); ok {
		c, _, _ := w.run.Heartbeat(w.env, w.run.ActivityToken(a), &commonpb.Payloads{Payloads: []*commonpb.Payload{{Data: []byte("x")}}})
		w.record(c)
	}
}

// outcome answers a child start or a signal, or ends a child.
func (w *walk) outcome() {
	if ids := w.run.signals.ids(); len(ids) > 0 && w.rng.Intn(2) == 0 {
		w.record(w.run.Outcome(w.env, &port.Outcome{Kind: port.SignalExternal, ID: ids[0], Body: &Result{Cause: int32(w.rng.Intn(2))}}))
		return
	}
	ids := w.run.children.ids()
	if len(ids) == 0 {
		return
	}
	c, _ := w.run.children.get(ids[w.rng.Intn(len(ids))])
	switch w.rng.Intn(3) {
	case 0:
		w.record(w.run.Outcome(w.env, &port.Outcome{Kind: port.StartChild, ID: c.InitiatedId, Body: &Result{Cause: int32(w.rng.Intn(2))}}))
	case 1:
		w.record(w.run.Outcome(w.env, &port.Outcome{Kind: port.ChildStarted, ID: c.InitiatedId, Body: &Result{}}))
	default:
		w.record(w.run.ChildClosed(w.env, c.InitiatedId, &ChildClosedBody{FirstRunID: c.RunId, Execution: execution(c.WorkflowId, c.RunId), Type: "C",
			Status: enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED, Close: &historypb.HistoryEvent{}}))
	}
}

func (w *walk) undelivered() {
	if w.run.taskRuns() && w.rng.Intn(4) == 0 {
		c, _ := w.run.TaskUndelivered(w.env, w.run.Token())
		w.record(c)
	}
}

// compare loads the run from its rows and says what is not as in memory.
func (w *walk) compare() string {
	keys := make([]string, 0, len(w.rows))
	for k := range w.rows {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	var rows []Row
	for _, k := range keys {
		rows = append(rows, Row{Key: k, Value: w.rows[k]})
	}
	l, err := NewFromRows(w.row, rows)
	if err != nil {
		return err.Error()
	}
	r := w.run
	switch {
	case !proto.Equal(l.S, r.S):
		return fmt.Sprintf("run row:\nloaded %v\nmemory %v", l.S, r.S)
	case !sameTable(&l.activities, &r.activities), !sameTable(&l.inputs, &r.inputs), !sameTable(&l.timers, &r.timers),
		!sameTable(&l.children, &r.children), !sameTable(&l.signals, &r.signals):
		return "pending rows"
	case len(l.activityID) != len(r.activityID), len(l.timerID) != len(r.timerID), len(l.requests) != len(r.requests):
		return "indexes by id"
	case !slices.EqualFunc(l.buffer, r.buffer, func(a, b *historypb.HistoryEvent) bool { return proto.Equal(a, b) }):
		return fmt.Sprintf("buffer:\nloaded %v\nmemory %v", l.buffer, r.buffer)
	case l.buffered != r.buffered || l.size != r.size:
		return fmt.Sprintf("buffer rows: loaded %d (%d bytes), memory %d (%d bytes)", l.buffered, l.size, r.buffered, r.size)
	case !proto.Equal(l.memo, r.memo):
		return "memo"
	case len(l.owed) != len(r.owed):
		return fmt.Sprintf("owed: loaded %v, memory %v", l.owed, r.owed)
	case l.Deadline() != r.Deadline():
		return fmt.Sprintf("deadline: loaded %d, memory %d", l.Deadline(), r.Deadline())
	case r.Deadline() != 0 && (r.S.DeadlineRow == 0 || r.S.DeadlineRow > r.Deadline()):
		return fmt.Sprintf("deadline %d, its row is at %d: later, or missing", r.Deadline(), r.S.DeadlineRow)
	case len(r.deadlines) > 20+2*(r.activities.len()+r.timers.len()):
		return fmt.Sprintf("%d entries in the heap of deadlines", len(r.deadlines))
	}
	return ""
}

func sameTable[M proto.Message](a, b *table[M]) bool {
	if !slices.Equal(a.ids(), b.ids()) {
		return false
	}
	for _, id := range a.ids() {
		x, _ := a.get(id)
		y, _ := b.get(id)
		if !proto.Equal(x, y) {
			return false
		}
	}
	return true
}

// An attempt that is timed out tells why there is no other one.
func TestActivityTimeoutRetryState(t *testing.T) {
	const stc, hb, closes, starts = enumspb.TIMEOUT_TYPE_START_TO_CLOSE, enumspb.TIMEOUT_TYPE_HEARTBEAT, enumspb.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE, enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START
	second := time.Second.Nanoseconds()
	for _, x := range []struct {
		kind     enumspb.TimeoutType
		attempts int32
		canceled bool
		room     int64
		state    enumspb.RetryState
	}{
		{stc, 0, false, 0, enumspb.RETRY_STATE_IN_PROGRESS},
		{hb, 0, false, 0, enumspb.RETRY_STATE_IN_PROGRESS},
		{stc, 1, false, 0, enumspb.RETRY_STATE_MAXIMUM_ATTEMPTS_REACHED},
		{stc, 0, false, second, enumspb.RETRY_STATE_TIMEOUT},
		{stc, 0, true, 0, enumspb.RETRY_STATE_CANCEL_REQUESTED},
		{closes, 1, false, 0, enumspb.RETRY_STATE_TIMEOUT},
		{closes, 0, true, 0, enumspb.RETRY_STATE_CANCEL_REQUESTED},
		{starts, 0, false, 0, enumspb.RETRY_STATE_TIMEOUT},
	} {
		w := newWalk(1)
		w.run.begin(w.env)
		a := &runpb.Activity{ScheduledId: 5, ActivityId: "a", Attempt: 1, CancelRequested: x.canceled, FirstScheduledTime: w.env.Now, ScheduleToClose: x.room,
			Retry: &runpb.Retry{Initial: 2 * second, Coefficient: 1, Attempts: x.attempts}}
		if state := w.run.retryActivity(a, timeoutFailure("", x.kind)); state != x.state {
			t.Errorf("%v attempts=%d canceled=%v room=%d: %v, want %v", x.kind, x.attempts, x.canceled, x.room, state, x.state)
		}
	}
}

// An owner that was displaced may read rows of which its successor has written
// some and removed others.
func TestRowsThatDoNotFitTogetherAreRefused(t *testing.T) {
	row := encode(&runpb.Run{Format: Format, NextEventId: 6})
	activity := Row{Key: idKey(rowActivity, 5), Value: encode(&runpb.Activity{ScheduledId: 5, ActivityId: "a"})}
	input := Row{Key: idKey(rowInput, 5), Value: encode(&runpb.ActivityInput{})}
	for _, c := range []struct {
		what string
		rows []Row
		fit  bool
	}{
		{"an activity and its input", []Row{activity, input}, true},
		{"an activity without its input", []Row{activity}, false},
		{"an input without its activity", []Row{input}, false},
		{"the input of another activity", []Row{activity, {Key: idKey(rowInput, 7), Value: input.Value}}, false},
	} {
		if _, err := NewFromRows(row, c.rows); (err == nil) != c.fit {
			t.Errorf("%s: %v", c.what, err)
		}
	}
}
