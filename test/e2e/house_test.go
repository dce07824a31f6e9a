package e2e

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"perdure/test/server"
)

const (
	home   = "default" // namespace of nearly everything
	second = "second"
)

// house is a server and the clients that all cases share.
type house struct {
	server *server.Server
	client client.Client // of the namespace home
	second client.Client
	raw    *grpc.ClientConn
	api    workflowservice.WorkflowServiceClient // without the SDK's own ideas
}

// attributes are the custom search attributes of the namespace home.
var attributes = map[string]enumspb.IndexedValueType{
	"Word": enumspb.INDEXED_VALUE_TYPE_KEYWORD, "Count": enumspb.INDEXED_VALUE_TYPE_INT, "Share": enumspb.INDEXED_VALUE_TYPE_DOUBLE,
	"Good": enumspb.INDEXED_VALUE_TYPE_BOOL, "When": enumspb.INDEXED_VALUE_TYPE_DATETIME, "Words": enumspb.INDEXED_VALUE_TYPE_KEYWORD_LIST,
	"Prose": enumspb.INDEXED_VALUE_TYPE_TEXT,
}

// newHouse starts a server, by default on SQLite.
func newHouse(t *testing.T, args ...string) *house {
	t.Helper()
	h := &house{server: server.Start(t, append([]string{"--log-level", "warn"}, args...)...)}
	h.client = dial(t, h.server.Addr, home)
	h.raw = dialRaw(t, h.server.Addr)
	h.api = workflowservice.NewWorkflowServiceClient(h.raw)
	_, err := h.api.RegisterNamespace(t.Context(), &workflowservice.RegisterNamespaceRequest{Namespace: second, WorkflowExecutionRetentionPeriod: durationpb.New(24 * time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	h.second = dial(t, h.server.Addr, second)
	add := &operatorservice.AddSearchAttributesRequest{Namespace: home, SearchAttributes: attributes}
	if _, err := operatorservice.NewOperatorServiceClient(h.raw).AddSearchAttributes(t.Context(), add); err != nil {
		t.Fatal(err)
	}
	return h
}

// killAndRestart returns when the shared connections work again.
func (h *house) killAndRestart(t *testing.T) {
	h.server.Kill()
	if err := h.server.Start(); err != nil {
		t.Error(err)
		return
	}
	ask := &workflowservice.GetSystemInfoRequest{}
	for _, api := range []workflowservice.WorkflowServiceClient{h.api, h.client.WorkflowService(), h.second.WorkflowService()} {
		if _, err := api.GetSystemInfo(t.Context(), ask, grpc.WaitForReady(true)); err != nil {
			t.Error(err)
		}
	}
}

var silent = log.NewStructuredLogger(slog.New(slog.DiscardHandler))

// quickly makes connections come back fast after a kill.
var quickly = grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.5, MaxDelay: time.Second}, MinConnectTimeout: time.Second})

func dial(t testing.TB, address, namespace string, options ...grpc.DialOption) client.Client {
	t.Helper()
	c, err := client.Dial(client.Options{
		HostPort: address, Namespace: namespace, Logger: silent,
		ConnectionOptions: client.ConnectionOptions{DialOptions: append([]grpc.DialOption{quickly}, options...)},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// dialRaw connects without the SDK. Calls that a restart cuts are made again,
// so each names its request id where that matters; errors are those of serviceerror.
func dialRaw(t testing.TB, address string, options ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	again := func(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, call grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		for {
			err := serviceerror.FromStatus(status.Convert(call(ctx, method, req, reply, conn, opts...)))
			if _, cut := err.(*serviceerror.Unavailable); !cut || ctx.Err() != nil {
				return err
			}
		}
	}
	conn, err := grpc.NewClient(address, append(options, grpc.WithTransportCredentials(insecure.NewCredentials()), quickly,
		grpc.WithUnaryInterceptor(again), grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// barrier lets everybody wait for everybody, then does one thing, and opens.
type barrier struct {
	missing sync.WaitGroup
	open    chan struct{}
}

func newBarrier(everybody int, do func()) *barrier {
	b := &barrier{open: make(chan struct{})}
	b.missing.Add(everybody)
	go func() {
		b.missing.Wait()
		do()
		close(b.open)
	}()
	return b
}

// enter is for one of everybody: halfway waits; who leaves is not waited for.
func (b *barrier) enter() (halfway, leave func()) {
	leave = sync.OnceFunc(b.missing.Done)
	return func() {
		leave()
		<-b.open
	}, leave
}

// is reports whether an error is of a type.
func is[E error](err error) bool {
	var e E
	return errors.As(err, &e)
}
