package check

import (
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"google.golang.org/protobuf/proto"
)

// P22 chain_ids: the runs of a chain name each other, agree about where they come
// from and when the chain ends, and a workflow id has one open run at most.

// chained looks at the first event of a run, when all of its record was read.
func (l *Ledger) chained(r *Run) *Breach {
	a := r.event(1).GetWorkflowExecutionStartedEventAttributes()
	bad := func(format string, args ...any) *Breach { return breach(ChainIDs, r.Key.RunID, format, args...) }
	if other := l.open[workflowOf(r)]; other != nil && other != r && !other.order.closed {
		return bad("run %s of workflow %s is open too", other.Key.RunID, r.workflow)
	}
	l.open[workflowOf(r)] = r
	if a.OriginalExecutionRunId != r.Key.RunID {
		return bad("the first event names run %s", a.OriginalExecutionRunId)
	}
	if a.ContinuedExecutionRunId == "" {
		if a.FirstExecutionRunId != r.Key.RunID {
			return bad("the first run of a chain names %s as the first", a.FirstExecutionRunId)
		}
		return nil
	}
	before := l.runs[a.ContinuedExecutionRunId]
	if before == nil || !before.order.closed {
		return bad("it continues run %s, which is not closed", a.ContinuedExecutionRunId)
	}
	return continues(r, before, a)
}

// workflowOf names the workflow of a run.
func workflowOf(r *Run) string { return r.Row.NamespaceId + "/" + r.workflow }

func continues(r, before *Run, a *historypb.WorkflowExecutionStartedEventAttributes) *Breach {
	bad := func(format string, args ...any) *Breach { return breach(ChainIDs, r.Key.RunID, format, args...) }
	b, end := before.event(1).GetWorkflowExecutionStartedEventAttributes(), before.Events[len(before.Events)-1]
	attempt := int32(1)
	if a.Initiator == enumspb.CONTINUE_AS_NEW_INITIATOR_RETRY {
		attempt = b.Attempt + 1
	}
	switch next := attributesOf[interface{ GetNewExecutionRunId() string }](end); {
	case next == nil || next.GetNewExecutionRunId() != r.Key.RunID:
		return bad("run %s, which it continues, does not name it", before.Key.RunID)
	case a.WorkflowId != b.WorkflowId:
		return bad("it continues a run of workflow %s", b.WorkflowId)
	case a.FirstExecutionRunId != b.FirstExecutionRunId:
		return bad("the chain begins with %s, this run says %s", b.FirstExecutionRunId, a.FirstExecutionRunId)
	case !proto.Equal(a.WorkflowExecutionExpirationTime, b.WorkflowExecutionExpirationTime):
		return bad("the chain ends at %v, this run says %v", b.WorkflowExecutionExpirationTime.AsTime(), a.WorkflowExecutionExpirationTime.AsTime())
	case !proto.Equal(a.ParentWorkflowExecution, b.ParentWorkflowExecution) || a.ParentInitiatedEventId != b.ParentInitiatedEventId:
		return bad("the parent of the chain is %v, this run says %v", name(b.ParentWorkflowExecution), name(a.ParentWorkflowExecution))
	case !proto.Equal(a.RootWorkflowExecution, b.RootWorkflowExecution):
		return bad("the root of the chain is %v, this run says %v", name(b.RootWorkflowExecution), name(a.RootWorkflowExecution))
	case a.Attempt != attempt:
		return bad("attempt %d follows attempt %d (%v)", a.Attempt, b.Attempt, a.Initiator)
	case a.Initiator == enumspb.CONTINUE_AS_NEW_INITIATOR_RETRY && b.RetryPolicy.GetMaximumAttempts() > 0 && a.Attempt > b.RetryPolicy.MaximumAttempts:
		return bad("attempt %d, the policy allows %d", a.Attempt, b.RetryPolicy.MaximumAttempts)
	case a.Initiator == enumspb.CONTINUE_AS_NEW_INITIATOR_RETRY && a.FirstWorkflowTaskBackoff.AsDuration() < leastBackoff(b):
		return bad("a retry after %v, the policy wants %v", a.FirstWorkflowTaskBackoff.AsDuration(), leastBackoff(b))
	}
	return nil
}

// leastBackoff is the pause behind a failed run.
func leastBackoff(a *historypb.WorkflowExecutionStartedEventAttributes) time.Duration {
	d := float64(a.RetryPolicy.GetInitialInterval().AsDuration())
	for range a.Attempt - 1 {
		d *= a.RetryPolicy.GetBackoffCoefficient()
	}
	if most := a.RetryPolicy.GetMaximumInterval().AsDuration(); most > 0 {
		d = min(d, float64(most))
	}
	return time.Duration(d) - time.Microsecond
}

func name(e *commonpb.WorkflowExecution) string { return e.GetWorkflowId() + "/" + e.GetRunId() }

// followed: a run that names a successor has it in the same record.
func (l *Ledger) followed(r *Run) *Breach {
	next := attributesOf[interface{ GetNewExecutionRunId() string }](r.Events[len(r.Events)-1])
	if next == nil || next.GetNewExecutionRunId() == "" {
		return nil
	}
	if n := l.runs[next.GetNewExecutionRunId()]; n == nil || n.Row == nil {
		return breach(ChainIDs, r.Key.RunID, "it names run %s as the next one, which is not durable", next.GetNewExecutionRunId())
	}
	return nil
}
