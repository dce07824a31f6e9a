package check

import (
	"strings"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/errordetails/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/proto"

	"perdure/core/port"
)

// P24 linearizable: what a call on a workflow is told was true at one moment
// between its issue and its answer. The journal is the order in which everything
// took effect; a call whose answer was lost may have had its effect or not, and
// the journal says which. So it is enough to hold each answer against the states
// that were durable meanwhile.

// instant is a state of a workflow id: its current run, and whether that is open.
// Without a run there is none, or none any more.
type instant struct {
	run  *Run
	open bool
}

// timeline is all states of a workflow id. States inside one record that nobody
// may have seen are among them: more is allowed than need be, never less.
type timeline []instant

func (l *Ledger) passes(r *Run, open, gone bool) {
	t := l.times[r.workflow]
	if t == nil {
		t = &timeline{{}}
		l.times[r.workflow] = t
	}
	if gone {
		*t = append(*t, instant{})
		return
	}
	*t = append(*t, instant{r, open})
}

// since is where the timeline of a workflow stands.
func (l *Ledger) since(workflow string) int {
	if t := l.times[workflow]; t != nil {
		return len(*t) - 1
	}
	return 0
}

// workflowIn is the workflow id that a request names without a run, "" if there is none.
func workflowIn(req proto.Message) string {
	if q, ok := req.(interface{ GetFirstExecutionRunId() string }); ok && q.GetFirstExecutionRunId() != "" {
		return "" // another chain may be the current one
	}
	var e *commonpb.WorkflowExecution
	switch q := req.(type) {
	case interface {
		GetWorkflowId() string
		GetWorkflowType() *commonpb.WorkflowType
	}:
		return q.GetWorkflowId()
	case interface {
		GetWorkflowExecution() *commonpb.WorkflowExecution
	}:
		e = q.GetWorkflowExecution()
	case interface {
		GetExecution() *commonpb.WorkflowExecution
	}:
		e = q.GetExecution()
	}
	if e.GetRunId() != "" {
		return ""
	}
	return e.GetWorkflowId()
}

// Linear holds an answer against the states between the call and now.
func (l *Ledger) Linear(s Seen, req, res proto.Message, refusal *port.Refusal) *Breach {
	if s.workflow == "" {
		return nil
	}
	states := timeline{{}}
	if t := l.times[s.workflow]; t != nil {
		states = (*t)[s.at:]
	}
	was := func(ok func(instant) bool) bool {
		for _, i := range states {
			if ok(i) {
				return true
			}
		}
		return false
	}
	what := string(req.ProtoReflect().Descriptor().Name())
	bad := func(text, run string) *Breach {
		return breach(Linearizable, s.workflow, "%s: %s %s; meanwhile %s", what, text, run, states)
	}
	if refusal != nil {
		return refusedWhile(req, refusal, was, bad)
	}
	switch m := res.(type) {
	case *workflowservice.StartWorkflowExecutionResponse:
		q := req.(*workflowservice.StartWorkflowExecutionRequest)
		if !m.Started && q.OnConflictOptions == nil && !was(func(i instant) bool { return i.open && i.run.Key.RunID == m.RunId }) {
			return bad("it was answered with the open run", m.RunId)
		}
	case *workflowservice.DescribeWorkflowExecutionResponse:
		e := m.WorkflowExecutionInfo
		open := e.Status == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING
		if !was(func(i instant) bool { return i.run != nil && i.run.Key.RunID == e.Execution.RunId && i.open == open }) {
			return bad("it was answered with a run that is "+e.Status.String()+",", e.Execution.RunId)
		}
	}
	return nil
}

func refusedWhile(req proto.Message, refusal *port.Refusal, was func(func(instant) bool) bool, bad func(text, run string) *Breach) *Breach {
	switch d := refusal.Detail.(type) {
	case *errordetails.WorkflowExecutionAlreadyStartedFailure:
		if !was(func(i instant) bool { return i.run != nil && i.run.Key.RunID == d.RunId }) {
			return bad("it was refused for the sake of run", d.RunId)
		}
	case *errordetails.NotFoundFailure:
		if reads(req) {
			if !was(func(i instant) bool { return i.run == nil }) {
				return bad("it was refused as not found", "")
			}
		} else if !was(func(i instant) bool { return !i.open }) {
			return bad("it was refused as not found, or closed", "")
		}
	}
	return nil
}

// reads: requests that find closed runs too.
func reads(req proto.Message) bool {
	switch req.(type) {
	case *workflowservice.DescribeWorkflowExecutionRequest, *workflowservice.GetWorkflowExecutionHistoryRequest, *workflowservice.GetWorkflowExecutionHistoryReverseRequest:
		return true
	}
	return false
}

func (t timeline) String() string {
	parts := make([]string, 0, len(t))
	for _, i := range t {
		switch {
		case i.run == nil:
			parts = append(parts, "there was no run")
		case i.open:
			parts = append(parts, "run "+i.run.Key.RunID+" was open")
		default:
			parts = append(parts, "run "+i.run.Key.RunID+" was closed")
		}
	}
	return strings.Join(parts, ", then ")
}
