package e2e

import (
	"context"
	"errors"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

var startCases = []testCase{
	{"start_and_result", startAndResult},
	{"start_carries_everything", startCarriesEverything},
	{"start_of_a_running_id", startOfARunningID},
	{"start_terminates_the_existing", startTerminatesTheExisting},
	{"start_of_a_used_id", startOfAUsedID},
	{"start_repeated_by_request_id", startRepeatedByRequestID},
	{"start_attaches_to_the_existing", startAttachesToTheExisting},
	{"start_delayed", startDelayed},
	{"start_eager", startEager},
	{"start_with_links", startWithLinks},
	{"start_hundred_at_once", startHundredAtOnce},
}

// waitForSignal is the workflow of cases that need an open run: it ends with what "go" brings.
func waitForSignal(ctx workflow.Context) (string, error) {
	var got string
	workflow.GetSignalChannel(ctx, "go").Receive(ctx, &got)
	if got == "fail" {
		return "", errors.New("told to fail")
	}
	return got, nil
}

func echo(_ context.Context, s string) (string, error) { return s, nil }

func startAndResult(s *scene) {
	s.work(flows{"one": func(ctx workflow.Context, name string) (got string, err error) {
		workflow.GetSignalChannel(ctx, "go").Receive(ctx, nil)
		err = workflow.ExecuteActivity(withActivity(ctx), "echo", "hello "+name).Get(ctx, &got)
		return got, err
	}}, acts{"echo": echo})
	run := s.start("one", "you")
	s.started(run)
	s.halfway()
	s.signal(run, "go", nil)
	s.same(result[string](s, run), "hello you")
	s.hasStatus(run, enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED)
}

func startCarriesEverything(s *scene) {
	type seen struct {
		Note, Word string
		Count      int64
		Priority   int
		Fairness   string
		Timeouts   [3]time.Duration
	}
	s.work(flows{"all": func(ctx workflow.Context) (seen, error) {
		workflow.GetSignalChannel(ctx, "go").Receive(ctx, nil)
		info, v := workflow.GetInfo(ctx), seen{}
		attributes := workflow.GetTypedSearchAttributes(ctx)
		v.Word, _ = attributes.GetKeyword(temporal.NewSearchAttributeKeyKeyword("Word"))
		v.Count, _ = attributes.GetInt64(temporal.NewSearchAttributeKeyInt64("Count"))
		v.Priority, v.Fairness = info.Priority.PriorityKey, info.Priority.FairnessKey
		v.Timeouts = [3]time.Duration{info.WorkflowExecutionTimeout, info.WorkflowRunTimeout, info.WorkflowTaskTimeout}
		return v, fromPayload(info.Memo.Fields["note"], &v.Note)
	}}, nil)
	run := s.startWith(client.StartWorkflowOptions{
		Memo:     map[string]any{"note": "kept"},
		Priority: temporal.Priority{PriorityKey: 2, FairnessKey: "tenant", FairnessWeight: 2},
		TypedSearchAttributes: temporal.NewSearchAttributes(
			temporal.NewSearchAttributeKeyKeyword("Word").ValueSet("w"), temporal.NewSearchAttributeKeyInt64("Count").ValueSet(7),
			temporal.NewSearchAttributeKeyFloat64("Share").ValueSet(0.5), temporal.NewSearchAttributeKeyBool("Good").ValueSet(true),
			temporal.NewSearchAttributeKeyTime("When").ValueSet(time.Unix(1e9, 0)), temporal.NewSearchAttributeKeyKeywordList("Words").ValueSet([]string{"a", "b"}),
			temporal.NewSearchAttributeKeyString("Prose").ValueSet("some words"),
		),
		StaticSummary: "summary", StaticDetails: "details",
		WorkflowExecutionTimeout: time.Hour, WorkflowRunTimeout: 30 * time.Minute, WorkflowTaskTimeout: 20 * time.Second,
	}, "all")
	s.halfway()
	d, err := s.client.DescribeWorkflow(s.ctx, run.GetID(), "")
	s.must(err)
	summary, _ := d.GetStaticSummary()
	details, _ := d.GetStaticDetails()
	s.same([]string{summary, details, d.TaskQueueName, d.WorkflowType.Name}, []string{"summary", "details", s.queue, "all"})
	s.check(d.TypedSearchAttributes.Size() >= 7, "search attributes are missing: %v", d.TypedSearchAttributes.GetUntypedValues()) // the server adds its own
	words, _ := d.TypedSearchAttributes.GetKeywordList(temporal.NewSearchAttributeKeyKeywordList("Words"))
	s.same(words, []string{"a", "b"})
	s.signal(run, "go", nil)
	s.same(result[seen](s, run), seen{"kept", "w", 7, 2, "tenant", [3]time.Duration{time.Hour, 30 * time.Minute, 20 * time.Second}})
}

func startOfARunningID(s *scene) {
	s.work(flows{"open": waitForSignal}, nil)
	run := s.start("open")
	s.halfway()
	strict := client.StartWorkflowOptions{WorkflowExecutionErrorWhenAlreadyStarted: true}
	_, err := s.client.ExecuteWorkflow(s.ctx, s.options(strict, "open"), "open")
	var already *serviceerror.WorkflowExecutionAlreadyStarted
	if !errors.As(err, &already) || already.RunId != run.GetRunID() {
		s.Errorf("a second start got %v", err)
	}
	s.same(s.start("open").GetRunID(), run.GetRunID()) // the SDK makes one of the error
	use := client.StartWorkflowOptions{WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING, WorkflowExecutionErrorWhenAlreadyStarted: true}
	s.same(s.startWith(use, "open").GetRunID(), run.GetRunID())
	s.signal(run, "go", "end")
	s.same(result[string](s, run), "end")
}

func startTerminatesTheExisting(s *scene) {
	s.work(flows{"open": waitForSignal}, nil)
	first := s.start("open")
	s.halfway()
	second := s.startWith(client.StartWorkflowOptions{WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING}, "open")
	s.check(first.GetRunID() != second.GetRunID(), "the second start got the first run")
	byID := s.client.GetWorkflow(s.ctx, first.GetID(), first.GetRunID())
	s.check(is[*temporal.TerminatedError](s.failure(byID)), "the first run was not terminated")
	third := s.startWith(client.StartWorkflowOptions{WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING}, "open")
	s.check(is[*temporal.TerminatedError](s.failure(s.client.GetWorkflow(s.ctx, second.GetID(), second.GetRunID()))), "the second run was not terminated")
	s.signal(third, "go", "end")
	s.same(result[string](s, third), "end")
}

func startOfAUsedID(s *scene) {
	s.work(flows{"once": waitForSignal}, nil)
	again := func(p enumspb.WorkflowIdReusePolicy) (client.WorkflowRun, error) {
		o := client.StartWorkflowOptions{WorkflowIDReusePolicy: p, WorkflowExecutionErrorWhenAlreadyStarted: true}
		return s.client.ExecuteWorkflow(s.ctx, s.options(o, "once"), "once")
	}
	run := s.start("once")
	s.signal(run, "go", "good")
	s.same(result[string](s, run), "good")
	s.halfway()
	for _, p := range []enumspb.WorkflowIdReusePolicy{enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE, enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY} {
		_, err := again(p)
		s.check(is[*serviceerror.WorkflowExecutionAlreadyStarted](err), "%s after success: %v", p, err)
	}
	run, err := again(enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE)
	s.must(err)
	s.signal(run, "go", "fail")
	s.failure(run)
	_, err = again(enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE)
	s.check(is[*serviceerror.WorkflowExecutionAlreadyStarted](err), "reject after failure: %v", err)
	run, err = again(enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY)
	s.must(err)
	s.signal(run, "go", "good")
	s.same(result[string](s, run), "good")
}

func startRepeatedByRequestID(s *scene) {
	s.work(flows{"again": waitForSignal}, nil)
	start := func(requestID string) (*workflowservice.StartWorkflowExecutionResponse, error) {
		return s.api.StartWorkflowExecution(s.ctx, s.startRequest("again", requestID))
	}
	first, err := start("a")
	s.must(err)
	s.halfway()
	repeated, err := start("a")
	s.must(err)
	s.check(first.RunId == repeated.RunId && repeated.Started, "a repeated start: %v, after %v", repeated, first)
	_, err = start("b")
	s.check(is[*serviceerror.WorkflowExecutionAlreadyStarted](err), "another request: %v", err)
	run := s.client.GetWorkflow(s.ctx, s.id("again"), "")
	for range 3 {
		_, err = s.api.SignalWorkflowExecution(s.ctx, &workflowservice.SignalWorkflowExecutionRequest{
			Namespace: home, WorkflowExecution: execution(run.GetID(), ""), SignalName: "go", Input: payloads("end"), RequestId: "signal",
		})
		s.must(err)
	}
	s.same(result[string](s, run), "end")
	repeated, err = start("a")
	s.must(err)
	s.same(repeated.RunId, first.RunId)
	s.same(count(s.history(run.GetID(), first.RunId), enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED), 1)
}

func startAttachesToTheExisting(s *scene) {
	s.work(flows{"open": waitForSignal}, nil)
	first, err := s.api.StartWorkflowExecution(s.ctx, s.startRequest("open", "a"))
	s.must(err)
	s.halfway()
	attach := s.startRequest("open", "b")
	attach.WorkflowIdConflictPolicy = enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING
	attach.OnConflictOptions = &workflowpb.OnConflictOptions{AttachRequestId: true, AttachLinks: true}
	attach.Links = []*commonpb.Link{link("elsewhere")}
	for range 2 {
		res, err := s.api.StartWorkflowExecution(s.ctx, proto.CloneOf(attach))
		s.must(err)
		s.check(res.RunId == first.RunId && !res.Started, "attached start got %v", res)
	}
	run := s.client.GetWorkflow(s.ctx, s.id("open"), "")
	s.signal(run, "go", "end")
	s.same(result[string](s, run), "end")
	events := s.history(run.GetID(), "")
	s.same(count(events, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_OPTIONS_UPDATED), 1)
	for _, e := range events {
		if o := e.GetWorkflowExecutionOptionsUpdatedEventAttributes(); o != nil {
			s.check(o.AttachedRequestId == "b" && len(e.Links) == 1, "attached: %v", e)
		}
	}
}

func startDelayed(s *scene) {
	s.work(flows{"soon": waitForSignal, "later": waitForSignal, "never": waitForSignal}, nil)
	soon := s.startWith(client.StartWorkflowOptions{StartDelay: time.Second}, "soon")
	hour := client.StartWorkflowOptions{StartDelay: time.Hour}
	later, never := s.startWith(hour, "later"), s.startWith(hour, "never")
	first := s.history(later.GetID(), "")
	s.same(len(first), 1)
	s.same(first[0].GetWorkflowExecutionStartedEventAttributes().FirstWorkflowTaskBackoff.AsDuration(), time.Hour)
	s.halfway()
	s.signal(soon, "go", "soon")
	s.same(result[string](s, soon), "soon")
	_, err := s.client.SignalWithStartWorkflow(s.ctx, later.GetID(), "go", "at once", s.options(hour, "later"), "later")
	s.must(err)
	s.same(result[string](s, later), "at once") // does not wait for the hour
	s.must(s.client.CancelWorkflow(s.ctx, never.GetID(), ""))
	s.signal(never, "go", "after the cancel")
	s.same(result[string](s, never), "after the cancel")
}

func startEager(s *scene) {
	s.workWith(s.client, s.queue, worker.Options{}, flows{"eager": waitForSignal}, nil)
	run := s.startWith(client.StartWorkflowOptions{EnableEagerStart: true}, "eager")
	s.started(run)
	raw := s.startRequest("raw", "a")
	raw.RequestEagerExecution = true
	got, err := s.api.StartWorkflowExecution(s.ctx, raw)
	s.must(err)
	s.check(got.EagerWorkflowTask != nil && len(got.EagerWorkflowTask.History.Events) == 3, "no eager task in %v", got)
	s.halfway()
	s.signal(run, "go", "end")
	s.same(result[string](s, run), "end")
	again, err := s.api.StartWorkflowExecution(s.ctx, proto.CloneOf(raw)) // the same request: the same answer
	s.must(err)
	s.same(again.RunId, got.RunId)
	s.terminate(s.client.GetWorkflow(s.ctx, raw.WorkflowId, ""))
}

func link(workflowID string) *commonpb.Link {
	return &commonpb.Link{Variant: &commonpb.Link_WorkflowEvent_{WorkflowEvent: &commonpb.Link_WorkflowEvent{
		Namespace: home, WorkflowId: workflowID, RunId: "11111111-2222-4333-8444-555555555555",
		Reference: &commonpb.Link_WorkflowEvent_EventRef{EventRef: &commonpb.Link_WorkflowEvent_EventReference{EventId: 1, EventType: enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED}},
	}}}
}

func startWithLinks(s *scene) {
	s.work(flows{"linked": waitForSignal}, nil)
	req := s.startRequest("linked", "a")
	req.Links = []*commonpb.Link{link("a"), link("b")}
	req.WorkflowTaskTimeout = durationpb.New(5 * time.Second)
	_, err := s.api.StartWorkflowExecution(s.ctx, req)
	s.must(err)
	s.halfway()
	_, err = s.api.SignalWorkflowExecution(s.ctx, &workflowservice.SignalWorkflowExecutionRequest{
		Namespace: home, WorkflowExecution: execution(req.WorkflowId, ""), SignalName: "go", Input: payloads("end"), RequestId: "b", Links: []*commonpb.Link{link("c")},
	})
	s.must(err)
	run := s.client.GetWorkflow(s.ctx, req.WorkflowId, "")
	s.same(result[string](s, run), "end")
	events := s.history(req.WorkflowId, "")
	s.check(len(events[0].Links) == 2 && proto.Equal(events[0].Links[1], link("b")), "the start has links %v", events[0].Links)
	for _, e := range events {
		if e.EventType == enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED {
			s.check(len(e.Links) == 1 && proto.Equal(e.Links[0], link("c")), "the signal has links %v", e.Links)
		}
	}
}

func startHundredAtOnce(s *scene) {
	s.work(flows{"small": func(ctx workflow.Context, n int) (got int, err error) {
		workflow.GetSignalChannel(ctx, "go").Receive(ctx, nil)
		err = workflow.ExecuteActivity(withActivity(ctx), "double", n).Get(ctx, &got)
		return got, err
	}}, acts{"double": func(_ context.Context, n int) (int, error) { return 2 * n, nil }})
	const many = 100
	var runs [many]client.WorkflowRun
	s.each(many, func(i int) error {
		run, err := s.client.ExecuteWorkflow(s.ctx, client.StartWorkflowOptions{ID: s.id(letters(i)), TaskQueue: s.queue}, "small", i)
		runs[i] = run
		return err
	})
	s.halfway()
	s.each(many, func(i int) error {
		if err := s.client.SignalWorkflow(s.ctx, runs[i].GetID(), "", "go", nil); err != nil {
			return err
		}
		var got int
		if err := runs[i].Get(s.ctx, &got); err != nil {
			return err
		}
		if got != 2*i {
			return errors.New("wrong result")
		}
		return nil
	})
}
