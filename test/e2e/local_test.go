package e2e

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

var localActivityCases = []testCase{
	{"local_activities_in_a_row", localInARow},
	{"local_activity_longer_than_its_task", localLong},
	{"local_activity_retried", localRetried},
}

func withLocal(ctx workflow.Context, o workflow.LocalActivityOptions) workflow.Context {
	if o.ScheduleToCloseTimeout == 0 {
		o.ScheduleToCloseTimeout = time.Minute
	}
	return workflow.WithLocalActivityOptions(ctx, o)
}

func localInARow(s *scene) {
	s.work(flows{"local": func(ctx workflow.Context) (sum int, err error) {
		ctx = withLocal(ctx, workflow.LocalActivityOptions{})
		for i := range 10 {
			if i == 5 {
				workflow.GetSignalChannel(ctx, "go").Receive(ctx, nil)
			}
			var n int
			if err := workflow.ExecuteLocalActivity(ctx, func(_ context.Context, n int) (int, error) { return n + 1, nil }, i).Get(ctx, &n); err != nil {
				return 0, err
			}
			sum += n
		}
		return sum, nil
	}}, nil)
	run := s.start("local")
	s.await(run, enumspb.EVENT_TYPE_MARKER_RECORDED)
	s.halfway()
	s.signal(run, "go", nil)
	s.same(result[int](s, run), 55)
	s.same(count(s.history(run.GetID(), ""), enumspb.EVENT_TYPE_MARKER_RECORDED), 10)
}

// localLong needs the worker to ask for new tasks while the activity runs.
func localLong(s *scene) {
	begun, end := newGate(), newGate()
	s.work(flows{"long": func(ctx workflow.Context) (got string, err error) {
		err = workflow.ExecuteLocalActivity(withLocal(ctx, workflow.LocalActivityOptions{}), func(ctx context.Context) (string, error) {
			begun.open()
			return "long", end.wait(ctx)
		}).Get(ctx, &got)
		return got, err
	}}, nil)
	run := s.startWith(client.StartWorkflowOptions{WorkflowTaskTimeout: 2 * time.Second}, "long")
	s.pass(begun)
	s.halfway()
	completed := 0
	all := s.client.GetWorkflowHistory(s.ctx, run.GetID(), run.GetRunID(), true, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for completed < 2 && all.HasNext() { // each is a task that only asked for the next one
		e, err := all.Next()
		s.must(err)
		if e.EventType == enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED {
			completed++
		}
	}
	end.open()
	s.same(result[string](s, run), "long")
}

func localRetried(s *scene) {
	var calls atomic.Int32
	s.work(flows{"local": func(ctx workflow.Context) (got string, err error) {
		workflow.GetSignalChannel(ctx, "go").Receive(ctx, nil)
		ctx = withLocal(ctx, workflow.LocalActivityOptions{RetryPolicy: &temporal.RetryPolicy{InitialInterval: time.Millisecond, MaximumAttempts: 50}})
		err = workflow.ExecuteLocalActivity(ctx, func(context.Context) (string, error) {
			if calls.Add(1) < 4 {
				return "", errors.New("not yet")
			}
			return "at last", nil
		}).Get(ctx, &got)
		return got, err
	}}, nil)
	run := s.start("local")
	s.halfway()
	s.signal(run, "go", nil)
	s.same(result[string](s, run), "at last")
}
