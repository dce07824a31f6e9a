package check

import (
	"slices"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"

	"perdure/sim/program"
)

// P19 outcome_after_durable: a workflow records that its signal or its cancel
// request has reached another one only after that is durable there, or in the same
// record. A closed workflow takes a cancel request without a trace. (What it records
// of its children is for parent_child_agree.)

// arrival is an event that says so; it is judged when all of its record was read.
type arrival struct {
	run   *Run
	event *historypb.HistoryEvent
}

// arrives notes an event that says that a message has arrived.
func (l *Ledger) arrives(r *Run, e *historypb.HistoryEvent) {
	switch e.EventType {
	case enumspb.EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_SIGNALED, enumspb.EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED:
		l.arrivals = append(l.arrivals, arrival{r, e})
	}
}

func (l *Ledger) judgeArrivals() {
	for _, x := range l.arrivals {
		l.failIf(l.arrived(x.run, x.event))
	}
	l.arrivals = l.arrivals[:0]
}

func (l *Ledger) arrived(r *Run, e *historypb.HistoryEvent) *Breach {
	if a := e.GetExternalWorkflowExecutionSignaledEventAttributes(); a != nil {
		sent := r.event(a.InitiatedEventId).GetSignalExternalWorkflowExecutionInitiatedEventAttributes()
		text := program.Text(sent.GetInput())
		if text == "" || l.hasEvent(sent.WorkflowExecution.GetWorkflowId(), func(e *historypb.HistoryEvent) bool {
			s := e.GetWorkflowExecutionSignaledEventAttributes()
			return s != nil && program.Text(s.Input) == text
		}) {
			return nil
		}
		return breach(OutcomeAfterDurable, r.Key.RunID, "event %d: signal %s of workflow %s is not durable there", e.EventId, text, sent.WorkflowExecution.GetWorkflowId())
	}
	a := e.GetExternalWorkflowExecutionCancelRequestedEventAttributes()
	sent := r.event(a.InitiatedEventId).GetRequestCancelExternalWorkflowExecutionInitiatedEventAttributes()
	id := sent.GetWorkflowExecution().GetWorkflowId()
	if l.hasEvent(id, func(e *historypb.HistoryEvent) bool {
		return e.EventType == enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED || closes(e.EventType)
	}) {
		return nil
	}
	return breach(OutcomeAfterDurable, r.Key.RunID, "event %d: no cancel request of workflow %s is durable, and no run of it is closed", e.EventId, id)
}

// hasEvent looks for an event of a workflow id, among those that wait in buffers too.
func (l *Ledger) hasEvent(workflow string, is func(*historypb.HistoryEvent) bool) bool {
	for _, r := range l.Runs {
		if r.workflow == workflow && (slices.ContainsFunc(r.Events, is) || slices.ContainsFunc(buffered(r.pendingRows()), is)) {
			return true
		}
	}
	return false
}
