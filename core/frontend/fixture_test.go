package frontend

import (
	"fmt"
	"strings"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"perdure/core/port"
	"perdure/core/store"
	"perdure/core/token"
)

const (
	conformID = "11111111-1111-4111-8111-111111111111"
	otherID   = "22222222-2222-4222-8222-222222222222"
	oldID     = "33333333-3333-4333-8333-333333333333"
	goneID    = "44444444-4444-4444-8444-444444444444"
	runID     = "01985b6e-7c9f-7aaa-8d83-5a02c2b6ba55"
	otherRun  = "01985b6e-7c9f-7aaa-8d83-5a02c2b6ba56"
)

var now = time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)

func snapshot() *port.Snapshot {
	s := &port.Snapshot{
		Version: 1, Cluster: "cluster", ByName: map[string]*port.Namespace{}, ByID: map[string]*port.Namespace{},
		Keys:   []port.Key{{ID: 1, Secret: []byte("a secret of thirty-two bytes too")}},
		Layout: []port.ShardRange{{Shard: 1, Strips: store.Strips{From: 0, To: 512}}, {Shard: 2, Strips: store.Strips{From: 512, To: 1024}}},
	}
	for _, ns := range []*port.Namespace{
		{ID: conformID, Name: "conform", State: enumspb.NAMESPACE_STATE_REGISTERED, SearchAttributes: map[string]enumspb.IndexedValueType{
			"CustomKeyword": enumspb.INDEXED_VALUE_TYPE_KEYWORD, "CustomInt": enumspb.INDEXED_VALUE_TYPE_INT,
		}},
		{ID: otherID, Name: "other", State: enumspb.NAMESPACE_STATE_REGISTERED},
		{ID: oldID, Name: "old", State: enumspb.NAMESPACE_STATE_DEPRECATED},
		{ID: goneID, Name: "gone", State: enumspb.NAMESPACE_STATE_DELETED},
	} {
		s.ByName[ns.Name], s.ByID[ns.ID] = ns, ns
	}
	return s
}

func caller() Caller {
	n := 0
	return Caller{Now: now, Deadline: now.Add(70 * time.Second), Call: port.Call{Node: 1, ID: 5}, NewID: func() string { n++; return fmt.Sprint("new-", n) }}
}

func admit(req proto.Message) (Plan, *port.Refusal) { return admitAs(caller(), req) }

func admitAs(c Caller, req proto.Message) (Plan, *port.Refusal) {
	return New(Settings{Node: 3, QueueParts: 4}).Admit(snapshot(), c, req)
}

// told is a refusal as one line, "ok" if there is none.
func told(r *port.Refusal) string {
	if r == nil {
		return "ok"
	}
	names := map[port.Code]string{port.InvalidArgument: "Invalid", port.NotFound: "NotFound", port.FailedPrecondition: "Failed", port.PermissionDenied: "Denied", port.Unimplemented: "Unimplemented", port.Unknown: "Unknown"}
	detail := ""
	if r.Detail != nil {
		detail = fmt.Sprintf(" [%s]", r.Detail.ProtoReflect().Descriptor().Name())
	}
	return names[r.Code] + ": " + r.Message + detail
}

// rule is one row of a table: what is wrong with a request, and what is said of it.
type rule[R proto.Message] struct {
	name string
	edit func(R)
	want string
}

func checkRules[R proto.Message](t *testing.T, good func() R, rules []rule[R]) {
	t.Helper()
	for _, x := range rules {
		req := good()
		x.edit(req)
		if _, r := admit(req); told(r) != x.want {
			t.Errorf("%s:\n got %s\nwant %s", x.name, told(r), x.want)
		}
	}
}

// request is what a plan sends on.
func request(t *testing.T, req proto.Message) (port.Address, *port.Request) {
	t.Helper()
	plan, r := admit(req)
	if r != nil {
		t.Fatalf("%T refused: %s", req, told(r))
	}
	in, ok := plan.In.(*port.Request)
	if !ok {
		t.Fatalf("%T became %T", req, plan.In)
	}
	return plan.To, in
}

func taskToken(kind port.TaskKind, namespace string) []byte {
	return token.AppendTask(nil, snapshot().Keys, &port.Token{
		Run: port.RunKey{NamespaceID: namespace, WorkflowID: "wf", RunID: runID}, Kind: kind, ScheduledID: 2, StartedID: 3, Attempt: 1, Nonce: 9,
	})
}

func seconds(s float64) *durationpb.Duration {
	return durationpb.New(time.Duration(s * float64(time.Second)))
}

func text(data string) *commonpb.Payload {
	return &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: []byte(data)}
}

func payloads(n int) *commonpb.Payloads {
	return &commonpb.Payloads{Payloads: []*commonpb.Payload{{Data: make([]byte, n)}}}
}

func attributes(name string, p *commonpb.Payload) *commonpb.SearchAttributes {
	return &commonpb.SearchAttributes{IndexedFields: map[string]*commonpb.Payload{name: p}}
}

func queue(name string) *taskqueuepb.TaskQueue { return &taskqueuepb.TaskQueue{Name: name} }

func execute(workflow, run string) *commonpb.WorkflowExecution {
	return &commonpb.WorkflowExecution{WorkflowId: workflow, RunId: run}
}

func long(n int) string { return strings.Repeat("x", n) }

func links(n int) []*commonpb.Link {
	var all []*commonpb.Link
	for range n {
		all = append(all, link("wf", runID))
	}
	return all
}

func link(workflow, run string) *commonpb.Link {
	return &commonpb.Link{Variant: &commonpb.Link_WorkflowEvent_{WorkflowEvent: &commonpb.Link_WorkflowEvent{Namespace: "conform", WorkflowId: workflow, RunId: run}}}
}
