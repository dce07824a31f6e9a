package workload

import (
	"fmt"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	querypb "go.temporal.io/api/query/v1"
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

// client does one thing after another, each with a request id of its own that
// stays the same however often the call is repeated.
type client struct {
	actor
	left  int
	made  int // names given so far
	runs  []*commonpb.WorkflowExecution
	watch int // histories being followed
	done  bool
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
	switch x := c.rand.Float64(); {
	case w.bad(c.rand, w.cfg.Hostile):
		c.hostile()
	case x < w.cfg.Query && len(c.runs) > 0:
		c.query()
	case x < 0.40:
		c.left--
		c.start()
	case x < 0.50:
		c.left--
		c.signalWithStart()
	case x < 0.74:
		c.signal()
	case x < 0.80:
		c.cancel()
	case x < 0.84:
		c.terminate()
	case x < 0.85:
		c.namespace()
	case x < 0.87:
		c.odd()
	case x < 0.92:
		c.follow()
	default:
		c.describe()
	}
}

// unique makes a name that nobody else makes.
func (c *client) unique(what string) string {
	c.made++
	return fmt.Sprintf("%s/%s-%d", c.name, what, c.made)
}

func (c *client) workflow() string { return fmt.Sprintf("wf-%d", c.rand.IntN(c.world.cfg.Pool)) }

// do sends a request until it is answered, unless the client loses interest.
func (c *client) do(req proto.Message, done func(cluster.Result)) {
	if c.world.bad(c.rand, c.world.cfg.Abandon) {
		call := c.call(proto.Clone(req), callTimeout, func(cluster.Result) {})
		c.world.U.After(c.rand.Spread(100*time.Microsecond, time.Second), func() {
			if call != nil {
				call.GiveUp()
			}
			if c.rand.IntN(2) == 0 {
				c.repeat(req, done)
				return
			}
			c.next()
		})
		return
	}
	c.repeat(req, done)
}

func (c *client) repeat(req proto.Message, done func(cluster.Result)) {
	c.retry(func() proto.Message { return proto.Clone(req) }, func(r cluster.Result) {
		if done != nil {
			done(r)
		}
		c.next()
	})
}

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

func (c *client) start() {
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
	c.timing(req, &in)
	req.Input = program.Payloads(in)
	c.do(req, func(r cluster.Result) {
		if m, ok := r.Message.(*workflowservice.StartWorkflowExecutionResponse); ok {
			c.know(req.WorkflowId, m.RunId)
			if r := c.rand; m.EagerWorkflowTask != nil && r.IntN(4) > 0 && len(c.world.workers) > 0 {
				c.world.workers[r.IntN(len(c.world.workers))].eager(m.EagerWorkflowTask)
			}
		}
	})
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

func (c *client) signalWithStart() {
	req := &workflowservice.SignalWithStartWorkflowExecutionRequest{
		Namespace: c.world.cfg.Namespace, WorkflowId: c.workflow(), WorkflowType: &commonpb.WorkflowType{Name: "program"}, TaskQueue: c.queue(),
		Input: program.Payloads(c.input()), Identity: c.name, RequestId: c.unique("request"), SignalName: "from-client", SignalInput: program.Payloads(c.unique("signal")),
	}
	if c.rand.IntN(6) == 0 {
		req.WorkflowIdConflictPolicy = enumspb.WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING
	}
	c.do(req, func(r cluster.Result) {
		if m, ok := r.Message.(*workflowservice.SignalWithStartWorkflowExecutionResponse); ok {
			c.know(req.WorkflowId, m.RunId)
		}
	})
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

// execution is a run that is known, or the current one of some workflow.
func (c *client) execution() *commonpb.WorkflowExecution {
	if len(c.runs) > 0 && c.rand.IntN(2) == 0 {
		return proto.Clone(c.runs[c.rand.IntN(len(c.runs))]).(*commonpb.WorkflowExecution)
	}
	return &commonpb.WorkflowExecution{WorkflowId: c.workflow()}
}

func (c *client) signal() {
	c.do(&workflowservice.SignalWorkflowExecutionRequest{
		Namespace: c.world.cfg.Namespace, WorkflowExecution: c.execution(), SignalName: "from-client", Input: program.Payloads(c.unique("signal")),
		Identity: c.name, RequestId: c.unique("request"),
	}, nil)
}

func (c *client) cancel() {
	c.do(&workflowservice.RequestCancelWorkflowExecutionRequest{
		Namespace: c.world.cfg.Namespace, WorkflowExecution: c.execution(), Identity: c.name, RequestId: c.unique("request"), Reason: "drawn",
	}, nil)
}

func (c *client) terminate() {
	c.do(&workflowservice.TerminateWorkflowExecutionRequest{Namespace: c.world.cfg.Namespace, WorkflowExecution: c.execution(), Identity: c.name, Reason: "drawn"}, nil)
}

func (c *client) describe() {
	c.do(&workflowservice.DescribeWorkflowExecutionRequest{Namespace: c.world.cfg.Namespace, Execution: c.execution()}, nil)
}

// query asks a run that is known what it remembers. It is not repeated: the
// answer counts only for what had been acknowledged when this question was asked.
func (c *client) query() {
	w := c.world
	e := c.runs[c.rand.IntN(len(c.runs))]
	asked := w.Ledger.SignalsOf(e.RunId)
	w.Counts.Queries++
	c.call(&workflowservice.QueryWorkflowRequest{
		Namespace: w.cfg.Namespace, Execution: proto.Clone(e).(*commonpb.WorkflowExecution), Query: &querypb.WorkflowQuery{QueryType: "memory"},
	}, c.rand.Between(time.Second, 15*time.Second), func(r cluster.Result) {
		if m, ok := r.Message.(*workflowservice.QueryWorkflowResponse); ok {
			var memory program.Memory
			run := w.Ledger.Run(e.RunId)
			switch {
			case !program.Value(m.QueryResult, &memory) || memory.Run != e.RunId:
				w.Fail(&check.Breach{Promise: check.QuerySeesSignals, About: e.RunId, Text: "the answer to a query is not its run's"})
			case run != nil && !run.Closed():
				if b := check.Queried(asked, memory); b != nil {
					w.Fail(b)
				}
				w.Ledger.Marks.Add("query of an open run answered")
			default:
				w.Ledger.Marks.Add("query of a closed run answered")
			}
		}
		c.next()
	})
}
