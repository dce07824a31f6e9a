package frontend

import (
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/proto"

	"perdure/core/port"
	"perdure/core/store"
)

func tripView(nodes ...port.NodeID) *port.Members {
	m := &port.Members{}
	for _, n := range nodes {
		m.All = append(m.All, port.Member{Node: n, Roles: port.AllRoles, QueueParts: 2})
	}
	return m
}

var (
	tripSnapshot = &port.Snapshot{Layout: []port.ShardRange{{Shard: 7, Strips: store.Strips{To: port.Strips}}}}
	tripRun      = port.RunKey{NamespaceID: "n", WorkflowID: "w"}
)

// depart begins the trip of a call about a run, as node 1 of some nodes plans it.
func depart(f *Frontend, body proto.Message, m *port.Members) Trip {
	in := &port.Request{Run: tripRun, Body: body}
	return Depart(Plan{To: f.Place(tripSnapshot, m, in), In: in})
}

func TestTripFollowsHintsAndThenItsView(t *testing.T) {
	f, m := New(Settings{Node: 1}), tripView(1, 2, 3, 4, 5)
	trip := depart(f, &workflowservice.DescribeWorkflowExecutionRequest{}, m)
	home := trip.To
	for i, n := range []port.NodeID{home.Node%5 + 1, (home.Node+1)%5 + 1, (home.Node+2)%5 + 1} {
		step := f.Refused(&trip, port.MovedTo(n), tripSnapshot, m, time.Minute)
		if want := port.ShardAddress(n, 7); !step.Again || step.After != 0 || trip.To != want {
			t.Fatalf("hint %d: %+v to %v, want at once to %v", i+1, step, trip.To, want)
		}
	}
	pause := time.Duration(0)
	for range 3 { // nobody's hint is followed for ever; each round waits longer
		step := f.Refused(&trip, port.MovedTo(0), tripSnapshot, m, time.Minute)
		if !step.Again || step.After <= pause || trip.To != home {
			t.Fatalf("%+v to %v, want back to %v later than after %v", step, trip.To, home, pause)
		}
		pause = step.After
	}
}

func TestTripEndsWithTheCallersTime(t *testing.T) {
	f, m := New(Settings{Node: 1}), tripView(1, 2)
	trip := depart(f, &workflowservice.DescribeWorkflowExecutionRequest{}, m)
	if step := f.Refused(&trip, port.MovedTo(0), tripSnapshot, m, 30*time.Millisecond); step.Again {
		t.Error("sent again with no time for an answer")
	}
	if step := f.Refused(&trip, port.Refuse(port.Unavailable, "no"), tripSnapshot, m, time.Minute); step.Again {
		t.Error("sent again after a refusal that a machine meant")
	}
	if step := f.Refused(&trip, port.MovedTo(2), tripSnapshot, nil, time.Minute); step.Again {
		t.Error("a node that is alone sent a call again")
	}
}

// What may have taken effect is repeated only if a repetition changes nothing.
func TestTripRepeatsOnlyWhatIsHarmless(t *testing.T) {
	f, m := New(Settings{Node: 1}), tripView(1, 2)
	current, named := &commonpb.WorkflowExecution{WorkflowId: "w"}, &commonpb.WorkflowExecution{WorkflowId: "w", RunId: "r"}
	for _, x := range []struct {
		body proto.Message
		may  bool
	}{
		{&workflowservice.StartWorkflowExecutionRequest{}, true},
		{&workflowservice.SignalWorkflowExecutionRequest{WorkflowExecution: current}, true},
		{&workflowservice.TerminateWorkflowExecutionRequest{WorkflowExecution: named}, true},
		{&workflowservice.TerminateWorkflowExecutionRequest{WorkflowExecution: current}, false},
		{&workflowservice.TerminateWorkflowExecutionRequest{WorkflowExecution: current, FirstExecutionRunId: "f"}, true},
		{&workflowservice.RequestCancelWorkflowExecutionRequest{WorkflowExecution: current}, false},
	} {
		trip := depart(f, x.body, m)
		if got := f.Refused(&trip, port.MovedMaybe(), tripSnapshot, m, time.Minute).Again; got != x.may {
			t.Errorf("%T: sent again after it may have happened: %t", x.body, got)
		}
		if got := f.Unheard(&trip, tripSnapshot, m, time.Minute).Again; got != x.may {
			t.Errorf("%T: sent again after silence: %t", x.body, got)
		}
		if !f.Refused(&trip, port.MovedTo(2), tripSnapshot, m, time.Minute).Again {
			t.Errorf("%T: not sent again though nothing happened", x.body)
		}
	}
}

func TestTripWaitsLongerForWhatMayWait(t *testing.T) {
	f, m := New(Settings{Node: 1}), tripView(1, 2)
	at := func(body proto.Message) time.Duration { x := depart(f, body, m); return x.Patience() }
	at1 := at(&workflowservice.GetWorkflowExecutionHistoryRequest{})
	at2 := at(&workflowservice.GetWorkflowExecutionHistoryRequest{WaitNewEvent: true})
	if at1 != silent || at2 != silentWait || at(&workflowservice.QueryWorkflowRequest{}) != silentWait {
		t.Errorf("%v, %v", at1, at2)
	}
	lost := depart(f, &workflowservice.DescribeWorkflowExecutionRequest{}, tripView())
	if lost.To.Node != 0 || lost.Patience() > time.Second {
		t.Errorf("a call that nobody can own waits %v", lost.Patience())
	}
}

func TestMissedNamespaceIsReadThrough(t *testing.T) {
	if !Missed(port.NamespaceMissing("x")) || Missed(port.Missing("workflow not found")) {
		t.Error("only an unknown namespace may be unknown here alone")
	}
}
