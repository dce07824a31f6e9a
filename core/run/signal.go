package run

import (
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"

	"perdure/core/port"
	"perdure/core/run/runpb"
)

// Signals and cancel requests, of clients and of other runs.

// Signal is one signal to record.
type Signal struct {
	Name      string
	Input     *commonpb.Payloads
	Header    *commonpb.Header
	Identity  string
	RequestID string // as the sender gave it
	Key       string // by which a repetition is recognised; the request id, or one made for it
	Links     []*commonpb.Link
	External  *commonpb.WorkflowExecution // the run that sent it
}

// SignalTwice reports whether the request was recorded before.
func (r *Run) SignalTwice(requestID string) bool {
	_, known := r.requests[requestID]
	return requestID != "" && known
}

// Signal records a signal. No changes: it was recorded before.
func (r *Run) Signal(env *Env, s *Signal) (*Changes, *port.Refusal) {
	if r.SignalTwice(s.Key) {
		return nil, nil
	}
	if r.Closed() {
		return nil, alreadyCompleted()
	}
	if r.S.CloseRefused && r.taskRuns() {
		return nil, port.Busy("workflow operation can not be applied because workflow is closing")
	}
	if r.S.Signals >= int64(env.Limits.Signals) {
		return nil, port.Invalid("exceeded workflow execution limit for signal events")
	}
	r.begin(env)
	r.signaled(s)
	return r.commit(), nil
}

func (r *Run) signaled(s *Signal) {
	e := r.newEvent(enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED)
	e.Links = s.Links
	e.Attributes = &historypb.HistoryEvent_WorkflowExecutionSignaledEventAttributes{WorkflowExecutionSignaledEventAttributes: &historypb.WorkflowExecutionSignaledEventAttributes{
		SignalName: s.Name, Input: s.Input, Identity: s.Identity, Header: s.Header, ExternalWorkflowExecution: s.External, RequestId: s.RequestID,
	}}
	r.later(e, true)
	r.S.Signals++
	r.S.AwaitsParent = false // a signal does not wait for the parent
	if s.Key != "" {
		r.remember(&runpb.RequestID{Id: s.Key, EventType: int32(enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED)})
	}
}

// remember keeps a request id as long as the run is stored.
func (r *Run) remember(q *runpb.RequestID) {
	r.putRequest(q)
	r.tx.rows = append(r.tx.rows, Row{Key: string(rowRequest) + q.Id, Value: encode(q), Fresh: true})
}

func (r *Run) putRequest(q *runpb.RequestID) {
	if r.requests == nil {
		r.requests = map[string]*runpb.RequestID{}
	}
	r.requests[q.Id] = q
}

// flushedRequest notes the event id of a remembered request once it is known.
func (r *Run) flushedRequest(e *historypb.HistoryEvent) {
	id := e.GetWorkflowExecutionSignaledEventAttributes().GetRequestId()
	if o := e.GetWorkflowExecutionOptionsUpdatedEventAttributes(); o != nil {
		id = o.AttachedRequestId
	}
	if q := r.requests[id]; q != nil && q.EventId == 0 {
		q.EventId = e.EventId
		r.tx.rows = append(r.tx.rows, Row{Key: string(rowRequest) + id, Value: encode(q)})
	}
}

// Cancel is a request to cancel the run.
type Cancel struct {
	Reason      string
	Identity    string
	RequestID   string
	Links       []*commonpb.Link
	External    *commonpb.WorkflowExecution
	InitiatedID int64
}

// RequestCancel records a cancel request; the second one, and one after the
// close, change nothing.
func (r *Run) RequestCancel(env *Env, c *Cancel) *Changes {
	if r.Closed() || r.S.CancelRequested {
		return nil
	}
	r.begin(env)
	r.cancel(c)
	return r.commit()
}

func (r *Run) cancel(c *Cancel) {
	if r.S.CancelRequested {
		return
	}
	e := r.newEvent(enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED)
	e.Links = c.Links
	e.Attributes = &historypb.HistoryEvent_WorkflowExecutionCancelRequestedEventAttributes{WorkflowExecutionCancelRequestedEventAttributes: &historypb.WorkflowExecutionCancelRequestedEventAttributes{
		Cause: c.Reason, Identity: c.Identity, ExternalInitiatedEventId: c.InitiatedID, ExternalWorkflowExecution: c.External,
	}}
	r.later(e, true)
	r.S.CancelRequested = true
	r.S.AwaitsParent = false
	r.endBackoff() // a cancel does not wait for the first task's time
}

// SignalNow is the signal half of SignalWithStart on a running run: it ends the first backoff.
func (r *Run) SignalNow(env *Env, s *Signal) (*Changes, *port.Refusal) {
	if r.SignalTwice(s.Key) {
		return nil, nil
	}
	if r.S.CloseRefused && r.taskRuns() {
		return nil, port.Busy("workflow operation can not be applied because workflow is closing")
	}
	if r.S.Signals >= int64(env.Limits.Signals) {
		return nil, port.Invalid("exceeded workflow execution limit for signal events")
	}
	r.begin(env)
	r.endBackoff()
	r.signaled(s)
	return r.commit(), nil
}

// Attach records what a later start with USE_EXISTING adds to the run.
func (r *Run) Attach(env *Env, requestID string, callbacks []*commonpb.Callback, links []*commonpb.Link) *Changes {
	r.begin(env)
	e := r.newEvent(enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_OPTIONS_UPDATED)
	e.Links, e.WorkerMayIgnore = links, true
	e.Attributes = &historypb.HistoryEvent_WorkflowExecutionOptionsUpdatedEventAttributes{WorkflowExecutionOptionsUpdatedEventAttributes: &historypb.WorkflowExecutionOptionsUpdatedEventAttributes{
		AttachedRequestId: requestID, AttachedCompletionCallbacks: callbacks,
	}}
	r.later(e, false)
	if requestID != "" {
		r.remember(&runpb.RequestID{Id: requestID, EventType: int32(enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_OPTIONS_UPDATED)})
	}
	return r.commit()
}

// Attached tells whether a start with this request id was attached to the run.
func (r *Run) Attached(requestID string) (*runpb.RequestID, bool) {
	q := r.requests[requestID]
	if requestID == "" || q == nil || q.EventType != int32(enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_OPTIONS_UPDATED) {
		return nil, false
	}
	return q, true
}
