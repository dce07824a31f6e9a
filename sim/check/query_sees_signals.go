package check

import (
	"slices"

	"perdure/sim/program"
)

// P9 query_sees_signals: a query of an open run sees every signal that was
// acknowledged before it was asked.

// SignalsOf lists the signals of a run that were acknowledged so far.
func (l *Ledger) SignalsOf(runID string) []string {
	r := l.runs[runID]
	if r == nil {
		return nil
	}
	var out []string
	for _, e := range r.Events {
		if s := program.Text(e.GetWorkflowExecutionSignaledEventAttributes().GetInput()); s != "" && l.effects.Acknowledged(signalPayload(s)) {
			out = append(out, s)
		}
	}
	for _, e := range buffered(r.pendingRows()) {
		if s := program.Text(e.GetWorkflowExecutionSignaledEventAttributes().GetInput()); s != "" && l.effects.Acknowledged(signalPayload(s)) {
			out = append(out, s)
		}
	}
	return out
}

// Queried holds an answer to what had been acknowledged when the query was asked.
func Queried(asked []string, answer program.Memory) *Breach {
	for _, s := range asked {
		if !slices.Contains(answer.Signals, s) {
			return breach(QuerySeesSignals, answer.Run, "signal %q was acknowledged before the query was asked, the answer does not know it", s)
		}
	}
	return nil
}
