package frontend

import (
	"testing"

	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"perdure/core/port"
)

func TestClientVersions(t *testing.T) {
	for _, x := range []struct{ name, version, servers, want string }{
		{"", "", "", "ok"},
		{"temporal-go", "", "", "ok"},
		{"", "", ">=2.0.0", "ok"},
		{"temporal-go", "1.30.0", "", "ok"},
		{"temporal-go", "2.0.0", "", "Failed: Client version 2.0.0 is not supported. Server supports temporal-go versions: <2.0.0 [ClientVersionNotSupportedFailure]"},
		{"temporal-go", "nonsense", "", "Invalid: Unable to parse client version: No Major.Minor.Patch elements found"},
		{"temporal-cli", "2.1.0", "", "Failed: Client version 2.1.0 is not supported. Server supports temporal-cli versions: <2.0.0 [ClientVersionNotSupportedFailure]"},
		{"temporal-ui", "2.53.0", "", "ok"},
		{"temporal-ui", "3.0.0", "", "Failed: Client version 3.0.0 is not supported. Server supports temporal-ui versions: <3.0.0 [ClientVersionNotSupportedFailure]"},
		{"other", "99.0.0", "", "ok"},
		{"temporal-go", "1.30.0", ">=1.0.0 <2.0.0", "ok"},
		{"temporal-go", "1.30.0", ">=1.20.0 <3.0.0", "ok"},
		{"temporal-go", "1.30.0", ">=2.0.0", "Failed: Server version 1.32.0 is not supported. Client supports server versions: >=2.0.0 [ServerVersionNotSupportedFailure]"},
		{"temporal-go", "1.30.0", "nonsense", `Invalid: Unable to parse supported server versions: Could not get version from string: "nonsense"`},
	} {
		c := caller()
		c.Client = port.Client{Name: x.name, Version: x.version, Servers: x.servers}
		if _, r := admitAs(c, &workflowservice.GetSystemInfoRequest{}); told(r) != x.want {
			t.Errorf("%s %s %s:\n got %s\nwant %s", x.name, x.version, x.servers, told(r), x.want)
		}
	}
}

func TestNamespaceCallRules(t *testing.T) {
	const id = "55555555-5555-4555-8555-555555555555"
	for _, x := range []struct {
		name string
		req  proto.Message
		want string
	}{
		{"register", &workflowservice.RegisterNamespaceRequest{Namespace: "new"}, "ok"},
		{"register without name", &workflowservice.RegisterNamespaceRequest{}, "Invalid: Namespace not set on request."},
		{"register name of 1001", &workflowservice.RegisterNamespaceRequest{Namespace: long(1001)}, "Invalid: Namespace length exceeds limit."},
		{"update without name", &workflowservice.UpdateNamespaceRequest{}, "Invalid: Namespace not set on request."},
		{"deprecate without name", &workflowservice.DeprecateNamespaceRequest{}, "Invalid: Namespace not set on request."},
		{"list", &workflowservice.ListNamespacesRequest{}, "ok"},
		{"describe by name", &workflowservice.DescribeNamespaceRequest{Namespace: "conform"}, "ok"},
		{"describe by id", &workflowservice.DescribeNamespaceRequest{Id: id}, "ok"},
		{"describe by both", &workflowservice.DescribeNamespaceRequest{Namespace: "conform", Id: id}, "Invalid: GetNamespace operation failed.  Both ID and Name specified in request."},
		{"describe neither", &workflowservice.DescribeNamespaceRequest{}, "Invalid: Namespace not set on request."},
		{"describe id no UUID", &workflowservice.DescribeNamespaceRequest{Id: "x"}, "Invalid: Namespace id is not a UUID."},
		{"add search attributes", &operatorservice.AddSearchAttributesRequest{Namespace: "conform"}, "ok"},
		{"add search attributes, unknown namespace", &operatorservice.AddSearchAttributesRequest{Namespace: "nowhere"}, "NotFound: Namespace nowhere is not found. [NamespaceNotFoundFailure]"},
		{"list search attributes of all", &operatorservice.ListSearchAttributesRequest{}, "ok"},
	} {
		plan, r := admit(x.req)
		if told(r) != x.want {
			t.Errorf("%s: %s", x.name, told(r))
		}
		if r == nil && plan.To != (port.Address{Node: 3, Role: port.RoleRegistry}) {
			t.Errorf("%s: to %v", x.name, plan.To)
		}
	}
}

func TestSystemInfoClaimsOnlyWhatIsThere(t *testing.T) {
	plan, r := admit(&workflowservice.GetSystemInfoRequest{})
	want := &workflowservice.GetSystemInfoResponse{ServerVersion: "1.32.0", Capabilities: &workflowservice.GetSystemInfoResponse_Capabilities{
		SignalAndQueryHeader: true, InternalErrorDifferentiation: true, ActivityFailureIncludeHeartbeat: true,
		EncodedFailureAttributes: true, UpsertMemo: true, EagerWorkflowStart: true, SdkMetadata: true, BuildIdBasedVersioning: true,
	}}
	if r != nil || !proto.Equal(plan.Answer.Message, want) {
		t.Errorf("%v, %v", plan.Answer, r)
	}
}

func TestClusterInfo(t *testing.T) {
	plan, r := admit(&workflowservice.GetClusterInfoRequest{})
	want := &workflowservice.GetClusterInfoResponse{
		SupportedClients: map[string]string{
			"Nexus-go-sdk": "<2.0.0", "temporal-cli": "<2.0.0", "temporal-go": "<2.0.0", "temporal-java": "<2.0.0", "temporal-php": "<2.0.0",
			"temporal-server": "<2.0.0", "temporal-typescript": "<2.0.0", "temporal-ui": "<3.0.0",
		},
		ServerVersion: "1.32.0", ClusterId: "cluster", ClusterName: "active", HistoryShardCount: 2, PersistenceStore: "sqlite", VisibilityStore: "sqlite",
		FailoverVersionIncrement: 10, InitialFailoverVersion: 1,
	}
	if r != nil || !proto.Equal(plan.Answer.Message, want) {
		t.Errorf("%v, %v", plan.Answer, r)
	}
}

func TestUnservedCalls(t *testing.T) {
	for _, x := range []struct {
		req  proto.Message
		want string
	}{
		{&workflowservice.DescribeDeploymentRequest{}, "Unimplemented: Deployments are deprecated and no longer supported, use Worker Deployments instead"},
		{&workflowservice.TriggerWorkflowRuleRequest{}, "Unimplemented: method TriggerWorkflowRule not supported"},
		{&workflowservice.CreateWorkflowRuleRequest{}, "Unimplemented: method CreateWorkflowRule not supported"},
		{&workflowservice.FetchWorkerConfigRequest{}, "Unimplemented: FetchWorkerConfig command is not enabled."},
		{&workflowservice.UpdateWorkerBuildIdCompatibilityRequest{}, "Denied: Worker versioning v0.1 (Version Set-based, deprecated) is disabled on this namespace. [PermissionDeniedFailure]"},
		{&workflowservice.GetWorkerTaskReachabilityRequest{}, "Denied: Worker versioning v0.2 (Rules-based, deprecated) is disabled on this namespace. [PermissionDeniedFailure]"},
		{&workflowservice.PauseWorkflowExecutionRequest{Namespace: "conform"}, "Unimplemented: workflow pause is not enabled for namespace: conform"},
		{&workflowservice.StartNexusOperationExecutionRequest{}, "Unimplemented: Standalone Nexus operation is disabled"},
		{&workflowservice.ListArchivedWorkflowExecutionsRequest{}, "Invalid: Cluster is not configured for visibility archival."},
		{&workflowservice.CreateScheduleRequest{}, "Unimplemented: Perdure does not serve CreateSchedule yet"},
	} {
		if _, r := admit(x.req); told(r) != x.want {
			t.Errorf("%T: %s", x.req, told(r))
		}
	}
}

// Every request, empty or with every field there but empty, is answered, refused or sent on.
func TestNoRequestPanics(t *testing.T) {
	services := []protoreflect.ServiceDescriptor{
		workflowservice.File_temporal_api_workflowservice_v1_service_proto.Services().Get(0),
		operatorservice.File_temporal_api_operatorservice_v1_service_proto.Services().Get(0),
	}
	for _, service := range services {
		for i := range service.Methods().Len() {
			kind, err := protoregistry.GlobalTypes.FindMessageByName(service.Methods().Get(i).Input().FullName())
			if err != nil {
				t.Fatal(err)
			}
			for depth := range 4 {
				for _, c := range []Caller{caller(), {Now: now, NewID: func() string { return "" }}} {
					m := kind.New()
					hollow(m, depth)
					plan, r := admitAs(c, m.Interface())
					if r == nil && plan.In == nil && plan.Answer == nil {
						t.Errorf("%s is neither answered nor sent on", kind.Descriptor().Name())
					}
				}
			}
		}
	}
}

// hollow sets the namespace, the token and every message field, down to a depth.
func hollow(m protoreflect.Message, depth int) {
	if depth == 0 {
		return
	}
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		switch {
		case f.IsMap() && f.MapValue().Message() != nil && f.MapKey().Kind() == protoreflect.StringKind:
			m.Mutable(f).Map().Mutable(protoreflect.ValueOfString("CustomInt").MapKey())
		case f.IsMap():
		case f.IsList() && f.Message() != nil:
			hollow(m.Mutable(f).List().AppendMutable().Message(), depth-1)
		case f.IsList():
		case f.Message() != nil:
			hollow(m.Mutable(f).Message(), depth-1)
		case f.Name() == "namespace":
			m.Set(f, protoreflect.ValueOfString("conform"))
		case f.Name() == "task_token":
			m.Set(f, protoreflect.ValueOfBytes(taskToken(port.ActivityTask, conformID)))
		case f.Kind() == protoreflect.StringKind && f.Name() != "run_id":
			m.Set(f, protoreflect.ValueOfString("x"))
		}
	}
}

func BenchmarkAdmitStart(b *testing.B) {
	f, s, c := New(Settings{}), snapshot(), caller()
	b.ReportAllocs()
	for b.Loop() {
		if _, r := f.Admit(s, c, startOf()); r != nil {
			b.Fatal(r)
		}
	}
}

func BenchmarkAdmitTaskCompleted(b *testing.B) {
	f, s, c := New(Settings{}), snapshot(), caller()
	c.Client = port.Client{Name: "temporal-go", Version: "1.35.0", Servers: usualServers}
	req := &workflowservice.RespondWorkflowTaskCompletedRequest{Namespace: "conform", TaskToken: taskToken(port.WorkflowTask, conformID)}
	b.ReportAllocs()
	for b.Loop() {
		if _, r := f.Admit(s, c, req); r != nil {
			b.Fatal(r)
		}
	}
}
