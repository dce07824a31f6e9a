package e2e

import (
	"context"
	"errors"
	"slices"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/proto"
)

var historyCases = []testCase{
	{"describe_what_is_pending", describeWhatIsPending},
	{"history_in_pages_and_reverse", historyInPages},
	{"history_followed_as_it_grows", historyFollowed},
	{"history_close_event_only", historyCloseEventOnly},
	{"history_follows_the_chain", historyFollowsTheChain},
	{"history_replays", historyReplays},
}

func describeWhatIsPending(s *scene) {
	begun := newGate()
	s.work(flows{
		"busy": func(ctx workflow.Context) error {
			child := workflow.ExecuteChildWorkflow(workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{WorkflowID: s.id("child")}), "child")
			workflow.ExecuteActivity(withActivity(workflow.WithHeartbeatTimeout(ctx, time.Minute)), "stay")
			if err := child.GetChildWorkflowExecution().Get(ctx, nil); err != nil {
				return err
			}
			_, err := waitForSignal(ctx)
			return err
		},
		"child": waitForSignal,
	}, acts{"stay": func(ctx context.Context) error {
		begun.open()
		<-ctx.Done()
		return ctx.Err()
	}})
	run := s.start("busy")
	s.pass(begun)
	s.await(run, enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED)
	s.halfway()
	d := s.describe(run)
	s.check(len(d.PendingActivities) == 1 && d.PendingActivities[0].State == enumspb.PENDING_ACTIVITY_STATE_STARTED && d.PendingActivities[0].ActivityType.Name == "stay", "activities: %v", d.PendingActivities)
	s.check(len(d.PendingChildren) == 1 && d.PendingChildren[0].WorkflowId == s.id("child"), "children: %v", d.PendingChildren)
	info := d.WorkflowExecutionInfo
	s.check(info.Status == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING && info.CloseTime == nil && info.HistoryLength > 5, "info: %v", info)
	s.signal(s.client.GetWorkflow(s.ctx, s.id("child"), ""), "go", "end")
	s.signal(run, "go", "end")
	s.must(run.Get(s.ctx, nil))
	d = s.describe(run)
	info = d.WorkflowExecutionInfo
	s.same(len(d.PendingActivities)+len(d.PendingChildren), 0)
	s.check(info.CloseTime != nil && info.HistoryLength == int64(len(s.history(run.GetID(), ""))) && info.HistorySizeBytes > 0, "info: %v", info)
}

func historyInPages(s *scene) {
	s.work(flows{"collect": collect}, nil)
	run := s.start("collect")
	for n := range 12 {
		s.signal(run, "number", n)
	}
	s.signal(run, "stop", nil)
	result[[]int](s, run)
	s.halfway()
	whole := s.history(run.GetID(), "")
	var paged, reverse []*historypb.HistoryEvent
	for token, more := []byte(nil), true; more; more = len(token) > 0 {
		page, err := s.api.GetWorkflowExecutionHistory(s.ctx, &workflowservice.GetWorkflowExecutionHistoryRequest{Namespace: home, Execution: execution(run.GetID(), ""), MaximumPageSize: 3, NextPageToken: token})
		s.must(err)
		paged, token = append(paged, page.History.Events...), page.NextPageToken
	}
	for token, more := []byte(nil), true; more; more = len(token) > 0 {
		page, err := s.api.GetWorkflowExecutionHistoryReverse(s.ctx, &workflowservice.GetWorkflowExecutionHistoryReverseRequest{Namespace: home, Execution: execution(run.GetID(), ""), MaximumPageSize: 3, NextPageToken: token})
		s.must(err)
		reverse, token = append(reverse, page.History.Events...), page.NextPageToken
	}
	slices.Reverse(reverse)
	equal := func(a, b *historypb.HistoryEvent) bool { return proto.Equal(a, b) }
	s.check(slices.EqualFunc(paged, whole, equal), "pages give another history")
	s.check(slices.EqualFunc(reverse, whole, equal), "reverse pages give another history")
	s.same(count(whole, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED), 13)
}

func historyFollowed(s *scene) {
	s.work(flows{"collect": collect}, nil)
	run := s.start("collect")
	seen := make(chan *historypb.HistoryEvent)
	failed := make(chan error, 1)
	go func() {
		defer close(seen)
		all := s.client.GetWorkflowHistory(s.ctx, run.GetID(), run.GetRunID(), true, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
		for all.HasNext() {
			e, err := all.Next()
			if err != nil {
				failed <- err
				return
			}
			seen <- e
		}
	}()
	next := func(kind enumspb.EventType) {
		for e := range seen {
			if e.EventType == kind {
				return
			}
		}
		s.Errorf("the history ended without %s", kind)
	}
	next(enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED)
	s.halfway()
	for n := range 5 {
		s.signal(run, "number", n)
		next(enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED)
	}
	s.signal(run, "stop", nil)
	next(enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED)
	for range seen {
		s.Error("events after the close")
	}
	s.check(len(failed) == 0, "following failed")
}

func historyCloseEventOnly(s *scene) {
	s.work(flows{"open": waitForSignal}, nil)
	run := s.start("open")
	s.started(run)
	s.halfway()
	s.signal(run, "go", "end")
	all := s.client.GetWorkflowHistory(s.ctx, run.GetID(), run.GetRunID(), true, enumspb.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT)
	var got []*historypb.HistoryEvent
	for all.HasNext() {
		e, err := all.Next()
		s.must(err)
		got = append(got, e)
	}
	s.check(len(got) == 1 && got[0].EventType == enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED, "got %v", got)
}

func historyFollowsTheChain(s *scene) {
	s.work(flows{"chain": func(ctx workflow.Context, left int) (int, error) {
		var n int
		workflow.GetSignalChannel(ctx, "next").Receive(ctx, &n)
		if left == 0 {
			return n, nil
		}
		return 0, workflow.NewContinueAsNewError(ctx, "chain", left-1)
	}}, nil)
	first := s.start("chain", 2)
	current := s.client.GetWorkflow(s.ctx, first.GetID(), "")
	s.signal(current, "next", 1)
	s.await(first, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW)
	s.halfway()
	err := s.client.GetWorkflow(s.ctx, first.GetID(), first.GetRunID()).GetWithOptions(s.ctx, nil, client.WorkflowRunGetOptions{DisableFollowingRuns: true})
	var on *workflow.ContinueAsNewError
	s.check(errors.As(err, &on), "the first run ended with %v", err)
	s.signal(current, "next", 2)
	second := s.await(first, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW).GetWorkflowExecutionContinuedAsNewEventAttributes().NewExecutionRunId
	s.await(s.client.GetWorkflow(s.ctx, first.GetID(), second), enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW)
	s.signal(current, "next", 3)
	var n int
	s.must(first.Get(s.ctx, &n)) // follows from the first run
	s.same(n, 3)
}

// historyReplays takes the history of a workflow that did a bit of everything and replays it.
func historyReplays(s *scene) {
	everything := func(ctx workflow.Context) (got string, err error) {
		version := workflow.GetVersion(ctx, "change", workflow.DefaultVersion, 2)
		random := workflow.SideEffect(ctx, func(workflow.Context) any { return 42 })
		var n int
		if err := random.Get(&n); err != nil || n != 42 || version != 2 {
			return "", errors.New("side effect or version")
		}
		if err := workflow.Sleep(ctx, time.Millisecond); err != nil {
			return "", err
		}
		if err := workflow.ExecuteActivity(withActivity(ctx), "echo", "a").Get(ctx, &got); err != nil {
			return "", err
		}
		local := workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{StartToCloseTimeout: time.Minute})
		if err := workflow.ExecuteLocalActivity(local, echo, "b").Get(ctx, &got); err != nil {
			return "", err
		}
		return waitForSignal(ctx)
	}
	s.work(flows{"everything": everything}, acts{"echo": echo})
	run := s.start("everything")
	s.await(run, enumspb.EVENT_TYPE_ACTIVITY_TASK_COMPLETED)
	s.halfway()
	s.signal(run, "go", "end")
	s.same(result[string](s, run), "end")
	replayer := worker.NewWorkflowReplayer()
	replayer.RegisterWorkflowWithOptions(everything, workflow.RegisterOptions{Name: "everything"})
	s.must(replayer.ReplayWorkflowHistory(silent, &historypb.History{Events: s.history(run.GetID(), "")}))
	s.must(replayer.ReplayWorkflowExecution(s.ctx, s.api, silent, home, workflow.Execution{ID: run.GetID(), RunID: run.GetRunID()}))
	_, err := s.api.GetWorkflowExecutionHistory(s.ctx, &workflowservice.GetWorkflowExecutionHistoryRequest{Namespace: home, Execution: execution(s.id("missing"), "")})
	s.check(is[*serviceerror.NotFound](err), "got %v", err)
}
