package grpc

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/errordetails/v1"
	historypb "go.temporal.io/api/history/v1"
	workflow "go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"perdure/adapters/runtime"
	"perdure/core/frontend"
	"perdure/core/port"
)

// toy is a frontend and a machine: the frontend sends every request to the
// machine, the machine does what the test says.
type toy struct {
	admit func(frontend.Caller, proto.Message) (frontend.Plan, *port.Refusal)
	step  func(in port.Input, out *port.Effects)
}

var toyAddress = port.Address{Node: 1, Role: port.RoleShard, Index: 1}

func (x *toy) Admit(_ *port.Snapshot, c frontend.Caller, req proto.Message) (frontend.Plan, *port.Refusal) {
	if x.admit != nil {
		return x.admit(c, req)
	}
	return frontend.Plan{To: toyAddress, In: &port.Request{Call: c.Call, Deadline: c.Deadline, Client: c.Client, Body: req}}, nil
}

func (x *toy) Step(_ port.Clock, in port.Input, out *port.Effects) {
	if _, ok := in.(publish); ok {
		out.Add(port.Publish{Snapshot: &port.Snapshot{}})
	} else if x.step != nil {
		x.step(in, out)
	}
}

// publish is any input by which the test makes the toy ready.
type publish = port.Alarmed

func serve(t testing.TB, x *toy) (*grpc.ClientConn, *runtime.Runtime, *bytes.Buffer) {
	t.Helper()
	var logged bytes.Buffer
	log := slog.New(slog.NewTextHandler(&logged, nil))
	r := runtime.New(runtime.Config{Node: 1, Log: log})
	r.Add(toyAddress, x)
	r.Start()
	s := New(Config{Runtime: r, Frontend: x, Log: log})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- s.Serve(l) }()
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		s.Stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		r.Stop()
	})
	return conn, r, &logged
}

func serveReady(t testing.TB, x *toy) (workflow.WorkflowServiceClient, *grpc.ClientConn, *bytes.Buffer) {
	conn, r, logged := serve(t, x)
	r.Post(toyAddress, publish{})
	return workflow.NewWorkflowServiceClient(conn), conn, logged
}

// answer replies to every request with the same answer.
func answer(a *port.Answer, refusal *port.Refusal) func(port.Input, *port.Effects) {
	return func(in port.Input, out *port.Effects) {
		if q, ok := in.(*port.Request); ok {
			out.Add(port.Reply{Call: q.Call, Body: a, Refusal: refusal})
		}
	}
}

func TestRequestReachesItsMachineWithItsCaller(t *testing.T) {
	var got frontend.Caller
	x := &toy{step: answer(&port.Answer{Message: &workflow.StartWorkflowExecutionResponse{RunId: "run"}}, nil)}
	x.admit = func(c frontend.Caller, req proto.Message) (frontend.Plan, *port.Refusal) {
		got = c
		return frontend.Plan{To: toyAddress, In: &port.Request{Call: c.Call, Body: req}}, nil
	}
	client, _, _ := serveReady(t, x)
	deadline := time.Now().Add(time.Hour)
	ctx, cancel := context.WithDeadline(t.Context(), deadline)
	defer cancel()
	ctx = metadata.AppendToOutgoingContext(ctx, "client-name", "temporal-go", "client-version", "1.2.3", "supported-features", "a,b", "supported-server-versions", ">=1.0.0")
	r, err := client.StartWorkflowExecution(ctx, &workflow.StartWorkflowExecutionRequest{WorkflowId: "w"})
	if err != nil || r.RunId != "run" {
		t.Fatalf("%v, %v", r, err)
	}
	if got.Client.Name != "temporal-go" || got.Client.Version != "1.2.3" || got.Client.Servers != ">=1.0.0" || !got.Client.Has("b") {
		t.Errorf("client %+v", got.Client)
	}
	if d := got.Deadline.Sub(deadline); d > time.Minute || d < -time.Minute {
		t.Errorf("deadline is %v off", d)
	}
	id, another := got.NewID(), got.NewID()
	if !regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(id) || id == another {
		t.Errorf("ids %s, %s", id, another)
	}
}

func TestAnswerOfTheFrontendItself(t *testing.T) {
	x := &toy{admit: func(frontend.Caller, proto.Message) (frontend.Plan, *port.Refusal) {
		return frontend.Plan{Answer: &port.Answer{Message: &workflow.GetSystemInfoResponse{ServerVersion: "9"}}}, nil
	}}
	client, _, _ := serveReady(t, x)
	r, err := client.GetSystemInfo(t.Context(), &workflow.GetSystemInfoRequest{})
	if err != nil || r.ServerVersion != "9" {
		t.Fatalf("%v, %v", r, err)
	}
}

func TestEncodedEventsArriveAsHistory(t *testing.T) {
	for _, size := range []int{10, 3000, 100_000} {
		want := &workflow.GetWorkflowExecutionHistoryResponse{NextPageToken: []byte("x"), History: &historypb.History{}}
		a := &port.Answer{Message: &workflow.GetWorkflowExecutionHistoryResponse{NextPageToken: []byte("x")}, Field: 1}
		for i := range 3 {
			events := &historypb.History{Events: []*historypb.HistoryEvent{{EventId: int64(i), Attributes: &historypb.HistoryEvent_WorkflowExecutionSignaledEventAttributes{
				WorkflowExecutionSignaledEventAttributes: &historypb.WorkflowExecutionSignaledEventAttributes{SignalName: strings.Repeat("s", size)}}}}}
			encoded, err := proto.Marshal(events)
			if err != nil {
				t.Fatal(err)
			}
			a.Fragments = append(a.Fragments, encoded)
			want.History.Events = append(want.History.Events, events.Events...)
		}
		client, _, _ := serveReady(t, &toy{step: answer(a, nil)})
		got, err := client.GetWorkflowExecutionHistory(t.Context(), &workflow.GetWorkflowExecutionHistoryRequest{})
		if err != nil || !proto.Equal(got, want) {
			t.Fatalf("size %d: %v, %v", size, got, err)
		}
	}
}

func TestRefusalsAreStatuses(t *testing.T) {
	for _, c := range []struct {
		refusal *port.Refusal
		code    codes.Code
		message string
		detail  proto.Message
	}{
		{port.Invalid("no %s", "good"), codes.InvalidArgument, "no good", nil},
		{port.Missing("gone"), codes.NotFound, "gone", &errordetails.NotFoundFailure{}},
		{port.AlreadyStarted("runs", "req", "run", "first"), codes.AlreadyExists, "runs", &errordetails.WorkflowExecutionAlreadyStartedFailure{StartRequestId: "req", RunId: "run", FirstExecutionRunId: "first"}},
		{port.Busy("later"), codes.ResourceExhausted, "later", &errordetails.ResourceExhaustedFailure{Cause: enumspb.RESOURCE_EXHAUSTED_CAUSE_BUSY_WORKFLOW, Scope: enumspb.RESOURCE_EXHAUSTED_SCOPE_NAMESPACE}},
	} {
		client, _, _ := serveReady(t, &toy{step: answer(nil, c.refusal)})
		var head metadata.MD
		_, err := client.DescribeNamespace(t.Context(), &workflow.DescribeNamespaceRequest{}, grpc.Header(&head))
		st := status.Convert(err)
		if st.Code() != c.code || st.Message() != c.message {
			t.Errorf("got %v", st)
		}
		if c.detail == nil != (len(st.Details()) == 0) || c.detail != nil && !proto.Equal(c.detail, st.Details()[0].(proto.Message)) {
			t.Errorf("details %v, want %v", st.Details(), c.detail)
		}
		if _, ok := c.detail.(*errordetails.ResourceExhaustedFailure); ok {
			if !slices.Equal(head.Get(exhaustedCause), []string{"BusyWorkflow"}) || !slices.Equal(head.Get(exhaustedScope), []string{"Namespace"}) {
				t.Errorf("headers %v", head)
			}
		}
	}
}

func TestInternalTextsAreMasked(t *testing.T) {
	client, _, logged := serveReady(t, &toy{step: answer(nil, port.Refuse(port.Internal, "secret 42"))})
	_, err := client.DescribeNamespace(t.Context(), &workflow.DescribeNamespaceRequest{})
	st := status.Convert(err)
	if st.Code() != codes.Internal || strings.Contains(st.Message(), "secret") {
		t.Fatalf("got %v", st)
	}
	id := st.Message()[strings.LastIndex(st.Message(), " ")+1:]
	if !strings.Contains(logged.String(), "secret 42") || !strings.Contains(logged.String(), id) || !strings.Contains(logged.String(), "DescribeNamespace") {
		t.Fatalf("log lacks the text or id %s: %s", id, logged)
	}
}

func TestBeforeReadyNothingIsServed(t *testing.T) {
	conn, r, _ := serve(t, &toy{step: answer(&port.Answer{Message: &workflow.DescribeNamespaceResponse{}}, nil)})
	client, health := workflow.NewWorkflowServiceClient(conn), healthpb.NewHealthClient(conn)
	if _, err := client.DescribeNamespace(t.Context(), &workflow.DescribeNamespaceRequest{}); status.Code(err) != codes.Unavailable {
		t.Fatalf("got %v", err)
	}
	names := []string{"", "temporal.api.workflowservice.v1.WorkflowService", "temporal.api.operatorservice.v1.OperatorService"}
	for _, name := range names {
		h, err := health.Check(t.Context(), &healthpb.HealthCheckRequest{Service: name})
		if err != nil || h.Status != healthpb.HealthCheckResponse_NOT_SERVING {
			t.Fatalf("%q: %v, %v", name, h, err)
		}
	}
	watch, err := health.Watch(t.Context(), &healthpb.HealthCheckRequest{Service: names[2]}) // set last
	if err != nil {
		t.Fatal(err)
	}
	r.Post(toyAddress, publish{})
	for h := new(healthpb.HealthCheckResponse); h.Status != healthpb.HealthCheckResponse_SERVING; {
		if h, err = watch.Recv(); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range names {
		h, err := health.Check(t.Context(), &healthpb.HealthCheckRequest{Service: name})
		if err != nil || h.Status != healthpb.HealthCheckResponse_SERVING {
			t.Fatalf("%q: %v, %v", name, h, err)
		}
	}
	if _, err := health.Check(t.Context(), &healthpb.HealthCheckRequest{Service: "nowhere"}); status.Convert(err).Message() != "unknown service" || status.Code(err) != codes.NotFound {
		t.Fatalf("got %v", err)
	}
	if _, err := client.DescribeNamespace(t.Context(), &workflow.DescribeNamespaceRequest{}); err != nil {
		t.Fatal(err)
	}
}

func TestReflectionListsTheServices(t *testing.T) {
	_, conn, _ := serveReady(t, &toy{})
	stream, err := reflectionpb.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ask := func(q *reflectionpb.ServerReflectionRequest) *reflectionpb.ServerReflectionResponse {
		t.Helper()
		if err := stream.Send(q); err != nil {
			t.Fatal(err)
		}
		a, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	list := ask(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}})
	for _, want := range []string{"temporal.api.workflowservice.v1.WorkflowService", "temporal.api.operatorservice.v1.OperatorService", "grpc.health.v1.Health"} {
		if !strings.Contains(list.String(), want) {
			t.Errorf("%s is not listed", want)
		}
	}
	file := ask(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: "temporal.api.workflowservice.v1.WorkflowService"}})
	if len(file.GetFileDescriptorResponse().GetFileDescriptorProto()) == 0 {
		t.Errorf("no descriptor: %v", file)
	}
}

func TestUnknownNamesGetWhatGRPCGives(t *testing.T) {
	_, conn, _ := serveReady(t, &toy{})
	for method, want := range map[string]string{
		"/temporal.api.workflowservice.v1.WorkflowService/Nothing": "unknown method Nothing for service temporal.api.workflowservice.v1.WorkflowService",
		"/nowhere.Service/Nothing":                                 "unknown service nowhere.Service",
	} {
		err := conn.Invoke(t.Context(), method, &healthpb.HealthCheckRequest{}, &healthpb.HealthCheckResponse{})
		if st := status.Convert(err); st.Code() != codes.Unimplemented || st.Message() != want {
			t.Errorf("%s: %v", method, st)
		}
	}
}

// TestEveryCallReachesTheFrontend makes each call of both services once.
func TestEveryCallReachesTheFrontend(t *testing.T) {
	var got protoreflect.FullName
	x := &toy{admit: func(_ frontend.Caller, req proto.Message) (frontend.Plan, *port.Refusal) {
		got = req.ProtoReflect().Descriptor().FullName()
		return frontend.Plan{}, port.Refuse(port.Unimplemented, "not yet")
	}}
	_, conn, _ := serveReady(t, x)
	for _, service := range services() {
		for i := range service.Methods().Len() {
			m := service.Methods().Get(i)
			err := conn.Invoke(t.Context(), "/"+string(service.FullName())+"/"+string(m.Name()), requestType(m).New().Interface(), &healthpb.HealthCheckResponse{})
			if status.Convert(err).Message() != "not yet" || got != m.Input().FullName() {
				t.Errorf("%s: %v, the frontend got %s", m.Name(), err, got)
			}
		}
	}
}

func TestUnservedFeaturesAreThoseTheFrontendRefuses(t *testing.T) {
	x := &toy{admit: func(_ frontend.Caller, req proto.Message) (frontend.Plan, *port.Refusal) {
		switch req.(type) {
		case *workflow.CreateScheduleRequest, *workflow.PollNexusTaskQueueRequest:
			return frontend.Plan{}, port.Refuse(port.Unimplemented, "not yet")
		}
		return frontend.Plan{}, port.Invalid("empty")
	}}
	r := runtime.New(runtime.Config{Node: 1})
	defer r.Stop()
	s := New(Config{Runtime: r, Frontend: x})
	if got := s.Unserved(); !slices.Equal(got, []string{"schedules", "Nexus"}) {
		t.Errorf("got %q", got)
	}
}

func TestBadMessagesGetWhatGRPCGives(t *testing.T) {
	client, conn, _ := serveReady(t, &toy{})
	big := &commonpb.Payloads{Payloads: []*commonpb.Payload{{Data: make([]byte, 5<<20)}}}
	_, err := client.StartWorkflowExecution(t.Context(), &workflow.StartWorkflowExecutionRequest{Input: big})
	if st := status.Convert(err); st.Code() != codes.ResourceExhausted || !strings.HasPrefix(st.Message(), "grpc: received message larger than max (52428") {
		t.Errorf("too large: %v", st)
	}
	err = conn.Invoke(t.Context(), "/temporal.api.workflowservice.v1.WorkflowService/StartWorkflowExecution", []byte("\x12\x02\xff\xfe"), new([]byte), grpc.ForceCodec(raw{}))
	if st := status.Convert(err); st.Code() != codes.Internal || !strings.Contains(st.Message(), "UTF-8") {
		t.Errorf("invalid text: %v", st)
	}
}

func TestCallerThatGoesIsReported(t *testing.T) {
	waiting, gone := make(chan port.Call, 1), make(chan port.Call, 1)
	client, _, _ := serveReady(t, &toy{step: func(in port.Input, out *port.Effects) {
		switch in := in.(type) {
		case *port.Request:
			waiting <- in.Call
		case port.Gone:
			gone <- in.Call
		}
	}})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, err := client.PollWorkflowTaskQueue(ctx, &workflow.PollWorkflowTaskQueueRequest{})
		ended <- err
	}()
	c := <-waiting
	cancel()
	if err := <-ended; status.Code(err) != codes.Canceled {
		t.Fatalf("got %v", err)
	}
	if g := <-gone; g != c {
		t.Fatalf("gone %v, want %v", g, c)
	}
}

// TestAnswerThatFoundNoCallerComesBack answers exactly while the caller goes,
// until one answer is lost between machine and wire: it is reported.
func TestAnswerThatFoundNoCallerComesBack(t *testing.T) {
	back := make(chan struct{}, 1000)
	calls := make(chan port.Call, 1)
	client, r, _ := serveReadyRuntime(t, &toy{step: func(in port.Input, out *port.Effects) {
		switch in := in.(type) {
		case *port.Request:
			calls <- in.Call
		case port.Taken:
			out.Add(port.Reply{Call: in.Poll.Call, Body: &port.Answer{Message: &workflow.PollWorkflowTaskQueueResponse{}}, Token: 1})
		case port.Undelivered:
			back <- struct{}{}
		}
	}})
	for len(back) == 0 {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() {
			_, err := client.PollWorkflowTaskQueue(ctx, &workflow.PollWorkflowTaskQueueRequest{})
			ended <- err
		}()
		c := <-calls
		go cancel()
		r.Post(toyAddress, port.Taken{Poll: &port.Poll{Call: c}})
		<-ended
		cancel()
	}
}

func serveReadyRuntime(t testing.TB, x *toy) (workflow.WorkflowServiceClient, *runtime.Runtime, *bytes.Buffer) {
	conn, r, logged := serve(t, x)
	r.Post(toyAddress, publish{})
	return workflow.NewWorkflowServiceClient(conn), r, logged
}

func TestRefuseLetsCallsEnd(t *testing.T) {
	waiting, let := make(chan port.Call, 1), make(chan struct{})
	x := &toy{step: func(in port.Input, out *port.Effects) {
		switch in := in.(type) {
		case *port.Request:
			waiting <- in.Call
		case port.Taken:
			out.Add(port.Reply{Call: in.Poll.Call, Body: &port.Answer{Message: &workflow.PollWorkflowTaskQueueResponse{}}})
		}
	}}
	r := runtime.New(runtime.Config{Node: 1, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	r.Add(toyAddress, x)
	r.Start()
	defer r.Stop()
	r.Post(toyAddress, publish{})
	s := New(Config{Runtime: r, Frontend: x})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve(l)
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ended := make(chan error)
	go func() {
		_, err := workflow.NewWorkflowServiceClient(conn).PollWorkflowTaskQueue(t.Context(), &workflow.PollWorkflowTaskQueueRequest{})
		ended <- err
	}()
	c := <-waiting
	go func() { s.Refuse(t.Context()); close(let) }()
	r.Post(toyAddress, port.Taken{Poll: &port.Poll{Call: c}})
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	<-let
}

// raw sends and receives bytes as they are.
type raw struct{}

func (raw) Name() string                  { return "proto" }
func (raw) Marshal(v any) ([]byte, error) { return v.([]byte), nil }
func (raw) Unmarshal(b []byte, v any) error {
	*v.(*[]byte) = bytes.Clone(b)
	return nil
}

// TestNonsenseNeverCrashes sends random and nearly valid bytes to every call.
// Each gets an answer or a status.
func TestNonsenseNeverCrashes(t *testing.T) {
	var reached atomic.Int64
	_, conn, _ := serveReady(t, &toy{step: func(in port.Input, out *port.Effects) {
		if q, ok := in.(*port.Request); ok {
			reached.Add(1)
			// Everything that was decoded can be walked and encoded again.
			if _, err := proto.Marshal(q.Body.(proto.Message)); err != nil {
				panic(err)
			}
			out.Add(port.Reply{Call: q.Call, Body: &port.Answer{Message: q.Body.(proto.Message)}})
		}
	}})
	random := rand.New(rand.NewPCG(1, 2))
	for _, service := range services() {
		for i := range service.Methods().Len() {
			method := "/" + string(service.FullName()) + "/" + string(service.Methods().Get(i).Name())
			for range 20 {
				reply := []byte{}
				err := conn.Invoke(t.Context(), method, nonsense(random), &reply, grpc.ForceCodec(raw{}))
				if code := status.Code(err); code != codes.OK && code != codes.Internal && code != codes.Unimplemented {
					t.Errorf("%s: %v", method, err)
				}
			}
		}
	}
	if reached.Load() == 0 {
		t.Error("no message was well formed: the bytes are too random")
	}
}

// nonsense is a run of fields with plausible tags and random content.
func nonsense(r *rand.Rand) []byte {
	var b []byte
	for range r.IntN(6) {
		field, kind := byte(1+r.IntN(15)), byte(r.IntN(6))
		b = append(b, field<<3|kind)
		for range r.IntN(8) {
			b = append(b, byte(r.IntN(256))>>r.IntN(8))
		}
	}
	return b
}

func FuzzCodec(f *testing.F) {
	f.Add([]byte("\x0a\x02ab"), []byte("x"), uint8(3))
	f.Fuzz(func(t *testing.T, message, fragment []byte, field uint8) {
		m := new(workflow.GetWorkflowExecutionHistoryResponse)
		if proto.Unmarshal(message, m) != nil || field == 0 {
			return
		}
		a := &port.Answer{Message: m, Field: 90, Fragments: [][]byte{fragment, {}, fragment}, Inner: &port.Answer{Message: m, Field: 91}, InnerField: 92}
		got, err := codec{}.Marshal(a)
		if err != nil {
			return
		}
		if want := slow(t, a); !bytes.Equal(got.Materialize(), want) {
			t.Fatalf("got %x, want %x", got.Materialize(), want)
		}
	})
}
