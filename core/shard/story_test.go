package shard

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	commandpb "go.temporal.io/api/command/v1"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	querypb "go.temporal.io/api/query/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	ws "go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"perdure/core/journal"
	"perdure/core/port"
	"perdure/core/store"
	"perdure/core/store/memory"
	"perdure/core/taskqueue"
	"perdure/core/token"
	"perdure/core/validate"
)

// TestStories plays the texts in testdata/stories on one shard, a committer, one
// part of the task queues and the reference store, in virtual time. Every call
// has a name; what answers it is printed as "name: ...". A poll that got a task
// is named again to answer it. A sticky queue is written s@q.
func TestStories(t *testing.T) {
	datadriven.Walk(t, "testdata/stories", func(t *testing.T, path string) {
		s := newStory(t)
		datadriven.RunTest(t, path, s.run)
	})
}

const storyNamespace = "11111111-1111-4111-8111-111111111111"

var storyStart = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

type story struct {
	t        testing.TB
	store    *memory.Store
	shard    *Shard
	machines map[port.Address]port.Machine
	alarms   map[port.Address]time.Time
	inbox    []letter
	now      time.Duration
	calls    map[uint64]string
	last     uint64
	tasks    map[string]*storyTask
	pages    map[string][]byte
	runs     map[string]string // run ids as they came, by name
	snapshot *port.Snapshot
	out      port.Effects
	text     strings.Builder
	reads    int                       // rows that were read
	keys     int                       // and keys that were asked for
	slow     func(port.ReadStore) bool // whose answers have to wait
	late     []letter                  // these answers
	dueFrom  string                    // where the first reading of deadlines began, since the last boot
}

type letter struct {
	to port.Address
	in port.Input
}

// storyTask is what a poll got.
type storyTask struct {
	token   []byte
	queries []string // ids, in the order of what they ask
}

var (
	shardAt     = port.ShardAddress(1, 1)
	queuesAt    = port.Address{Node: 1, Role: port.RoleQueues}
	committerAt = port.Address{Node: 1, Role: port.RoleCommitter}
)

func newStory(t testing.TB) *story {
	s := &story{
		t: t, store: memory.New(), calls: map[uint64]string{}, tasks: map[string]*storyTask{}, pages: map[string][]byte{}, runs: map[string]string{},
		snapshot: storySnapshot(time.Hour),
	}
	if err := s.store.Create(1, store.Strips{From: 0, To: port.Strips}, 0); err != nil {
		t.Fatal(err)
	}
	return s
}

func storySnapshot(retention time.Duration) *port.Snapshot {
	ns := &port.Namespace{ID: storyNamespace, Name: "ns", State: enumspb.NAMESPACE_STATE_REGISTERED, Retention: retention}
	return &port.Snapshot{
		Version: 1, ByName: map[string]*port.Namespace{"ns": ns}, ByID: map[string]*port.Namespace{storyNamespace: ns},
		Keys: []port.Key{{ID: 1, Secret: make([]byte, 32)}}, Layout: []port.ShardRange{{Shard: 1, Strips: store.Strips{From: 0, To: port.Strips}}},
	}
}

// boot starts the machines anew over what is in the store.
func (s *story) boot(cfg Config) {
	r := rand.New(rand.NewPCG(1, uint64(s.now)))
	cfg.Self, cfg.Committer, cfg.Shard, cfg.Owner, cfg.QueueParts, cfg.Exclusive = shardAt, committerAt, 1, "node", 1, true
	cfg.Rand, cfg.Limits = r.Uint64, validate.Defaults()
	s.shard = New(cfg)
	s.machines = map[port.Address]port.Machine{shardAt: s.shard, committerAt: journal.NewCommitter(committerAt), queuesAt: taskqueue.New(taskqueue.Config{Self: queuesAt})}
	s.dueFrom = ""
	s.alarms, s.inbox = map[port.Address]time.Time{}, nil
	for _, at := range []port.Address{committerAt, queuesAt, shardAt} {
		s.post(at, port.Start{})
		if at != committerAt {
			s.post(at, port.Published{Snapshot: s.snapshot})
		}
	}
	s.settle()
}

func (s *story) post(to port.Address, in port.Input) { s.inbox = append(s.inbox, letter{to, in}) }

func (s *story) clock() port.Clock { return port.Clock{Wall: storyStart.Add(s.now), Mono: s.now} }

// settle steps until nothing is on its way.
func (s *story) settle() {
	for len(s.inbox) > 0 {
		l := s.inbox[0]
		s.inbox = s.inbox[1:]
		s.out.Reset()
		s.machines[l.to].Step(s.clock(), l.in, &s.out)
		for _, e := range append([]port.Effect{}, s.out.List...) {
			s.execute(l.to, e)
		}
	}
}

func (s *story) execute(from port.Address, e port.Effect) {
	switch e := e.(type) {
	case port.Send:
		s.post(e.To, e.In)
	case port.Reply:
		s.reply(&e)
	case port.Alarm:
		s.alarms[from] = e.At
	case port.OpenStore:
		o, err := s.store.Open(e.Open)
		s.post(from, &port.Completed{Tag: e.Tag, Opened: o, Err: err})
	case port.AppendStore:
		s.post(from, &port.Completed{Tag: e.Tag, Outcomes: s.store.Append(e.Batch)})
	case port.FlushStore:
		s.post(from, &port.Completed{Tag: e.Tag, Err: s.store.Flush(e.Flush)})
	case port.ReadStore:
		for _, r := range e.Ranges {
			if r.Table == store.Due && s.dueFrom == "" {
				s.dueFrom = r.From
			}
		}
		s.keys += len(e.Keys)
		rows, _ := s.store.Get(e.Keys)
		scans, _ := s.store.Scan(e.Ranges)
		for _, x := range scans {
			s.reads += len(x)
		}
		answer := &port.Completed{Tag: e.Tag, Rows: rows, Scans: scans}
		if s.slow != nil && s.slow(e) {
			s.late = append(s.late, letter{from, answer})
			return
		}
		s.post(from, answer)
	}
}

// advance lets time pass, alarm by alarm.
func (s *story) advance(d time.Duration) {
	end := s.now + d
	for {
		var at port.Address
		next := storyStart.Add(end)
		for _, a := range []port.Address{queuesAt, shardAt} {
			if x, set := s.alarms[a]; set && !x.IsZero() && !x.After(next) {
				at, next = a, x
			}
		}
		if at == (port.Address{}) {
			break
		}
		s.now = max(s.now, next.Sub(storyStart))
		delete(s.alarms, at)
		s.post(at, port.Alarmed{})
		s.settle()
	}
	s.now = end
}

func (s *story) call(name string) port.Call {
	s.last++
	s.calls[s.last] = name
	return port.Call{Node: 1, ID: s.last}
}

// request sends a call of the API to the shard.
func (s *story) request(name, workflow, run string, body any, wait time.Duration) *port.Request {
	r := &port.Request{
		Call: s.call(name), Namespace: s.snapshot.ByName["ns"], Run: port.RunKey{NamespaceID: storyNamespace, WorkflowID: workflow, RunID: run}, Body: body,
		Key: "request-" + strconv.FormatUint(s.last, 10), Client: port.Client{Name: "temporal-go"},
	}
	if wait != 0 {
		r.Deadline = storyStart.Add(s.now + wait)
	}
	return r
}

func (s *story) run(t *testing.T, d *datadriven.TestData) string {
	s.t = t
	s.text.Reset()
	s.command(d)
	s.settle()
	if s.text.Len() == 0 {
		return "ok\n"
	}
	return s.text.String()
}

func (s *story) command(d *datadriven.TestData) {
	switch d.Cmd {
	case "boot":
		if d.HasArg("retention") {
			s.snapshot = storySnapshot(duration(d, "retention"))
		}
		s.reads = 0
		s.boot(Config{CacheBytes: number(d, "cache"), DeadlineBytes: number(d, "deadlines"), DispatchBytes: number(d, "tasks"), FlushAge: duration(d, "flush")})
	case "advance":
		by, err := time.ParseDuration(d.CmdArgs[0].Key)
		if err != nil {
			d.Fatalf(s.t, "%v", err)
		}
		s.advance(by)
	case "state":
		s.state()
	case "evict":
		s.evict()
	case "drain":
		s.post(shardAt, port.Drain{})
	case "gone":
		s.gone(d.CmdArgs[0].Key)
	case "poll":
		s.poll(d)
	case "complete":
		s.complete(d)
	case "fail":
		s.post(shardAt, s.withToken(word(d, "task"), d, &ws.RespondWorkflowTaskFailedRequest{}))
	case "answer":
		s.post(shardAt, s.withToken(word(d, "task"), d, &ws.RespondQueryTaskCompletedRequest{CompletedType: enumspb.QUERY_RESULT_TYPE_ANSWERED, QueryResult: payload(word(d, "with"))}))
	default:
		s.post(shardAt, s.named(d))
	}
}

// named builds the requests that name a workflow.
func (s *story) named(d *datadriven.TestData) *port.Request {
	name, wf, run, wait := d.CmdArgs[0].Key, word(d, "wf"), s.runs[word(d, "run")], duration(d, "deadline")
	switch d.Cmd {
	case "start":
		r := s.request(name, wf, "", &ws.StartWorkflowExecutionRequest{
			WorkflowId: wf, WorkflowType: &commonpb.WorkflowType{Name: "T"}, TaskQueue: &taskqueuepb.TaskQueue{Name: "q"},
			WorkflowTaskTimeout: durationpb.New(10 * time.Second), WorkflowRunTimeout: durationpb.New(duration(d, "timeout")), WorkflowExecutionTimeout: durationpb.New(duration(d, "timeout")),
			WorkflowStartDelay: durationpb.New(duration(d, "delay")),
		}, wait)
		return r
	case "signal":
		return s.request(name, wf, run, &ws.SignalWorkflowExecutionRequest{SignalName: name}, wait)
	case "terminate":
		return s.request(name, wf, run, &ws.TerminateWorkflowExecutionRequest{}, wait)
	case "query":
		return s.request(name, wf, run, &ws.QueryWorkflowRequest{Query: &querypb.WorkflowQuery{QueryType: name}}, wait)
	case "describe":
		return s.request(name, wf, run, &ws.DescribeWorkflowExecutionRequest{}, wait)
	case "history":
		filter := enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT
		if d.HasArg("close") {
			filter = enumspb.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT
		}
		body := &ws.GetWorkflowExecutionHistoryRequest{MaximumPageSize: int32(max(number(d, "size"), 1)), WaitNewEvent: d.HasArg("wait"), HistoryEventFilterType: filter}
		return s.page(d, s.request(name, wf, run, body, wait), false)
	case "reverse":
		body := &ws.GetWorkflowExecutionHistoryReverseRequest{MaximumPageSize: int32(max(number(d, "size"), 1))}
		return s.page(d, s.request(name, wf, run, body, wait), true)
	}
	d.Fatalf(s.t, "no such command")
	return nil
}

func (s *story) page(d *datadriven.TestData, r *port.Request, reverse bool) *port.Request {
	if after := word(d, "after"); after != "" {
		p, ok := token.DecodePage(s.pages[after], reverse)
		if !ok {
			d.Fatalf(s.t, "%s gave no token", after)
		}
		r.Page, r.Run.RunID = p, p.RunID
	}
	return r
}

func (s *story) poll(d *datadriven.TestData) {
	name, normal, sticky := strings.Cut(word(d, "queue"), "@")
	q := port.QueueKey{NamespaceID: storyNamespace, Name: name, Type: port.WorkflowQueue}
	if sticky {
		q.Normal = normal
	}
	wait := time.Minute
	if d.HasArg("wait") {
		wait = duration(d, "wait")
	}
	call := s.call(d.CmdArgs[0].Key)
	s.post(queuesAt, &port.Poll{Call: call, ID: "poll-" + strconv.FormatUint(call.ID, 10), Queue: q, Deadline: storyStart.Add(s.now + wait), Identity: "worker", Body: &ws.PollWorkflowTaskQueueRequest{}})
}

func (s *story) complete(d *datadriven.TestData) {
	body := &ws.RespondWorkflowTaskCompletedRequest{Identity: "worker", ForceCreateNewWorkflowTask: d.HasArg("force"), ReturnNewWorkflowTask: d.HasArg("next")}
	if q := word(d, "sticky"); q != "" {
		body.StickyAttributes = &taskqueuepb.StickyExecutionAttributes{WorkerTaskQueue: &taskqueuepb.TaskQueue{Name: q}, ScheduleToStartTimeout: durationpb.New(5 * time.Second)}
	}
	if d.HasArg("close") {
		body.Commands = []*commandpb.Command{{CommandType: enumspb.COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION, Attributes: &commandpb.Command_CompleteWorkflowExecutionCommandAttributes{CompleteWorkflowExecutionCommandAttributes: &commandpb.CompleteWorkflowExecutionCommandAttributes{}}}}
	}
	task := s.tasks[word(d, "task")]
	if with := word(d, "answer"); with != "" {
		body.QueryResults = map[string]*querypb.WorkflowQueryResult{}
		for _, id := range task.queries {
			body.QueryResults[id] = &querypb.WorkflowQueryResult{ResultType: enumspb.QUERY_RESULT_TYPE_ANSWERED, Answer: payload(with)}
		}
	}
	s.post(shardAt, s.withToken(word(d, "task"), d, body))
}

func (s *story) withToken(task string, d *datadriven.TestData, body any) *port.Request {
	t := s.tasks[task]
	if t == nil {
		d.Fatalf(s.t, "poll %s got no task", task)
	}
	k, ok := token.DecodeTask(s.snapshot.Keys, t.token)
	if !ok {
		d.Fatalf(s.t, "broken token")
	}
	r := s.request(d.CmdArgs[0].Key, k.Run.WorkflowID, k.Run.RunID, body, 0)
	r.Token = k
	return r
}

func (s *story) gone(name string) {
	for id := uint64(1); id <= s.last; id++ {
		if s.calls[id] == name {
			s.post(shardAt, port.Gone{Call: port.Call{Node: 1, ID: id}})
			s.post(queuesAt, port.Gone{Call: port.Call{Node: 1, ID: id}})
		}
	}
}

// evict lets all runs go that nobody waits for.
func (s *story) evict() {
	for _, l := range []*lru{&s.shard.cache.open, &s.shard.cache.closed} {
		for el := l.order.Front(); el != nil; {
			e := el.Value.(*entry)
			el = el.Next()
			s.shard.cache.remove(e)
			s.shard.cache.forgetWorkflow(e.key)
		}
	}
}

// state tells what is in memory.
func (s *story) state() {
	tasks, cut := 0, 0
	for _, b := range s.shard.queues.queues {
		tasks += b.tasks.Len()
		if b.window != "" {
			cut++
		}
	}
	strips := 0
	for _, w := range s.shard.due.windows {
		if w != "" {
			strips++
		}
	}
	fmt.Fprintf(&s.text, "runs=%d deadlines=%d strips cut=%d queues=%d tasks=%d queues cut=%d queries=%d waits=%d rows read=%d\n", len(s.shard.cache.runs), len(s.shard.due.items), strips,
		len(s.shard.queues.queues), tasks, cut, len(s.shard.queries.byNumber), len(s.shard.waits.order), s.reads)
}

func (s *story) reply(r *port.Reply) {
	name := s.calls[r.Call.ID]
	fmt.Fprintf(&s.text, "%s: ", name)
	if r.Refusal != nil {
		fmt.Fprintf(&s.text, "code %d, %s\n", r.Refusal.Code, s.nameRuns(r.Refusal.Message))
		return
	}
	s.text.WriteString(s.answer(name, r.Body) + "\n")
}

func (s *story) answer(name string, a *port.Answer) string {
	events := eventIDs(s.t, a.Fragments)
	switch m := a.Message.(type) {
	case *ws.StartWorkflowExecutionResponse:
		s.runs[name] = m.RunId
		return "started"
	case *ws.PollWorkflowTaskQueueResponse:
		return s.taken(name, m, events)
	case *ws.RespondWorkflowTaskCompletedResponse:
		if a.Inner == nil {
			return "done"
		}
		return "done, next " + s.taken(name, a.Inner.Message.(*ws.PollWorkflowTaskQueueResponse), eventIDs(s.t, a.Inner.Fragments))
	case *ws.QueryWorkflowResponse:
		if m.QueryRejected != nil {
			return "rejected " + m.QueryRejected.Status.String()
		}
		return "answer " + string(m.QueryResult.GetPayloads()[0].Data)
	case *ws.GetWorkflowExecutionHistoryResponse:
		s.pages[name] = m.NextPageToken
		return "events" + events + more(m.NextPageToken)
	case *ws.GetWorkflowExecutionHistoryReverseResponse:
		s.pages[name] = m.NextPageToken
		for _, e := range m.History.Events {
			events += " " + strconv.FormatInt(e.EventId, 10)
		}
		return "events" + events + more(m.NextPageToken)
	case *ws.DescribeWorkflowExecutionResponse:
		return fmt.Sprintf("%v, %d events", m.WorkflowExecutionInfo.Status, m.WorkflowExecutionInfo.HistoryLength)
	}
	return "done"
}

// taken notes the task that a poll got.
func (s *story) taken(name string, m *ws.PollWorkflowTaskQueueResponse, events string) string {
	if len(m.TaskToken) == 0 {
		return "no task"
	}
	t := &storyTask{token: m.TaskToken}
	s.tasks[name] = t
	if m.Query != nil {
		return fmt.Sprintf("query %s of %s, events%s%s", m.Query.QueryType, m.WorkflowExecution.WorkflowId, events, more(m.NextPageToken))
	}
	var asked []string
	for id, q := range m.Queries { //ordered: at most one
		t.queries, asked = append(t.queries, id), append(asked, q.QueryType)
	}
	text := fmt.Sprintf("task of %s, attempt %d, started %d, events%s%s", m.WorkflowExecution.WorkflowId, m.Attempt, m.StartedEventId, events, more(m.NextPageToken))
	if len(asked) > 0 {
		text += ", queries " + strings.Join(asked, " ")
	}
	return text
}

func more(token []byte) string {
	if len(token) > 0 {
		return ", more"
	}
	return ""
}

func (s *story) nameRuns(text string) string {
	for name, id := range s.runs { //ordered: each id occurs once
		text = strings.ReplaceAll(text, id, "run "+name)
	}
	return text
}

func eventIDs(t testing.TB, fragments [][]byte) (out string) {
	for _, f := range fragments {
		var h historypb.History
		if err := proto.Unmarshal(f, &h); err != nil {
			t.Fatal(err)
		}
		out += fmt.Sprintf(" %d-%d", h.Events[0].EventId, h.Events[len(h.Events)-1].EventId)
	}
	return out
}

func payload(text string) *commonpb.Payloads {
	return &commonpb.Payloads{Payloads: []*commonpb.Payload{{Data: []byte(text)}}}
}

func word(d *datadriven.TestData, key string) (v string) {
	for _, a := range d.CmdArgs {
		if a.Key == key && len(a.Vals) > 0 {
			return a.Vals[0]
		}
	}
	return v
}

func number(d *datadriven.TestData, key string) int {
	n, _ := strconv.Atoi(word(d, key))
	return n
}

func duration(d *datadriven.TestData, key string) time.Duration {
	x, _ := time.ParseDuration(word(d, key))
	return x
}
