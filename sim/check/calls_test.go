package check

import (
	"testing"
	"time"

	"go.temporal.io/api/workflowservice/v1"
)

func TestCallsAnswered(t *testing.T) {
	signal, query := &workflowservice.SignalWorkflowExecutionRequest{}, &workflowservice.QueryWorkflowRequest{}
	for _, c := range []Called{
		{Request: signal, Well: true},
		{Request: signal, Lost: true},
		{Request: query, Lost: true, Well: true},
	} {
		if b := CallAnswered(c); b != nil {
			t.Error(b)
		}
	}
	for _, c := range []Called{
		{Request: signal, Lost: true, Well: true, Within: 10 * time.Second},
		{Request: &workflowservice.PollActivityTaskQueueRequest{}, Lost: true, Well: true, Within: 70 * time.Second},
	} {
		broke(t, CallAnswered(c), CallsAnswered, "had no answer within "+c.Within.String())
	}
}

func TestNonsenseRefused(t *testing.T) {
	nonsense := &workflowservice.SignalWorkflowExecutionRequest{SignalName: "to nobody"}
	if b := NonsenseAccepted(nonsense, false); b != nil {
		t.Error(b)
	}
	broke(t, NonsenseAccepted(nonsense, true), NonsenseRefused, "SignalWorkflowExecutionRequest signal_name:")
	bent := Bent{"bent": true}
	answer := func(token string) *workflowservice.RespondActivityTaskCompletedRequest {
		return &workflowservice.RespondActivityTaskCompletedRequest{TaskToken: []byte(token)}
	}
	for _, b := range []*Breach{bent.Accepted(answer("bent"), false), bent.Accepted(answer("true"), true), bent.Accepted(nonsense, true)} {
		if b != nil {
			t.Error(b)
		}
	}
	broke(t, bent.Accepted(answer("bent"), true), NonsenseRefused, "a token that no server made")
}
