package durability

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"perdure/adapters/store/service"
	"perdure/test/server"
)

// The same promises on real databases, which can be killed too. Which ones is
// the variable PERDURE_TEST_STORES.

func onStores(t *testing.T, play func(t *testing.T, kind, url string)) {
	for _, kind := range service.Stores("postgres") {
		t.Run(kind, func(t *testing.T) {
			name := strings.ToLower(strings.Split(t.Name(), "/")[0])
			play(t, kind, service.Fresh(t, kind, name[max(0, len(name)-30):]))
		})
	}
}

func do(t *testing.T, kind, command string) {
	t.Helper()
	if _, err := service.Do(kind, command); err != nil {
		t.Fatal(err)
	}
}

// TestServerKilledOnStores kills the server at random moments under load.
func TestServerKilledOnStores(t *testing.T) {
	onStores(t, func(t *testing.T, kind, url string) {
		s := server.Start(t, "--store", url)
		l := startLoad(t, s.Addr)
		for range amount(3, 20) {
			l.wait(1 + rand.IntN(amount(200, 1000)))
			s.Kill()
			if err := s.Start(); err != nil {
				t.Fatal(err)
			}
		}
		l.end()
		l.check()
	})
}

// TestDatabaseKilledOnStores kills the database under load; the server lives.
func TestDatabaseKilledOnStores(t *testing.T) {
	onStores(t, func(t *testing.T, kind, url string) {
		s := server.Start(t, "--store", url)
		l := startLoad(t, s.Addr)
		for range amount(2, 10) {
			l.wait(1 + rand.IntN(amount(200, 1000)))
			do(t, kind, "kill")
			do(t, kind, "start")
		}
		l.end()
		l.check()
	})
}

// TestNodesKilledOnStores kills one node after another of a database that has several: the others serve on.
func TestNodesKilledOnStores(t *testing.T) {
	onStores(t, func(t *testing.T, kind, url string) {
		nodes := strings.Count(strings.Split(url, "/")[2], ",") + 1
		if nodes == 1 {
			return // its death is the database's
		}
		s := server.Start(t, "--store", url)
		l := startLoad(t, s.Addr)
		for i := range amount(3, 10) {
			l.wait(1 + rand.IntN(amount(100, 500)))
			do(t, kind, fmt.Sprint("kill", i%nodes+1))
			l.wait(1 + rand.IntN(amount(50, 200))) // while it is dead
			do(t, kind, "start")
		}
		l.end()
		l.check()
	})
}

// TestOutageOnStores stops the database until health checks say so, and starts it again.
func TestOutageOnStores(t *testing.T) {
	onStores(t, func(t *testing.T, kind, url string) {
		s := server.Start(t, "--store", url)
		defer func() {
			if t.Failed() {
				t.Log(s.Log())
			}
		}()
		health := watchHealth(t, s.Addr)
		health.await(t, healthpb.HealthCheckResponse_SERVING)
		l := startLoad(t, s.Addr)
		rounds := amount(1, 3)
		for range rounds {
			l.wait(100)
			halt := l.run() // a server that nobody asks for a change does not notice
			do(t, kind, "stop")
			health.await(t, healthpb.HealthCheckResponse_NOT_SERVING)
			do(t, kind, "start")
			health.await(t, healthpb.HealthCheckResponse_SERVING)
			halt()
		}
		l.end()
		l.check()
		if n := strings.Count(s.Log(), "takes no changes;"); n != rounds {
			t.Errorf("%d outages are in the log %d times", rounds, n)
		}
	})
}

// TestTwoOwnersOnStores stops a server in whatever it does, lets a second one
// take all shards over, and lets the first go on, which believes to own them
// still. Then the second is stopped in its turn.
func TestTwoOwnersOnStores(t *testing.T) {
	onStores(t, func(t *testing.T, kind, url string) {
		now, next := server.Start(t, "--store", url), server.Start(t, "--store", url)
		api, move := dialMoving(t, now.Addr)
		l := startLoadThrough(t, api)
		for range amount(1, 8) {
			l.wait(1 + rand.IntN(amount(100, 500)))
			now.Signal(t, syscall.SIGSTOP)
			move(next.Addr)
			l.wait(1 + rand.IntN(amount(100, 500)))
			now.Signal(t, syscall.SIGCONT)
			now, next = next, now
		}
		l.end()
		l.check()
	})
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
