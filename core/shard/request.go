package shard

import (
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/proto"

	"perdure/core/port"
	"perdure/core/run"
)

// request serves one call of the API. It may come here several times, until all
// that it needs is in memory.
func (s *Shard) request(r *port.Request) {
	if s.log.Full() && writes(r.Body) {
		s.replyNow(r.Call, port.Refuse(port.Unavailable, "the store does not keep up: too much waits to be written; retry the call"))
		return
	}
	s.lend(r.Namespace)
	switch body := r.Body.(type) {
	case *workflowservice.StartWorkflowExecutionRequest:
		s.start(r, body)
	case *workflowservice.SignalWithStartWorkflowExecutionRequest:
		s.signalWithStart(r, body)
	case *workflowservice.SignalWorkflowExecutionRequest:
		s.signal(r, body)
	case *workflowservice.RequestCancelWorkflowExecutionRequest:
		s.requestCancel(r, body)
	case *workflowservice.TerminateWorkflowExecutionRequest:
		s.terminate(r, body)
	case *workflowservice.DescribeWorkflowExecutionRequest:
		s.describe(r)
	case *workflowservice.GetWorkflowExecutionHistoryRequest:
		s.history(r, body)
	case *workflowservice.GetWorkflowExecutionHistoryReverseRequest:
		s.historyReverse(r, body)
	case *workflowservice.ResetStickyTaskQueueRequest:
		s.resetSticky(r)
	case *workflowservice.RespondWorkflowTaskCompletedRequest:
		s.taskCompleted(r, body)
	case *workflowservice.RespondWorkflowTaskFailedRequest:
		s.taskFailed(r, body)
	case *workflowservice.RespondActivityTaskCompletedRequest, *workflowservice.RespondActivityTaskCompletedByIdRequest,
		*workflowservice.RespondActivityTaskFailedRequest, *workflowservice.RespondActivityTaskFailedByIdRequest,
		*workflowservice.RespondActivityTaskCanceledRequest, *workflowservice.RespondActivityTaskCanceledByIdRequest,
		*workflowservice.RecordActivityTaskHeartbeatRequest, *workflowservice.RecordActivityTaskHeartbeatByIdRequest:
		s.activityAnswered(r)
	case *workflowservice.QueryWorkflowRequest:
		s.query(r, body)
	case *workflowservice.RespondQueryTaskCompletedRequest:
		s.queryAnswered(r, body)
	default:
		s.replyNow(r.Call, port.Refuse(port.Unimplemented, "%T is not served", r.Body))
	}
}

// writes reports whether a request changes a run.
func writes(body any) bool {
	switch body.(type) {
	case *workflowservice.DescribeWorkflowExecutionRequest, *workflowservice.GetWorkflowExecutionHistoryRequest,
		*workflowservice.GetWorkflowExecutionHistoryReverseRequest, *workflowservice.QueryWorkflowRequest, *workflowservice.RespondQueryTaskCompletedRequest:
		return false
	}
	return true
}

// answer replies once everything issued so far is durable (S3).
func (s *Shard) answer(r *port.Request, m proto.Message) {
	if r.Reply != nil {
		m = r.Reply
	}
	s.log.Reply(port.Reply{Call: r.Call, Body: &port.Answer{Message: m}}, s.log.Seq(), s.out)
}

func (s *Shard) refused(r *port.Request, f *port.Refusal) {
	s.log.Reply(port.Reply{Call: r.Call, Refusal: f}, s.log.Seq(), s.out)
}

// find loads the run of a request; ok is false if it was parked or refused.
func (s *Shard) find(r *port.Request) (*entry, bool) {
	e, ok := s.load(r.Run, r)
	if !ok {
		return nil, false
	}
	if e == nil || e.run == nil {
		s.refused(r, noRun(r.Run))
		return nil, false
	}
	return e, true
}

func noRun(k port.RunKey) *port.Refusal {
	if k.RunID == "" {
		return port.Missing("workflow not found for ID: %s", k.WorkflowID)
	}
	return port.Missing("workflow execution not found for workflow ID %q and run ID %q", k.WorkflowID, k.RunID)
}

// finish applies a transition and answers the call that caused it.
func (s *Shard) finish(r *port.Request, e *entry, c *run.Changes, m proto.Message) {
	s.apply(e, c)
	if c != nil && c.Oversize != "" {
		s.refused(r, port.Invalid("%s", c.Oversize))
		return
	}
	s.answer(r, m)
}

func (s *Shard) signal(r *port.Request, req *workflowservice.SignalWorkflowExecutionRequest) {
	e, ok := s.find(r)
	if !ok {
		return
	}
	c, refused := e.run.Signal(s.env(e.key.NamespaceID, e.key), &run.Signal{
		Name: req.SignalName, Input: req.Input, Header: req.Header, Identity: req.Identity, RequestID: req.RequestId, Key: r.Key, Links: req.Links,
	})
	if refused != nil {
		s.refused(r, refused)
		return
	}
	s.finish(r, e, c, &workflowservice.SignalWorkflowExecutionResponse{Link: requestLink(r.Namespace.Name, e.key, req.RequestId, signaledEvent)})
}

func (s *Shard) requestCancel(r *port.Request, req *workflowservice.RequestCancelWorkflowExecutionRequest) {
	e, ok := s.findOfChain(r, req.FirstExecutionRunId)
	if !ok {
		return
	}
	c := e.run.RequestCancel(s.env(e.key.NamespaceID, e.key), &run.Cancel{Reason: req.Reason, Identity: req.Identity, RequestID: req.RequestId, Links: req.Links})
	s.finish(r, e, c, &workflowservice.RequestCancelWorkflowExecutionResponse{})
}

func (s *Shard) terminate(r *port.Request, req *workflowservice.TerminateWorkflowExecutionRequest) {
	e, ok := s.findOfChain(r, req.FirstExecutionRunId)
	if !ok {
		return
	}
	c, refused := e.run.Terminate(s.env(e.key.NamespaceID, e.key), req.Reason, req.Details, req.Identity, req.Links)
	if refused != nil {
		s.refused(r, refused)
		return
	}
	s.finish(r, e, c, &workflowservice.TerminateWorkflowExecutionResponse{})
}

// findOfChain loads the run, or the current run if the caller names the first of its chain.
func (s *Shard) findOfChain(r *port.Request, first string) (*entry, bool) {
	if first == "" {
		return s.find(r)
	}
	k := r.Run
	k.RunID = ""
	e, ok := s.load(k, r)
	if !ok {
		return nil, false
	}
	if e == nil || e.run == nil {
		s.refused(r, noRun(k))
		return nil, false
	}
	if e.run.S.FirstRunId != first && !e.run.Closed() {
		s.refused(r, port.Missing("workflow execution not found"))
		return nil, false
	}
	return e, true
}

func (s *Shard) describe(r *port.Request) {
	if e, ok := s.find(r); ok {
		s.answer(r, e.run.Describe(s.env(e.key.NamespaceID, e.key)))
	}
}

func (s *Shard) resetSticky(r *port.Request) {
	e, ok := s.find(r)
	if !ok {
		return
	}
	if e.run.Closed() {
		s.refused(r, port.Missing("workflow execution already completed"))
		return
	}
	s.finish(r, e, e.run.ResetSticky(s.env(e.key.NamespaceID, e.key)), &workflowservice.ResetStickyTaskQueueResponse{})
}

func executionOf(k port.RunKey) *commonpb.WorkflowExecution {
	return &commonpb.WorkflowExecution{WorkflowId: k.WorkflowID, RunId: k.RunID}
}
