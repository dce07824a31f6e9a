package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	workflow "go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	"perdure/adapters/config"
	"perdure/adapters/store/schema"
	"perdure/core/frontend"
	"perdure/core/node"
	"perdure/core/port"
	"perdure/core/store"
)

// toy is a node of one machine that keeps polls waiting until it is drained.
type toy struct {
	store.Store
	registered []string
	waiting    []port.Call
	polled     chan struct{}
	halt       string // why it does so at once, if it does
	drained    bool
	closed     bool
}

var toyAddress = port.Address{Node: 1, Role: port.RoleRegistry}

func (x *toy) parts(*config.Settings) (*parts, error) {
	return &parts{store: x, frontend: x, node: 1, machines: []node.Machine{{Address: toyAddress, Machine: x}}}, nil
}

func (x *toy) Close() error { x.closed = true; return nil }

func (x *toy) Admit(_ *port.Snapshot, c frontend.Caller, req proto.Message) (frontend.Plan, *port.Refusal) {
	if _, ok := req.(*workflow.UpdateWorkflowExecutionRequest); ok {
		return frontend.Plan{}, port.Refuse(port.Unimplemented, "not yet")
	}
	return frontend.Plan{To: toyAddress, In: &port.Request{Call: c.Call, Body: req}}, nil
}

func (x *toy) Step(_ port.Clock, in port.Input, out *port.Effects) {
	switch in := in.(type) {
	case port.Start:
		out.Add(port.Publish{Snapshot: &port.Snapshot{}})
		if x.halt != "" {
			out.Add(port.Halt{Why: x.halt})
		}
	case port.Drain:
		x.drained = true
		for _, c := range x.waiting {
			out.Add(port.Reply{Call: c, Body: &port.Answer{Message: &workflow.PollWorkflowTaskQueueResponse{}}})
		}
	case *port.Request:
		switch req := in.Body.(type) {
		case *workflow.RegisterNamespaceRequest:
			x.registered = append(x.registered, req.Namespace)
			out.Add(port.Reply{Call: in.Call, Refusal: port.Refuse(port.AlreadyExists, "it is there")})
		case *workflow.PollWorkflowTaskQueueRequest:
			x.waiting = append(x.waiting, in.Call)
			close(x.polled)
		}
	}
}

func settings(t *testing.T) *config.Settings {
	return &config.Settings{Data: filepath.Join(t.TempDir(), "data"), GRPCAddr: "127.0.0.1:0", Namespace: []string{"default", "other"}, Retention: time.Hour, MinRetention: time.Hour, DrainTimeout: time.Minute, LogLevel: slog.LevelError}
}

// greeting is written once, when the server is ready.
type greeting struct {
	text  bytes.Buffer
	ready chan struct{}
}

func (g *greeting) Write(b []byte) (int, error) {
	defer close(g.ready)
	return g.text.Write(b)
}

func TestServeGreetsServesAndDrains(t *testing.T) {
	x := &toy{polled: make(chan struct{})}
	s := settings(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	g := &greeting{ready: make(chan struct{})}
	ended := make(chan error)
	go func() { ended <- serve(ctx, s, x.parts, g) }()
	<-g.ready
	words := strings.Fields(g.text.String())
	address := strings.TrimSuffix(words[6], ",")
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	polled := make(chan error)
	go func() {
		_, err := workflow.NewWorkflowServiceClient(conn).PollWorkflowTaskQueue(t.Context(), &workflow.PollWorkflowTaskQueueRequest{})
		polled <- err
	}()
	<-x.polled
	cancel()
	if err := <-polled; err != nil {
		t.Errorf("the poll that waited got %v instead of an empty answer", err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if !x.drained || !x.closed || strings.Join(x.registered, " ") != "default other" {
		t.Errorf("drained %v, store closed %v, registered %v", x.drained, x.closed, x.registered)
	}
	for _, want := range []string{"namespace default, other", s.Data, "cd docs/quickstart && go run . -address " + address + "\n", "Not served yet: updates"} {
		if !strings.Contains(g.text.String(), want) {
			t.Errorf("greeting lacks %q:\n%s", want, g.text.String())
		}
	}
}

func TestServerWhoseMachinesHaltEndsAndSaysWhy(t *testing.T) {
	x := &toy{halt: "the cluster writes format level 9"}
	err := serve(t.Context(), settings(t), x.parts, &bytes.Buffer{})
	if err == nil || err.Error() != x.halt || !x.drained || !x.closed {
		t.Errorf("ended with %v, drained %v, store closed %v", err, x.drained, x.closed)
	}
}

func TestWhatKeepsItFromStartingIsOneLine(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	x := &toy{}
	for _, c := range []struct {
		name   string
		change func(*config.Settings)
		build  func(*config.Settings) (*parts, error)
		want   string
	}{
		{"port taken", func(s *config.Settings) { s.GRPCAddr = l.Addr().String() }, x.parts, "--grpc-addr: another program listens on " + l.Addr().String()},
		{"debug port taken", func(s *config.Settings) { s.DebugAddr = l.Addr().String() }, x.parts, "--debug-addr: another program listens"},
		{"no such address", func(s *config.Settings) { s.GRPCAddr = "192.0.2.1:1" }, x.parts, "--grpc-addr: cannot listen on 192.0.2.1:1"},
		{"folder is a file", func(s *config.Settings) { s.Data = file }, x.parts, "--data: folder " + file + " cannot be written"},
		{"store", func(*config.Settings) {}, func(*config.Settings) (*parts, error) { return nil, errors.New("locked") }, "locked"},
	} {
		s := settings(t)
		c.change(s)
		err := serve(t.Context(), s, c.build, &bytes.Buffer{})
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestSecondSignalEndsAtOnce runs the real command; its toy never drains.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	if os.Getenv("PERDURE_TEST_SIGNALS") != "" {
		signalled(t)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestSecondSignalEndsAtOnce$")
	cmd.Env = append(os.Environ(), "PERDURE_TEST_SIGNALS=1")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"waiting", "draining"} {
		for line := ""; !strings.Contains(line, word); {
			b := make([]byte, 100)
			n, err := stdout.Read(b)
			if err != nil {
				t.Fatalf("waiting for %q: %v", word, err)
			}
			line += string(b[:n])
		}
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Fatalf("exit %v", err)
	}
}

func signalled(t *testing.T) {
	ctx, cancel := untilSignal()
	defer cancel()
	os.Stdout.WriteString("waiting\n")
	<-ctx.Done()
	os.Stdout.WriteString("draining\n")
	select {}
}

func TestUnknownStoresAreRefusedByName(t *testing.T) {
	for text, want := range map[string]string{
		"oracle://u:secret@h/db": `no kind of store "oracle"`,
		"nonsense":               "scheme://",
	} {
		s := settings(t)
		s.Store = text
		_, err := openStore(s, slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), "--store") || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// Nobody listens on the port, which is taken and closed again.
func TestStoresThatDoNotAnswerAreOneLine(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := l.Addr().String()
	l.Close()
	for _, kind := range []string{"postgres", "mysql"} {
		s := settings(t)
		s.Store, s.StorePassword = kind+"://u@"+nobody+"/db", "secret"
		_, err := openStore(s, slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), "--store "+kind+"://u@"+nobody+"/db: ") || strings.ContainsAny(err.Error(), "\n\t") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

// steps is a schema that lacks some.
type steps struct {
	schema.Schema
	applied bool
}

func (s *steps) Apply() error { s.applied = true; return nil }

func TestSchemaPrintsItsPlanAndFollowsItUnlessDry(t *testing.T) {
	for _, dry := range []bool{true, false} {
		var out bytes.Buffer
		s := &steps{}
		plan := func(schema.Schema) ([]string, error) { return []string{"make everything"}, nil }
		if err := carryOut(s, plan, dry, &out); err != nil || s.applied == dry || !strings.Contains(out.String(), "make everything") {
			t.Errorf("dry %v: applied %v, %v\n%s", dry, s.applied, err, out.String())
		}
	}
	var out bytes.Buffer
	if err := carryOut(&steps{}, func(schema.Schema) ([]string, error) { return nil, nil }, false, &out); err != nil || !strings.Contains(out.String(), "Nothing to do") {
		t.Errorf("%v\n%s", err, out.String())
	}
}
