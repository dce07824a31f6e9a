package e2e

import (
	"context"
	"errors"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

var timeoutCases = []testCase{
	{"timeout_start_to_close", timeoutStartToClose},
	{"timeout_schedule_to_start", timeoutScheduleToStart},
	{"timeout_schedule_to_close", timeoutScheduleToClose},
	{"timeout_heartbeat_keeps_details", timeoutHeartbeat},
	{"timeout_of_the_run", timeoutOfTheRun},
	{"timeout_of_the_execution", timeoutOfTheExecution},
}

// stay runs until it is told to stop or its time is over.
func stay(ctx context.Context) (string, error) {
	<-ctx.Done()
	return "", ctx.Err()
}

// timedOut finds the kind of the timeout in an error.
func timedOut(s *scene, err error) enumspb.TimeoutType {
	s.Helper()
	var timeout *temporal.TimeoutError
	if !errors.As(err, &timeout) {
		s.Fatalf("not a timeout: %v", err)
	}
	return timeout.TimeoutType()
}

func timeoutStartToClose(s *scene) {
	second := newGate()
	o := soon(workflow.ActivityOptions{StartToCloseTimeout: time.Second, RetryPolicy: &temporal.RetryPolicy{InitialInterval: time.Millisecond, MaximumAttempts: 3}})
	s.work(flows{"slow": do(o)}, acts{"do": func(ctx context.Context) (string, error) {
		if activity.GetInfo(ctx).Attempt >= 2 {
			second.open()
		}
		return stay(ctx)
	}})
	run := s.start("slow")
	s.pass(second)
	s.halfway()
	err := s.failure(run)
	s.same(timedOut(s, err), enumspb.TIMEOUT_TYPE_START_TO_CLOSE)
	var failed *temporal.ActivityError
	s.check(errors.As(err, &failed) && failed.RetryState() == enumspb.RETRY_STATE_MAXIMUM_ATTEMPTS_REACHED, "got %v", err)
}

func timeoutScheduleToStart(s *scene) {
	s.work(flows{"nobody": do(soon(workflow.ActivityOptions{TaskQueue: s.id("nobody"), ScheduleToStartTimeout: 2 * time.Second}))}, nil)
	run := s.start("nobody")
	s.await(run, enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED)
	s.halfway()
	s.same(timedOut(s, s.failure(run)), enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START)
}

func timeoutScheduleToClose(s *scene) {
	begun := newGate()
	s.work(flows{"slow": do(soon(workflow.ActivityOptions{ScheduleToCloseTimeout: 2 * time.Second}))}, acts{"do": func(ctx context.Context) (string, error) {
		begun.open()
		return stay(ctx)
	}})
	run := s.start("slow")
	s.pass(begun)
	s.halfway()
	s.same(timedOut(s, s.failure(run)), enumspb.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE)
}

// timeoutHeartbeat: an attempt that stops beating is replaced by one that knows how far it came.
func timeoutHeartbeat(s *scene) {
	beaten := newGate()
	o := soon(workflow.ActivityOptions{StartToCloseTimeout: time.Hour, HeartbeatTimeout: 2 * time.Second})
	s.work(flows{"beat": do(o)}, acts{"do": func(ctx context.Context) (got string, err error) {
		if activity.HasHeartbeatDetails(ctx) {
			return got, activity.GetHeartbeatDetails(ctx, &got)
		}
		info := activity.GetInfo(ctx)
		if err := s.client.RecordActivityHeartbeat(ctx, info.TaskToken, "so far"); err != nil {
			return "", err
		}
		beaten.open()
		return stay(ctx)
	}})
	run := s.start("beat")
	s.pass(beaten)
	s.halfway()
	s.same(result[string](s, run), "so far")
}

func timeoutOfTheRun(s *scene) {
	s.work(flows{"open": waitForSignal}, nil)
	run := s.startWith(client.StartWorkflowOptions{WorkflowRunTimeout: 3 * time.Second}, "open")
	s.halfway()
	s.same(timedOut(s, s.failure(run)), enumspb.TIMEOUT_TYPE_START_TO_CLOSE)
	s.hasStatus(run, enumspb.WORKFLOW_EXECUTION_STATUS_TIMED_OUT)
}

// timeoutOfTheExecution ends a chain that would go on for ever.
func timeoutOfTheExecution(s *scene) {
	s.work(flows{"endless": func(ctx workflow.Context) error {
		if err := workflow.Sleep(ctx, 300*time.Millisecond); err != nil {
			return err
		}
		return workflow.NewContinueAsNewError(ctx, "endless")
	}}, nil)
	run := s.startWith(client.StartWorkflowOptions{WorkflowExecutionTimeout: 5 * time.Second}, "endless")
	s.await(run, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW)
	s.halfway()
	s.same(timedOut(s, s.failure(run)), enumspb.TIMEOUT_TYPE_START_TO_CLOSE)
}
