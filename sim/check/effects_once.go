package check

import (
	"fmt"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"

	"perdure/sim/program"
)

// S1 effects_once: payloads are unique, so each effect can be found. What was
// acknowledged stands in exactly one place of all histories, whatever was
// retried, and what was not in at most one.
//
// A start whose request id is repeated after another run took the workflow id is
// not known any more (the API remembers the request of the current run only): its
// copies are told apart by the runs between them.

// payloads knows where each unique payload was recorded.
type payloads struct {
	places map[string]place
	acked  []acked // in the order in which clients were told
	known  map[string]bool
}

type place struct {
	run   string
	event int64
}

// acked is an effect that a client was told of.
type acked struct {
	payload string
	what    string
}

func newPayloads() payloads { return payloads{places: map[string]place{}, known: map[string]bool{}} }

// recorded notes where a payload stands. A second place is a breach.
func (p *payloads) recorded(r *Run, e *historypb.HistoryEvent) *Breach {
	payload := payloadOf(e)
	if payload == "" {
		return nil
	}
	if was, twice := p.places[payload]; twice {
		return breach(EffectsOnce, r.Key.RunID, "payload %q is in event %d of run %s and in event %d, %v", payload, was.event, was.run, e.EventId, e.EventType)
	}
	p.places[payload] = place{r.Key.RunID, e.EventId}
	return nil
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
	for _, a := range l.pays.acked {
		if _, there := l.pays.places[a.payload]; !there {
			return breach(EffectsOnce, "", "%s was acknowledged, and is in no history", fmt.Sprintf("%s, %q", a.what, a.payload))
		}
	}
	return nil
}

// acknowledge notes an effect that a client is being told of.
func (p *payloads) acknowledge(payload, what string) {
	if !p.known[payload] {
		p.known[payload] = true
		p.acked = append(p.acked, acked{payload, what})
	}
}
