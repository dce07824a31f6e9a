package durability

import (
	"context"
	"errors"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/serviceerror"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/status"
)

const (
	namespace = "default"
	queue     = "load"
)

func dial(t testing.TB, address string) workflowservice.WorkflowServiceClient {
	t.Helper()
	api, _ := dialMoving(t, address)
	return api
}

// dialMoving connects to a server, and to another one when it is told to.
func dialMoving(t testing.TB, address string) (api workflowservice.WorkflowServiceClient, move func(address string)) {
	t.Helper()
	now := manual.NewBuilderWithScheme("now")
	now.InitialState(at(address))
	return dialThrough(t, now, "pick_first"), func(address string) { now.UpdateState(at(address)) }
}

// dialAll connects to several servers: each call goes to the next one.
func dialAll(t testing.TB, addresses ...string) workflowservice.WorkflowServiceClient {
	t.Helper()
	all := manual.NewBuilderWithScheme("all")
	all.InitialState(at(addresses...))
	return dialThrough(t, all, "round_robin")
}

func at(addresses ...string) (s resolver.State) {
	for _, a := range addresses {
		s.Endpoints = append(s.Endpoints, resolver.Endpoint{Addresses: []resolver.Address{{Addr: a}}})
	}
	return s
}

func dialThrough(t testing.TB, where *manual.Resolver, balance string) workflowservice.WorkflowServiceClient {
	t.Helper()
	quickly := grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.5, MaxDelay: 500 * time.Millisecond}, MinConnectTimeout: time.Second}
	typed := func(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, call grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		return serviceerror.FromStatus(status.Convert(call(ctx, method, req, reply, conn, opts...)))
	}
	conn, err := grpc.NewClient(where.Scheme()+":///server", grpc.WithResolvers(where), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithConnectParams(quickly),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig": [{"`+balance+`": {}}]}`), grpc.WithUnaryInterceptor(typed), grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return workflowservice.NewWorkflowServiceClient(conn)
}

// is reports whether an error is of a type.
func is[E error](err error) bool {
	var e E
	return errors.As(err, &e)
}

// cut reports whether an error says nothing about the effect of a call, or asks to come again.
func cut(err error) bool {
	return is[*serviceerror.Unavailable](err) || is[*serviceerror.ResourceExhausted](err) || is[*serviceerror.DeadlineExceeded](err) || is[*serviceerror.Canceled](err)
}

// callTime bounds one call, so that none hangs on a server that died.
const callTime = 10 * time.Second

// again makes a call until its outcome is known, with the growing waits that SDKs make.
func again[T any](ctx context.Context, call func(context.Context) (T, error)) (T, error) {
	for gap := leastGap; ; gap = min(2*gap, mostGap) {
		v, err := once(ctx, call)
		if !cut(err) || ctx.Err() != nil {
			return v, err
		}
		pause(ctx, gap)
	}
}

const (
	leastGap = 20 * time.Millisecond
	mostGap  = 500 * time.Millisecond
)

func pause(ctx context.Context, gap time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(gap):
	}
}

func once[T any](ctx context.Context, call func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	return call(ctx)
}

func normal() *taskqueuepb.TaskQueue {
	return &taskqueuepb.TaskQueue{Name: queue, Kind: enumspb.TASK_QUEUE_KIND_NORMAL}
}

func execution(id string) *commonpb.WorkflowExecution {
	return &commonpb.WorkflowExecution{WorkflowId: id}
}

func text(s string) *commonpb.Payloads {
	return &commonpb.Payloads{Payloads: []*commonpb.Payload{{Metadata: map[string][]byte{"encoding": []byte("binary/plain")}, Data: []byte(s)}}}
}

func textOf(p *commonpb.Payloads) string {
	if len(p.GetPayloads()) == 0 {
		return ""
	}
	return string(p.Payloads[0].Data)
}

// history is all events of the current run of an id.
func history(ctx context.Context, api workflowservice.WorkflowServiceClient, id string) (events []*historypb.HistoryEvent, err error) {
	for token := []byte(nil); ; {
		page, err := again(ctx, func(ctx context.Context) (*workflowservice.GetWorkflowExecutionHistoryResponse, error) {
			return api.GetWorkflowExecutionHistory(ctx, &workflowservice.GetWorkflowExecutionHistoryRequest{Namespace: namespace, Execution: execution(id), NextPageToken: token})
		})
		if err != nil {
			return nil, err
		}
		events = append(events, page.History.Events...)
		if token = page.NextPageToken; len(token) == 0 {
			return events, nil
		}
	}
}
