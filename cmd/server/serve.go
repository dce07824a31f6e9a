package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"path/filepath"
	goruntime "runtime"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	workflow "go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/types/known/durationpb"

	"perdure/adapters/config"
	"perdure/adapters/grpc"
	"perdure/adapters/runtime"
	"perdure/core/node"
	"perdure/core/port"
	"perdure/core/store"
)

// parts are what a server is made of besides its adapters to the outside.
type parts struct {
	store    store.Store
	frontend grpc.Frontend
	node     port.NodeID
	machines []node.Machine
	more     func(*port.Snapshot) []node.Machine // once the registry is known
}

// serve runs a server until ctx ends, then drains it. build opens the store and makes the machines.
func serve(ctx context.Context, s *config.Settings, build func(*config.Settings) (*parts, error), out io.Writer) error {
	log := s.Logger()
	limitMemory(s)
	addProcessor()
	listener, err := listen("--grpc-addr", s.GRPCAddr)
	if err != nil {
		return err
	}
	defer listener.Close()
	if err := debugging(s, log); err != nil {
		return err
	}
	if s.Store == "" {
		if err := makeFolder(s.Data); err != nil {
			return err
		}
	}
	p, err := build(s)
	if err != nil {
		return err
	}
	halted := make(chan string, 1)
	r := runtime.New(runtime.Config{Store: p.store, Log: log, Node: p.node, Machines: p.more, Halted: func(why string) {
		select {
		case halted <- why:
		default: // for one reason already
		}
	}})
	for _, m := range p.machines {
		r.Add(m.Address, m.Machine)
	}
	server := grpc.New(grpc.Config{Runtime: r, Frontend: p.frontend, Log: log})
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	r.Start()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case why := <-halted:
			cancel(errors.New(why))
		case err := <-served:
			cancel(err)
		case <-ctx.Done():
		}
	}()
	if err = ready(ctx, s, r, server, listener.Addr(), out); err == nil {
		<-ctx.Done()
		if err = context.Cause(ctx); errors.Is(err, context.Canceled) {
			err = nil // told to stop
		}
	}
	stop(s, log, r, server)
	return errors.Join(err, p.store.Close())
}

// ready waits until the server can be used, and says so.
func ready(ctx context.Context, s *config.Settings, r *runtime.Runtime, server *grpc.Server, at net.Addr, out io.Writer) error {
	select {
	case <-r.Ready():
	case <-ctx.Done():
		return nil
	}
	tellShards(s.Logger(), len(r.Snapshot().Layout), s.Shards)
	for _, name := range s.Namespace {
		if err := register(ctx, server, name, s.Retention); err != nil {
			return err
		}
	}
	return greet(out, s, at, server.Unserved())
}

// tellShards says that a store keeps the number of shards that it has.
func tellShards(log *slog.Logger, stored, setting int) {
	if setting != 0 && setting != stored {
		log.Warn("--shards is for a new store and changes nothing in this one; leave it out", "shards", stored, "setting", setting)
	}
}

// Another server may take the registry over at any time: then the call is made again.
const (
	registerTries = 50
	registerPause = 200 * time.Millisecond
)

// register makes a namespace unless it is there.
func register(ctx context.Context, server *grpc.Server, name string, retention time.Duration) error {
	var refusal *port.Refusal
	var err error
	for range registerTries {
		_, refusal, err = server.Do(ctx, &workflow.RegisterNamespaceRequest{Namespace: name, WorkflowExecutionRetentionPeriod: durationpb.New(retention)})
		if err != nil || refusal == nil || refusal.Code != port.Unavailable {
			break
		}
		select {
		case <-time.After(registerPause):
		case <-ctx.Done():
		}
	}
	switch {
	case ctx.Err() != nil:
		return nil // told to stop
	case err != nil:
		return fmt.Errorf("namespace %s could not be registered: %w", name, err)
	case refusal != nil && refusal.Code != port.AlreadyExists:
		return fmt.Errorf("namespace %s could not be registered: %w", name, refusal)
	}
	return nil
}

// stop ends what can be ended within the time set for it, then everything.
// Clients are sent away first, so that what waits gets its answer and nothing new comes.
func stop(s *config.Settings, log *slog.Logger, r *runtime.Runtime, server *grpc.Server) {
	log.Info("stopping; a second signal ends at once", "within", s.DrainTimeout)
	ctx, cancel := context.WithTimeout(context.Background(), s.DrainTimeout)
	defer cancel()
	refused := make(chan struct{})
	go func() {
		server.Refuse(ctx)
		close(refused)
	}()
	if err := r.Drain(ctx); err != nil {
		log.Warn("not everything ended in time; what was acknowledged is safe, the rest is repeated by clients or at the next start", "waited", s.DrainTimeout)
	}
	<-refused
	r.Stop()
	server.Stop()
	log.Info("stopped")
}

// heapShare of the memory limit is what the heap may grow to before Go collects it.
const heapShare = 6

func limitMemory(s *config.Settings) {
	limit, chosen := s.Memory()
	if chosen {
		debug.SetMemoryLimit(int64(limit))
	}
	runtime.PaceCollector(int(limit) / heapShare)
}

// listen takes an address, or says in one line why it cannot.
func listen(setting, at string) (net.Listener, error) {
	l, err := net.Listen("tcp", at)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s: another program listens on %s; stop it or choose another port", setting, at)
	case err != nil:
		return nil, fmt.Errorf("%s: cannot listen on %s: %w", setting, at, err)
	}
	return l, nil
}

// makeFolder makes sure that the data folder is there and can be written.
func makeFolder(folder string) error {
	err := os.MkdirAll(folder, 0o700)
	if err == nil {
		var probe *os.File
		if probe, err = os.CreateTemp(folder, ".probe-*"); err == nil {
			probe.Close()
			err = os.Remove(probe.Name())
		}
	}
	if err == nil {
		return nil
	}
	folder = absolute(folder)
	var reason *os.PathError
	if errors.As(err, &reason) {
		err = reason.Err
	}
	return fmt.Errorf("--data: folder %s cannot be written: %w", folder, err)
}

func absolute(folder string) string {
	if full, err := filepath.Abs(folder); err == nil {
		return full
	}
	return folder
}

// debugging serves Go's profiles where the settings say.
func debugging(s *config.Settings, log *slog.Logger) error {
	if s.DebugAddr == "" {
		return nil
	}
	l, err := listen("--debug-addr", s.DebugAddr)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	go func() {
		err := (&http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}).Serve(l)
		log.Error("profiles are no longer served", "error", err)
	}()
	log.Info("profiles are served", "url", "http://"+l.Addr().String()+"/debug/pprof/")
	return nil
}

// addProcessor makes room for one goroutine more than there are cores. A commit comes back from the disk to
// cores that are busy; without room it waits its turn behind all that can run, and everybody waits for commits.
// With room the system's scheduler lets it in at once, as it has slept. Whoever sets GOMAXPROCS decides alone.
var addProcessor = sync.OnceFunc(func() {
	if os.Getenv("GOMAXPROCS") == "" {
		goruntime.GOMAXPROCS(goruntime.GOMAXPROCS(0) + 1) // which knows of a container's share
	}
})
