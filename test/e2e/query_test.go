package e2e

import (
	"context"
	"errors"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/workflow"
)

var queryCases = []testCase{
	{"query_sees_every_signal", querySeesEverySignal},
	{"query_fails", queryFails},
	{"query_of_closed", queryOfClosed},
	{"query_rejected_by_status", queryRejectedByStatus},
	{"query_without_worker", queryWithoutWorker},
	{"query_before_first_task", queryBeforeFirstTask},
	{"query_waits_for_a_worker", queryWaitsForAWorker},
	{"query_many_at_once", queryManyAtOnce},
}

// counter counts "add" signals, answers queries, and ends with "go".
func counter(ctx workflow.Context) (string, error) {
	n := 0
	if err := workflow.SetQueryHandler(ctx, "state", func(plus int) (int, error) { return n + plus, nil }); err != nil {
		return "", err
	}
	if err := workflow.SetQueryHandler(ctx, "bad", func() (int, error) { return 0, errors.New("bad question") }); err != nil {
		return "", err
	}
	workflow.Go(ctx, func(ctx workflow.Context) {
		for {
			workflow.GetSignalChannel(ctx, "add").Receive(ctx, nil)
			n++
		}
	})
	return waitForSignal(ctx)
}

func (s *scene) query(run client.WorkflowRun, kind string, args ...any) (n int, err error) {
	s.Helper()
	v, err := s.client.QueryWorkflow(s.ctx, run.GetID(), run.GetRunID(), kind, args...)
	late := func() bool {
		return is[*serviceerror.DeadlineExceeded](err) || errors.Is(err, context.DeadlineExceeded)
	}
	for late() && s.ctx.Err() == nil { // the SDK gives up after 10 s
		v, err = s.client.QueryWorkflow(s.ctx, run.GetID(), run.GetRunID(), kind, args...)
	}
	if err != nil {
		return 0, err
	}
	return n, v.Get(&n)
}

func (s *scene) asked(run client.WorkflowRun, want int) {
	s.Helper()
	got, err := s.query(run, "state", 0)
	s.must(err)
	s.same(got, want)
}

func querySeesEverySignal(s *scene) {
	s.work(flows{"counter": counter}, nil)
	run := s.start("counter")
	for n := range 20 {
		s.asked(run, n)
		s.signal(run, "add", nil)
	}
	s.halfway()
	for n := range 20 {
		s.asked(run, 20+n)
		s.signal(run, "add", nil)
	}
	got, err := s.query(run, "state", 1000)
	s.must(err)
	s.same(got, 1040)
	s.signal(run, "go", "end")
	result[string](s, run)
}

func queryFails(s *scene) {
	s.work(flows{"counter": counter}, nil)
	run := s.start("counter")
	for _, kind := range []string{"bad", "unknown"} {
		_, err := s.query(run, kind)
		s.check(is[*serviceerror.QueryFailed](err), "query %s: %v", kind, err)
	}
	s.halfway()
	_, err := s.query(run, "bad")
	s.check(is[*serviceerror.QueryFailed](err), "got %v", err)
	for _, kind := range []string{client.QueryTypeStackTrace, client.QueryTypeOpenSessions, "__temporal_workflow_metadata"} {
		_, err := s.client.QueryWorkflow(s.ctx, run.GetID(), "", kind)
		s.check(err == nil || is[*serviceerror.QueryFailed](err), "query %s: %v", kind, err)
	}
	s.asked(run, 0)
	s.terminate(run)
}

func queryOfClosed(s *scene) {
	s.work(flows{"counter": counter}, nil)
	run := s.start("counter")
	s.signal(run, "add", nil)
	s.signal(run, "go", "fail")
	s.failure(run)
	s.halfway()
	s.asked(run, 1)
	s.asked(s.client.GetWorkflow(s.ctx, run.GetID(), ""), 1)
}

func queryRejectedByStatus(s *scene) {
	s.work(flows{"counter": counter}, nil)
	good, bad := s.startWith(client.StartWorkflowOptions{ID: s.id("good")}, "counter"), s.startWith(client.StartWorkflowOptions{ID: s.id("bad")}, "counter")
	s.halfway()
	ask := func(run client.WorkflowRun, c enumspb.QueryRejectCondition) *enumspb.WorkflowExecutionStatus {
		got, err := s.client.QueryWorkflowWithOptions(s.ctx, &client.QueryWorkflowWithOptionsRequest{WorkflowID: run.GetID(), QueryType: "state", Args: []any{0}, QueryRejectCondition: c})
		s.must(err)
		if got.QueryRejected == nil {
			return nil
		}
		return &got.QueryRejected.Status
	}
	notOpen, notClean := enumspb.QUERY_REJECT_CONDITION_NOT_OPEN, enumspb.QUERY_REJECT_CONDITION_NOT_COMPLETED_CLEANLY
	s.check(ask(good, notOpen) == nil && ask(good, notClean) == nil, "a query of an open run was rejected")
	s.signal(good, "go", "end")
	s.signal(bad, "go", "fail")
	result[string](s, good)
	s.failure(bad)
	s.same(*ask(good, notOpen), enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED)
	s.check(ask(good, notClean) == nil, "a query of a completed run was rejected")
	s.same(*ask(bad, notClean), enumspb.WORKFLOW_EXECUTION_STATUS_FAILED)
}

func queryWithoutWorker(s *scene) {
	run := s.start("counter")
	s.halfway()
	ctx, cancel := context.WithTimeout(s.ctx, 2*time.Second)
	defer cancel()
	_, err := s.client.QueryWorkflow(ctx, run.GetID(), "", "state", 0)
	s.check(err != nil, "nobody can have answered")
	s.check(!is[*serviceerror.NotFound](err) && !is[*serviceerror.Internal](err), "got %v", err)
	s.work(flows{"counter": counter}, nil)
	s.asked(run, 0)
	s.terminate(run)
}

func queryBeforeFirstTask(s *scene) {
	s.work(flows{"counter": counter}, nil)
	run := s.startWith(client.StartWorkflowOptions{StartDelay: time.Hour}, "counter")
	s.halfway()
	_, err := s.query(run, "state", 0)
	s.check(is[*serviceerror.WorkflowNotReady](err), "got %v", err)
	s.terminate(run)
	_, err = s.query(run, "state", 0)
	s.check(is[*serviceerror.WorkflowNotReady](err), "after its end: %v", err)
}

// queryWaitsForAWorker asks before the first task is done; the answer comes when somebody works, after the kill.
func queryWaitsForAWorker(s *scene) {
	run := s.start("counter")
	s.signal(run, "add", nil)
	answered := make(chan error, 1)
	go func() {
		n, err := s.query(run, "state", 0)
		if err == nil && n != 1 {
			err = errors.New("the query did not see the signal before it")
		}
		answered <- err
	}()
	s.halfway()
	s.work(flows{"counter": counter}, nil)
	s.must(<-answered)
	s.terminate(run)
}

func queryManyAtOnce(s *scene) {
	s.work(flows{"counter": counter}, nil)
	run := s.start("counter")
	s.signal(run, "add", nil)
	ask := func() {
		s.each(30, func(i int) error {
			n, err := s.query(run, "state", i)
			if err == nil && n != 1+i {
				err = errors.New("the answer was of another query")
			}
			return err
		})
	}
	ask()
	s.halfway()
	ask()
	s.terminate(run)
}
