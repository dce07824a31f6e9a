package e2e

import (
	"context"
	"errors"
	"reflect"
	"strconv"
	"sync"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/types/known/durationpb"
)

// patience bounds a case; it is spent only by one that hangs.
const patience = 150 * time.Second

// scene is what one playing of a case works with.
type scene struct {
	*testing.T
	*house
	ctx     context.Context
	queue   string // its task queue, and the beginning of its workflow ids
	halfway func() // a kill may come here
}

func newScene(t *testing.T, h *house, name string) *scene {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return &scene{T: t, house: h, ctx: ctx, queue: name}
}

// flows and acts are workflows and activities by name.
type (
	flows map[string]any
	acts  map[string]any
)

// work runs a worker on the scene's queue until the case ends.
func (s *scene) work(f flows, a acts) worker.Worker {
	s.Helper()
	return s.workWith(s.client, s.queue, worker.Options{}, f, a)
}

func (s *scene) workWith(c client.Client, queue string, o worker.Options, f flows, a acts) worker.Worker {
	s.Helper()
	o.MaxConcurrentWorkflowTaskPollers, o.MaxConcurrentActivityTaskPollers = 2, 2
	w := worker.New(c, queue, o)
	for name, flow := range f {
		w.RegisterWorkflowWithOptions(flow, workflow.RegisterOptions{Name: name})
	}
	for name, act := range a {
		w.RegisterActivityWithOptions(act, activity.RegisterOptions{Name: name})
	}
	s.must(w.Start())
	s.Cleanup(w.Stop)
	return w
}

func (s *scene) id(short string) string { return s.queue + "-" + short }

// start starts a workflow whose id is its name's.
func (s *scene) start(flow string, args ...any) client.WorkflowRun {
	s.Helper()
	return s.startWith(client.StartWorkflowOptions{}, flow, args...)
}

func (s *scene) startWith(o client.StartWorkflowOptions, flow string, args ...any) client.WorkflowRun {
	s.Helper()
	run, err := s.client.ExecuteWorkflow(s.ctx, s.options(o, flow), flow, args...)
	s.must(err)
	return run
}

// options fills in the id and the queue.
func (s *scene) options(o client.StartWorkflowOptions, flow string) client.StartWorkflowOptions {
	if o.ID == "" {
		o.ID = s.id(flow)
	}
	if o.TaskQueue == "" {
		o.TaskQueue = s.queue
	}
	return o
}

func (s *scene) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *scene) check(good bool, format string, args ...any) {
	s.Helper()
	if !good {
		s.Errorf(format, args...)
	}
}

func (s *scene) same(got, want any) {
	s.Helper()
	if !reflect.DeepEqual(got, want) {
		s.Errorf("got %v, want %v", got, want)
	}
}

// result waits for the end of a run, which must be good, and returns what it gave.
func result[T any](s *scene, run client.WorkflowRun) T {
	s.Helper()
	var v T
	if err := run.Get(s.ctx, &v); err != nil {
		s.tell(run)
		s.Fatal(err)
	}
	return v
}

// tell writes down the history of a run that went wrong.
func (s *scene) tell(run client.WorkflowRun) {
	s.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), 10*time.Second)
	defer cancel()
	all := s.client.GetWorkflowHistory(ctx, run.GetID(), run.GetRunID(), false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for all.HasNext() {
		e, err := all.Next()
		if err != nil {
			s.Log(err)
			return
		}
		s.Logf("%d %v %v %v", e.EventId, e.EventTime.AsTime().Format(time.StampMilli), e.EventType, e.Attributes)
	}
}

// failure waits for the end of a run, which must be bad.
func (s *scene) failure(run client.WorkflowRun) error {
	s.Helper()
	err := run.Get(s.ctx, nil)
	if err == nil {
		s.Fatal("the run completed, which it must not")
	}
	return err
}

// history is all events of a run so far.
func (s *scene) history(id, run string) (events []*historypb.HistoryEvent) {
	s.Helper()
	all := s.client.GetWorkflowHistory(s.ctx, id, run, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for all.HasNext() {
		e, err := all.Next()
		s.must(err)
		events = append(events, e)
	}
	for i, e := range events {
		s.check(e.EventId == int64(i+1), "event %d of %s has the id %d", i+1, id, e.EventId)
	}
	return events
}

// await follows the history of a run until it has an event of the kind, and returns that.
func (s *scene) await(run client.WorkflowRun, kind enumspb.EventType) *historypb.HistoryEvent {
	s.Helper()
	all := s.client.GetWorkflowHistory(s.ctx, run.GetID(), run.GetRunID(), true, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for all.HasNext() {
		e, err := all.Next()
		s.must(err)
		if e.EventType == kind {
			return e
		}
	}
	s.Fatalf("%s closed without an event %s", run.GetID(), kind)
	return nil
}

// started waits until a worker has done the first task of a run.
func (s *scene) started(run client.WorkflowRun) {
	s.Helper()
	s.await(run, enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED)
}

// count is how many events are of a kind.
func count(events []*historypb.HistoryEvent, kind enumspb.EventType) (n int) {
	for _, e := range events {
		if e.EventType == kind {
			n++
		}
	}
	return n
}

// signal goes to the current run of the id.
func (s *scene) signal(run client.WorkflowRun, name string, arg any) {
	s.Helper()
	s.must(s.client.SignalWorkflow(s.ctx, run.GetID(), "", name, arg))
}

func (s *scene) describe(run client.WorkflowRun) *workflowservice.DescribeWorkflowExecutionResponse {
	s.Helper()
	d, err := s.client.DescribeWorkflowExecution(s.ctx, run.GetID(), run.GetRunID())
	s.must(err)
	return d
}

func (s *scene) hasStatus(run client.WorkflowRun, want enumspb.WorkflowExecutionStatus) {
	s.Helper()
	got := s.describe(run).WorkflowExecutionInfo.Status
	s.check(got == want, "%s is %s, want %s", run.GetID(), got, want)
}

func (s *scene) terminate(run client.WorkflowRun) {
	s.Helper()
	s.must(s.client.TerminateWorkflow(s.ctx, run.GetID(), run.GetRunID(), "the case is over"))
}

// startRequest is a raw start with the scene's queue.
func (s *scene) startRequest(short, requestID string) *workflowservice.StartWorkflowExecutionRequest {
	return &workflowservice.StartWorkflowExecutionRequest{
		Namespace: home, WorkflowId: s.id(short), RequestId: requestID, Identity: "e2e",
		WorkflowType: &commonpb.WorkflowType{Name: short}, TaskQueue: s.normal(),
	}
}

func (s *scene) normal() *taskqueuepb.TaskQueue {
	return &taskqueuepb.TaskQueue{Name: s.queue, Kind: enumspb.TASK_QUEUE_KIND_NORMAL}
}

// poll takes the next workflow task of the scene's queue without the SDK.
func (s *scene) poll() *workflowservice.PollWorkflowTaskQueueResponse {
	s.Helper()
	for {
		task, err := s.api.PollWorkflowTaskQueue(s.ctx, &workflowservice.PollWorkflowTaskQueueRequest{Namespace: home, TaskQueue: s.normal(), Identity: "e2e"})
		s.must(err)
		if len(task.TaskToken) > 0 {
			return task
		}
	}
}

func execution(id, run string) *commonpb.WorkflowExecution {
	return &commonpb.WorkflowExecution{WorkflowId: id, RunId: run}
}

// payloads encodes values as the SDK does.
func payloads(values ...any) *commonpb.Payloads {
	p, err := converter.GetDefaultDataConverter().ToPayloads(values...)
	if err != nil {
		panic(err)
	}
	return p
}

// gate is opened once, by whom ever.
type gate struct {
	once sync.Once
	ch   chan struct{}
}

func newGate() *gate { return &gate{ch: make(chan struct{})} }

func (g *gate) open() { g.once.Do(func() { close(g.ch) }) }

var errNeverOpened = errors.New("the gate was never opened")

func (g *gate) wait(ctx context.Context) error {
	select {
	case <-g.ch:
		return nil
	case <-ctx.Done():
		return errors.Join(errNeverOpened, ctx.Err())
	}
}

func (s *scene) pass(g *gate) {
	s.Helper()
	s.must(g.wait(s.ctx))
}

// attemptTime is what activities get by default. A kill may take the answer of a
// poll along; the attempt that it began is repeated only after this time.
var attemptTime = soonTried

const (
	soonTried = 5 * time.Second
	lateTried = 30 * time.Second // for databases on which all cases together take longer to come halfway
)

func withActivity(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: attemptTime})
}

func fromPayload(p *commonpb.Payload, into any) error {
	return converter.GetDefaultDataConverter().FromPayload(p, into)
}

// each runs f for 0 to n-1, all at once, and fails with what failed.
func (s *scene) each(n int, f func(i int) error) {
	s.Helper()
	failed := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { failed[i] = f(i) })
	}
	all.Wait()
	s.must(errors.Join(failed...))
}

// letters is a number in a form that ids can end with.
func letters(n int) string { return strconv.Itoa(n) }

func stickyAttributes(queue, normal string) *taskqueuepb.StickyExecutionAttributes {
	return &taskqueuepb.StickyExecutionAttributes{
		WorkerTaskQueue:        &taskqueuepb.TaskQueue{Name: queue, Kind: enumspb.TASK_QUEUE_KIND_STICKY, NormalName: normal},
		ScheduleToStartTimeout: durationpb.New(time.Minute),
	}
}
