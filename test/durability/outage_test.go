package durability

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"perdure/adapters/store/service"
	"perdure/test/server"
)

// TestOutagesOnStores lets the database take no changes, in each way that there
// is: health checks say so, the log says why, once, callers are told to come
// again, and when it is over everything goes on by itself and nothing is lost.
func TestOutagesOnStores(t *testing.T) {
	for _, kind := range service.Stores("postgres") {
		for _, x := range troublesOf(kind) {
			t.Run(kind+"/"+x.name, func(t *testing.T) { playOutage(t, x, x.home(t, kind)) })
		}
	}
}

// TestFullDisk is an outage of SQLite. Small records find room in the journal, which is made in advance and used again.
func TestFullDisk(t *testing.T) {
	x := trouble{name: "disk_full", reason: "full", home: onSmallDisk, begin: fill, partly: true}
	playOutage(t, x, x.home(t, embedded))
}

func playOutage(t *testing.T, x trouble, db *database) {
	s := server.StartIn(t, db.folder, db.args...)
	health := watchHealth(t, s.Addr)
	health.await(t, healthpb.HealthCheckResponse_SERVING)
	l := startLoad(t, s.Addr)
	rounds := amount(1, 3)
	for n := range rounds {
		l.wait(100)
		halt := l.run() // a server that nobody asks for a change does not notice
		end := x.begin(t, db)
		health.await(t, healthpb.HealthCheckResponse_NOT_SERVING)
		toldToComeAgain(t, x, l, n)
		end()
		health.await(t, healthpb.HealthCheckResponse_SERVING)
		halt()
	}
	l.end()
	l.check()
	said := 0
	for line := range strings.Lines(s.Log()) {
		if strings.Contains(line, "takes no changes;") {
			said++
			if !strings.Contains(strings.ToLower(line), x.reason) || strings.Contains(line, "nil") {
				t.Errorf("the log does not tell the reason (%q): %s", x.reason, line)
			}
		}
	}
	if said != rounds && !(x.partly && said > 0 && said <= comesAndGoes*rounds) {
		t.Errorf("%d outages are in the log %d times", rounds, said)
	}
}

// comesAndGoes bounds how often one outage may seem to be over where some changes are made.
const comesAndGoes = 10

// toldToComeAgain asks for a change and wants to be told to come again, however long its deadline is.
func toldToComeAgain(t *testing.T, x trouble, l *load, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	id := fmt.Sprintf("refused-%d", n)
	_, err := l.api.StartWorkflowExecution(ctx, &workflowservice.StartWorkflowExecutionRequest{
		Namespace: namespace, WorkflowId: id, RequestId: id, WorkflowType: &commonpb.WorkflowType{Name: "load"}, TaskQueue: normal(),
	})
	if !is[*serviceerror.Unavailable](err) && !(x.partly && err == nil) {
		t.Errorf("a start while the database takes no changes: %v, want Unavailable", err)
	}
}

// watch follows the health of a server.
type watch struct {
	stream grpc.ServerStreamingClient[healthpb.HealthCheckResponse]
}

func watchHealth(t *testing.T, address string) watch {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	t.Cleanup(cancel)
	stream, err := healthpb.NewHealthClient(conn).Watch(ctx, &healthpb.HealthCheckRequest{}, grpc.WaitForReady(true))
	if err != nil {
		t.Fatal(err)
	}
	return watch{stream}
}

func (w watch) await(t *testing.T, want healthpb.HealthCheckResponse_ServingStatus) {
	t.Helper()
	for {
		r, err := w.stream.Recv()
		if err != nil {
			t.Fatal(fmt.Errorf("waiting for %v: %w", want, err))
		}
		if r.Status == want {
			return
		}
	}
}
