package e2e

import (
	"fmt"
	"slices"
	"time"

	commandpb "go.temporal.io/api/command/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

var signalCases = []testCase{
	{"signal_two_hundred", signalTwoHundred},
	{"signal_with_start", signalWithStart},
	{"signal_of_closed_and_missing", signalOfClosedAndMissing},
	{"signal_during_a_task", signalDuringATask},
	{"signal_loses_no_close_race", signalLosesNoCloseRace},
	{"cancel_with_cleanup", cancelWithCleanup},
	{"cancel_twice_and_closed", cancelTwiceAndClosed},
	{"terminate_with_details", terminateWithDetails},
}

// collect gathers signals until "stop" comes.
func collect(ctx workflow.Context) ([]int, error) {
	var got []int
	stop := false
	in := workflow.NewSelector(ctx)
	in.AddReceive(workflow.GetSignalChannel(ctx, "number"), func(c workflow.ReceiveChannel, _ bool) {
		var n int
		c.Receive(ctx, &n)
		got = append(got, n)
	})
	in.AddReceive(workflow.GetSignalChannel(ctx, "stop"), func(c workflow.ReceiveChannel, _ bool) {
		c.Receive(ctx, nil)
		stop = true
	})
	for !stop || in.HasPending() {
		in.Select(ctx)
	}
	return got, nil
}

func signalTwoHundred(s *scene) {
	s.work(flows{"collect": collect}, nil)
	run := s.start("collect")
	const many = 200
	send := func(from, to int) {
		s.each(to-from, func(i int) error { return s.client.SignalWorkflow(s.ctx, run.GetID(), "", "number", from+i) })
	}
	send(0, many/2)
	s.halfway()
	send(many/2, many)
	s.signal(run, "stop", nil)
	got := result[[]int](s, run)
	slices.Sort(got)
	want := make([]int, many)
	for i := range want {
		want[i] = i
	}
	s.same(got, want)
}

func signalWithStart(s *scene) {
	s.work(flows{"sum": collect}, nil)
	signal := func(n int) client.WorkflowRun {
		run, err := s.client.SignalWithStartWorkflow(s.ctx, s.id("sum"), "number", n, s.options(client.StartWorkflowOptions{}, "sum"), "sum")
		s.must(err)
		return run
	}
	first := signal(1)
	s.halfway()
	s.same(signal(2).GetRunID(), first.GetRunID())
	s.signal(first, "stop", nil)
	s.same(result[[]int](s, first), []int{1, 2})
	next := signal(3)
	s.check(next.GetRunID() != first.GetRunID(), "a closed run was signaled")
	s.signal(next, "stop", nil)
	s.same(result[[]int](s, next), []int{3})
	refuse := client.StartWorkflowOptions{WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE}
	_, err := s.client.SignalWithStartWorkflow(s.ctx, s.id("sum"), "number", 4, s.options(refuse, "sum"), "sum")
	s.check(is[*serviceerror.WorkflowExecutionAlreadyStarted](err), "got %v", err)
}

func signalOfClosedAndMissing(s *scene) {
	s.work(flows{"open": waitForSignal}, nil)
	run := s.start("open")
	s.signal(run, "go", "end")
	result[string](s, run)
	s.halfway()
	for _, err := range []error{
		s.client.SignalWorkflow(s.ctx, run.GetID(), "", "go", nil),
		s.client.TerminateWorkflow(s.ctx, run.GetID(), "", ""),
		s.client.SignalWorkflow(s.ctx, s.id("missing"), "", "go", nil),
		s.client.CancelWorkflow(s.ctx, s.id("missing"), ""),
		s.client.TerminateWorkflow(s.ctx, s.id("missing"), "", ""),
		s.client.GetWorkflow(s.ctx, s.id("missing"), "").Get(s.ctx, nil),
	} {
		s.check(is[*serviceerror.NotFound](err), "got %v", err)
	}
	_, err := s.client.DescribeWorkflow(s.ctx, s.id("missing"), "")
	s.check(is[*serviceerror.NotFound](err), "got %v", err)
	_, err = s.client.QueryWorkflow(s.ctx, s.id("missing"), "", "state")
	s.check(is[*serviceerror.NotFound](err), "got %v", err)
}

// signalDuringATask holds a task while a signal comes: the close is refused, the next task has the signal.
func signalDuringATask(s *scene) {
	_, err := s.api.StartWorkflowExecution(s.ctx, s.startRequest("raw", "a"))
	s.must(err)
	task := s.poll()
	send := func() {
		_, err = s.api.SignalWorkflowExecution(s.ctx, &workflowservice.SignalWorkflowExecutionRequest{
			Namespace: home, WorkflowExecution: execution(s.id("raw"), ""), SignalName: "go", RequestId: "s",
		})
		s.must(err)
	}
	send()
	s.halfway()
	send() // remembered also where the first one is buffered
	complete := &workflowservice.RespondWorkflowTaskCompletedRequest{Namespace: home, TaskToken: task.TaskToken, Commands: []*commandpb.Command{complete()}}
	_, err = s.api.RespondWorkflowTaskCompleted(s.ctx, complete)
	if is[*serviceerror.NotFound](err) { // a start that was not durable before the kill is dispatched again
		task = s.poll()
	} else {
		s.check(is[*serviceerror.InvalidArgument](err), "the close got %v", err)
		task = s.poll()
		s.same(count(task.History.Events, enumspb.EVENT_TYPE_WORKFLOW_TASK_FAILED), 1)
	}
	s.same(count(task.History.Events, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED), 1)
	complete.TaskToken = task.TaskToken
	_, err = s.api.RespondWorkflowTaskCompleted(s.ctx, complete)
	s.must(err)
	s.hasStatus(s.client.GetWorkflow(s.ctx, s.id("raw"), ""), enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED)
}

func complete() *commandpb.Command {
	return &commandpb.Command{
		CommandType: enumspb.COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION,
		Attributes:  &commandpb.Command_CompleteWorkflowExecutionCommandAttributes{CompleteWorkflowExecutionCommandAttributes: &commandpb.CompleteWorkflowExecutionCommandAttributes{}},
	}
}

// signalLosesNoCloseRace: a workflow that ends as soon as it sees nothing new must have seen every acknowledged signal.
func signalLosesNoCloseRace(s *scene) {
	s.work(flows{"drain": func(ctx workflow.Context) (n int, err error) {
		in := workflow.GetSignalChannel(ctx, "number")
		in.Receive(ctx, nil)
		for n = 1; in.ReceiveAsync(nil); n++ {
		}
		return n, nil
	}}, nil)
	sent := make([]int, 10)
	runs := make([]client.WorkflowRun, len(sent))
	flood := func(i int) error {
		for {
			err := s.client.SignalWorkflow(s.ctx, runs[i].GetID(), runs[i].GetRunID(), "number", nil)
			if is[*serviceerror.NotFound](err) {
				return nil
			}
			if err != nil && !is[*serviceerror.ResourceExhausted](err) {
				return err
			}
			if err == nil {
				sent[i]++
			}
		}
	}
	for i := range runs {
		o := client.StartWorkflowOptions{ID: s.id(letters(i)), TaskQueue: s.queue}
		run, err := s.client.ExecuteWorkflow(s.ctx, o, "drain")
		s.must(err)
		runs[i] = run
	}
	s.halfway()
	s.each(len(runs), flood)
	for i, run := range runs {
		got := result[int](s, run)
		s.check(got == sent[i], "%s saw %d signals of %d", run.GetID(), got, sent[i])
	}
}

func cancelWithCleanup(s *scene) {
	s.work(flows{"tidy": func(ctx workflow.Context) error {
		err := workflow.Sleep(ctx, 24*time.Hour)
		clean, _ := workflow.NewDisconnectedContext(ctx)
		var done string
		if e := workflow.ExecuteActivity(withActivity(clean), "echo", "cleaned").Get(clean, &done); e != nil || done != "cleaned" {
			return fmt.Errorf("cleanup: %q %w", done, e)
		}
		return err
	}}, acts{"echo": echo})
	run := s.start("tidy")
	s.await(run, enumspb.EVENT_TYPE_TIMER_STARTED)
	s.halfway()
	s.must(s.client.CancelWorkflow(s.ctx, run.GetID(), ""))
	s.check(temporal.IsCanceledError(s.failure(run)), "not canceled")
	s.hasStatus(run, enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED)
	events := s.history(run.GetID(), "")
	s.same([]int{count(events, enumspb.EVENT_TYPE_TIMER_CANCELED), count(events, enumspb.EVENT_TYPE_ACTIVITY_TASK_COMPLETED)}, []int{1, 1})
}

func cancelTwiceAndClosed(s *scene) {
	s.work(flows{"deaf": waitForSignal}, nil)
	run := s.start("deaf")
	s.must(s.client.CancelWorkflow(s.ctx, run.GetID(), ""))
	s.halfway()
	s.must(s.client.CancelWorkflow(s.ctx, run.GetID(), ""))
	s.signal(run, "go", "end")
	s.same(result[string](s, run), "end")
	s.must(s.client.CancelWorkflow(s.ctx, run.GetID(), ""))
	s.same(count(s.history(run.GetID(), ""), enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED), 1)
}

func terminateWithDetails(s *scene) {
	s.work(flows{"open": waitForSignal}, nil)
	run := s.start("open")
	s.halfway()
	s.must(s.client.TerminateWorkflow(s.ctx, run.GetID(), "", "enough", "detail", 7))
	s.check(is[*temporal.TerminatedError](s.failure(run)), "not terminated")
	events := s.history(run.GetID(), "")
	last := events[len(events)-1].GetWorkflowExecutionTerminatedEventAttributes()
	s.same(last.GetReason(), "enough")
	s.same(len(last.GetDetails().GetPayloads()), 2)
	s.hasStatus(run, enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED)
}
