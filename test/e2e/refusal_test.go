package e2e

import (
	"context"
	"strings"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/types/known/durationpb"
)

var refusalCases = []testCase{
	{"refuses_wrong_starts", refusesWrongStarts},
	{"refuses_wrong_calls", refusesWrongCalls},
	{"refuses_forged_tokens", refusesForgedTokens},
	{"refuses_unknown_search_attributes", refusesUnknownSearchAttributes},
	{"refuses_too_large", refusesTooLarge},
	{"refuses_bad_commands", refusesBadCommands},
}

func (s *scene) invalid(what string, err error) {
	s.Helper()
	s.check(is[*serviceerror.InvalidArgument](err), "%s: %v", what, err)
}

func refusesWrongStarts(s *scene) {
	s.halfway()
	for what, change := range map[string]func(*workflowservice.StartWorkflowExecutionRequest){
		"no id":            func(r *workflowservice.StartWorkflowExecutionRequest) { r.WorkflowId = "" },
		"long id":          func(r *workflowservice.StartWorkflowExecutionRequest) { r.WorkflowId = strings.Repeat("x", 1001) },
		"no type":          func(r *workflowservice.StartWorkflowExecutionRequest) { r.WorkflowType = nil },
		"no queue":         func(r *workflowservice.StartWorkflowExecutionRequest) { r.TaskQueue = nil },
		"reserved queue":   func(r *workflowservice.StartWorkflowExecutionRequest) { r.TaskQueue.Name = "/_sys/x" },
		"no namespace":     func(r *workflowservice.StartWorkflowExecutionRequest) { r.Namespace = "" },
		"negative timeout": func(r *workflowservice.StartWorkflowExecutionRequest) { r.WorkflowRunTimeout = durationpb.New(-1) },
		"bad cron":         func(r *workflowservice.StartWorkflowExecutionRequest) { r.CronSchedule = "now and then" },
		"cron and delay": func(r *workflowservice.StartWorkflowExecutionRequest) {
			r.CronSchedule, r.WorkflowStartDelay = "@every 1h", durationpb.New(time.Hour)
		},
		"bad retry": func(r *workflowservice.StartWorkflowExecutionRequest) {
			r.RetryPolicy = &commonpb.RetryPolicy{BackoffCoefficient: 0.5}
		},
		"bad priority": func(r *workflowservice.StartWorkflowExecutionRequest) {
			r.Priority = &commonpb.Priority{PriorityKey: -1}
		},
		"contradicting policies": func(r *workflowservice.StartWorkflowExecutionRequest) {
			r.WorkflowIdReusePolicy, r.WorkflowIdConflictPolicy = enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE, enumspb.WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING
		},
		"long request id": func(r *workflowservice.StartWorkflowExecutionRequest) { r.RequestId = strings.Repeat("x", 1001) },
	} {
		req := s.startRequest("wrong", "a")
		change(req)
		_, err := s.api.StartWorkflowExecution(s.ctx, req)
		s.invalid(what, err)
	}
	_, err := s.client.DescribeWorkflowExecution(s.ctx, s.id("wrong"), "")
	s.check(is[*serviceerror.NotFound](err), "something was started: %v", err)
}

func refusesWrongCalls(s *scene) {
	s.halfway()
	_, err := s.api.SignalWorkflowExecution(s.ctx, &workflowservice.SignalWorkflowExecutionRequest{Namespace: home, WorkflowExecution: execution("a", "")})
	s.invalid("a signal without a name", err)
	_, err = s.api.SignalWorkflowExecution(s.ctx, &workflowservice.SignalWorkflowExecutionRequest{Namespace: home, WorkflowExecution: execution("a", "no-uuid"), SignalName: "x"})
	s.invalid("a run id that is none", err)
	_, err = s.api.DescribeWorkflowExecution(s.ctx, &workflowservice.DescribeWorkflowExecutionRequest{Namespace: home})
	s.invalid("describe of nothing", err)
	_, err = s.api.GetWorkflowExecutionHistory(s.ctx, &workflowservice.GetWorkflowExecutionHistoryRequest{Namespace: home, Execution: execution("a", ""), NextPageToken: []byte("forged")})
	s.invalid("a forged page token", err)
	_, err = s.api.PollWorkflowTaskQueue(s.ctx, &workflowservice.PollWorkflowTaskQueueRequest{Namespace: home})
	s.invalid("a poll of no queue", err)
	_, err = s.api.PollActivityTaskQueue(s.ctx, &workflowservice.PollActivityTaskQueueRequest{Namespace: home, TaskQueue: &taskqueuepb.TaskQueue{Name: strings.Repeat("x", 1001)}})
	s.invalid("a poll of a long name", err)
	_, err = s.api.QueryWorkflow(s.ctx, &workflowservice.QueryWorkflowRequest{Namespace: home, Execution: execution("a", "")})
	s.invalid("a query of nothing", err)
	err = s.client.TerminateWorkflow(s.ctx, "", "", "")
	s.invalid("terminate of nothing", err)
	short, cancel := context.WithTimeout(s.ctx, 500*time.Millisecond)
	defer cancel()
	_, err = s.api.PollWorkflowTaskQueue(short, &workflowservice.PollWorkflowTaskQueueRequest{Namespace: home, TaskQueue: s.normal()})
	s.check(err != nil, "a poll without time was let in")
}

// refusesForgedTokens tries tokens that were changed, cut, made up, or belong to another namespace.
func refusesForgedTokens(s *scene) {
	_, err := s.api.StartWorkflowExecution(s.ctx, s.startRequest("raw", "a"))
	s.must(err)
	task := s.poll()
	changed := append([]byte(nil), task.TaskToken...)
	changed[len(changed)/2] ^= 1
	complete := func(namespace string, token []byte) error {
		_, err := s.api.RespondWorkflowTaskCompleted(s.ctx, &workflowservice.RespondWorkflowTaskCompletedRequest{Namespace: namespace, TaskToken: token})
		return err
	}
	s.halfway()
	s.invalid("no token", complete(home, nil))
	s.invalid("a made up token", complete(home, []byte("made up")))
	s.invalid("a changed token", complete(home, changed))
	s.invalid("a cut token", complete(home, task.TaskToken[:len(task.TaskToken)-1]))
	s.invalid("a token of another namespace", complete(second, task.TaskToken))
	_, err = s.api.RespondActivityTaskCompleted(s.ctx, &workflowservice.RespondActivityTaskCompletedRequest{Namespace: home, TaskToken: task.TaskToken})
	s.check(err != nil, "a workflow task's token completed an activity")
	_, err = s.api.RespondActivityTaskFailed(s.ctx, &workflowservice.RespondActivityTaskFailedRequest{Namespace: home, TaskToken: changed})
	s.invalid("a changed token for an activity", err)
	_, err = s.api.RecordActivityTaskHeartbeat(s.ctx, &workflowservice.RecordActivityTaskHeartbeatRequest{Namespace: home, TaskToken: []byte{1, 2, 3}})
	s.invalid("a heartbeat with a made up token", err)
	s.same(count(s.history(s.id("raw"), ""), enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED), 0)
	s.terminate(s.client.GetWorkflow(s.ctx, s.id("raw"), ""))
}

func refusesUnknownSearchAttributes(s *scene) {
	unknown := temporal.NewSearchAttributeKeyKeyword("Unheard")
	s.work(flows{"upsert": func(ctx workflow.Context) error {
		workflow.GetSignalChannel(ctx, "go").Receive(ctx, nil)
		return workflow.UpsertTypedSearchAttributes(ctx, unknown.ValueSet("x"))
	}}, nil)
	o := client.StartWorkflowOptions{TypedSearchAttributes: temporal.NewSearchAttributes(unknown.ValueSet("x"))}
	_, err := s.client.ExecuteWorkflow(s.ctx, s.options(o, "upsert"), "upsert")
	s.invalid("a start", err)
	run := s.start("upsert")
	s.halfway()
	s.signal(run, "go", nil)
	failed := s.await(run, enumspb.EVENT_TYPE_WORKFLOW_TASK_FAILED).GetWorkflowTaskFailedEventAttributes()
	s.same(failed.Cause, enumspb.WORKFLOW_TASK_FAILED_CAUSE_BAD_SEARCH_ATTRIBUTES)
	s.terminate(run)
}

func refusesTooLarge(s *scene) {
	s.work(flows{"open": waitForSignal}, nil)
	run := s.start("open")
	s.halfway()
	large := strings.Repeat("x", 2<<20+1)
	input := s.startRequest("large", "a")
	input.Input = payloads(large)
	_, err := s.api.StartWorkflowExecution(s.ctx, input)
	s.invalid("a start", err)
	_, err = s.api.SignalWorkflowExecution(s.ctx, &workflowservice.SignalWorkflowExecutionRequest{Namespace: home, WorkflowExecution: execution(run.GetID(), ""), SignalName: "go", Input: payloads(large), RequestId: "a"})
	s.invalid("a signal", err)
	s.terminate(run)
	input.Input = payloads(strings.Repeat("x", 5<<20))
	_, err = s.api.StartWorkflowExecution(s.ctx, input)
	s.check(is[*serviceerror.ResourceExhausted](err), "a request over the size of a message: %v", err)
}

func refusesBadCommands(s *scene) {
	s.work(flows{"bad": func(ctx workflow.Context) error {
		workflow.GetSignalChannel(ctx, "go").Receive(ctx, nil)
		ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute, ActivityID: strings.Repeat("x", 1001)})
		return workflow.ExecuteActivity(ctx, "any").Get(ctx, nil)
	}}, nil)
	run := s.start("bad")
	s.halfway()
	s.signal(run, "go", nil)
	failed := s.await(run, enumspb.EVENT_TYPE_WORKFLOW_TASK_FAILED).GetWorkflowTaskFailedEventAttributes()
	s.same(failed.Cause, enumspb.WORKFLOW_TASK_FAILED_CAUSE_BAD_SCHEDULE_ACTIVITY_ATTRIBUTES)
	s.terminate(run)
}
