package e2e

import (
	"errors"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

var chainCases = []testCase{
	{"chain_continues_as_new", chainContinuesAsNew},
	{"chain_keeps_signals", chainKeepsSignals},
	{"chain_retries", chainRetries},
	{"chain_retries_until_it_may_not", chainMayNot},
	{"chain_cron", chainCron},
	{"chain_cron_after_failure", chainCronAfterFailure},
}

func chainContinuesAsNew(s *scene) {
	type carried struct {
		Runs, Sum   int
		Note, First string
		Timeout     time.Duration
	}
	s.work(flows{"chain": func(ctx workflow.Context, c carried) (carried, error) {
		c.Runs++
		c.Sum += c.Runs
		info := workflow.GetInfo(ctx)
		if err := fromPayload(info.Memo.Fields["note"], &c.Note); err != nil {
			return c, err
		}
		c.First, c.Timeout = info.FirstRunID, info.WorkflowRunTimeout
		if c.Runs == 3 {
			workflow.GetSignalChannel(ctx, "go").Receive(ctx, nil)
		}
		if c.Runs < 6 {
			return c, workflow.NewContinueAsNewError(ctx, "chain", c)
		}
		return c, nil
	}}, nil)
	run := s.startWith(client.StartWorkflowOptions{Memo: map[string]any{"note": "kept"}, WorkflowRunTimeout: time.Minute}, "chain", carried{})
	s.await(run, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW)
	first := run.GetFirstExecutionRunID()
	s.halfway()
	// The signal may meet an earlier run, which hands nothing on: it is sent until the chain ends.
	s.until(run, func() error { return s.client.SignalWorkflow(s.ctx, run.GetID(), "", "go", nil) })
	s.same(result[carried](s, run), carried{6, 21, "kept", first, time.Minute})
}

// until does something again and again until a workflow has ended.
func (s *scene) until(run client.WorkflowRun, do func() error) {
	s.Helper()
	ended := make(chan error, 1)
	go func() { ended <- s.client.GetWorkflow(s.ctx, run.GetID(), "").Get(s.ctx, nil) }()
	for {
		select {
		case <-ended:
			return
		case <-s.ctx.Done():
			s.Fatal("it never ended")
		default:
			do() // it may fail because the end has come
		}
	}
}

// chainKeepsSignals: what is sent while a chain changes runs is seen by one of its runs.
func chainKeepsSignals(s *scene) {
	s.work(flows{"sum": func(ctx workflow.Context, seen int) (int, error) {
		in := workflow.GetSignalChannel(ctx, "number")
		for n := 0; n < 5 && seen < 60; n++ { // the last run may find fewer
			in.Receive(ctx, nil)
			seen++
		}
		for in.ReceiveAsync(nil) {
			seen++
		}
		if seen >= 60 {
			return seen, nil
		}
		return 0, workflow.NewContinueAsNewError(ctx, "sum", seen)
	}}, nil)
	run := s.start("sum", 0)
	send := func(int) error { return s.client.SignalWorkflow(s.ctx, run.GetID(), "", "number", nil) }
	s.each(30, send)
	s.halfway()
	for range 30 {
		s.must(send(0))
	}
	s.same(result[int](s, run), 60)
}

func chainRetries(s *scene) {
	s.work(flows{"retried": func(ctx workflow.Context) (string, error) {
		if workflow.GetInfo(ctx).Attempt < 4 {
			return "", errors.New("not yet")
		}
		var last string
		if err := workflow.GetLastError(ctx); err != nil {
			last = err.Error()
		}
		_, err := waitForSignal(ctx)
		return last, err
	}}, nil)
	policy := &temporal.RetryPolicy{InitialInterval: 200 * time.Millisecond, BackoffCoefficient: 1}
	run := s.startWith(client.StartWorkflowOptions{RetryPolicy: policy}, "retried")
	s.await(run, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED)
	s.halfway()
	s.until(run, func() error { return s.client.SignalWorkflow(s.ctx, run.GetID(), "", "go", "end") })
	s.check(result[string](s, run) != "", "the last failure is not known")
	first := s.history(run.GetID(), run.GetFirstExecutionRunID())
	closed := first[len(first)-1].GetWorkflowExecutionFailedEventAttributes()
	s.check(closed.GetNewExecutionRunId() != "" && closed.GetRetryState() == enumspb.RETRY_STATE_IN_PROGRESS, "the first run ended with %v", closed)
}

func chainMayNot(s *scene) {
	s.work(flows{"hopeless": func(ctx workflow.Context) error {
		if workflow.GetInfo(ctx).Attempt < 3 {
			return temporal.NewApplicationError("again", "Again")
		}
		workflow.GetSignalChannel(ctx, "go").Receive(ctx, nil)
		return temporal.NewApplicationError("no", "Hopeless")
	}}, nil)
	policy := &temporal.RetryPolicy{InitialInterval: time.Millisecond, NonRetryableErrorTypes: []string{"Hopeless"}}
	run := s.startWith(client.StartWorkflowOptions{RetryPolicy: policy}, "hopeless")
	s.await(run, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED)
	s.halfway()
	s.until(run, func() error { return s.client.SignalWorkflow(s.ctx, run.GetID(), "", "go", nil) })
	var app *temporal.ApplicationError
	s.check(errors.As(s.failure(run), &app) && app.Type() == "Hopeless", "not failed for good")
}

func chainCron(s *scene) {
	s.work(flows{"cron": func(ctx workflow.Context) (n int, err error) {
		if workflow.HasLastCompletionResult(ctx) {
			err = workflow.GetLastCompletionResult(ctx, &n)
		}
		return n + 1, err
	}}, nil)
	run := s.startWith(client.StartWorkflowOptions{CronSchedule: "@every 1s"}, "cron")
	runs := []string{run.GetRunID()}
	next := func() string {
		this := s.client.GetWorkflow(s.ctx, run.GetID(), runs[len(runs)-1])
		done := s.await(this, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED).GetWorkflowExecutionCompletedEventAttributes()
		var n int
		s.must(fromPayload(done.Result.Payloads[0], &n))
		s.same(n, len(runs))
		return done.NewExecutionRunId
	}
	runs = append(runs, next())
	s.halfway()
	runs = append(runs, next())
	started := s.history(run.GetID(), runs[2])[0].GetWorkflowExecutionStartedEventAttributes()
	s.check(started.Initiator == enumspb.CONTINUE_AS_NEW_INITIATOR_CRON_SCHEDULE && started.CronSchedule == "@every 1s" && started.ContinuedExecutionRunId == runs[1], "started: %v", started)
	s.must(s.client.CancelWorkflow(s.ctx, run.GetID(), "")) // cron does not go on after a cancel, or after the terminate
	s.client.TerminateWorkflow(s.ctx, run.GetID(), "", "")
}

func chainCronAfterFailure(s *scene) {
	s.work(flows{"cron": func(ctx workflow.Context) (string, error) {
		if err := workflow.GetLastError(ctx); err != nil {
			return "after a failure", nil
		}
		return "", temporal.NewApplicationError("first", "First")
	}}, nil)
	run := s.startWith(client.StartWorkflowOptions{CronSchedule: "@every 1s"}, "cron")
	failed := s.await(run, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED).GetWorkflowExecutionFailedEventAttributes()
	s.halfway()
	next := s.client.GetWorkflow(s.ctx, run.GetID(), failed.NewExecutionRunId)
	done := s.await(next, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED).GetWorkflowExecutionCompletedEventAttributes()
	var got string
	s.must(fromPayload(done.Result.Payloads[0], &got))
	s.same(got, "after a failure")
	s.must(s.client.TerminateWorkflow(s.ctx, run.GetID(), "", "enough"))
}
