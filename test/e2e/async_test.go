package e2e

import (
	"context"
	"errors"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

var asyncCases = []testCase{
	{"async_complete_by_token", asyncByToken},
	{"async_complete_by_id", asyncByID},
	{"async_fail_and_cancel", asyncFailAndCancel},
	{"async_heartbeat_from_outside", asyncHeartbeat},
	{"async_second_answer_refused", asyncSecondAnswer},
	{"async_answer_after_the_close", asyncAfterTheClose},
}

// asyncRun starts a workflow with an activity that somebody else will complete.
func (s *scene) asyncRun(short string) (run client.WorkflowRun, token []byte) {
	s.Helper()
	tokens := make(chan []byte, 8)
	o := soon(workflow.ActivityOptions{ActivityID: "the-one", StartToCloseTimeout: time.Hour, RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 1}, WaitForCancellation: true})
	s.work(flows{short: do(o)}, acts{"do": func(ctx context.Context) (string, error) {
		tokens <- activity.GetInfo(ctx).TaskToken
		return "", activity.ErrResultPending
	}})
	run = s.start(short)
	select {
	case token = <-tokens:
	case <-s.ctx.Done():
		s.Fatal("the activity never began")
	}
	return run, token
}

func asyncByToken(s *scene) {
	run, token := s.asyncRun("token")
	s.halfway()
	s.must(s.client.CompleteActivity(s.ctx, token, "from outside", nil))
	s.same(result[string](s, run), "from outside")
}

func asyncByID(s *scene) {
	run, _ := s.asyncRun("id")
	s.halfway()
	err := s.client.CompleteActivityByID(s.ctx, home, run.GetID(), "", "another", "no", nil)
	s.check(is[*serviceerror.NotFound](err), "an unknown activity: %v", err)
	s.must(s.client.CompleteActivityByID(s.ctx, home, run.GetID(), "", "the-one", "by id", nil))
	s.same(result[string](s, run), "by id")
}

func asyncFailAndCancel(s *scene) {
	run, token := s.asyncRun("fails")
	s.halfway()
	s.must(s.client.CompleteActivity(s.ctx, token, nil, temporal.NewNonRetryableApplicationError("from outside", "Outside", nil)))
	var app *temporal.ApplicationError
	s.check(errors.As(s.failure(run), &app) && app.Type() == "Outside", "not failed from outside")
	again := s.start("fails")
	s.await(again, enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED)
	s.must(s.client.CancelWorkflow(s.ctx, again.GetID(), ""))
	s.await(again, enumspb.EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED)
	err := s.client.CompleteActivityByID(s.ctx, home, again.GetID(), "", "the-one", nil, temporal.NewCanceledError("from outside"))
	s.check(err == nil || is[*serviceerror.NotFound](err), "got %v", err) // it was canceled unstarted if the worker was slow
	s.check(temporal.IsCanceledError(s.failure(again)), "not canceled")
}

func asyncHeartbeat(s *scene) {
	run, token := s.asyncRun("beats")
	s.must(s.client.RecordActivityHeartbeat(s.ctx, token, "one"))
	s.halfway()
	s.must(s.client.RecordActivityHeartbeatByID(s.ctx, home, run.GetID(), "", "the-one", "two"))
	d := s.describe(run).PendingActivities[0]
	var details string
	s.must(fromPayload(d.HeartbeatDetails.Payloads[0], &details))
	s.same(details, "two")
	s.must(s.client.CancelWorkflow(s.ctx, run.GetID(), ""))
	s.await(run, enumspb.EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED)
	beat, err := s.api.RecordActivityTaskHeartbeat(s.ctx, &workflowservice.RecordActivityTaskHeartbeatRequest{Namespace: home, TaskToken: token})
	s.must(err)
	s.check(beat.CancelRequested, "the heartbeat does not tell of the cancel")
	s.must(s.client.CompleteActivity(s.ctx, token, "anyway", nil))
	s.same(result[string](s, run), "anyway")
}

func asyncSecondAnswer(s *scene) {
	run, token := s.asyncRun("twice")
	answer := func(result string) error {
		_, err := s.api.RespondActivityTaskCompleted(s.ctx, &workflowservice.RespondActivityTaskCompletedRequest{Namespace: home, TaskToken: token, Result: payloads(result)})
		return err
	}
	s.must(answer("first"))
	s.halfway()
	err := answer("second")
	s.check(is[*serviceerror.NotFound](err), "a second answer: %v", err)
	s.same(result[string](s, run), "first")
	s.same(count(s.history(run.GetID(), ""), enumspb.EVENT_TYPE_ACTIVITY_TASK_COMPLETED), 1)
}

func asyncAfterTheClose(s *scene) {
	run, token := s.asyncRun("gone")
	s.terminate(run)
	s.halfway()
	_, err := s.api.RespondActivityTaskCompleted(s.ctx, &workflowservice.RespondActivityTaskCompletedRequest{Namespace: home, TaskToken: token})
	s.check(is[*serviceerror.NotFound](err), "an answer after the close: %v", err)
	_, err = s.api.RecordActivityTaskHeartbeat(s.ctx, &workflowservice.RecordActivityTaskHeartbeatRequest{Namespace: home, TaskToken: token})
	s.check(is[*serviceerror.NotFound](err), "a heartbeat after the close: %v", err)
}
