package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	ws "go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
)

// load is one load: what, how much of it, on which server.
type load struct {
	Addr      string        `help:"Address of the server." default:"127.0.0.1:7233"`
	Namespace string        `help:"Namespace; registered if it is missing." default:"bench"`
	Shape     string        `help:"What workflows do: chain, fanout, signal, timer, start, drain or idle." default:"chain"`
	N         int           `short:"n" help:"Activities, signals or timers of a workflow; 0: none." default:"1"`
	Workflows int           `help:"Workflows that count." default:"2000"`
	Warm      int           `help:"Workflows before them." default:"200"`
	Open      int           `short:"c" help:"Workflows open at once." default:"100"`
	Pollers   int           `help:"Pollers for workflow tasks; as many for activities." default:"10"`
	Slots     int           `help:"Tasks of a kind worked on at once: a poller hands its task over and polls again." default:"200"`
	Payload   int           `help:"Bytes of each input and result." default:"100"`
	Conns     int           `help:"Connections." default:"2"`
	Pids      []int         `help:"Processes whose CPU time and memory are reported, with their children."`
	Limit     time.Duration `help:"Give up after." default:"10m"`

	queueName string
	shape     shape
	data      *commonpb.Payloads
	stubs     []ws.WorkflowServiceClient
	turn      atomic.Uint32
	ended     atomic.Int64 // runs that did all they do
	errors    failures
}

func (l *load) validate() error {
	for _, x := range []struct {
		name  string
		value int
		least int
	}{{"--n", l.N, 0}, {"--workflows", l.Workflows, 1}, {"--warm", l.Warm, 0}, {"--open", l.Open, 1}, {"--pollers", l.Pollers, 1}, {"--slots", l.Slots, 1}, {"--payload", l.Payload, 0}, {"--conns", l.Conns, 1}} {
		if x.value < x.least {
			return fmt.Errorf("%s must be at least %d", x.name, x.least)
		}
	}
	var known bool
	if l.shape, known = shapes[l.Shape]; !known {
		return fmt.Errorf("--shape: there is no %q; there are %s", l.Shape, strings.Join(slices.Sorted(maps.Keys(shapes)), ", "))
	}
	return nil
}

func (l *load) client() ws.WorkflowServiceClient {
	return l.stubs[int(l.turn.Add(1))%len(l.stubs)]
}

// run puts the load on the server; progress goes to out, a line a second.
func (l *load) run(ctx context.Context, out io.Writer) (result, error) {
	ctx, cancel := context.WithTimeout(ctx, l.Limit)
	defer cancel()
	unique := time.Now().UnixNano()
	l.queueName = fmt.Sprintf("bench-%d", unique)
	l.data = payload(l.Payload)
	for range l.Conns {
		c, err := grpc.NewClient(l.Addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
		if err != nil {
			return result{}, err
		}
		defer c.Close()
		l.stubs = append(l.stubs, ws.NewWorkflowServiceClient(c))
	}
	if err := l.register(ctx); err != nil {
		return result{}, err
	}
	w := &worker{load: l}
	defer w.stop()
	warmed := 0
	if !l.shape.backlog { // whose worker comes later: a poll that is given up could take a task with it
		if !l.shape.unattended {
			w.start(ctx)
		}
		warmed = len(l.drive(ctx, fmt.Sprintf("%d-warm", unique), l.Warm, !l.shape.open, io.Discard))
	}
	r, err := l.measure(ctx, w, fmt.Sprintf("%d", unique), warmed, out)
	r.Errors = l.errors.counts()
	return r, errors.Join(err, ctx.Err())
}

// measure runs what counts.
func (l *load) measure(ctx context.Context, w *worker, unique string, warmed int, out io.Writer) (result, error) {
	ended := int64(warmed) // once the worker has heard of all of them
	before, err := usage(l.Pids)
	if err != nil {
		return result{}, err
	}
	begun := time.Now()
	times := l.drive(ctx, unique, l.Workflows, !l.shape.open && !l.shape.backlog, out)
	r := result{Shape: l.Shape, N: l.N, Open: l.Open, Workflows: l.Workflows, Done: len(times)}
	if l.shape.backlog {
		r.StartSeconds = time.Since(begun).Seconds()
		w.start(ctx)
		l.awaitEnded(ctx, ended+int64(l.Workflows))
		r.Done = int(l.ended.Load() - ended)
	}
	if l.Shape == "idle" {
		l.awaitEnded(ctx, ended+int64(l.Workflows))
	}
	r.Seconds = time.Since(begun).Seconds()
	after, err := usage(l.Pids)
	if err != nil {
		return result{}, err
	}
	r.finish(times, before, after)
	return r, nil
}

// awaitEnded looks at a counter of this process; it asks the server nothing.
func (l *load) awaitEnded(ctx context.Context, want int64) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for l.ended.Load() < want && ctx.Err() == nil {
		<-tick.C
	}
}

// taken is how long one workflow took, and its start.
type taken struct{ start, whole time.Duration }

// drive starts workflows and, if told so, waits for their ends, so many open at
// once. It returns the times of those that went as they should.
func (l *load) drive(ctx context.Context, unique string, workflows int, wait bool, out io.Writer) []taken {
	var next, done atomic.Int64
	times := make([]taken, workflows)
	var wg sync.WaitGroup
	for range min(l.Open, workflows) {
		wg.Go(func() {
			for i := next.Add(1); int(i) <= workflows && ctx.Err() == nil; i = next.Add(1) {
				if t, ok := l.one(ctx, fmt.Sprintf("%s-%d", unique, i), wait); ok {
					times[i-1] = t
					done.Add(1)
				}
			}
		})
	}
	stop := progress(out, workflows, &done)
	wg.Wait()
	stop()
	return slices.DeleteFunc(times, func(t taken) bool { return t.whole == 0 })
}

// progress writes how far it is, once a second, until stopped.
func progress(out io.Writer, of int, done *atomic.Int64) (stop func()) {
	end := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		last := int64(0)
		for {
			select {
			case <-tick.C:
				now := done.Load()
				fmt.Fprintf(out, "\r%d of %d, %d/s   ", now, of, now-last)
				last = now
			case <-end:
				fmt.Fprint(out, "\r                                        \r")
				return
			}
		}
	})
	return func() { close(end); wg.Wait() }
}

// one starts a workflow, sends it what it waits for, and may wait for its end.
func (l *load) one(ctx context.Context, id string, wait bool) (t taken, ok bool) {
	begun := time.Now()
	started, err := l.client().StartWorkflowExecution(ctx, &ws.StartWorkflowExecutionRequest{
		Namespace: l.Namespace, WorkflowId: id, WorkflowType: &commonpb.WorkflowType{Name: "bench"}, TaskQueue: l.queue(), Input: l.data, RequestId: id, Identity: "bench"})
	if err != nil {
		l.errors.note("StartWorkflowExecution", err)
		return t, false
	}
	t.start = time.Since(begun)
	run := &commonpb.WorkflowExecution{WorkflowId: id, RunId: started.RunId}
	if l.shape.signals {
		l.signal(ctx, run)
	}
	if wait && !l.awaitEnd(ctx, run) {
		return t, false
	}
	t.whole = time.Since(begun)
	return t, true
}

func (l *load) signal(ctx context.Context, run *commonpb.WorkflowExecution) {
	for i := range l.N {
		_, err := l.client().SignalWorkflowExecution(ctx, &ws.SignalWorkflowExecutionRequest{
			Namespace: l.Namespace, WorkflowExecution: run, SignalName: "go", Input: l.data, RequestId: fmt.Sprintf("%s-%d", run.WorkflowId, i), Identity: "bench"})
		if err != nil {
			l.errors.note("SignalWorkflowExecution", err)
		}
	}
}

// awaitEnd is true if the run completed.
func (l *load) awaitEnd(ctx context.Context, run *commonpb.WorkflowExecution) bool {
	ask := &ws.GetWorkflowExecutionHistoryRequest{Namespace: l.Namespace, Execution: run, WaitNewEvent: true, HistoryEventFilterType: enumspb.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT}
	for ctx.Err() == nil {
		page, err := l.client().GetWorkflowExecutionHistory(ctx, ask)
		if err != nil {
			l.errors.note("GetWorkflowExecutionHistory", err)
			return false
		}
		if events := page.GetHistory().GetEvents(); len(events) > 0 {
			return events[len(events)-1].EventType == enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED
		}
		ask.NextPageToken = page.NextPageToken
	}
	return false
}

// register makes the namespace and waits until the server takes starts in it.
func (l *load) register(ctx context.Context) error {
	_, err := l.client().RegisterNamespace(ctx, &ws.RegisterNamespaceRequest{Namespace: l.Namespace, WorkflowExecutionRetentionPeriod: durationpb.New(24 * time.Hour)}, grpc.WaitForReady(true))
	switch status.Code(err) {
	case codes.OK, codes.AlreadyExists, codes.Unimplemented: // the limit server has no namespaces
	default:
		return fmt.Errorf("namespace %s on %s: %w", l.Namespace, l.Addr, err)
	}
	for tries := 1; ; tries++ { // servers may learn of a new namespace some seconds later
		_, err = l.client().DescribeNamespace(ctx, &ws.DescribeNamespaceRequest{Namespace: l.Namespace})
		if err == nil || ctx.Err() != nil || tries == 300 {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func payload(size int) *commonpb.Payloads {
	return &commonpb.Payloads{Payloads: []*commonpb.Payload{{
		Metadata: map[string][]byte{"encoding": []byte("binary/plain")}, Data: bytes.Repeat([]byte("perdure "), size/8+1)[:size]}}}
}

// failures counts calls that failed, by call and code.
type failures struct {
	mu sync.Mutex
	n  map[string]int
}

func (f *failures) note(call string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.n == nil {
		f.n = map[string]int{}
	}
	f.n[call+" "+status.Code(err).String()]++
}

func (f *failures) counts() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.n)
}
