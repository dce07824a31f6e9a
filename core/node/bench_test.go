package node_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	commandpb "go.temporal.io/api/command/v1"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	ws "go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"perdure/core/frontend"
	"perdure/core/node"
	"perdure/core/port"
	"perdure/core/store"
	"perdure/core/store/memory"
)

// bench runs a node's machines in one goroutine over the reference store, each
// store call answered at once: what is measured is what decides.
type bench struct {
	tb       testing.TB
	node     *node.Node
	machines map[port.Address]port.Machine
	order    []port.Address
	store    *memory.Store
	snapshot *port.Snapshot
	queue    []letter
	replies  map[uint64]port.Reply
	calls    uint64
	ids      uint64
	clock    port.Clock
	out      port.Effects
	reads    int                             // of the store
	hold     func(batch []store.Append) bool // appends that are never answered; nil: none
}

type letter struct {
	to port.Address
	in port.Input
}

func newBench(tb testing.TB) *bench { return newBenchOf(tb, node.Config{Exclusive: true}) }

func newBenchOf(tb testing.TB, cfg node.Config) *bench {
	r := rand.New(rand.NewPCG(1, 2))
	b := &bench{tb: tb, machines: map[port.Address]port.Machine{}, store: memory.New(), replies: map[uint64]port.Reply{},
		clock: port.Clock{Wall: time.Unix(1_700_000_000, 0)}}
	cfg.Owner, cfg.Rand = "bench", func(string) func() uint64 { return r.Uint64 }
	b.node = node.New(cfg)
	b.add(b.node.First)
	b.run()
	if b.snapshot == nil {
		tb.Fatal("the registry published nothing")
	}
	return b
}

func (b *bench) add(machines []node.Machine) {
	for _, m := range machines {
		b.machines[m.Address] = m.Machine
		b.order = append(b.order, m.Address)
		b.queue = append(b.queue, letter{m.Address, port.Start{}})
	}
}

func (b *bench) run() {
	for len(b.queue) > 0 {
		l := b.queue[0]
		b.queue = b.queue[1:]
		b.clock.Wall, b.clock.Mono = b.clock.Wall.Add(time.Microsecond), b.clock.Mono+time.Microsecond
		b.out.Reset()
		b.machines[l.to].Step(b.clock, l.in, &b.out)
		for _, e := range b.out.List {
			b.execute(l.to, e)
		}
	}
}

func (b *bench) execute(from port.Address, e port.Effect) {
	post := func(c *port.Completed) { b.queue = append(b.queue, letter{from, c}) }
	switch e := e.(type) {
	case port.Send:
		b.queue = append(b.queue, letter{e.To, e.In})
	case port.Reply:
		b.replies[e.Call.ID] = e
	case port.Publish:
		b.snapshot = e.Snapshot
		b.add(b.node.Machines(e.Snapshot, nil))
		for _, at := range b.order {
			b.queue = append(b.queue, letter{at, port.Published(e)})
		}
	case port.OpenStore:
		o, err := b.store.Open(e.Open)
		post(&port.Completed{Tag: e.Tag, Opened: o, Err: err})
	case port.CreateShard:
		post(&port.Completed{Tag: e.Tag, Err: b.store.Create(e.Shard, e.Strips, e.Floor)})
	case port.AppendStore:
		if b.hold != nil && b.hold(e.Batch) {
			return
		}
		post(&port.Completed{Tag: e.Tag, Outcomes: b.store.Append(e.Batch)})
	case port.FlushStore:
		post(&port.Completed{Tag: e.Tag, Err: b.store.Flush(e.Flush)})
	case port.ReadStore:
		b.reads++
		rows, _ := b.store.Get(e.Keys)
		scans, _ := b.store.Scan(e.Ranges)
		post(&port.Completed{Tag: e.Tag, Rows: rows, Scans: scans})
	}
}

// post admits a request and sends it on its way.
func (b *bench) post(req proto.Message) uint64 {
	b.calls++
	plan, refusal := b.node.Frontend.Admit(b.snapshot, frontend.Caller{
		Now: b.clock.Wall, Deadline: b.clock.Wall.Add(time.Minute), Call: port.Call{Node: 1, ID: b.calls},
		NewID: func() string { b.ids++; return fmt.Sprintf("00000000-0000-4000-8000-%012d", b.ids) },
	}, req)
	if refusal != nil {
		b.tb.Fatal(refusal)
	}
	b.queue = append(b.queue, letter{plan.To, plan.In})
	b.run()
	return b.calls
}

func (b *bench) reply(call uint64) proto.Message {
	r, ok := b.replies[call]
	if !ok {
		b.tb.Fatal("no reply")
	}
	delete(b.replies, call)
	if r.Refusal != nil {
		b.tb.Fatal(r.Refusal)
	}
	return r.Body.Message
}

// refused is the refusal of a call.
func (b *bench) refused(call uint64) *port.Refusal {
	r, ok := b.replies[call]
	if !ok {
		b.tb.Fatal("no reply")
	}
	delete(b.replies, call)
	return r.Refusal
}

func startOf(id, request string) *ws.StartWorkflowExecutionRequest {
	return &ws.StartWorkflowExecutionRequest{Namespace: "default", WorkflowId: id, WorkflowType: &commonpb.WorkflowType{Name: "wf"},
		TaskQueue: &taskqueuepb.TaskQueue{Name: "q", Kind: enumspb.TASK_QUEUE_KIND_NORMAL}, RequestId: request, Identity: "c"}
}

// After some thousand starts an id that was never used is known to be free
// without a read, and no id that was used is taken for free.
func TestUnusedIDsAreKnownWithoutReading(t *testing.T) {
	b := newBench(t)
	const many = 6000
	for i := range many {
		b.reply(b.post(startOf(fmt.Sprint("wf-", i), "r")))
	}
	before := b.reads
	for i := range 500 {
		b.reply(b.post(startOf(fmt.Sprint("new-", i), "r")))
	}
	if n := b.reads - before; n > 50 {
		t.Errorf("%d reads for 500 starts of unused ids", n)
	}
	for i := range many {
		if f := b.refused(b.post(startOf(fmt.Sprint("wf-", i), "another"))); f == nil || f.Code != port.AlreadyExists {
			t.Fatalf("id wf-%d was started twice: %v", i, f)
		}
	}
}

// BenchmarkOneActivity is a workflow with one activity, from its start to the answer of the one who waits for it.
func BenchmarkOneActivity(tb *testing.B) {
	b := newBench(tb)
	q := &taskqueuepb.TaskQueue{Name: "q", Kind: enumspb.TASK_QUEUE_KIND_NORMAL}
	data := &commonpb.Payloads{Payloads: []*commonpb.Payload{{Metadata: map[string][]byte{"encoding": []byte("binary/plain")}, Data: make([]byte, 100)}}}
	activity := func() []*commandpb.Command {
		return []*commandpb.Command{{CommandType: enumspb.COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK, Attributes: &commandpb.Command_ScheduleActivityTaskCommandAttributes{ScheduleActivityTaskCommandAttributes: &commandpb.ScheduleActivityTaskCommandAttributes{
			ActivityId: "0", ActivityType: &commonpb.ActivityType{Name: "act"}, TaskQueue: q, Input: data, StartToCloseTimeout: durationpb.New(time.Minute)}}}}
	}
	done := func() []*commandpb.Command {
		return []*commandpb.Command{{CommandType: enumspb.COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION, Attributes: &commandpb.Command_CompleteWorkflowExecutionCommandAttributes{
			CompleteWorkflowExecutionCommandAttributes: &commandpb.CompleteWorkflowExecutionCommandAttributes{Result: data}}}}
	}
	tb.ReportAllocs()
	n := 0
	for tb.Loop() {
		n++
		id := fmt.Sprint("wf-", n)
		poll := b.post(&ws.PollWorkflowTaskQueueRequest{Namespace: "default", TaskQueue: &taskqueuepb.TaskQueue{Name: "q", Kind: enumspb.TASK_QUEUE_KIND_NORMAL}, Identity: "w"})
		act := b.post(&ws.PollActivityTaskQueueRequest{Namespace: "default", TaskQueue: &taskqueuepb.TaskQueue{Name: "q", Kind: enumspb.TASK_QUEUE_KIND_NORMAL}, Identity: "w"})
		start := b.post(&ws.StartWorkflowExecutionRequest{Namespace: "default", WorkflowId: id, WorkflowType: &commonpb.WorkflowType{Name: "wf"}, TaskQueue: &taskqueuepb.TaskQueue{Name: "q", Kind: enumspb.TASK_QUEUE_KIND_NORMAL}, Input: data, RequestId: id, Identity: "c"})
		run := b.reply(start).(*ws.StartWorkflowExecutionResponse).RunId
		wait := b.post(&ws.GetWorkflowExecutionHistoryRequest{Namespace: "default", Execution: &commonpb.WorkflowExecution{WorkflowId: id, RunId: run}, WaitNewEvent: true, HistoryEventFilterType: enumspb.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT})
		b.reply(b.post(&ws.RespondWorkflowTaskCompletedRequest{Namespace: "default", TaskToken: b.reply(poll).(*ws.PollWorkflowTaskQueueResponse).TaskToken, Commands: activity(), Identity: "w"}))
		poll = b.post(&ws.PollWorkflowTaskQueueRequest{Namespace: "default", TaskQueue: &taskqueuepb.TaskQueue{Name: "q", Kind: enumspb.TASK_QUEUE_KIND_NORMAL}, Identity: "w"})
		b.reply(b.post(&ws.RespondActivityTaskCompletedRequest{Namespace: "default", TaskToken: b.reply(act).(*ws.PollActivityTaskQueueResponse).TaskToken, Result: data, Identity: "w"}))
		b.reply(b.post(&ws.RespondWorkflowTaskCompletedRequest{Namespace: "default", TaskToken: b.reply(poll).(*ws.PollWorkflowTaskQueueResponse).TaskToken, Commands: done(), Identity: "w"}))
		b.reply(wait)
	}
}
