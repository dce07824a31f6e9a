package node_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	commandpb "go.temporal.io/api/command/v1"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	ws "go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/proto"

	"perdure/core/frontend"
	"perdure/core/history"
	"perdure/core/node"
	"perdure/core/port"
	"perdure/core/run"
	"perdure/core/store"
	"perdure/core/store/memory"
)

// Whatever happens to messages between runs (they are lost, late, doubled, out of
// order, and the node crashes between any two of them) while their receivers
// continue as new, end and are started again: what a sender is told is what
// happened, and it happened once.
func TestMessageEffectsOnce(t *testing.T) {
	seeds := uint64(150)
	if testing.Short() {
		seeds = 15
	}
	seen := tally{}
	for seed := range seeds {
		p := newPost(t, seed)
		for range 60 {
			p.act()
		}
		p.settle()
		p.check(seen)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	for _, what := range []string{"signaled", "signal failed", "canceled", "cancel failed", "child started", "child failed", "child ended", "parent's cancel", "signal sent again", "orphan"} {
		if seen[what] == 0 && !testing.Short() {
			t.Errorf("no seed reached: %s", what)
		}
	}
}

type tally map[string]int

// post is a node whose runs write to each other over bad lines.
type post struct {
	t        *testing.T
	rng      *rand.Rand
	store    *memory.Store
	front    *frontend.Frontend
	node     *node.Node
	machines map[port.Address]port.Machine
	order    []port.Address
	snapshot *port.Snapshot
	queue    []letter
	late     []lateLetter
	alarms   map[port.Address]time.Time
	replies  map[uint64]port.Reply
	polls    []uint64
	calls    uint64
	ids      uint64
	senders  int
	healed   bool
	clock    port.Clock
	again    int // signals that were sent again
}

type lateLetter struct {
	letter
	at time.Time
}

func newPost(t *testing.T, seed uint64) *post {
	p := &post{t: t, rng: rand.New(rand.NewPCG(seed, 7)), store: memory.New(), clock: port.Clock{Wall: time.Unix(1_700_000_000, 0)}}
	p.boot()
	return p
}

// boot starts the node; of an earlier one nothing is left but the store and what is under way.
func (p *post) boot() {
	n := node.New(node.Config{Owner: "post", Exclusive: true, Rand: func(string) func() uint64 { return p.rng.Uint64 }})
	p.front, p.machines, p.order, p.queue, p.polls, p.snapshot = n.Frontend, map[port.Address]port.Machine{}, nil, nil, nil, nil
	p.alarms, p.replies = map[port.Address]time.Time{}, map[uint64]port.Reply{}
	p.node = n
	p.add(n.First)
	p.run(-1)
}

func (p *post) add(machines []node.Machine) {
	for _, m := range machines {
		p.machines[m.Address] = m.Machine
		p.order = append(p.order, m.Address)
		p.queue = append(p.queue, letter{m.Address, port.Start{}})
	}
}

// run steps machines until nothing is left to do, or the given number of times.
func (p *post) run(steps int) {
	var out port.Effects
	for ; len(p.queue) > 0 && steps != 0; steps-- {
		l := p.queue[0]
		p.queue = p.queue[1:]
		p.clock.Wall, p.clock.Mono = p.clock.Wall.Add(time.Microsecond), p.clock.Mono+time.Microsecond
		out.Reset()
		m := p.machines[l.to]
		if m == nil {
			continue // a shard that this life of the node does not have yet
		}
		m.Step(p.clock, l.in, &out)
		for _, e := range out.List {
			p.execute(l.to, e)
		}
	}
}

func (p *post) execute(from port.Address, e port.Effect) {
	done := func(c *port.Completed) { p.queue = append(p.queue, letter{from, c}) }
	switch e := e.(type) {
	case port.Send:
		p.carry(letter{e.To, e.In})
	case port.Reply:
		p.replies[e.Call.ID] = e
	case port.Alarm:
		p.alarms[from] = e.At
	case port.Publish:
		p.snapshot = e.Snapshot
		p.add(p.node.Machines(e.Snapshot, nil))
		for _, at := range p.order {
			p.queue = append(p.queue, letter{at, port.Published(e)})
		}
	case port.OpenStore:
		o, err := p.store.Open(e.Open)
		done(&port.Completed{Tag: e.Tag, Opened: o, Err: err})
	case port.CreateShard:
		done(&port.Completed{Tag: e.Tag, Err: p.store.Create(e.Shard, e.Strips, e.Floor)})
	case port.AppendStore:
		done(&port.Completed{Tag: e.Tag, Outcomes: p.store.Append(e.Batch)})
	case port.FlushStore:
		done(&port.Completed{Tag: e.Tag, Err: p.store.Flush(e.Flush)})
	case port.ReadStore:
		rows, _ := p.store.Get(e.Keys)
		scans, _ := p.store.Scan(e.Ranges)
		done(&port.Completed{Tag: e.Tag, Rows: rows, Scans: scans})
	}
}

// carry is the line between shards.
func (p *post) carry(l letter) {
	switch m := l.in.(type) {
	case *port.Message:
		if b, ok := m.Body.(*run.SignalBody); ok && b.Signal != nil && m.Repeated {
			p.again++
		}
	case *port.Outcome:
	default:
		p.queue = append(p.queue, l)
		return
	}
	if p.healed {
		p.queue = append(p.queue, l)
		return
	}
	copies := 1
	switch x := p.rng.IntN(10); {
	case x < 2:
		copies = 0
	case x < 5:
		copies = 2
	}
	for range copies {
		if p.rng.IntN(3) == 0 {
			p.queue = append(p.queue, l)
			continue
		}
		p.late = append(p.late, lateLetter{l, p.clock.Wall.Add(time.Duration(p.rng.IntN(15_000)) * time.Millisecond)})
	}
}

// pass lets time pass: late letters arrive and alarms go off.
func (p *post) pass(d time.Duration) {
	p.clock.Wall, p.clock.Mono = p.clock.Wall.Add(d), p.clock.Mono+d
	var rest []lateLetter
	for _, l := range p.late {
		if l.at.After(p.clock.Wall) {
			rest = append(rest, l)
		} else {
			p.queue = append(p.queue, l.letter)
		}
	}
	p.late = rest
	for _, at := range p.order {
		if a := p.alarms[at]; !a.IsZero() && !a.After(p.clock.Wall) {
			delete(p.alarms, at)
			p.queue = append(p.queue, letter{at, port.Alarmed{}})
		}
	}
	p.run(-1)
}

func (p *post) call(req proto.Message) uint64 {
	p.calls++
	if p.snapshot == nil {
		return p.calls
	}
	plan, refusal := p.front.Admit(p.snapshot, frontend.Caller{
		Now: p.clock.Wall, Deadline: p.clock.Wall.Add(time.Minute), Call: port.Call{Node: 1, ID: p.calls},
		NewID: func() string { p.ids++; return fmt.Sprintf("00000000-0000-4000-8000-%012d", p.ids) },
	}, req)
	if refusal != nil {
		p.t.Fatal(refusal)
	}
	p.queue = append(p.queue, letter{plan.To, plan.In})
	return p.calls
}

func queueOf(name string) *taskqueuepb.TaskQueue {
	return &taskqueuepb.TaskQueue{Name: name, Kind: enumspb.TASK_QUEUE_KIND_NORMAL}
}

func (p *post) start(id string) {
	p.call(&ws.StartWorkflowExecutionRequest{Namespace: "default", WorkflowId: id, WorkflowType: &commonpb.WorkflowType{Name: "wf"}, TaskQueue: queueOf("q"), Identity: "c",
		RequestId: fmt.Sprint("start ", p.calls)})
	p.run(-1)
}

// act does one thing at random.
func (p *post) act() {
	switch x := p.rng.IntN(20); {
	case x < 3:
		p.start(fmt.Sprint("target-", p.rng.IntN(3)))
	case x < 6 && p.senders < 8:
		p.senders++
		p.start(fmt.Sprint("sender-", p.senders))
	case x < 8:
		p.pass(time.Duration(p.rng.IntN(6000)) * time.Millisecond)
	case x == 8:
		p.run(p.rng.IntN(40)) // in the middle of something
		p.boot()
	default:
		p.work(1 + p.rng.IntN(3))
	}
}

// work polls, and completes what tasks there are.
func (p *post) work(tasks int) {
	for range tasks {
		if len(p.polls) == 0 {
			p.polls = append(p.polls, p.call(&ws.PollWorkflowTaskQueueRequest{Namespace: "default", TaskQueue: queueOf("q"), Identity: "w"}))
		}
		p.run(-1)
		r, ok := p.replies[p.polls[0]]
		if !ok {
			return
		}
		p.polls = nil
		if r.Refusal != nil || r.Body == nil {
			continue
		}
		if task := r.Body.Message.(*ws.PollWorkflowTaskQueueResponse); len(task.TaskToken) > 0 {
			p.call(&ws.RespondWorkflowTaskCompletedRequest{Namespace: "default", TaskToken: task.TaskToken, Identity: "w", Commands: p.decide(task)})
			if p.rng.IntN(8) == 0 && !p.healed {
				p.run(p.rng.IntN(20))
				p.boot()
				return
			}
			p.run(-1)
		}
	}
}

// decide is the program of every workflow.
func (p *post) decide(task *ws.PollWorkflowTaskQueueResponse) []*commandpb.Command {
	id := task.WorkflowExecution.WorkflowId
	x := p.rng.IntN(10)
	switch {
	case id[:4] == "send" && task.PreviousStartedEventId == 0:
		return p.write(id)
	case id[:4] == "send":
		if x < 3 && !p.healed {
			return []*commandpb.Command{completeCommand()}
		}
	case x < 5 && !p.healed:
		return []*commandpb.Command{{CommandType: enumspb.COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION, Attributes: &commandpb.Command_ContinueAsNewWorkflowExecutionCommandAttributes{
			ContinueAsNewWorkflowExecutionCommandAttributes: &commandpb.ContinueAsNewWorkflowExecutionCommandAttributes{}}}}
	case x < 7:
		return []*commandpb.Command{completeCommand()}
	}
	return nil
}

func completeCommand() *commandpb.Command {
	return &commandpb.Command{CommandType: enumspb.COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION, Attributes: &commandpb.Command_CompleteWorkflowExecutionCommandAttributes{
		CompleteWorkflowExecutionCommandAttributes: &commandpb.CompleteWorkflowExecutionCommandAttributes{}}}
}

// write begins what a sender does: signals, a cancel request, a child.
func (p *post) write(id string) []*commandpb.Command {
	var out []*commandpb.Command
	for i := range 2 {
		out = append(out, &commandpb.Command{CommandType: enumspb.COMMAND_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION, Attributes: &commandpb.Command_SignalExternalWorkflowExecutionCommandAttributes{
			SignalExternalWorkflowExecutionCommandAttributes: &commandpb.SignalExternalWorkflowExecutionCommandAttributes{
				Execution: &commonpb.WorkflowExecution{WorkflowId: fmt.Sprint("target-", p.rng.IntN(3))}, SignalName: fmt.Sprint(id, " ", i)}}})
	}
	out = append(out, &commandpb.Command{CommandType: enumspb.COMMAND_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION, Attributes: &commandpb.Command_RequestCancelExternalWorkflowExecutionCommandAttributes{
		RequestCancelExternalWorkflowExecutionCommandAttributes: &commandpb.RequestCancelExternalWorkflowExecutionCommandAttributes{WorkflowId: fmt.Sprint("target-", p.rng.IntN(3))}}})
	return append(out, &commandpb.Command{CommandType: enumspb.COMMAND_TYPE_START_CHILD_WORKFLOW_EXECUTION, Attributes: &commandpb.Command_StartChildWorkflowExecutionCommandAttributes{
		StartChildWorkflowExecutionCommandAttributes: &commandpb.StartChildWorkflowExecutionCommandAttributes{
			WorkflowId: fmt.Sprint("kid-", p.rng.IntN(2)), WorkflowType: &commonpb.WorkflowType{Name: "wf"}, TaskQueue: queueOf("q"),
			ParentClosePolicy: []enumspb.ParentClosePolicy{enumspb.PARENT_CLOSE_POLICY_ABANDON, enumspb.PARENT_CLOSE_POLICY_REQUEST_CANCEL, enumspb.PARENT_CLOSE_POLICY_TERMINATE}[p.rng.IntN(3)]}}})
}

// settle mends the lines and lets everything come to an end.
func (p *post) settle() {
	p.healed = true
	for range 60 {
		p.pass(3 * time.Second)
		p.work(10)
	}
}

// told is what all histories say.
type told struct {
	outcome map[string][]string // sender run and initiated id -> what the sender was told
	effect  map[string]int      // sender run and initiated id, or name of the signal -> how often it happened
	asked   map[string]string   // sender run and initiated id -> its key in effect
	closed  map[string]bool     // runs
}

func (p *post) check(seen tally) {
	x := told{map[string][]string{}, map[string]int{}, map[string]string{}, map[string]bool{}}
	cancels := map[string]int{}
	for id, events := range p.histories() {
		first, last := events[0].GetWorkflowExecutionStartedEventAttributes(), events[len(events)-1]
		child := fmt.Sprint(first.GetParentWorkflowExecution().GetRunId(), " ", first.ParentInitiatedEventId)
		orphan := last.GetWorkflowExecutionTerminatedEventAttributes().GetReason() == "the parent workflow does not wait for this run"
		if first.ParentWorkflowExecution != nil && first.ContinuedExecutionRunId == "" && !orphan {
			x.effect[child]++
		}
		if orphan {
			seen["orphan"]++
		}
		x.closed[id] = last.EventType == enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED
		for _, e := range events {
			x.read(id, e)
			if a := e.GetWorkflowExecutionCancelRequestedEventAttributes(); a != nil && a.ExternalInitiatedEventId == 0 {
				cancels[first.FirstExecutionRunId]++
				seen["parent's cancel"]++
			}
		}
	}
	for chain, n := range cancels {
		if n > 1 {
			p.t.Errorf("chain %s was canceled %d times by its parent's close", chain, n)
		}
	}
	for key := range x.asked {
		x.judge(p.t, seen, key)
	}
	seen["signal sent again"] += p.again
}

// judge compares what the sender was told with what happened.
func (x *told) judge(t *testing.T, seen tally, key string) {
	told, n := x.outcome[key], x.effect[x.asked[key]]
	sender, _, _ := strings.Cut(key, " ")
	if n > 1 {
		t.Errorf("%s: happened %d times, the sender was told %v", key, n, told)
	}
	if len(told) == 0 && !x.closed[sender] {
		t.Errorf("%s: the sender was told nothing, it happened %d times", key, n)
	}
	for i, what := range told {
		seen[what]++
		if i > 0 && what != "child ended" || i > 1 {
			t.Errorf("%s: the sender was told %v", key, told)
		}
		if (what == "signaled" || what == "child started") && n != 1 || strings.HasSuffix(what, "failed") && n != 0 {
			t.Errorf("%s: happened %d times, the sender was told %v", key, n, told)
		}
	}
}

func (x *told) read(id string, e *historypb.HistoryEvent) {
	key := func(event int64) string { return fmt.Sprint(id, " ", event) }
	tell := func(event int64, what string) { x.outcome[key(event)] = append(x.outcome[key(event)], what) }
	switch e.EventType {
	case enumspb.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED:
		x.asked[key(e.EventId)] = id + " " + e.GetSignalExternalWorkflowExecutionInitiatedEventAttributes().SignalName
	case enumspb.EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED:
		x.asked[key(e.EventId)] = key(e.EventId)
	case enumspb.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED:
		x.asked[key(e.EventId)] = key(e.EventId)
	case enumspb.EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_SIGNALED:
		tell(e.GetExternalWorkflowExecutionSignaledEventAttributes().InitiatedEventId, "signaled")
	case enumspb.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED:
		tell(e.GetSignalExternalWorkflowExecutionFailedEventAttributes().InitiatedEventId, "signal failed")
	case enumspb.EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED:
		tell(e.GetExternalWorkflowExecutionCancelRequestedEventAttributes().InitiatedEventId, "canceled")
	case enumspb.EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED:
		tell(e.GetRequestCancelExternalWorkflowExecutionFailedEventAttributes().InitiatedEventId, "cancel failed")
	case enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED:
		tell(e.GetChildWorkflowExecutionStartedEventAttributes().InitiatedEventId, "child started")
	case enumspb.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_FAILED:
		tell(e.GetStartChildWorkflowExecutionFailedEventAttributes().InitiatedEventId, "child failed")
	case enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED:
		tell(e.GetChildWorkflowExecutionCompletedEventAttributes().InitiatedEventId, "child ended")
	case enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TERMINATED:
		tell(e.GetChildWorkflowExecutionTerminatedEventAttributes().InitiatedEventId, "child ended")
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED:
		a := e.GetWorkflowExecutionSignaledEventAttributes()
		x.effect[a.ExternalWorkflowExecution.GetRunId()+" "+a.SignalName]++
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED:
		if a := e.GetWorkflowExecutionCancelRequestedEventAttributes(); a.ExternalInitiatedEventId != 0 {
			x.effect[fmt.Sprint(a.ExternalWorkflowExecution.GetRunId(), " ", a.ExternalInitiatedEventId)]++
		}
	}
}

// histories reads the histories of all runs from the tables.
func (p *post) histories() map[string][]*historypb.HistoryEvent {
	out := map[string][]*historypb.HistoryEvent{}
	for strip := range uint16(port.Slots / port.SlotsPerStrip) {
		partition := string(binary.BigEndian.AppendUint16(nil, strip))
		rows, _ := p.store.Scan([]store.Range{{Table: store.Executions, Partition: partition, From: "r", To: "s"}})
		for _, row := range rows[0] {
			id := row.Key.Key[1:]
			batches, _ := p.store.Scan([]store.Range{{Table: store.History, Partition: id}})
			for _, b := range batches[0] {
				decoded, err := history.DecodeRow(b.Value)
				if err != nil {
					p.t.Fatal(err)
				}
				for _, d := range decoded {
					events, err := d.Decode()
					if err != nil {
						p.t.Fatal(err)
					}
					out[id] = append(out[id], events...)
				}
			}
		}
	}
	return out
}
