package workload

import (
	"strings"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"perdure/sim/cluster"
	"perdure/sim/program"
)

// hostile sends something that nobody should send. Nothing but a refusal may come of it.
func (c *client) hostile() {
	long := strings.Repeat("x", 2000)
	ns := c.world.cfg.Namespace
	e := c.execution()
	requests := []proto.Message{
		&workflowservice.StartWorkflowExecutionRequest{Namespace: ns},
		&workflowservice.StartWorkflowExecutionRequest{Namespace: ns, WorkflowId: long, WorkflowType: &commonpb.WorkflowType{Name: "program"}, TaskQueue: c.queue()},
		&workflowservice.StartWorkflowExecutionRequest{Namespace: "nobody", WorkflowId: "x"},
		&workflowservice.StartWorkflowExecutionRequest{Namespace: ns, WorkflowId: c.workflow(), WorkflowType: &commonpb.WorkflowType{Name: "program"}, TaskQueue: c.queue(), WorkflowRunTimeout: durationpb.New(-time.Second)},
		&workflowservice.StartWorkflowExecutionRequest{Namespace: ns, WorkflowId: c.workflow(), WorkflowType: &commonpb.WorkflowType{Name: "program"}, TaskQueue: c.queue(), CronSchedule: "never"},
		&workflowservice.SignalWorkflowExecutionRequest{Namespace: ns},
		&workflowservice.SignalWorkflowExecutionRequest{Namespace: ns, WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: "wf-0", RunId: "no uuid"}, SignalName: "x"},
		&workflowservice.SignalWorkflowExecutionRequest{Namespace: ns, WorkflowExecution: e, SignalName: long},
		&workflowservice.RespondWorkflowTaskCompletedRequest{Namespace: ns, TaskToken: []byte(long)},
		&workflowservice.RespondActivityTaskCompletedRequest{Namespace: ns},
		&workflowservice.RespondActivityTaskCompletedByIdRequest{Namespace: ns, WorkflowId: e.WorkflowId, ActivityId: "a1000", Result: program.Payloads("")},
		&workflowservice.GetWorkflowExecutionHistoryRequest{Namespace: ns, Execution: e, NextPageToken: []byte("nonsense")},
		&workflowservice.GetWorkflowExecutionHistoryRequest{Namespace: ns, Execution: e, MaximumPageSize: -1},
		&workflowservice.GetWorkflowExecutionHistoryReverseRequest{Namespace: ns, Execution: e, MaximumPageSize: int32(1 + c.rand.IntN(5))},
		&workflowservice.QueryWorkflowRequest{Namespace: ns, Execution: e},
		&workflowservice.PollWorkflowTaskQueueRequest{Namespace: ns},
		&workflowservice.PollActivityTaskQueueRequest{Namespace: ns, TaskQueue: &taskqueuepb.TaskQueue{Name: long}},
		&workflowservice.ResetStickyTaskQueueRequest{Namespace: ns, Execution: e},
		&workflowservice.DescribeWorkflowExecutionRequest{Namespace: ns, Execution: &commonpb.WorkflowExecution{WorkflowId: "nobody's"}},
		&workflowservice.TerminateWorkflowExecutionRequest{Namespace: ns, WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: "nobody's"}, FirstExecutionRunId: "x"},
		&workflowservice.UpdateNamespaceRequest{Namespace: "nobody"},
		&workflowservice.RegisterNamespaceRequest{Namespace: ns, WorkflowExecutionRetentionPeriod: durationpb.New(c.world.cfg.Retention)},
		&workflowservice.ListNamespacesRequest{PageSize: 1},
		&workflowservice.RespondWorkflowTaskFailedRequest{Namespace: ns, TaskToken: c.stolen(), Cause: enumspb.WORKFLOW_TASK_FAILED_CAUSE_UNSPECIFIED},
	}
	c.call(requests[c.rand.IntN(len(requests))], callTimeout, func(cluster.Result) { c.next() })
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
