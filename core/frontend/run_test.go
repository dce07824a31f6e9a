package frontend

import (
	"testing"

	commonpb "go.temporal.io/api/common/v1"
	querypb "go.temporal.io/api/query/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/proto"

	"perdure/core/port"
	"perdure/core/token"
)

// executions are the requests that name a run in the usual way.
func executions(ns string, e *commonpb.WorkflowExecution) []proto.Message {
	return []proto.Message{
		&workflowservice.SignalWorkflowExecutionRequest{Namespace: ns, WorkflowExecution: e, SignalName: "s"},
		&workflowservice.RequestCancelWorkflowExecutionRequest{Namespace: ns, WorkflowExecution: e},
		&workflowservice.TerminateWorkflowExecutionRequest{Namespace: ns, WorkflowExecution: e},
		&workflowservice.DescribeWorkflowExecutionRequest{Namespace: ns, Execution: e},
		&workflowservice.GetWorkflowExecutionHistoryRequest{Namespace: ns, Execution: e},
		&workflowservice.GetWorkflowExecutionHistoryReverseRequest{Namespace: ns, Execution: e},
		&workflowservice.QueryWorkflowRequest{Namespace: ns, Execution: e, Query: &querypb.WorkflowQuery{QueryType: "q"}},
		&workflowservice.ResetStickyTaskQueueRequest{Namespace: ns, Execution: e},
	}
}

func TestExecutionRules(t *testing.T) {
	for _, x := range []struct {
		name, namespace string
		execution       *commonpb.WorkflowExecution
		want            string
	}{
		{"current run", "conform", execute("wf", ""), "ok"},
		{"one run", "conform", execute("wf", runID), "ok"},
		{"workflow id of 1001 is only unknown", "conform", execute(long(1001), ""), "ok"},
		{"deprecated namespace", "old", execute("wf", ""), "ok"},
		{"no execution", "conform", nil, "Invalid: Execution is not set on request."},
		{"no workflow id", "conform", execute("", ""), "Invalid: WorkflowId is not set on request."},
		{"no UUID", "conform", execute("wf", "x"), "Invalid: Invalid RunId."},
		{"no namespace", "", execute("wf", ""), "Invalid: Namespace is empty."},
		{"unknown namespace", "nowhere", nil, "NotFound: Namespace nowhere is not found. [NamespaceNotFoundFailure]"},
		{"deleted namespace", "gone", nil, "Failed: Namespace has invalid state: Deleted. Must be Registered or Deprecated. [NamespaceInvalidStateFailure]"},
	} {
		for _, req := range executions(x.namespace, x.execution) {
			plan, r := admit(req)
			if told(r) != x.want {
				t.Errorf("%s, %T:\n got %s\nwant %s", x.name, req, told(r), x.want)
			}
			if r != nil {
				continue
			}
			in, id := plan.In.(*port.Request), snapshot().ByName[x.namespace].ID
			want := port.RunKey{NamespaceID: id, WorkflowID: x.execution.WorkflowId, RunID: x.execution.RunId}
			if in.Run != want || in.Body != any(req) || plan.To.Role != port.RoleShard || plan.To.Node != 3 {
				t.Errorf("%s, %T: %v to %v", x.name, req, in.Run, plan.To)
			}
		}
	}
}

type signalRequest = workflowservice.SignalWorkflowExecutionRequest

func TestSignalRules(t *testing.T) {
	good := func() *signalRequest {
		return &signalRequest{Namespace: "conform", WorkflowExecution: execute("wf", ""), SignalName: "s"}
	}
	checkRules(t, good, []rule[*signalRequest]{
		{"empty name", func(r *signalRequest) { r.SignalName = "" }, "Invalid: SignalName is not set on request."},
		{"name of 1001", func(r *signalRequest) { r.SignalName = long(1001) }, "Invalid: SignalName length exceeds limit."},
		{"name of 1000", func(r *signalRequest) { r.SignalName = long(1000) }, "ok"},
		{"request id of 1001", func(r *signalRequest) { r.RequestId = long(1001) }, "Invalid: RequestId length exceeds limit."},
		{"input over the limit", func(r *signalRequest) { r.Input = payloads(2 << 20) }, "Invalid: Blob data size exceeds limit."},
		{"11 links", func(r *signalRequest) { r.Links = links(11) }, "Invalid: cannot attach more than 10 links per request, got 11"},
	})
	req := good()
	if _, in := request(t, req); in.Key != "new-1" || req.RequestId != "" {
		t.Errorf("key %q, request id %q: the answer shows the caller's own", in.Key, req.RequestId)
	}
	req.RequestId = "mine"
	if _, in := request(t, req); in.Key != "mine" {
		t.Errorf("key %q", in.Key)
	}
}

func TestTerminateIsSigned(t *testing.T) {
	req := &workflowservice.TerminateWorkflowExecutionRequest{Namespace: "conform", WorkflowExecution: execute("wf", "")}
	request(t, req)
	if req.Reason != "terminated by user via frontend" || req.Identity != "frontend-service" {
		t.Errorf("%q by %q", req.Reason, req.Identity)
	}
}

type queryRequest = workflowservice.QueryWorkflowRequest

func TestQueryRules(t *testing.T) {
	good := func() *queryRequest {
		return &queryRequest{Namespace: "conform", Execution: execute("wf", ""), Query: &querypb.WorkflowQuery{QueryType: "q"}}
	}
	checkRules(t, good, []rule[*queryRequest]{
		{"no query", func(r *queryRequest) { r.Query = nil }, "Invalid: WorkflowQuery is not set on request."},
		{"no type", func(r *queryRequest) { r.Query.QueryType = "" }, "Invalid: QueryType is not set on request."},
		{"too large", func(r *queryRequest) { r.Query.QueryArgs = payloads(2 << 20) }, "Invalid: Blob data size exceeds limit."},
	})
}

func TestHistoryPages(t *testing.T) {
	forward := token.AppendPage(nil, &port.PageToken{RunID: runID, NextEventID: 7, LastEventID: 9, Running: true})
	back := token.AppendPage(nil, &port.PageToken{RunID: runID, NextEventID: 7, Reverse: true})
	const invalid = "Invalid: Invalid NextPageToken."
	for _, x := range []struct {
		name          string
		forward, back []byte
		run, want     string
	}{
		{"no token", nil, nil, otherRun, "ok"},
		{"token", forward, back, "", "ok"},
		{"token and its run", forward, back, runID, "ok"},
		{"another run", forward, back, otherRun, "Invalid: RunId in the request does not match the NextPageToken."},
		{"nonsense", []byte("nonsense"), []byte("nonsense"), "", invalid},
		{"cut", forward[:len(forward)/2], back[:len(back)/2], "", invalid},
		{"the other direction", back, forward, "", invalid},
	} {
		for _, req := range []proto.Message{
			&workflowservice.GetWorkflowExecutionHistoryRequest{Namespace: "conform", Execution: execute("wf", x.run), NextPageToken: x.forward},
			&workflowservice.GetWorkflowExecutionHistoryReverseRequest{Namespace: "conform", Execution: execute("wf", x.run), NextPageToken: x.back},
		} {
			plan, r := admit(req)
			if told(r) != x.want {
				t.Errorf("%s, %T: %s", x.name, req, told(r))
			}
			if r != nil {
				continue
			}
			in := plan.In.(*port.Request)
			if first := x.forward == nil; first != (in.Page == nil) || !first && (in.Page.NextEventID != 7 || in.Run.RunID != runID) || first && in.Run.RunID != x.run {
				t.Errorf("%s, %T: run %s, page %+v", x.name, req, in.Run.RunID, in.Page)
			}
		}
	}
}

func TestPageSizes(t *testing.T) {
	for given, want := range map[int32]int32{0: 256, -1: 256, 1: 1, 256: 256, 257: 256, 5000: 256} {
		req := &workflowservice.GetWorkflowExecutionHistoryRequest{Namespace: "conform", Execution: execute("wf", ""), MaximumPageSize: given}
		if request(t, req); req.MaximumPageSize != want {
			t.Errorf("page of %d became %d", given, req.MaximumPageSize)
		}
	}
}
