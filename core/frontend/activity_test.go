package frontend

import (
	"testing"

	failurepb "go.temporal.io/api/failure/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/proto"

	"perdure/core/port"
)

func answersByID(workflow, run, activity string) []proto.Message {
	return []proto.Message{
		&workflowservice.RespondActivityTaskCompletedByIdRequest{Namespace: "conform", WorkflowId: workflow, RunId: run, ActivityId: activity},
		&workflowservice.RespondActivityTaskFailedByIdRequest{Namespace: "conform", WorkflowId: workflow, RunId: run, ActivityId: activity},
		&workflowservice.RespondActivityTaskCanceledByIdRequest{Namespace: "conform", WorkflowId: workflow, RunId: run, ActivityId: activity},
		&workflowservice.RecordActivityTaskHeartbeatByIdRequest{Namespace: "conform", WorkflowId: workflow, RunId: run, ActivityId: activity},
	}
}

func TestActivityIDRules(t *testing.T) {
	for _, x := range []struct{ name, workflow, run, activity, want string }{
		{"current run", "wf", "", "1", "ok"},
		{"one run", "wf", runID, "1", "ok"},
		{"no activity id", "wf", "", "", "Invalid: ActivityId is not set on request."},
		{"no workflow id", "", "", "1", "NotFound: activity not found for ID: 1 [NotFoundFailure]"},
		{"no UUID", "wf", "x", "1", "Invalid: RunId is not valid UUID."},
	} {
		for _, req := range answersByID(x.workflow, x.run, x.activity) {
			plan, r := admit(req)
			if told(r) != x.want {
				t.Errorf("%s, %T:\n got %s\nwant %s", x.name, req, told(r), x.want)
			}
			if r == nil && plan.In.(*port.Request).Run != (port.RunKey{NamespaceID: conformID, WorkflowID: "wf", RunID: x.run}) {
				t.Errorf("%s, %T: %v", x.name, req, plan.In.(*port.Request).Run)
			}
		}
	}
}

func TestFailureMustBeAnApplicationFailure(t *testing.T) {
	raw := taskToken(port.ActivityTask, conformID)
	application := &failurepb.Failure{FailureInfo: &failurepb.Failure_ApplicationFailureInfo{ApplicationFailureInfo: &failurepb.ApplicationFailureInfo{}}}
	for _, x := range []struct {
		name string
		req  proto.Message
		want string
	}{
		{"none", &workflowservice.RespondActivityTaskFailedRequest{TaskToken: raw}, "ok"},
		{"application", &workflowservice.RespondActivityTaskFailedRequest{TaskToken: raw, Failure: application}, "ok"},
		{"other", &workflowservice.RespondActivityTaskFailedRequest{TaskToken: raw, Failure: &failurepb.Failure{}}, "Invalid: Failure must have ApplicationFailureInfo."},
		{"other, by id", &workflowservice.RespondActivityTaskFailedByIdRequest{Namespace: "conform", WorkflowId: "wf", ActivityId: "1", Failure: &failurepb.Failure{}}, "ok"},
	} {
		if _, r := admit(x.req); told(r) != x.want {
			t.Errorf("%s: %s", x.name, told(r))
		}
	}
}

func TestTooLargePayloadsFailTheActivity(t *testing.T) {
	raw, large := taskToken(port.ActivityTask, conformID), payloads(2<<20)
	for _, x := range []struct {
		req     proto.Message
		message string
		reply   proto.Message
	}{
		{&workflowservice.RespondActivityTaskCompletedRequest{TaskToken: raw, Result: large, Identity: "me"}, "Complete result exceeds size limit.", &workflowservice.RespondActivityTaskCompletedResponse{}},
		{&workflowservice.RespondActivityTaskCanceledRequest{TaskToken: raw, Details: large, Identity: "me"}, "Cancel details exceed size limit.", &workflowservice.RespondActivityTaskCanceledResponse{}},
		{&workflowservice.RecordActivityTaskHeartbeatRequest{TaskToken: raw, Details: large, Identity: "me"}, "Heartbeat details exceed size limit.", &workflowservice.RecordActivityTaskHeartbeatResponse{CancelRequested: true}},
	} {
		_, in := request(t, x.req)
		body, ok := in.Body.(*workflowservice.RespondActivityTaskFailedRequest)
		if !ok || body.Failure.Message != x.message || !body.Failure.GetServerFailureInfo().GetNonRetryable() || body.Identity != "me" || in.Token == nil {
			t.Errorf("%T became %v", x.req, in.Body)
		}
		if !proto.Equal(in.Reply, x.reply) {
			t.Errorf("%T: reply %v", x.req, in.Reply)
		}
	}
	for _, x := range []struct {
		req     proto.Message
		message string
		reply   proto.Message
	}{
		{&workflowservice.RespondActivityTaskCompletedByIdRequest{Namespace: "conform", WorkflowId: "wf", RunId: runID, ActivityId: "1", Identity: "me", Result: large}, "Complete result exceeds size limit.", &workflowservice.RespondActivityTaskCompletedByIdResponse{}},
		{&workflowservice.RespondActivityTaskCanceledByIdRequest{Namespace: "conform", WorkflowId: "wf", RunId: runID, ActivityId: "1", Identity: "me", Details: large}, "Cancel details exceed size limit.", &workflowservice.RespondActivityTaskCanceledByIdResponse{}},
		{&workflowservice.RecordActivityTaskHeartbeatByIdRequest{Namespace: "conform", WorkflowId: "wf", RunId: runID, ActivityId: "1", Identity: "me", Details: large}, "Heartbeat details exceed size limit.", &workflowservice.RecordActivityTaskHeartbeatByIdResponse{CancelRequested: true}},
	} {
		_, in := request(t, x.req)
		body, ok := in.Body.(*workflowservice.RespondActivityTaskFailedByIdRequest)
		if !ok || body.Failure.Message != x.message || body.ActivityId != "1" || body.RunId != runID || body.Identity != "me" {
			t.Errorf("%T became %v", x.req, in.Body)
		}
		if !proto.Equal(in.Reply, x.reply) {
			t.Errorf("%T: reply %v", x.req, in.Reply)
		}
	}
}

func TestTooLargeFailureIsNotedAndReplaced(t *testing.T) {
	req := &workflowservice.RespondActivityTaskFailedRequest{
		TaskToken: taskToken(port.ActivityTask, conformID), LastHeartbeatDetails: payloads(2 << 20),
		Failure: &failurepb.Failure{Message: long(3 << 20), FailureInfo: &failurepb.Failure_ApplicationFailureInfo{ApplicationFailureInfo: &failurepb.ApplicationFailureInfo{Type: "F"}}},
	}
	_, in := request(t, req)
	notes := in.Reply.(*workflowservice.RespondActivityTaskFailedResponse).Failures
	if len(notes) != 2 || notes[0].Message != "Heartbeat details exceed size limit." || notes[1] != req.Failure || req.LastHeartbeatDetails != nil {
		t.Fatalf("%d notes, details %v", len(notes), req.LastHeartbeatDetails)
	}
	// 512 KiB, less what is reckoned for the type.
	if cause := req.Failure.Cause; len(cause.Message) != 524275 || cause.GetApplicationFailureInfo().GetType() != "F" || req.Failure.Message != "Failure exceeds size limit." {
		t.Errorf("%s, cause of %d bytes", req.Failure.Message, len(req.Failure.Cause.Message))
	}
}
