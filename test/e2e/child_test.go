package e2e

import (
	"errors"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

var childCases = []testCase{
	{"child_result", childResult},
	{"child_after_its_parent_closed", childAfterParentClosed},
	{"child_id_conflict", childIDConflict},
	{"child_canceled_by_parent", childCanceled},
	{"child_signaled_by_parent", childSignaled},
	{"child_continues_as_new", childContinuesAsNew},
	{"child_retried", childRetried},
	{"child_cron", childCron},
	{"child_failures", childFailures},
	{"child_terminated", childTerminated},
	{"child_many", childMany},
	{"child_on_a_slow_queue", childOnASlowQueue},
}

// child sets the options of the next child.
func child(ctx workflow.Context, o workflow.ChildWorkflowOptions) workflow.Context {
	return workflow.WithChildOptions(ctx, o)
}

// parentOf is a workflow that runs the child "child" with options and returns its result.
func parentOf(o workflow.ChildWorkflowOptions) func(workflow.Context) (string, error) {
	return func(ctx workflow.Context) (got string, err error) {
		err = workflow.ExecuteChildWorkflow(child(ctx, o), "child").Get(ctx, &got)
		return got, err
	}
}

// byID is a handle of the current run of a workflow id.
func (s *scene) byID(short string) client.WorkflowRun {
	return s.client.GetWorkflow(s.ctx, s.id(short), "")
}

// begun waits until a parent knows that its child began.
func (s *scene) begun(parent client.WorkflowRun) {
	s.Helper()
	s.await(parent, enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED)
}

func childResult(s *scene) {
	type family struct{ Parent, Root, Priority string }
	s.work(flows{
		"parent": func(ctx workflow.Context) (f family, err error) {
			o := workflow.ChildWorkflowOptions{
				WorkflowID: s.id("child"), Memo: map[string]any{"a": 1}, StaticSummary: "a child", Priority: temporal.Priority{PriorityKey: 1},
				TypedSearchAttributes: temporal.NewSearchAttributes(temporal.NewSearchAttributeKeyKeyword("Word").ValueSet("child")),
			}
			err = workflow.ExecuteChildWorkflow(child(ctx, o), "child", "in").Get(ctx, &f)
			return f, err
		},
		"child": func(ctx workflow.Context, in string) (family, error) {
			if _, err := waitForSignal(ctx); err != nil || in != "in" {
				return family{}, errors.Join(err, errors.New(in))
			}
			info := workflow.GetInfo(ctx)
			return family{info.ParentWorkflowExecution.ID, info.RootWorkflowExecution.ID, letters(info.Priority.PriorityKey)}, nil
		},
	}, nil)
	run := s.start("parent")
	s.begun(run)
	s.halfway()
	d, err := s.client.DescribeWorkflow(s.ctx, s.id("child"), "")
	s.must(err)
	word, _ := d.TypedSearchAttributes.GetKeyword(temporal.NewSearchAttributeKeyKeyword("Word"))
	summary, _ := d.GetStaticSummary()
	s.same([]string{word, summary, d.ParentWorkflowExecution.ID}, []string{"child", "a child", run.GetID()})
	s.signal(s.byID("child"), "go", "end")
	s.same(result[family](s, run), family{run.GetID(), run.GetID(), "1"})
}

// childAfterParentClosed plays all parent close policies.
func childAfterParentClosed(s *scene) {
	policies := map[string]enumspb.ParentClosePolicy{
		"terminated": enumspb.PARENT_CLOSE_POLICY_TERMINATE, "canceled": enumspb.PARENT_CLOSE_POLICY_REQUEST_CANCEL, "abandoned": enumspb.PARENT_CLOSE_POLICY_ABANDON,
	}
	s.work(flows{
		"parent": func(ctx workflow.Context) (string, error) {
			for _, name := range workflow.DeterministicKeys(policies) {
				o := workflow.ChildWorkflowOptions{WorkflowID: s.id(name), ParentClosePolicy: policies[name]}
				if err := workflow.ExecuteChildWorkflow(child(ctx, o), "child").GetChildWorkflowExecution().Get(ctx, nil); err != nil {
					return "", err
				}
			}
			return waitForSignal(ctx)
		},
		"child": func(ctx workflow.Context) (string, error) {
			var got string
			workflow.NewSelector(ctx).
				AddReceive(workflow.GetSignalChannel(ctx, "go"), func(c workflow.ReceiveChannel, _ bool) { c.Receive(ctx, &got) }).
				AddReceive(ctx.Done(), func(workflow.ReceiveChannel, bool) {}).Select(ctx)
			return got, ctx.Err()
		},
	}, nil)
	run := s.start("parent")
	for range policies {
		s.begun(run)
	}
	s.signal(run, "go", "end")
	s.same(result[string](s, run), "end")
	s.halfway()
	s.check(is[*temporal.TerminatedError](s.failure(s.byID("terminated"))), "not terminated")
	s.check(temporal.IsCanceledError(s.failure(s.byID("canceled"))), "not canceled")
	s.signal(s.byID("abandoned"), "go", "alive")
	s.same(result[string](s, s.byID("abandoned")), "alive")
}

func childIDConflict(s *scene) {
	s.work(flows{
		"other": waitForSignal, "child": waitForSignal,
		"parent": func(ctx workflow.Context) (string, error) {
			err := workflow.ExecuteChildWorkflow(child(ctx, workflow.ChildWorkflowOptions{WorkflowID: s.id("other")}), "child").Get(ctx, nil)
			if !temporal.IsWorkflowExecutionAlreadyStartedError(err) {
				return "", err
			}
			workflow.GetSignalChannel(ctx, "on").Receive(ctx, nil)
			o := workflow.ChildWorkflowOptions{WorkflowID: s.id("other"), WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE}
			err = workflow.ExecuteChildWorkflow(child(ctx, o), "child").Get(ctx, nil)
			if !temporal.IsWorkflowExecutionAlreadyStartedError(err) {
				return "", err
			}
			return "refused twice", nil
		},
	}, nil)
	other := s.start("other")
	run := s.start("parent")
	s.await(run, enumspb.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_FAILED)
	s.halfway()
	s.signal(other, "go", "end")
	result[string](s, other)
	s.signal(run, "on", nil)
	s.same(result[string](s, run), "refused twice")
}

func childCanceled(s *scene) {
	s.work(flows{
		"parent": func(ctx workflow.Context) error {
			inner, cancel := workflow.WithCancel(ctx)
			o := workflow.ChildWorkflowOptions{WorkflowID: s.id("child"), WaitForCancellation: true}
			running := workflow.ExecuteChildWorkflow(child(inner, o), "child")
			if _, err := waitForSignal(ctx); err != nil {
				return err
			}
			cancel()
			return running.Get(ctx, nil)
		},
		"child": func(ctx workflow.Context) error { return workflow.Sleep(ctx, time.Hour) },
	}, nil)
	run := s.start("parent")
	s.begun(run)
	s.halfway()
	s.signal(run, "go", "on")
	err := s.failure(run)
	s.check(temporal.IsCanceledError(s.failure(s.byID("child"))), "the child was not canceled")
	var canceled *temporal.CanceledError
	s.check(errors.As(err, &canceled), "the parent ended with %v", err)
	s.same(count(s.history(run.GetID(), ""), enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_CANCELED), 1)
}

func childSignaled(s *scene) {
	s.work(flows{
		"parent": func(ctx workflow.Context) (got []int, err error) {
			running := workflow.ExecuteChildWorkflow(child(ctx, workflow.ChildWorkflowOptions{WorkflowID: s.id("child")}), "child")
			for n := range 10 {
				if n == 5 {
					workflow.GetSignalChannel(ctx, "go").Receive(ctx, nil)
				}
				if err := running.SignalChildWorkflow(ctx, "number", n).Get(ctx, nil); err != nil {
					return nil, err
				}
			}
			if err := running.SignalChildWorkflow(ctx, "stop", nil).Get(ctx, nil); err != nil {
				return nil, err
			}
			return got, running.Get(ctx, &got)
		},
		"child": collect,
	}, nil)
	run := s.start("parent")
	s.await(run, enumspb.EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_SIGNALED)
	s.halfway()
	s.signal(run, "go", nil)
	s.same(result[[]int](s, run), []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9})
}

func childContinuesAsNew(s *scene) {
	s.work(flows{
		"parent": parentOf(workflow.ChildWorkflowOptions{WorkflowID: s.id("child")}),
		"child": func(ctx workflow.Context) (string, error) {
			if got, _ := waitForSignal(ctx); got != "end" {
				return "", workflow.NewContinueAsNewError(ctx, "child")
			}
			return "of the last run", nil
		},
	}, nil)
	run := s.start("parent")
	s.begun(run)
	first := s.client.GetWorkflow(s.ctx, s.id("child"), s.describe(run).PendingChildren[0].RunId)
	s.signal(first, "go", "on")
	s.await(first, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW)
	s.halfway()
	s.signal(first, "go", "end")
	s.same(result[string](s, run), "of the last run")
}

func childRetried(s *scene) {
	s.work(flows{
		"parent": parentOf(workflow.ChildWorkflowOptions{WorkflowID: s.id("child"), RetryPolicy: &temporal.RetryPolicy{InitialInterval: time.Millisecond, MaximumAttempts: 3}}),
		"child": func(ctx workflow.Context) (string, error) {
			if workflow.GetInfo(ctx).Attempt < 3 {
				return "", errors.New("not yet")
			}
			return waitForSignal(ctx)
		},
	}, nil)
	run := s.start("parent")
	s.begun(run)
	s.halfway()
	s.signal(s.byID("child"), "go", "third attempt") // it is remembered by the run it meets: only the last one waits for it
	for s.describe(run).WorkflowExecutionInfo.Status == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
		if err := s.client.SignalWorkflow(s.ctx, s.id("child"), "", "go", "third attempt"); err != nil {
			break
		}
	}
	s.same(result[string](s, run), "third attempt")
}

// childCron repeats until it is canceled; only then the parent hears of it.
func childCron(s *scene) {
	s.work(flows{
		"parent": parentOf(workflow.ChildWorkflowOptions{WorkflowID: s.id("child"), CronSchedule: "@every 1s"}),
		"child":  func(workflow.Context) (string, error) { return "again", nil },
	}, nil)
	run := s.start("parent")
	s.begun(run)
	first := s.client.GetWorkflow(s.ctx, s.id("child"), s.describe(run).PendingChildren[0].RunId)
	s.await(first, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED)
	s.halfway()
	s.hasStatus(run, enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING)
	s.must(s.client.TerminateWorkflow(s.ctx, s.id("child"), "", "enough"))
	var failed *temporal.ChildWorkflowExecutionError
	err := s.failure(run)
	s.check(errors.As(err, &failed) && is[*temporal.TerminatedError](err), "got %v", err)
}

func childFailures(s *scene) {
	s.work(flows{
		"parent": func(ctx workflow.Context) ([]string, error) {
			var got []string
			for _, kind := range []string{"fails", "late"} {
				o := workflow.ChildWorkflowOptions{WorkflowID: s.id(kind), WorkflowRunTimeout: 2 * time.Second}
				err := workflow.ExecuteChildWorkflow(child(ctx, o), kind).Get(ctx, nil)
				var failed *temporal.ChildWorkflowExecutionError
				if !errors.As(err, &failed) {
					return nil, err
				}
				got = append(got, failed.WorkflowType())
				var app *temporal.ApplicationError
				var timeout *temporal.TimeoutError
				switch {
				case errors.As(err, &app):
					got = append(got, app.Type())
				case errors.As(err, &timeout):
					got = append(got, timeout.TimeoutType().String())
				}
			}
			return got, nil
		},
		"fails": func(workflow.Context) error { return temporal.NewApplicationError("no", "Special") },
		"late":  func(ctx workflow.Context) error { return workflow.Sleep(ctx, time.Hour) },
	}, nil)
	run := s.start("parent")
	s.await(run, enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_FAILED)
	s.halfway()
	s.same(result[[]string](s, run), []string{"fails", "Special", "late", "StartToClose"})
}

func childTerminated(s *scene) {
	s.work(flows{"parent": parentOf(workflow.ChildWorkflowOptions{WorkflowID: s.id("child")}), "child": waitForSignal}, nil)
	run := s.start("parent")
	s.begun(run)
	s.halfway()
	s.must(s.client.TerminateWorkflow(s.ctx, s.id("child"), "", "enough"))
	s.check(is[*temporal.TerminatedError](s.failure(run)), "the parent does not know")
}

func childMany(s *scene) {
	const many = 40
	s.work(flows{
		"parent": func(ctx workflow.Context) (sum int, err error) {
			var all []workflow.ChildWorkflowFuture
			for i := range many {
				all = append(all, workflow.ExecuteChildWorkflow(child(ctx, workflow.ChildWorkflowOptions{WorkflowID: s.id(letters(i))}), "child", i))
			}
			for _, f := range all {
				var n int
				if err := f.Get(ctx, &n); err != nil {
					return 0, err
				}
				sum += n
			}
			return sum, nil
		},
		"child": func(ctx workflow.Context, n int) (int, error) { return n, workflow.Sleep(ctx, 100*time.Millisecond) },
	}, nil)
	run := s.start("parent")
	s.begun(run)
	s.halfway()
	s.same(result[int](s, run), many*(many-1)/2)
}

// childOnASlowQueue has no worker until its parent was killed halfway.
func childOnASlowQueue(s *scene) {
	queue := s.id("slow")
	s.work(flows{"parent": parentOf(workflow.ChildWorkflowOptions{WorkflowID: s.id("child"), TaskQueue: queue})}, nil)
	run := s.start("parent")
	s.begun(run)
	s.halfway()
	s.workWith(s.client, queue, worker.Options{}, flows{"child": func(workflow.Context) (string, error) { return "at last", nil }}, nil)
	s.same(result[string](s, run), "at last")
}
