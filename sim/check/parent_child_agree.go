package check

import (
	"encoding/binary"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"google.golang.org/protobuf/proto"

	"perdure/core/run/runpb"
)

// P23 parent_child_agree: what the history of a parent says of a child is true of
// the child's own history, and the policy for children of a closed parent is
// carried out: when it closes it owes it to every child that runs, and it is quit
// of that only when the child is closed or asked to cancel.

// pendingClose begins the keys of policies that are owed (core/run, row.go).
const pendingClose = 'p'

// agrees holds an event of a parent against its child.
func (l *Ledger) agrees(r *Run, e *historypb.HistoryEvent) *Breach {
	bad := func(format string, args ...any) *Breach {
		return breach(ParentChildAgree, r.Key.RunID, "event %d, %v: "+format, append([]any{e.EventId, e.EventType}, args...)...)
	}
	if a := e.GetChildWorkflowExecutionStartedEventAttributes(); a != nil {
		c := l.runs[a.WorkflowExecution.GetRunId()]
		if c == nil || len(c.Events) == 0 {
			return bad("run %s of the child is not durable", a.WorkflowExecution.GetRunId())
		}
		s := c.event(1).GetWorkflowExecutionStartedEventAttributes()
		if s.GetParentWorkflowExecution().GetRunId() != r.Key.RunID || s.ParentInitiatedEventId != a.InitiatedEventId {
			return bad("the child says that its parent is %s, event %d", name(s.GetParentWorkflowExecution()), s.ParentInitiatedEventId)
		}
		return nil
	}
	want, ends := childEnds[e.EventType]
	if !ends {
		return nil
	}
	a := attributesOf[interface {
		GetWorkflowExecution() *commonpb.WorkflowExecution
	}](e)
	c := l.runs[a.GetWorkflowExecution().GetRunId()]
	switch {
	case c == nil || !c.order.closed:
		return bad("run %s of the child is not closed", a.GetWorkflowExecution().GetRunId())
	case c.fold.status != want:
		return bad("the child ended as %v", c.fold.status)
	}
	if done := e.GetChildWorkflowExecutionCompletedEventAttributes(); done != nil {
		if own := c.Events[len(c.Events)-1].GetWorkflowExecutionCompletedEventAttributes(); !proto.Equal(done.Result, own.GetResult()) {
			return bad("the result of the child is another")
		}
	}
	return nil
}

var childEnds = map[enumspb.EventType]enumspb.WorkflowExecutionStatus{
	enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED:  enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED,
	enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_FAILED:     enumspb.WORKFLOW_EXECUTION_STATUS_FAILED,
	enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_CANCELED:   enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED,
	enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TIMED_OUT:  enumspb.WORKFLOW_EXECUTION_STATUS_TIMED_OUT,
	enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TERMINATED: enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED,
}

// waitsForParent: a child has its first workflow task only after its parent has
// recorded the start, unless it was signaled or canceled.
func (l *Ledger) waitsForParent(r *Run, e *historypb.HistoryEvent) *Breach {
	a := r.event(1).GetWorkflowExecutionStartedEventAttributes()
	parent := l.runs[a.GetParentWorkflowExecution().GetRunId()]
	if e.EventType != enumspb.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED || e.EventId != 2 || a.ContinuedExecutionRunId != "" || parent == nil || parent.order.closed {
		return nil // a signal would be event 2
	}
	if id := a.ParentInitiatedEventId; parent.order.starts[id] != 0 || parent.order.open[id] == 0 {
		return nil
	}
	for _, b := range buffered(parent.pendingRows()) {
		if b.GetChildWorkflowExecutionStartedEventAttributes().GetInitiatedEventId() == a.ParentInitiatedEventId {
			return nil
		}
	}
	return breach(ParentChildAgree, r.Key.RunID, "the child begins before its parent %s has recorded its start", parent.Key.RunID)
}

// leaves looks at a run that a record closed: each child that runs and is not
// abandoned is owed its policy.
func (l *Ledger) leaves(r *Run) *Breach {
	for _, e := range r.Events {
		i := e.GetStartChildWorkflowExecutionInitiatedEventAttributes()
		if i == nil || i.ParentClosePolicy == enumspb.PARENT_CLOSE_POLICY_ABANDON || r.order.starts[e.EventId] == 0 || r.order.open[e.EventId] == 0 {
			continue
		}
		if r.Pending[pendingKey(pendingClose, e.EventId)] == nil {
			return breach(ParentChildAgree, r.Key.RunID, "the parent closed, and owes nothing to child %s, event %d, whose policy is %v", i.WorkflowId, e.EventId, i.ParentClosePolicy)
		}
	}
	return nil
}

// quit is a policy that a run does not owe any more.
type quit struct {
	run    *Run
	policy []byte
}

// quit looks at the child of such a policy.
func (l *Ledger) quit(r *Run, value []byte) *Breach {
	p := &runpb.ParentClose{}
	if proto.Unmarshal(value, p) != nil {
		return nil
	}
	c := l.open[p.NamespaceId+"/"+p.WorkflowId]
	if c == nil || c.order.closed || c.Row == nil || c.Row.FirstRunId != p.RunId {
		return nil
	}
	if enumspb.ParentClosePolicy(p.Policy) == enumspb.PARENT_CLOSE_POLICY_TERMINATE {
		return breach(ParentChildAgree, c.Key.RunID, "its parent %s is quit of terminating it, and it is open", r.Key.RunID)
	}
	if !c.Row.CancelRequested && !c.Row.ParentClosed { // a chain that goes on remembers it so
		return breach(ParentChildAgree, c.Key.RunID, "its parent %s is quit of canceling it, and it knows of no cancel request", r.Key.RunID)
	}
	return nil
}

// pendingKey is the key of a pending row about an event (core/run, row.go).
func pendingKey(kind byte, id int64) string {
	return string(binary.BigEndian.AppendUint64([]byte{kind}, uint64(id)))
}
