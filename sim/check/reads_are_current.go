package check

import (
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/proto"

	"perdure/core/port"
)

// P17 reads_are_current: what is said of a run, refusals included, knows of
// everything that was durable when the call was issued. An owner that was
// displaced without knowing must not answer from its old memory.

// Seen is what was durable of a call's run when the call was issued.
type Seen struct {
	run      *Run
	events   int64
	workflow string // of a call that names no run
	at       int    // in the timeline of that workflow
}

// Before notes what is durable now of the run that a request names.
func (l *Ledger) Before(req proto.Message) Seen {
	workflow, id := workflowIn(req), ""
	switch q := req.(type) {
	case *workflowservice.DescribeWorkflowExecutionRequest:
		id = q.GetExecution().GetRunId()
	case *workflowservice.GetWorkflowExecutionHistoryRequest:
		id = q.GetExecution().GetRunId()
	case *workflowservice.SignalWorkflowExecutionRequest:
		id = q.GetWorkflowExecution().GetRunId()
	case *workflowservice.QueryWorkflowRequest:
		id = q.GetExecution().GetRunId()
	}
	r := l.runs[id]
	if r == nil || r.Row == nil || r.Gone {
		return Seen{workflow: workflow, at: l.since(workflow)}
	}
	return Seen{run: r, events: r.fold.last}
}

// Current holds an answer to what was durable before.
func Current(s Seen, req, res proto.Message, refusal *port.Refusal) *Breach {
	if s.run == nil {
		return nil
	}
	bad := func(format string, args ...any) *Breach {
		return breach(ReadsAreCurrent, s.run.Key.RunID, "%s: "+format, append([]any{req.ProtoReflect().Descriptor().Name()}, args...)...)
	}
	if refusal != nil {
		open := !s.run.closed && !s.run.Gone
		if refusal.Code == port.NotFound && open {
			return bad("the run was refused as not found, or closed, and is open")
		}
		return nil
	}
	switch m := res.(type) {
	case *workflowservice.DescribeWorkflowExecutionResponse:
		if n := m.WorkflowExecutionInfo.HistoryLength; n < s.events {
			return bad("%d events, there were %d when it was asked", n, s.events)
		}
	case *workflowservice.GetWorkflowExecutionHistoryResponse:
		q := req.(*workflowservice.GetWorkflowExecutionHistoryRequest)
		first := len(q.NextPageToken) == 0 && q.HistoryEventFilterType != enumspb.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT
		if n := int64(len(m.History.GetEvents())); first && len(m.NextPageToken) == 0 && n < s.events {
			return bad("%d events and no more, there were %d when it was asked", n, s.events)
		}
	}
	return nil
}
