// Package grpc serves the public API: WorkflowService and OperatorService,
// health and reflection. It decodes requests, asks core/frontend where they
// go, lets the runtime carry them there, and encodes the answers. What a call
// means is decided by the core alone.
package grpc

import (
	"context"
	"errors"
	"log/slog"
	"net"
	goruntime "runtime"
	"time"

	"google.golang.org/grpc"
	_ "google.golang.org/grpc/encoding/gzip" // some SDKs compress
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"
	"google.golang.org/protobuf/proto"

	"perdure/adapters/runtime"
	"perdure/core/frontend"
	"perdure/core/port"
)

// Frontend admits requests; core/frontend has the one.
type Frontend interface {
	Admit(s *port.Snapshot, c frontend.Caller, req proto.Message) (frontend.Plan, *port.Refusal)
}

// Config says what a Server works with.
type Config struct {
	Runtime  *runtime.Runtime
	Frontend Frontend
	Log      *slog.Logger // default: slog.Default()
}

// Server serves the public API.
type Server struct {
	runtime  *runtime.Runtime
	frontend Frontend
	log      *slog.Logger
	server   *grpc.Server
	health   *health.Server
}

// Limits of what a client may do to a connection, as SDKs know them from Temporal.
const (
	maxReceive = 4 << 20 // bytes of one request
	// Fixed windows: with growing ones each side measures the way by a ping and its
	// answer for nearly every call. These are what a client may send ahead of being read.
	streamWindow     = 1 << 20
	connectionWindow = 8 << 20
	// keepaliveMin is the shortest time between two pings of a client.
	keepaliveMin = 10 * time.Second
	// A connection ends when it was idle, or old: clients connect again, perhaps to
	// another frontend. The grace is longer than any poll.
	connectionIdle  = 2 * time.Minute
	connectionAge   = 5 * time.Minute
	connectionGrace = 70 * time.Second
	pingEvery       = time.Minute
	pingTimeout     = 10 * time.Second
)

// callWorkers is how many goroutines a core keeps for calls. A fresh goroutine spends some
// tenth of a call's time on growing its stack; too many kept ones are cold. Calls beyond them get a fresh one.
const callWorkers = 64

// New makes a server that answers "not serving" to health checks until the runtime is ready.
func New(c Config) *Server {
	s := &Server{runtime: c.Runtime, frontend: c.Frontend, log: c.Log, health: health.NewServer()}
	if s.log == nil {
		s.log = slog.Default()
	}
	s.server = grpc.NewServer(
		grpc.ForceServerCodecV2(codec{}),
		grpc.MaxRecvMsgSize(maxReceive),
		grpc.StaticStreamWindowSize(streamWindow),
		grpc.StaticConnWindowSize(connectionWindow),
		grpc.NumStreamWorkers(uint32(callWorkers*goruntime.GOMAXPROCS(0))),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: keepaliveMin, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionIdle: connectionIdle, MaxConnectionAge: connectionAge, MaxConnectionAgeGrace: connectionGrace,
			Time: pingEvery, Timeout: pingTimeout,
		}),
	)
	for _, service := range services() {
		s.server.RegisterService(s.describe(service), nil)
	}
	s.setHealth(healthpb.HealthCheckResponse_NOT_SERVING)
	healthpb.RegisterHealthServer(s.server, s.health)
	reflection.Register(s.server)
	return s
}

// Serve accepts connections until Stop. It returns nil after Stop.
func (s *Server) Serve(l net.Listener) error {
	served := make(chan struct{})
	defer close(served)
	go func() {
		select {
		case <-s.runtime.Ready():
			s.runtime.WatchStore(s.storeWorks)
		case <-served:
		}
	}()
	if err := s.server.Serve(l); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return err
	}
	return nil
}

// storeWorks tells health checks. Who starts or signals something would wait for a store that does not.
func (s *Server) storeWorks(works bool) {
	if works {
		s.setHealth(healthpb.HealthCheckResponse_SERVING)
	} else {
		s.setHealth(healthpb.HealthCheckResponse_NOT_SERVING)
	}
}

// Refuse tells health checks that this server is about to end and sends
// clients elsewhere; calls under way go on. It returns when they have ended or ctx has.
func (s *Server) Refuse(ctx context.Context) {
	s.health.Shutdown()
	ended := make(chan struct{})
	go func() {
		s.server.GracefulStop()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
	}
}

// Stop cuts every connection.
func (s *Server) Stop() { s.server.Stop() }

func (s *Server) setHealth(status healthpb.HealthCheckResponse_ServingStatus) {
	s.health.SetServingStatus("", status)
	for _, service := range services() {
		s.health.SetServingStatus(string(service.FullName()), status)
	}
}
