package check

import (
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"

	"perdure/sim/check/effect"
	"perdure/sim/program"
)

// P1 effects_once: payloads are unique, so each effect can be found. What was
// acknowledged stands in exactly one place of all histories, whatever was
// retried, and what was not in at most one.
//
// Two repetitions are not known any more, as the API remembers requests with the
// run that they reached: a start that is repeated after another run took its
// workflow id or its own was removed, and a client's signal that is repeated after its run has closed and
// another one took its place. Both are counted as marks. What workflows send to
// each other has no such excuse.

// recorded notes where a payload stands. A second place is a breach.
func (l *Ledger) recorded(r *Run, e *historypb.HistoryEvent) *Breach {
	payload, at := payloadOf(e), effect.Place{Run: r.Key.RunID, Event: e.EventId}
	if payload == "" {
		return nil
	}
	if was, twice := l.effects.Found(payload, at); twice {
		if e.EventId == 1 && (l.runs[was.Run].Gone || l.runBetween(was.Run, r)) {
			l.Marks.Add("start repeated after its run was removed or another took its id")
			return nil
		}
		if e.EventId > 1 && e.GetWorkflowExecutionSignaledEventAttributes() != nil {
			l.repeated = append(l.repeated, repeatedSignal{payload, was, r, e})
			return nil
		}
		return breach(EffectsOnce, r.Key.RunID, "%s, %v", effect.Twice(payload, was, at), e.EventType)
	}
	return nil
}

// repeatedSignal is a signal found a second time. The record that has it may also
// have the close of its first run, so it is judged when all of it was read.
type repeatedSignal struct {
	payload string
	was     effect.Place
	run     *Run
	event   *historypb.HistoryEvent
}

func (l *Ledger) judgeRepeated() {
	for _, x := range l.repeated {
		first := l.runs[x.was.Run]
		byWorkflow := x.event.GetWorkflowExecutionSignaledEventAttributes().ExternalWorkflowExecution != nil
		if byWorkflow || first == x.run || first.workflow != x.run.workflow || !first.order.closed {
			l.Fail(breach(EffectsOnce, x.run.Key.RunID, "%s", effect.Twice(x.payload, x.was, effect.Place{Run: x.run.Key.RunID, Event: x.event.EventId})))
			continue
		}
		l.Marks.Add("signal repeated after its run had closed")
	}
	l.repeated = l.repeated[:0]
}

// runBetween reports whether the workflow id had another run since the run was.
func (l *Ledger) runBetween(was string, r *Run) bool {
	since := false
	for _, q := range l.Runs {
		if since && q != r && q.workflow == r.workflow {
			return true
		}
		since = since || q.Key.RunID == was
	}
	return false
}

// payloadOf is the unique payload that an event carries, with its kind in front.
func payloadOf(e *historypb.HistoryEvent) string {
	switch e.EventType {
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
		a := e.GetWorkflowExecutionStartedEventAttributes()
		var in program.Input
		if a.ContinuedExecutionRunId == "" && program.Value(a.Input, &in) && in.ID != "" {
			return startPayload(in.ID)
		}
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED:
		if s := program.Text(e.GetWorkflowExecutionSignaledEventAttributes().Input); s != "" {
			return signalPayload(s)
		}
	case enumspb.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
		if s := program.Text(e.GetActivityTaskCompletedEventAttributes().Result); s != "" {
			return resultPayload(s)
		}
	}
	return ""
}

func startPayload(id string) string  { return "start " + id }
func signalPayload(id string) string { return "signal " + id }
func resultPayload(id string) string { return "result " + id }

func inputID(p *commonpb.Payloads) string {
	var in program.Input
	program.Value(p, &in)
	return in.ID
}

// AcknowledgedOnce holds at the end, with every run closed: what was acknowledged is in a history.
func (l *Ledger) AcknowledgedOnce() *Breach {
	if lost := l.effects.Lost(); len(lost) > 0 {
		return breach(EffectsOnce, "", "%s", lost[0])
	}
	return nil
}
