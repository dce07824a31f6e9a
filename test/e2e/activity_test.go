package e2e

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

var activityCases = []testCase{
	{"activity_retried_until_it_succeeds", activityRetried},
	{"activity_not_retryable", activityNotRetryable},
	{"activity_next_retry_delay", activityNextRetryDelay},
	{"activity_gives_up", activityGivesUp},
	{"activity_cancel_by_heartbeat", activityCancelByHeartbeat},
	{"activity_cancel_before_start", activityCancelBeforeStart},
	{"activity_fan_out_two_hundred", activityFanOut},
	{"activity_large_payloads", activityLargePayloads},
	{"activity_on_another_queue", activityOnAnotherQueue},
	{"activity_eager_and_not", activityEagerAndNot},
	{"activity_panic_and_error_chain", activityPanicAndErrorChain},
	{"activity_options_reach_it", activityOptionsReachIt},
}

// do is a workflow that runs the activity "do" with options and returns its result.
func do(o workflow.ActivityOptions) func(workflow.Context) (string, error) {
	return func(ctx workflow.Context) (got string, err error) {
		err = workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, o), "do").Get(ctx, &got)
		return got, err
	}
}

func soon(o workflow.ActivityOptions) workflow.ActivityOptions {
	if o.StartToCloseTimeout == 0 && o.ScheduleToCloseTimeout == 0 {
		o.StartToCloseTimeout = attemptTime
	}
	if o.RetryPolicy == nil {
		o.RetryPolicy = &temporal.RetryPolicy{InitialInterval: time.Millisecond, MaximumInterval: 50 * time.Millisecond}
	}
	return o
}

func activityRetried(s *scene) {
	third := newGate()
	var good atomic.Bool
	s.work(flows{"retried": do(soon(workflow.ActivityOptions{}))}, acts{"do": func(ctx context.Context) (string, error) {
		if attempt := activity.GetInfo(ctx).Attempt; attempt >= 3 {
			third.open()
		}
		if good.Load() {
			return "done", nil
		}
		return "", errors.New("not yet")
	}})
	run := s.start("retried")
	s.pass(third)
	d := s.describe(run)
	s.check(len(d.PendingActivities) == 1 && d.PendingActivities[0].Attempt >= 3 && d.PendingActivities[0].LastFailure.GetMessage() == "not yet", "pending: %v", d.PendingActivities)
	s.halfway()
	good.Store(true)
	s.same(result[string](s, run), "done")
	events := s.history(run.GetID(), "")
	s.same(count(events, enumspb.EVENT_TYPE_ACTIVITY_TASK_STARTED), 1) // failed attempts leave no events
	for _, e := range events {
		if a := e.GetActivityTaskStartedEventAttributes(); a != nil {
			cut := a.LastFailure.GetTimeoutFailureInfo() != nil // the attempt that a kill took the answer of
			s.check(a.Attempt > 3 && (cut || a.LastFailure.GetMessage() == "not yet"), "started: %v", a)
		}
	}
}

func activityNotRetryable(s *scene) {
	var calls [3]atomic.Int32
	policy := &temporal.RetryPolicy{InitialInterval: time.Millisecond, NonRetryableErrorTypes: []string{"Hopeless"}}
	call := func(ctx workflow.Context, name string) temporal.ApplicationError {
		ctx = workflow.WithActivityOptions(ctx, soon(workflow.ActivityOptions{RetryPolicy: policy}))
		var app *temporal.ApplicationError
		if err := workflow.ExecuteActivity(ctx, name).Get(ctx, nil); !errors.As(err, &app) {
			panic(err)
		}
		return *app
	}
	s.work(flows{"hopeless": func(ctx workflow.Context) ([]string, error) {
		listed := call(ctx, "listed")
		workflow.GetSignalChannel(ctx, "go").Receive(ctx, nil)
		marked := call(ctx, "marked")
		return []string{listed.Type(), marked.Type()}, nil
	}}, acts{
		"listed": func(context.Context) error { calls[0].Add(1); return temporal.NewApplicationError("no", "Hopeless") },
		"marked": func(context.Context) error {
			calls[1].Add(1)
			return temporal.NewNonRetryableApplicationError("no", "Marked", nil)
		},
	})
	run := s.start("hopeless")
	s.await(run, enumspb.EVENT_TYPE_ACTIVITY_TASK_FAILED)
	s.halfway()
	s.signal(run, "go", nil)
	s.same(result[[]string](s, run), []string{"Hopeless", "Marked"})
	s.same([]int32{calls[0].Load(), calls[1].Load()}, []int32{1, 1})
}

func activityNextRetryDelay(s *scene) {
	failed := newGate()
	hour := &temporal.RetryPolicy{InitialInterval: time.Hour}
	s.work(flows{"delayed": do(soon(workflow.ActivityOptions{RetryPolicy: hour}))}, acts{"do": func(ctx context.Context) (string, error) {
		if activity.GetInfo(ctx).Attempt > 1 {
			return "at once", nil
		}
		defer failed.open()
		return "", temporal.NewApplicationErrorWithOptions("soon", "Soon", temporal.ApplicationErrorOptions{NextRetryDelay: time.Second})
	}})
	run := s.start("delayed")
	s.pass(failed)
	s.halfway()
	s.same(result[string](s, run), "at once") // the policy alone would wait an hour
}

func activityGivesUp(s *scene) {
	var calls atomic.Int32
	last := newGate()
	policy := &temporal.RetryPolicy{InitialInterval: time.Millisecond, MaximumAttempts: 4}
	s.work(flows{"futile": do(soon(workflow.ActivityOptions{RetryPolicy: policy}))}, acts{"do": func(ctx context.Context) (string, error) {
		calls.Add(1)
		if activity.GetInfo(ctx).Attempt == 4 {
			last.open()
		}
		return "", errors.New("never")
	}})
	run := s.start("futile")
	s.halfway()
	err := s.failure(run)
	s.pass(last)
	var failed *temporal.ActivityError
	s.check(errors.As(err, &failed) && failed.RetryState() == enumspb.RETRY_STATE_MAXIMUM_ATTEMPTS_REACHED, "got %v", err)
	s.check(calls.Load() >= 4, "called %d times", calls.Load())
}

func activityCancelByHeartbeat(s *scene) {
	begun, alive := newGate(), newGate()
	often := worker.Options{MaxHeartbeatThrottleInterval: max(soonTried, attemptTime/2)} // for so long the SDK lets a heartbeat fail before it takes that for a cancellation
	s.workWith(s.client, s.queue, often, flows{"stop": func(ctx workflow.Context) (string, error) {
		o := workflow.ActivityOptions{StartToCloseTimeout: time.Hour, HeartbeatTimeout: time.Hour, WaitForCancellation: true}
		err := workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, o), "do").Get(ctx, nil)
		var canceled *temporal.CanceledError
		var details string
		if !errors.As(err, &canceled) || canceled.Details(&details) != nil {
			return "", err
		}
		return details, nil
	}}, acts{"do": beatUntilCanceled(begun, alive)})
	run := s.start("stop")
	s.pass(begun)
	s.halfway()
	alive.open()
	s.must(s.client.CancelWorkflow(s.ctx, run.GetID(), ""))
	if got := result[string](s, run); got != "tidied up" {
		s.tell(run)
		s.Fatalf("got %q", got)
	}
	events := s.history(run.GetID(), "")
	s.same([]int{count(events, enumspb.EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED), count(events, enumspb.EVENT_TYPE_ACTIVITY_TASK_CANCELED)}, []int{1, 1})
}

// beatUntilCanceled heartbeats until it is told to stop; not while the server may be dead.
func beatUntilCanceled(begun, alive *gate) func(context.Context) error {
	return func(ctx context.Context) error {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		begun.open()
		if err := alive.wait(ctx); err != nil {
			return err
		}
		for {
			activity.RecordHeartbeat(ctx, "beat")
			select {
			case <-ctx.Done():
				return temporal.NewCanceledError("tidied up")
			case <-tick.C:
			}
		}
	}
}

func activityCancelBeforeStart(s *scene) {
	s.work(flows{"early": func(ctx workflow.Context) error {
		o := soon(workflow.ActivityOptions{TaskQueue: s.id("nobody"), WaitForCancellation: true})
		return workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, o), "do").Get(ctx, nil)
	}}, nil)
	run := s.start("early")
	s.await(run, enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED)
	s.halfway()
	s.must(s.client.CancelWorkflow(s.ctx, run.GetID(), ""))
	s.check(temporal.IsCanceledError(s.failure(run)), "not canceled")
	s.same(count(s.history(run.GetID(), ""), enumspb.EVENT_TYPE_ACTIVITY_TASK_STARTED), 0)
}

func activityFanOut(s *scene) {
	const many = 200
	half := newGate()
	var calls atomic.Int32
	s.workWith(s.client, s.queue, worker.Options{MaxConcurrentActivityExecutionSize: 20}, flows{"fan": func(ctx workflow.Context) (sum int, err error) {
		ctx = withActivity(ctx)
		var all []workflow.Future
		for i := range many {
			all = append(all, workflow.ExecuteActivity(ctx, "square", i))
		}
		for _, f := range all {
			var n int
			if err := f.Get(ctx, &n); err != nil {
				return 0, err
			}
			sum += n
		}
		return sum, nil
	}}, acts{"square": func(_ context.Context, n int) (int, error) {
		if calls.Add(1) == many/2 {
			half.open()
		}
		return n * n, nil
	}})
	run := s.start("fan")
	s.pass(half)
	s.halfway()
	s.same(result[int](s, run), (many-1)*many*(2*many-1)/6)
	s.same(count(s.history(run.GetID(), ""), enumspb.EVENT_TYPE_ACTIVITY_TASK_COMPLETED), many)
}

func activityLargePayloads(s *scene) {
	large := strings.Repeat("0123456789abcdef", 3<<15) // 1.5 MiB
	s.work(flows{"large": func(ctx workflow.Context, in string) (out string, err error) {
		workflow.GetSignalChannel(ctx, "go").Receive(ctx, nil)
		err = workflow.ExecuteActivity(withActivity(ctx), "echo", in).Get(ctx, &out)
		return out, err
	}}, acts{"echo": echo})
	run := s.start("large", large)
	s.halfway()
	s.signal(run, "go", large)
	s.check(result[string](s, run) == large, "the payload came back changed")
	s.same(len(s.history(run.GetID(), "")) > 8, true)
}

func activityOnAnotherQueue(s *scene) {
	other := s.id("other")
	s.work(flows{"far": do(soon(workflow.ActivityOptions{TaskQueue: other}))}, nil)
	run := s.start("far")
	s.halfway()
	s.workWith(s.client, other, worker.Options{DisableWorkflowWorker: true}, nil, acts{"do": func(ctx context.Context) (string, error) {
		return activity.GetInfo(ctx).TaskQueue, nil
	}})
	s.same(result[string](s, run), other)
}

func activityEagerAndNot(s *scene) {
	s.work(flows{"eager": func(ctx workflow.Context) (got []string, err error) {
		workflow.GetSignalChannel(ctx, "go").Receive(ctx, nil)
		for _, eager := range []bool{true, false} {
			var word string
			o := soon(workflow.ActivityOptions{DisableEagerExecution: !eager})
			if err := workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, o), "echo", letters(len(got))).Get(ctx, &word); err != nil {
				return nil, err
			}
			got = append(got, word)
		}
		return got, nil
	}}, acts{"echo": echo})
	run := s.start("eager")
	s.halfway()
	s.signal(run, "go", nil)
	s.same(result[[]string](s, run), []string{"0", "1"})
}

func activityPanicAndErrorChain(s *scene) {
	once := &temporal.RetryPolicy{MaximumAttempts: 1}
	s.work(flows{"errors": func(ctx workflow.Context) ([]string, error) {
		ctx = workflow.WithActivityOptions(ctx, soon(workflow.ActivityOptions{RetryPolicy: once}))
		panicked := workflow.ExecuteActivity(ctx, "panic").Get(ctx, nil)
		workflow.GetSignalChannel(ctx, "go").Receive(ctx, nil)
		chained := workflow.ExecuteActivity(ctx, "chain").Get(ctx, nil)
		var p *temporal.PanicError
		var outer *temporal.ApplicationError
		if !errors.As(panicked, &p) || !errors.As(chained, &outer) {
			return nil, errors.Join(panicked, chained)
		}
		var detail string
		if err := outer.Details(&detail); err != nil {
			return nil, err
		}
		var inner *temporal.ApplicationError
		if !errors.As(errors.Unwrap(outer), &inner) {
			return nil, chained
		}
		return []string{p.Error(), outer.Type(), detail, inner.Message()}, nil
	}}, acts{
		"panic": func(context.Context) error { panic("ouch") },
		"chain": func(context.Context) error {
			return temporal.NewApplicationErrorWithCause("outer", "Outer", errors.New("inner"), "detail")
		},
	})
	run := s.start("errors")
	s.await(run, enumspb.EVENT_TYPE_ACTIVITY_TASK_FAILED)
	s.halfway()
	s.signal(run, "go", nil)
	s.same(result[[]string](s, run), []string{"ouch", "Outer", "detail", "inner"})
}

func activityOptionsReachIt(s *scene) {
	type seen struct {
		ID        string
		Priority  int
		Heartbeat time.Duration
		Attempts  int32
	}
	o := workflow.ActivityOptions{
		ActivityID: "my-id", StartToCloseTimeout: time.Minute, HeartbeatTimeout: 40 * time.Second, Summary: "what it does",
		Priority: temporal.Priority{PriorityKey: 4}, RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 9},
	}
	s.work(flows{"options": func(ctx workflow.Context) (v seen, err error) {
		workflow.GetSignalChannel(ctx, "go").Receive(ctx, nil)
		err = workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, o), "do").Get(ctx, &v)
		return v, err
	}}, acts{"do": func(ctx context.Context) (seen, error) {
		i := activity.GetInfo(ctx)
		return seen{i.ActivityID, i.Priority.PriorityKey, i.HeartbeatTimeout, i.RetryPolicy.MaximumAttempts}, nil
	}})
	run := s.start("options")
	s.halfway()
	s.signal(run, "go", nil)
	s.same(result[seen](s, run), seen{"my-id", 4, 40 * time.Second, 9})
	for _, e := range s.history(run.GetID(), "") {
		if e.EventType == enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED {
			var summary string
			s.must(fromPayload(e.UserMetadata.GetSummary(), &summary))
			s.same(summary, "what it does")
		}
	}
}
