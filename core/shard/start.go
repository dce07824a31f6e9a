package shard

import (
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/workflowservice/v1"

	"perdure/core/port"
	"perdure/core/run"
	"perdure/core/validate"
)

// currentRun loads the current run of the request's workflow id, nil if there is none.
func (s *Shard) currentRun(k port.RunKey, in port.Input) (*entry, bool) {
	k.RunID = ""
	e, ok := s.load(k, in)
	if !ok {
		return nil, false
	}
	if e != nil && e.run == nil {
		e = nil
	}
	return e, true
}

// start serves StartWorkflowExecution: reuse and conflict policies decide.
func (s *Shard) start(r *port.Request, req *workflowservice.StartWorkflowExecutionRequest) {
	old, ok := s.currentRun(r.Run, r)
	if !ok {
		return
	}
	if old != nil && s.startedBefore(r, req, old) {
		return
	}
	env := s.env(r.Namespace.ID, r.Run)
	spec := startSpec(env, r, req)
	if old == nil {
		s.startNew(r, req, spec)
		return
	}
	if !old.run.Closed() {
		s.startOverRunning(r, req, old, spec)
		return
	}
	if f := reuse(old, req.WorkflowIdReusePolicy); f != nil {
		s.refused(r, f)
		return
	}
	s.startNew(r, req, spec)
}

// startedBefore answers a repeated start as the first one was.
func (s *Shard) startedBefore(r *port.Request, req *workflowservice.StartWorkflowExecutionRequest, old *entry) bool {
	if _, attached := old.run.Attached(r.Key); attached {
		s.answer(r, &workflowservice.StartWorkflowExecutionResponse{
			RunId: old.key.RunID, FirstExecutionRunId: old.run.S.FirstRunId, Status: old.run.Status(),
			Link: requestLink(r.Namespace.Name, old.key, r.Key, optionsEvent),
		})
		return true
	}
	if old.run.S.StartRequestId != r.Key {
		return false
	}
	s.answerStarted(r, req, old)
	return true
}

// answerStarted answers a start with its run, and with the first task if the
// caller asked for it and nobody else has it.
func (s *Shard) answerStarted(r *port.Request, req *workflowservice.StartWorkflowExecutionRequest, e *entry) {
	res := &workflowservice.StartWorkflowExecutionResponse{
		RunId: e.key.RunID, FirstExecutionRunId: e.run.S.FirstRunId, Started: true, Status: e.run.Status(),
		Link: eventLink(r.Namespace.Name, e.key, 1, startedEvent),
	}
	if task := e.run.S.Task; req.RequestEagerExecution && task != nil && task.StartedId == 3 && task.Attempt == 1 && !e.run.Closed() {
		bs, ok := s.window(e, 1, maxPage, r)
		if !ok {
			return
		}
		const eagerTask = 2 // StartWorkflowExecutionResponse.eager_workflow_task
		inner := s.taskAnswer(e, bs, nil)
		s.log.Reply(port.Reply{Call: r.Call, Body: &port.Answer{Message: res, Inner: inner, InnerField: eagerTask}, Token: e.run.Token()}, s.log.Seq(), s.out)
		return
	}
	s.answer(r, res)
}

func (s *Shard) startNew(r *port.Request, req *workflowservice.StartWorkflowExecutionRequest, spec run.Spec) {
	env := s.env(r.Namespace.ID, r.Run)
	s.knowAbsent()
	e := s.adopt(run.New(env, spec))
	s.answerStarted(r, req, e)
}

func (s *Shard) startOverRunning(r *port.Request, req *workflowservice.StartWorkflowExecutionRequest, old *entry, spec run.Spec) {
	switch req.WorkflowIdConflictPolicy {
	case enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING:
		s.useExisting(r, req, old)
	case enumspb.WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING:
		s.terminateFor(old, spec.RunID)
		s.startNew(r, req, spec)
	default:
		s.refused(r, alreadyRunning(old))
	}
}

func (s *Shard) useExisting(r *port.Request, req *workflowservice.StartWorkflowExecutionRequest, old *entry) {
	res := &workflowservice.StartWorkflowExecutionResponse{
		RunId: old.key.RunID, FirstExecutionRunId: old.run.S.FirstRunId, Status: old.run.Status(),
		Link: eventLink(r.Namespace.Name, old.key, 1, startedEvent),
	}
	o := req.OnConflictOptions
	if o == nil {
		s.answer(r, res)
		return
	}
	attach := attachment(req)
	c := old.run.Attach(s.env(old.key.NamespaceID, old.key), attach.requestID, attach.callbacks, attach.links)
	if attach.requestID != "" {
		res.Link = requestLink(r.Namespace.Name, old.key, attach.requestID, optionsEvent)
	}
	s.finish(r, old, c, res)
}

// terminateFor ends the running run in favour of a new one, in the same record.
func (s *Shard) terminateFor(old *entry, newRunID string) {
	c, _ := old.run.Terminate(s.env(old.key.NamespaceID, old.key), "TerminateIfRunning WorkflowIdReusePolicy", terminatedBy(newRunID), "history-service", nil)
	s.apply(old, c)
}

func alreadyRunning(e *entry) *port.Refusal {
	return port.AlreadyStarted("Workflow execution is already running. WorkflowId: "+e.key.WorkflowID+", RunId: "+e.key.RunID+".",
		e.run.S.StartRequestId, e.key.RunID, e.run.S.FirstRunId)
}

// reuse says whether the id of a closed run may be used again.
func reuse(old *entry, p enumspb.WorkflowIdReusePolicy) *port.Refusal {
	finished := func(how, policy string) *port.Refusal {
		return port.AlreadyStarted("Workflow execution already finished"+how+". WorkflowId: "+old.key.WorkflowID+", RunId: "+old.key.RunID+". Workflow Id reuse policy: "+policy+".",
			old.run.S.StartRequestId, old.key.RunID, old.run.S.FirstRunId)
	}
	switch p {
	case enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE:
		return finished("", "reject duplicate workflow Id")
	case enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY:
		switch old.run.Status() {
		case enumspb.WORKFLOW_EXECUTION_STATUS_FAILED, enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED,
			enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED, enumspb.WORKFLOW_EXECUTION_STATUS_TIMED_OUT:
			return nil
		}
		return finished(" successfully", "allow duplicate workflow Id if last run failed")
	}
	return nil
}

// startSpec turns the request into the beginning of a run.
func startSpec(env *run.Env, r *port.Request, req *workflowservice.StartWorkflowExecutionRequest) run.Spec {
	spec := run.Spec{
		WorkflowID: req.WorkflowId, RunID: env.NewRunID(), RequestID: r.Key, Links: req.Links, UserMetadata: req.UserMetadata, Callbacks: req.CompletionCallbacks,
		Started: &historypb.WorkflowExecutionStartedEventAttributes{
			WorkflowType: req.WorkflowType, TaskQueue: req.TaskQueue, Input: req.Input, Header: req.Header, Identity: req.Identity,
			WorkflowExecutionTimeout: req.WorkflowExecutionTimeout, WorkflowRunTimeout: req.WorkflowRunTimeout, WorkflowTaskTimeout: req.WorkflowTaskTimeout,
			RetryPolicy: req.RetryPolicy, CronSchedule: req.CronSchedule, Memo: req.Memo, SearchAttributes: req.SearchAttributes, Priority: req.Priority,
			LastCompletionResult: req.LastCompletionResult, ContinuedFailure: req.ContinuedFailure, CompletionCallbacks: req.CompletionCallbacks,
		},
		Backoff: validate.Capped(req.WorkflowStartDelay),
	}
	if req.CronSchedule != "" {
		spec.Backoff = run.CronBackoff(env, req.CronSchedule)
		spec.Started.Initiator = enumspb.CONTINUE_AS_NEW_INITIATOR_CRON_SCHEDULE
	}
	if req.RequestEagerExecution {
		spec.Eager = &run.Starter{Identity: req.Identity, RequestID: r.Key}
	}
	return spec
}

// signalWithStart signals the running run, or starts one and signals it, in one transition.
func (s *Shard) signalWithStart(r *port.Request, req *workflowservice.SignalWithStartWorkflowExecutionRequest) {
	old, ok := s.currentRun(r.Run, r)
	if !ok {
		return
	}
	sig := &run.Signal{Name: req.SignalName, Input: req.SignalInput, Header: req.Header, Identity: req.Identity, RequestID: req.RequestId, Key: r.Key, Links: req.Links}
	if old != nil && old.run.SignalTwice(r.Key) { // a repetition: its run may have closed since
		s.answerSignaled(r, req, old, old.run.Closed() && old.run.S.StartRequestId == r.Key)
		return
	}
	if old != nil && !old.run.Closed() {
		if req.WorkflowIdConflictPolicy != enumspb.WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING {
			s.signalRunning(r, req, old, sig)
			return
		}
	} else if old != nil {
		if f := reuse(old, req.WorkflowIdReusePolicy); f != nil {
			s.refused(r, f)
			return
		}
	}
	env := s.env(r.Namespace.ID, r.Run)
	spec := startSpec(env, r, startOf(req))
	spec.Signal = sig
	if old != nil && !old.run.Closed() {
		s.terminateFor(old, spec.RunID)
	}
	e := s.adopt(run.New(env, spec))
	s.answerSignaled(r, req, e, true)
}

func (s *Shard) signalRunning(r *port.Request, req *workflowservice.SignalWithStartWorkflowExecutionRequest, e *entry, sig *run.Signal) {
	c, f := e.run.SignalNow(s.env(e.key.NamespaceID, e.key), sig)
	if f != nil {
		s.refused(r, f)
		return
	}
	s.apply(e, c)
	if c != nil && c.Oversize != "" {
		s.refused(r, port.Invalid("%s", c.Oversize))
		return
	}
	s.answerSignaled(r, req, e, false)
}

func (s *Shard) answerSignaled(r *port.Request, req *workflowservice.SignalWithStartWorkflowExecutionRequest, e *entry, started bool) {
	s.answer(r, &workflowservice.SignalWithStartWorkflowExecutionResponse{
		RunId: e.key.RunID, FirstExecutionRunId: e.run.S.FirstRunId, Started: started,
		SignalLink: requestLink(r.Namespace.Name, e.key, req.RequestId, signaledEvent),
	})
}

// startOf is the start half of SignalWithStart.
func startOf(req *workflowservice.SignalWithStartWorkflowExecutionRequest) *workflowservice.StartWorkflowExecutionRequest {
	return &workflowservice.StartWorkflowExecutionRequest{
		Namespace: req.Namespace, WorkflowId: req.WorkflowId, WorkflowType: req.WorkflowType, TaskQueue: req.TaskQueue, Input: req.Input,
		WorkflowExecutionTimeout: req.WorkflowExecutionTimeout, WorkflowRunTimeout: req.WorkflowRunTimeout, WorkflowTaskTimeout: req.WorkflowTaskTimeout,
		Identity: req.Identity, RequestId: req.RequestId, RetryPolicy: req.RetryPolicy, CronSchedule: req.CronSchedule, Memo: req.Memo,
		SearchAttributes: req.SearchAttributes, Header: req.Header, WorkflowStartDelay: req.WorkflowStartDelay, UserMetadata: req.UserMetadata,
		Links: req.Links, Priority: req.Priority,
	}
}
