package workload

import (
	"fmt"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	querypb "go.temporal.io/api/query/v1"
	sdkpb "go.temporal.io/api/sdk/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"perdure/sim/check"
	"perdure/sim/cluster"
	"perdure/sim/program"
	"perdure/sim/universe"
)

// client draws one thing to do after another, each with a request id of its own
// that stays the same however often the call is repeated.
type client struct {
	actor
	left int
	made int // names given so far
	ops  int // drawn so far
	runs []*commonpb.WorkflowExecution
	last *commonpb.WorkflowExecution // the known run that it signaled last
	done bool
}

func newClient(w *World, n int) *client {
	name := fmt.Sprintf("client-%d", n)
	c := &client{actor: actor{world: w, rand: w.U.Rand(name), name: name}}
	c.left = w.cfg.Starts / w.cfg.Clients
	return c
}

// next does the next thing after a while.
func (c *client) next() {
	if c.left <= 0 {
		c.done = true
		return
	}
	c.world.U.After(c.rand.Spread(time.Millisecond, c.world.cfg.Pace), c.act)
}

func (c *client) act() {
	w := c.world
	c.ops++
	o := &Op{ID: fmt.Sprintf("%s.%d", c.name, c.ops)}
	o.At, o.After = w.since()
	c.draw(o)
	if e := executionIn(o.Request); e != nil && e.RunId != "" && w.origin[e.RunId] != "" {
		o.Of, e.RunId = w.origin[e.RunId], ""
	}
	if !o.Bad && w.bad(c.rand, w.cfg.Abandon) {
		o.GiveUp, o.Repeat = c.rand.Spread(100*time.Microsecond, time.Second), c.rand.IntN(2) == 0
	}
	w.Ops = append(w.Ops, o)
	w.perform(o, c.next)
}

// draw says what to do.
func (c *client) draw(o *Op) {
	w := c.world
	switch x := c.rand.Float64(); {
	case w.bad(c.rand, w.cfg.Hostile):
		o.Bad = true
		list := c.nonsense()
		o.Request = list[c.rand.IntN(len(list))]
	case len(c.runs) > 0 && c.rand.Chance(w.cfg.Query):
		o.Request = c.query()
	case !w.settled && c.rand.Chance(w.cfg.Reads):
		o.Request = c.describe()
	case x < 0.40:
		c.left--
		o.Request = c.start()
	case x < 0.50:
		c.left--
		o.Request = c.signalWithStart()
	case x < 0.74:
		o.Request = c.signal()
	case x < 0.80:
		o.Request = c.cancel()
	case x < 0.84:
		o.Request = c.terminate()
	case x < 0.85:
		o.Request = c.namespace()
	case x < 0.87:
		o.Request = c.odd()
	case x < 0.94 && len(c.runs) > 0:
		o.Request = c.follow()
	default:
		o.Request = c.describe()
	}
}

// unique makes a name that nobody else makes.
func (c *client) unique(what string) string {
	c.made++
	return fmt.Sprintf("%s/%s-%d", c.name, what, c.made)
}

func (c *client) workflow() string { return fmt.Sprintf("wf-%d", c.rand.IntN(c.world.cfg.Pool)) }

func (c *client) input() program.Input {
	in := program.Input{ID: c.unique("start"), Seed: c.rand.Uint64(), Depth: c.world.cfg.Depth, Pool: c.world.cfg.Pool}
	if c.rand.IntN(5) == 0 {
		in.Left = 1 + c.rand.IntN(3)
	}
	return in
}

func (c *client) queue() *taskqueuepb.TaskQueue {
	return &taskqueuepb.TaskQueue{Name: queueName(c.rand.IntN(c.world.cfg.Queues)), Kind: enumspb.TASK_QUEUE_KIND_NORMAL}
}

func (c *client) start() proto.Message {
	in := c.input()
	req := &workflowservice.StartWorkflowExecutionRequest{
		Namespace: c.world.cfg.Namespace, WorkflowId: c.workflow(), WorkflowType: &commonpb.WorkflowType{Name: "program"}, TaskQueue: c.queue(),
		Identity: c.name, RequestId: c.unique("request"),
		WorkflowIdReusePolicy: universe.Pick(c.rand, enumspb.WORKFLOW_ID_REUSE_POLICY_UNSPECIFIED, enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
			enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY, enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE),
	}
	switch c.rand.IntN(9) {
	case 2:
		req.WorkflowIdReusePolicy = enumspb.WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING
	case 0:
		req.WorkflowIdConflictPolicy = enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING
		if c.rand.IntN(2) == 0 {
			req.OnConflictOptions = &workflowpb.OnConflictOptions{AttachRequestId: true, AttachLinks: true}
		}
	case 1:
		req.WorkflowIdReusePolicy = enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE
		req.WorkflowIdConflictPolicy = enumspb.WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING
	}
	c.extras(req)
	c.timing(req, &in)
	req.Input = program.Payloads(in)
	return req
}

// extras draws what comes along with a start and must not matter.
func (c *client) extras(req *workflowservice.StartWorkflowExecutionRequest) {
	switch c.rand.IntN(6) {
	case 0:
		req.Memo = &commonpb.Memo{Fields: map[string]*commonpb.Payload{"made": program.Payload(c.name)}}
	case 1:
		req.SearchAttributes = universe.Pick(c.rand, attributes("one", "two"), systemAttributes())
		req.Links = []*commonpb.Link{{Variant: &commonpb.Link_BatchJob_{BatchJob: &commonpb.Link_BatchJob{JobId: "job"}}}}
	case 2:
		req.Priority = &commonpb.Priority{PriorityKey: int32(1 + c.rand.IntN(5)), FairnessKey: c.name}
	case 3:
		req.UserMetadata = &sdkpb.UserMetadata{Summary: program.Payload("summary")}
		req.Header = &commonpb.Header{Fields: map[string]*commonpb.Payload{"trace": program.Payload(c.name)}}
	}
}

// timing draws timeouts, retries, schedules and delays.
func (c *client) timing(req *workflowservice.StartWorkflowExecutionRequest, in *program.Input) {
	switch c.rand.IntN(12) {
	case 0:
		req.WorkflowRunTimeout = durationpb.New(c.rand.Between(time.Second, 2*time.Minute))
	case 1:
		req.WorkflowExecutionTimeout = durationpb.New(c.rand.Between(time.Second, 4*time.Minute))
	case 2:
		req.RetryPolicy = &commonpb.RetryPolicy{InitialInterval: durationpb.New(c.rand.Between(100*time.Millisecond, 3*time.Second)), BackoffCoefficient: 2, MaximumAttempts: int32(1 + c.rand.IntN(4))}
	case 3:
		req.CronSchedule = "@every 20s"
		req.WorkflowExecutionTimeout = durationpb.New(c.rand.Between(30*time.Second, 5*time.Minute))
		in.Cron, in.Left = true, 0
	case 4:
		req.WorkflowStartDelay = durationpb.New(c.rand.Between(10*time.Millisecond, 30*time.Second))
	case 5:
		req.RequestEagerExecution = true
	}
	if c.rand.IntN(6) == 0 {
		req.WorkflowTaskTimeout = durationpb.New(c.rand.Between(time.Second, 20*time.Second))
	}
}

func (c *client) signalWithStart() proto.Message {
	req := &workflowservice.SignalWithStartWorkflowExecutionRequest{
		Namespace: c.world.cfg.Namespace, WorkflowId: c.workflow(), WorkflowType: &commonpb.WorkflowType{Name: "program"}, TaskQueue: c.queue(),
		Input: program.Payloads(c.input()), Identity: c.name, RequestId: c.unique("request"), SignalName: "from-client", SignalInput: program.Payloads(c.unique("signal")),
	}
	if c.rand.IntN(8) == 0 {
		req.WorkflowStartDelay = durationpb.New(c.rand.Between(10*time.Millisecond, 20*time.Second))
	}
	if c.rand.IntN(6) == 0 {
		req.WorkflowIdConflictPolicy = enumspb.WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING
	}
	return req
}

// know remembers a run, to ask about it later.
func (c *client) know(workflow, run string) {
	const most = 8
	e := &commonpb.WorkflowExecution{WorkflowId: workflow, RunId: run}
	if len(c.runs) < most {
		c.runs = append(c.runs, e)
		return
	}
	c.runs[c.rand.IntN(most)] = e
}

// known is a run that is known.
func (c *client) known() *commonpb.WorkflowExecution {
	return proto.CloneOf(c.runs[c.rand.IntN(len(c.runs))])
}

// execution is a run that is known, or the current one of some workflow.
func (c *client) execution() *commonpb.WorkflowExecution {
	if len(c.runs) > 0 && c.rand.IntN(2) == 0 {
		return c.known()
	}
	return &commonpb.WorkflowExecution{WorkflowId: c.workflow()}
}

func (c *client) signal() proto.Message {
	e := c.execution()
	if e.RunId != "" {
		c.last = proto.CloneOf(e)
	}
	return &workflowservice.SignalWorkflowExecutionRequest{
		Namespace: c.world.cfg.Namespace, WorkflowExecution: e, SignalName: "from-client", Input: program.Payloads(c.unique("signal")),
		Identity: c.name, RequestId: c.unique("request"),
	}
}

func (c *client) cancel() proto.Message {
	return &workflowservice.RequestCancelWorkflowExecutionRequest{
		Namespace: c.world.cfg.Namespace, WorkflowExecution: c.execution(), Identity: c.name, RequestId: c.unique("request"), Reason: "drawn",
	}
}

func (c *client) terminate() proto.Message {
	return &workflowservice.TerminateWorkflowExecutionRequest{Namespace: c.world.cfg.Namespace, WorkflowExecution: c.execution(), Identity: c.name, Reason: "drawn"}
}

func (c *client) describe() proto.Message {
	return &workflowservice.DescribeWorkflowExecutionRequest{Namespace: c.world.cfg.Namespace, Execution: c.execution()}
}

// query asks a run that is known what it remembers, mostly one that has something to remember.
func (c *client) query() proto.Message {
	e := c.known()
	if c.last != nil && c.rand.IntN(3) > 0 {
		e = proto.CloneOf(c.last)
	}
	return &workflowservice.QueryWorkflowRequest{
		Namespace: c.world.cfg.Namespace, Execution: e, Query: &querypb.WorkflowQuery{QueryType: "memory"},
	}
}

// query is not repeated: the answer counts only for what had been acknowledged when the question was asked.
func (d *deed) query(q *workflowservice.QueryWorkflowRequest) {
	w, id := d.world, q.Execution.RunId
	asked := w.Ledger.SignalsOf(id)
	w.Counts.Queries++
	d.call(q, d.rand.Between(time.Second, 15*time.Second), func(r cluster.Result) {
		if m, ok := r.Message.(*workflowservice.QueryWorkflowResponse); ok {
			w.queried(id, asked, m)
		}
		d.done()
	})
}

func (w *World) queried(id string, asked []string, m *workflowservice.QueryWorkflowResponse) {
	var memory program.Memory
	run := w.Ledger.Run(id)
	switch {
	case !program.Value(m.QueryResult, &memory) || memory.Run != id:
		w.Fail(&check.Breach{Promise: check.QuerySeesSignals, About: id, Text: "the answer to a query is not its run's"})
	case run != nil && !run.Closed():
		if b := check.Queried(asked, memory); b != nil {
			w.Fail(b)
		}
		w.Ledger.Marks.Add("query of an open run answered")
	default:
		w.Ledger.Marks.Add("query of a closed run answered")
	}
}
