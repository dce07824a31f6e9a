package main

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	commandpb "go.temporal.io/api/command/v1"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	ws "go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
)

type floorCommand struct {
	Addr string `help:"Where to listen." default:"127.0.0.1:7233"`
}

// Run serves until it is told to stop.
func (c *floorCommand) Run(ctx context.Context) error {
	l, err := net.Listen("tcp", c.Addr)
	if err != nil {
		return fmt.Errorf("--addr: %w", err)
	}
	server := newFloor()
	go func() {
		<-ctx.Done()
		server.Stop()
	}()
	return server.Serve(l)
}

// floor keeps runs in memory until their end was told, and believes whatever it
// is sent. It does what the loads need to go on and nothing else: it marks what
// gRPC and the messages of the API cost by themselves.
type floor struct {
	ws.UnimplementedWorkflowServiceServer

	mu    sync.Mutex
	last  int
	runs  map[string]*floorRun // by run id
	lines map[lineKey]*line
}

type floorRun struct {
	mu      sync.Mutex
	id      *commonpb.WorkflowExecution
	line    *line // of its workflow tasks
	events  []*historypb.HistoryEvent
	pending bool // a workflow task waits to be polled
	taken   bool // one is with the worker
	news    bool // events came while it was
	closed  chan struct{}
}

type lineKey struct {
	queue    string
	activity bool
}

// line is a queue of tasks and of polls that wait for one. Each task queue has its own:
// a poll whose client has just gone can take a task with it, but none of another load.
type line struct {
	mu    sync.Mutex
	tasks []floorTask
	polls []chan floorTask
}

type floorTask struct {
	run      *floorRun
	activity *commandpb.ScheduleActivityTaskCommandAttributes
	event    int64
}

func newFloor() *grpc.Server {
	f := &floor{runs: map[string]*floorRun{}, lines: map[lineKey]*line{}}
	server := grpc.NewServer()
	ws.RegisterWorkflowServiceServer(server, f)
	return server
}

func (f *floor) line(queue string, activity bool) *line {
	f.mu.Lock()
	defer f.mu.Unlock()
	k := lineKey{queue, activity}
	if f.lines[k] == nil {
		f.lines[k] = &line{}
	}
	return f.lines[k]
}

func (l *line) put(t floorTask) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.polls) == 0 {
		l.tasks = append(l.tasks, t)
		return
	}
	l.polls[0] <- t // never blocks: it has room for one
	l.polls = l.polls[1:]
}

func (l *line) take(ctx context.Context) (floorTask, bool) {
	l.mu.Lock()
	if len(l.tasks) > 0 {
		t := l.tasks[0]
		l.tasks = l.tasks[1:]
		l.mu.Unlock()
		return t, true
	}
	poll := make(chan floorTask, 1)
	l.polls = append(l.polls, poll)
	l.mu.Unlock()
	select {
	case t := <-poll:
		return t, true
	case <-ctx.Done():
		l.leave(poll)
		return floorTask{}, false
	}
}

// leave gives up a poll. A task it was given at the last moment goes back.
func (l *line) leave(poll chan floorTask) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.polls, poll); i >= 0 {
		l.polls = slices.Delete(l.polls, i, i+1)
		return
	}
	l.tasks = append(l.tasks, <-poll)
}

func (f *floor) find(run string) (*floorRun, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r := f.runs[run]; r != nil {
		return r, nil
	}
	return nil, status.Error(codes.NotFound, "no such run")
}

// add appends an event; the caller holds the lock. Its type follows from its attributes, which the caller sets.
func (r *floorRun) add(e *historypb.HistoryEvent) int64 {
	e.EventId, e.EventTime = int64(len(r.events)+1), timestamppb.Now()
	r.events = append(r.events, e)
	return e.EventId
}

// wake schedules a workflow task, unless there is one; the caller holds the lock.
func (f *floor) wake(r *floorRun) {
	switch {
	case r.taken:
		r.news = true
	case !r.pending:
		r.pending = true
		r.add(&historypb.HistoryEvent{EventType: enumspb.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED, Attributes: &historypb.HistoryEvent_WorkflowTaskScheduledEventAttributes{
			WorkflowTaskScheduledEventAttributes: &historypb.WorkflowTaskScheduledEventAttributes{}}})
		r.line.put(floorTask{run: r})
	}
}

func (f *floor) RegisterNamespace(context.Context, *ws.RegisterNamespaceRequest) (*ws.RegisterNamespaceResponse, error) {
	return &ws.RegisterNamespaceResponse{}, nil
}

func (f *floor) DescribeNamespace(context.Context, *ws.DescribeNamespaceRequest) (*ws.DescribeNamespaceResponse, error) {
	return &ws.DescribeNamespaceResponse{}, nil
}

func (f *floor) StartWorkflowExecution(_ context.Context, q *ws.StartWorkflowExecutionRequest) (*ws.StartWorkflowExecutionResponse, error) {
	r := &floorRun{closed: make(chan struct{}), line: f.line(q.TaskQueue.GetName(), false)}
	f.mu.Lock()
	f.last++
	r.id = &commonpb.WorkflowExecution{WorkflowId: q.WorkflowId, RunId: fmt.Sprintf("00000000-0000-4000-8000-%012d", f.last)}
	f.runs[r.id.RunId] = r
	f.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.add(&historypb.HistoryEvent{EventType: enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED, Attributes: &historypb.HistoryEvent_WorkflowExecutionStartedEventAttributes{
		WorkflowExecutionStartedEventAttributes: &historypb.WorkflowExecutionStartedEventAttributes{
			WorkflowType: q.WorkflowType, TaskQueue: q.TaskQueue, Input: q.Input, Identity: q.Identity, OriginalExecutionRunId: r.id.RunId, FirstExecutionRunId: r.id.RunId}}})
	f.wake(r)
	return &ws.StartWorkflowExecutionResponse{RunId: r.id.RunId, Started: true}, nil
}

func (f *floor) SignalWorkflowExecution(_ context.Context, q *ws.SignalWorkflowExecutionRequest) (*ws.SignalWorkflowExecutionResponse, error) {
	r, err := f.find(q.WorkflowExecution.GetRunId())
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.add(&historypb.HistoryEvent{EventType: enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED, Attributes: &historypb.HistoryEvent_WorkflowExecutionSignaledEventAttributes{
		WorkflowExecutionSignaledEventAttributes: &historypb.WorkflowExecutionSignaledEventAttributes{SignalName: q.SignalName, Input: q.Input, Identity: q.Identity}}})
	f.wake(r)
	return &ws.SignalWorkflowExecutionResponse{}, nil
}

func (f *floor) PollWorkflowTaskQueue(ctx context.Context, q *ws.PollWorkflowTaskQueueRequest) (*ws.PollWorkflowTaskQueueResponse, error) {
	t, ok := f.line(q.TaskQueue.GetName(), false).take(ctx)
	if !ok {
		return &ws.PollWorkflowTaskQueueResponse{}, nil
	}
	r := t.run
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pending, r.taken = false, true
	started := r.add(&historypb.HistoryEvent{EventType: enumspb.EVENT_TYPE_WORKFLOW_TASK_STARTED, Attributes: &historypb.HistoryEvent_WorkflowTaskStartedEventAttributes{
		WorkflowTaskStartedEventAttributes: &historypb.WorkflowTaskStartedEventAttributes{Identity: q.Identity, ScheduledEventId: int64(len(r.events))}}})
	return &ws.PollWorkflowTaskQueueResponse{TaskToken: []byte(r.id.RunId), WorkflowExecution: r.id, WorkflowType: &commonpb.WorkflowType{Name: "bench"},
		History: &historypb.History{Events: r.events[:len(r.events):len(r.events)]}, StartedEventId: started, Attempt: 1}, nil
}

func (f *floor) RespondWorkflowTaskCompleted(_ context.Context, q *ws.RespondWorkflowTaskCompletedRequest) (*ws.RespondWorkflowTaskCompletedResponse, error) {
	r, err := f.find(string(q.TaskToken))
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.add(&historypb.HistoryEvent{EventType: enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED, Attributes: &historypb.HistoryEvent_WorkflowTaskCompletedEventAttributes{
		WorkflowTaskCompletedEventAttributes: &historypb.WorkflowTaskCompletedEventAttributes{Identity: q.Identity}}})
	for _, c := range q.Commands {
		f.command(r, c)
	}
	r.taken = false
	if r.news {
		r.news = false
		f.wake(r)
	}
	return &ws.RespondWorkflowTaskCompletedResponse{}, nil
}

func (f *floor) command(r *floorRun, c *commandpb.Command) {
	if a := c.GetScheduleActivityTaskCommandAttributes(); a != nil {
		event := r.add(&historypb.HistoryEvent{EventType: enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED, Attributes: &historypb.HistoryEvent_ActivityTaskScheduledEventAttributes{
			ActivityTaskScheduledEventAttributes: &historypb.ActivityTaskScheduledEventAttributes{ActivityId: a.ActivityId, ActivityType: a.ActivityType, TaskQueue: a.TaskQueue, Input: a.Input, StartToCloseTimeout: a.StartToCloseTimeout}}})
		f.line(a.TaskQueue.GetName(), true).put(floorTask{run: r, activity: a, event: event})
	}
	if t := c.GetStartTimerCommandAttributes(); t != nil {
		r.add(&historypb.HistoryEvent{EventType: enumspb.EVENT_TYPE_TIMER_STARTED, Attributes: &historypb.HistoryEvent_TimerStartedEventAttributes{
			TimerStartedEventAttributes: &historypb.TimerStartedEventAttributes{TimerId: t.TimerId, StartToFireTimeout: t.StartToFireTimeout}}})
		time.AfterFunc(t.StartToFireTimeout.AsDuration(), func() { f.fire(r, t.TimerId) })
	}
	if e := c.GetCompleteWorkflowExecutionCommandAttributes(); e != nil {
		r.add(&historypb.HistoryEvent{EventType: enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED, Attributes: &historypb.HistoryEvent_WorkflowExecutionCompletedEventAttributes{
			WorkflowExecutionCompletedEventAttributes: &historypb.WorkflowExecutionCompletedEventAttributes{Result: e.Result}}})
		r.news = false
		close(r.closed)
	}
}

func (f *floor) fire(r *floorRun, timer string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.add(&historypb.HistoryEvent{EventType: enumspb.EVENT_TYPE_TIMER_FIRED, Attributes: &historypb.HistoryEvent_TimerFiredEventAttributes{
		TimerFiredEventAttributes: &historypb.TimerFiredEventAttributes{TimerId: timer}}})
	f.wake(r)
}

func (f *floor) PollActivityTaskQueue(ctx context.Context, q *ws.PollActivityTaskQueueRequest) (*ws.PollActivityTaskQueueResponse, error) {
	t, ok := f.line(q.TaskQueue.GetName(), true).take(ctx)
	if !ok {
		return &ws.PollActivityTaskQueueResponse{}, nil
	}
	token := strconv.AppendInt(append([]byte(t.run.id.RunId), ' '), t.event, 10)
	return &ws.PollActivityTaskQueueResponse{TaskToken: token, WorkflowExecution: t.run.id, ActivityId: t.activity.ActivityId, ActivityType: t.activity.ActivityType,
		Input: t.activity.Input, StartToCloseTimeout: t.activity.StartToCloseTimeout, Attempt: 1}, nil
}

const runIDLength = 36

func (f *floor) RespondActivityTaskCompleted(_ context.Context, q *ws.RespondActivityTaskCompletedRequest) (*ws.RespondActivityTaskCompletedResponse, error) {
	if len(q.TaskToken) <= runIDLength {
		return nil, status.Error(codes.InvalidArgument, "bad token")
	}
	r, err := f.find(string(q.TaskToken[:runIDLength]))
	if err != nil {
		return nil, err
	}
	event, _ := strconv.ParseInt(string(q.TaskToken[runIDLength+1:]), 10, 64)
	r.mu.Lock()
	defer r.mu.Unlock()
	started := r.add(&historypb.HistoryEvent{EventType: enumspb.EVENT_TYPE_ACTIVITY_TASK_STARTED, Attributes: &historypb.HistoryEvent_ActivityTaskStartedEventAttributes{
		ActivityTaskStartedEventAttributes: &historypb.ActivityTaskStartedEventAttributes{ScheduledEventId: event, Identity: q.Identity}}})
	r.add(&historypb.HistoryEvent{EventType: enumspb.EVENT_TYPE_ACTIVITY_TASK_COMPLETED, Attributes: &historypb.HistoryEvent_ActivityTaskCompletedEventAttributes{
		ActivityTaskCompletedEventAttributes: &historypb.ActivityTaskCompletedEventAttributes{ScheduledEventId: event, StartedEventId: started, Result: q.Result, Identity: q.Identity}}})
	f.wake(r)
	return &ws.RespondActivityTaskCompletedResponse{}, nil
}

// GetWorkflowExecutionHistory answers the wait for the end of a run, and forgets the run with it.
func (f *floor) GetWorkflowExecutionHistory(ctx context.Context, q *ws.GetWorkflowExecutionHistoryRequest) (*ws.GetWorkflowExecutionHistoryResponse, error) {
	r, err := f.find(q.Execution.GetRunId())
	if err != nil {
		return nil, err
	}
	select {
	case <-r.closed:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	f.mu.Lock()
	delete(f.runs, r.id.RunId)
	f.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	return &ws.GetWorkflowExecutionHistoryResponse{History: &historypb.History{Events: r.events[len(r.events)-1:]}}, nil
}
