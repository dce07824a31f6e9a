package workload

import (
	"strings"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	namespacepb "go.temporal.io/api/namespace/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"perdure/sim/check"
	"perdure/sim/cluster"
	"perdure/sim/program"
	"perdure/sim/universe"
)

// nonsense sends something that nobody should send. Nothing but a refusal may come of it.
func (d *deed) nonsense(req proto.Message) {
	if _, ok := req.(*workflowservice.GetClusterInfoRequest); ok {
		d.info = universe.Pick(d.rand, badClients()...)
	}
	d.call(req, callTimeout, func(r cluster.Result) {
		if b := check.NonsenseAccepted(req, r.OK()); b != nil {
			d.world.Fail(b)
		}
		d.done()
	})
}

func (c *client) nonsense() []proto.Message {
	long := strings.Repeat("x", 2000)
	ns, e := c.world.cfg.Namespace, c.execution()
	start := func(edit func(*workflowservice.StartWorkflowExecutionRequest)) proto.Message {
		q := &workflowservice.StartWorkflowExecutionRequest{Namespace: ns, WorkflowId: c.workflow(), WorkflowType: &commonpb.WorkflowType{Name: "program"}, TaskQueue: c.queue()}
		edit(q)
		return q
	}
	return []proto.Message{
		&workflowservice.StartWorkflowExecutionRequest{Namespace: ns},
		start(func(q *workflowservice.StartWorkflowExecutionRequest) { q.WorkflowId = long }),
		start(func(q *workflowservice.StartWorkflowExecutionRequest) { q.Namespace = "nobody" }),
		start(func(q *workflowservice.StartWorkflowExecutionRequest) {
			q.WorkflowRunTimeout = durationpb.New(-time.Second)
		}),
		start(func(q *workflowservice.StartWorkflowExecutionRequest) { q.CronSchedule = "never" }),
		start(func(q *workflowservice.StartWorkflowExecutionRequest) { q.RequestId = long }),
		start(func(q *workflowservice.StartWorkflowExecutionRequest) {
			q.CronSchedule, q.WorkflowStartDelay = "@every 1m", durationpb.New(time.Second)
		}),
		start(func(q *workflowservice.StartWorkflowExecutionRequest) {
			q.RetryPolicy = &commonpb.RetryPolicy{BackoffCoefficient: 0.5}
		}),
		start(func(q *workflowservice.StartWorkflowExecutionRequest) {
			q.Priority = &commonpb.Priority{PriorityKey: -1}
		}),
		start(func(q *workflowservice.StartWorkflowExecutionRequest) {
			q.SearchAttributes = &commonpb.SearchAttributes{IndexedFields: map[string]*commonpb.Payload{"Unknown": program.Payload(1)}}
		}),
		&workflowservice.SignalWithStartWorkflowExecutionRequest{Namespace: ns, WorkflowId: c.workflow(), WorkflowType: &commonpb.WorkflowType{Name: "program"}, TaskQueue: c.queue()},
		&workflowservice.SignalWorkflowExecutionRequest{Namespace: ns},
		&workflowservice.SignalWorkflowExecutionRequest{Namespace: ns, WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: "wf-0", RunId: "no uuid"}, SignalName: "x"},
		&workflowservice.SignalWorkflowExecutionRequest{Namespace: ns, WorkflowExecution: e, SignalName: long},
		&workflowservice.RespondWorkflowTaskCompletedRequest{Namespace: ns, TaskToken: []byte(long)},
		&workflowservice.RespondActivityTaskCompletedRequest{Namespace: ns},
		&workflowservice.RespondActivityTaskCompletedByIdRequest{Namespace: ns, WorkflowId: e.WorkflowId, ActivityId: "a1000", Result: program.Payloads("")},
		&workflowservice.RespondActivityTaskCanceledByIdRequest{Namespace: ns, WorkflowId: e.WorkflowId},
		&workflowservice.RecordActivityTaskHeartbeatByIdRequest{Namespace: ns, WorkflowId: "nobody's", ActivityId: "a1"},
		&workflowservice.GetWorkflowExecutionHistoryRequest{Namespace: ns, Execution: e, NextPageToken: []byte("nonsense")},
		&workflowservice.QueryWorkflowRequest{Namespace: ns, Execution: e},
		&workflowservice.PollWorkflowTaskQueueRequest{Namespace: ns},
		&workflowservice.PollActivityTaskQueueRequest{Namespace: ns, TaskQueue: &taskqueuepb.TaskQueue{Name: long}},
		&workflowservice.DescribeWorkflowExecutionRequest{Namespace: ns, Execution: &commonpb.WorkflowExecution{WorkflowId: "nobody's"}},
		&workflowservice.TerminateWorkflowExecutionRequest{Namespace: ns, WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: "nobody's"}, FirstExecutionRunId: "x"},
		&workflowservice.UpdateNamespaceRequest{Namespace: "nobody"},
		&workflowservice.RegisterNamespaceRequest{Namespace: ns, WorkflowExecutionRetentionPeriod: durationpb.New(c.world.cfg.Retention)},
		&workflowservice.RegisterNamespaceRequest{Namespace: "short", WorkflowExecutionRetentionPeriod: durationpb.New(time.Millisecond)},
		&workflowservice.UpdateNamespaceRequest{Namespace: ns, Config: &namespacepb.NamespaceConfig{WorkflowExecutionRetentionTtl: durationpb.New(-time.Hour)}},
		&workflowservice.RespondQueryTaskCompletedRequest{Namespace: ns, TaskToken: []byte{1, 2, 3}},
		&workflowservice.UpdateWorkflowExecutionRequest{Namespace: ns, WorkflowExecution: e},
		c.badStart(), c.badStart(), c.badStart(), c.badStart(), c.badStart(), c.badStart(), c.badStart(), c.badStart(),
		c.badSignalWithStart(), c.badSignalWithStart(), c.badSignalWithStart(), c.badSignalWithStart(), c.badSignalWithStart(),
		c.badCall(), c.badCall(), c.badCall(), c.badCall(), c.badCall(), c.badCall(), c.badCall(), c.badCall(), c.badCall(), c.badCall(),
	}
}

// odd makes calls that are seldom made. Whatever comes of them is right, if it comes.
func (c *client) odd() proto.Message {
	ns, e := c.world.cfg.Namespace, c.execution()
	requests := []proto.Message{
		&workflowservice.GetWorkflowExecutionHistoryRequest{Namespace: ns, Execution: e, MaximumPageSize: -1},
		&workflowservice.GetWorkflowExecutionHistoryReverseRequest{Namespace: ns, Execution: e, MaximumPageSize: int32(1 + c.rand.IntN(5))},
		&workflowservice.ResetStickyTaskQueueRequest{Namespace: ns, Execution: e},
		&workflowservice.ShutdownWorkerRequest{Namespace: ns, StickyTaskQueue: "nobody's", TaskQueue: queueName(0)},
		&workflowservice.RecordWorkerHeartbeatRequest{Namespace: ns},
		&workflowservice.RespondWorkflowTaskFailedRequest{Namespace: ns, TaskToken: c.stolen(), Cause: enumspb.WORKFLOW_TASK_FAILED_CAUSE_UNSPECIFIED},
		&workflowservice.RespondActivityTaskFailedRequest{Namespace: ns, TaskToken: c.stolen()},
		&workflowservice.GetSystemInfoRequest{},
		&workflowservice.GetSearchAttributesRequest{},
		&workflowservice.ShutdownWorkerRequest{Namespace: ns},
		&workflowservice.GetClusterInfoRequest{},
		&workflowservice.TerminateWorkflowExecutionRequest{Namespace: ns, WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: e.WorkflowId}, FirstExecutionRunId: e.RunId},
	}
	return requests[c.rand.IntN(len(requests))]
}

// stolen is a token that some worker has, or nonsense.
func (c *client) stolen() []byte {
	for _, x := range c.world.workers {
		if len(x.old) > 0 && c.rand.IntN(2) == 0 {
			return x.old[c.rand.IntN(len(x.old))]
		}
	}
	return []byte{1, 2, 3}
}

// eager works on a task that came with the answer to a start.
func (x *worker) eager(t *workflowservice.PollWorkflowTaskQueueResponse) {
	if x.life > 0 && x.cache != nil {
		x.taskGiven(t)
	}
}
