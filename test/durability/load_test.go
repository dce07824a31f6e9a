package durability

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	commandpb "go.temporal.io/api/command/v1"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/types/known/durationpb"

	"perdure/sim/check/effect"
)

// The load: workflows that run one activity for each signal and end when they
// were told to and all activities are done. Signals have unique texts; an
// activity has the text of its signal as its id and a result that no other
// attempt has.

const (
	drivers   = 12 // workflows open at once
	pollers   = 4  // of each kind
	signals   = 5  // to each workflow
	finish    = "finish"
	givenUpBy = 4 // one of so many signals is sent once only, whatever comes of it

	patience = 2 * time.Minute // with a load that stands still; spent only by one that hangs

	taskTime    = 2 * time.Second // of workflow tasks: what a kill took along comes again after it
	attemptTime = 2 * time.Second // of activities
)

// ledger is what was asked of the server and what it acknowledged. Its effects are
// the simulator's: runs, signals and results, each with a name that nothing else has.
type ledger struct {
	mu      sync.Mutex
	started []string        // ids of workflows
	sent    map[string]bool // effects of signals, acknowledged or not
	effects *effect.Ledger
}

func newLedger() *ledger { return &ledger{sent: map[string]bool{}, effects: effect.NewLedger()} }

// Names of effects. The text of a signal is its own only among those to its workflow.
func startOf(run string) string       { return "start " + run }
func signalTo(id, what string) string { return "signal " + id + " " + what }
func resultOf(result string) string   { return result }

func (l *ledger) noteStart(id, run string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.started = append(l.started, id)
	l.effects.Acknowledge(startOf(run), "start of "+id)
}

func (l *ledger) noteSignal(id, what string, acknowledged bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	name := signalTo(id, what)
	l.sent[name] = true
	if acknowledged {
		l.effects.Acknowledge(name, "signal")
	}
}

func (l *ledger) noteResult(id, activity, result string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.effects.Acknowledge(resultOf(result), "result of activity "+activity+" of "+id)
}

// load drives a server until its workflows have ended.
type load struct {
	t       *testing.T
	api     workflowservice.WorkflowServiceClient
	ledger  *ledger
	ctx     context.Context
	acked   chan struct{} // one for every acknowledged start, signal and result
	enough  atomic.Bool   // no more workflows are begun
	ids     atomic.Int64
	attempt atomic.Int64
	open    sync.WaitGroup // drivers
	idle    chan struct{}  // closed when the last driver ends, early if something failed
	stop    context.CancelFunc
	workers sync.WaitGroup
}

func startLoad(t *testing.T, address string) *load { return startLoadThrough(t, dial(t, address)) }

func startLoadThrough(t *testing.T, api workflowservice.WorkflowServiceClient) *load {
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{t: t, api: api, ledger: newLedger(), ctx: ctx, stop: cancel, acked: make(chan struct{}, 1), idle: make(chan struct{})}
	for range pollers {
		l.workers.Go(func() { l.pollWorkflowTasks() })
		l.workers.Go(func() { l.pollActivityTasks() })
	}
	for range drivers {
		l.open.Go(func() {
			for !l.enough.Load() && !t.Failed() {
				l.drive(fmt.Sprintf("w-%d", l.ids.Add(1)))
			}
		})
	}
	go func() {
		l.open.Wait()
		close(l.idle)
	}()
	return l
}

// end lets all workflows end, then the workers.
func (l *load) end() {
	l.enough.Store(true)
	for {
		select {
		case <-l.acked: // nobody counts any more
		case <-l.idle:
			l.stop()
			l.workers.Wait()
			return
		case <-time.After(patience):
			l.t.Fatalf("the load stands still: nothing was acknowledged for %v, and workflows are open", patience)
		}
	}
}

// wait returns after n more acknowledgements.
func (l *load) wait(n int) {
	for range n {
		select {
		case <-l.acked:
		case <-l.idle:
			l.t.Fatal("the load ended early")
		case <-time.After(patience):
			l.t.Fatalf("the load stands still: nothing was acknowledged for %v", patience)
		}
	}
}

// run lets the load go on, counting nothing, until the returned function is called.
func (l *load) run() (halt func()) {
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-l.acked:
			case <-end:
				return
			}
		}
	}()
	return func() { close(end); <-ended }
}

func (l *load) ack() {
	select {
	case l.acked <- struct{}{}:
	case <-l.ctx.Done():
	}
}

// fail reports what must not happen, unless the load is being stopped, and ends the load.
func (l *load) fail(format string, args ...any) {
	if l.ctx.Err() == nil {
		l.t.Errorf(format, args...)
		l.stop()
	}
}

// drive begins one workflow, signals it, and waits for its end.
func (l *load) drive(id string) {
	start := &workflowservice.StartWorkflowExecutionRequest{
		Namespace: namespace, WorkflowId: id, RequestId: id, WorkflowType: &commonpb.WorkflowType{Name: "load"}, TaskQueue: normal(), WorkflowTaskTimeout: durationpb.New(taskTime),
	}
	started, err := again(l.ctx, func(ctx context.Context) (*workflowservice.StartWorkflowExecutionResponse, error) {
		return l.api.StartWorkflowExecution(ctx, start)
	})
	if err != nil {
		l.fail("start of %s: %v", id, err)
		return
	}
	l.ledger.noteStart(id, started.RunId)
	l.ack()
	for n := range signals {
		l.signal(id, fmt.Sprintf("%s/%d", id, n), n%givenUpBy == givenUpBy-1)
	}
	l.signal(id, finish, false)
	l.awaitClose(id)
}

func (l *load) signal(id, what string, giveUp bool) {
	req := &workflowservice.SignalWorkflowExecutionRequest{Namespace: namespace, WorkflowExecution: execution(id), SignalName: "do", Input: text(what), RequestId: what}
	send := func(ctx context.Context) (*workflowservice.SignalWorkflowExecutionResponse, error) {
		return l.api.SignalWorkflowExecution(ctx, req)
	}
	try := again[*workflowservice.SignalWorkflowExecutionResponse]
	if giveUp {
		try = once[*workflowservice.SignalWorkflowExecutionResponse]
	}
	_, err := try(l.ctx, send)
	if err != nil && !(giveUp && cut(err)) {
		l.fail("signal %s: %v", what, err)
	}
	l.ledger.noteSignal(id, what, err == nil)
	if err == nil {
		l.ack()
	}
}

// awaitClose waits for the close event.
func (l *load) awaitClose(id string) {
	req := &workflowservice.GetWorkflowExecutionHistoryRequest{
		Namespace: namespace, Execution: execution(id), WaitNewEvent: true, HistoryEventFilterType: enumspb.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT,
	}
	for l.ctx.Err() == nil {
		page, err := again(l.ctx, func(ctx context.Context) (*workflowservice.GetWorkflowExecutionHistoryResponse, error) {
			return l.api.GetWorkflowExecutionHistory(ctx, req)
		})
		if err != nil {
			l.fail("waiting for the end of %s: %v", id, err)
			return
		}
		if len(page.History.GetEvents()) > 0 {
			return
		}
	}
}

func (l *load) pollWorkflowTasks() {
	for l.ctx.Err() == nil {
		task, err := once(l.ctx, func(ctx context.Context) (*workflowservice.PollWorkflowTaskQueueResponse, error) {
			return l.api.PollWorkflowTaskQueue(ctx, &workflowservice.PollWorkflowTaskQueueRequest{Namespace: namespace, TaskQueue: normal(), Identity: "load"})
		})
		if cut(err) {
			pause(l.ctx, leastGap)
		} else if err != nil {
			l.fail("poll of workflow tasks: %v", err)
			return
		}
		if len(task.GetTaskToken()) > 0 {
			l.decide(task)
		}
	}
}

// decide answers a workflow task: what the signals ask for and was not done yet.
func (l *load) decide(task *workflowservice.PollWorkflowTaskQueueResponse) {
	events := task.History.Events
	if len(task.NextPageToken) > 0 {
		var err error
		if events, err = history(l.ctx, l.api, task.WorkflowExecution.WorkflowId); err != nil {
			l.fail("history of %s: %v", task.WorkflowExecution.WorkflowId, err)
			return
		}
	}
	_, err := again(l.ctx, func(ctx context.Context) (*workflowservice.RespondWorkflowTaskCompletedResponse, error) {
		return l.api.RespondWorkflowTaskCompleted(ctx, &workflowservice.RespondWorkflowTaskCompletedRequest{Namespace: namespace, TaskToken: task.TaskToken, Identity: "load", Commands: commands(events)})
	})
	// Not found: the kill took the answer along. Invalid: a signal came before the close, and a new task with it.
	if err != nil && !is[*serviceerror.NotFound](err) && !is[*serviceerror.InvalidArgument](err) {
		l.fail("completion of a workflow task of %s: %v", task.WorkflowExecution.WorkflowId, err)
	}
}

func commands(events []*historypb.HistoryEvent) (out []*commandpb.Command) {
	scheduled, open, told := map[string]bool{}, 0, false
	for _, e := range events {
		if a := e.GetActivityTaskScheduledEventAttributes(); a != nil {
			scheduled[a.ActivityId] = true
			open++
		}
		if e.EventType == enumspb.EVENT_TYPE_ACTIVITY_TASK_COMPLETED {
			open--
		}
	}
	for _, e := range events {
		a := e.GetWorkflowExecutionSignaledEventAttributes()
		switch what := textOf(a.GetInput()); {
		case a == nil || scheduled[what]:
		case what == finish:
			told = true
		default:
			scheduled[what] = true // a signal that is there twice is found by the check
			open++
			out = append(out, schedule(what))
		}
	}
	if told && open == 0 {
		out = append(out, &commandpb.Command{CommandType: enumspb.COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION, Attributes: &commandpb.Command_CompleteWorkflowExecutionCommandAttributes{
			CompleteWorkflowExecutionCommandAttributes: &commandpb.CompleteWorkflowExecutionCommandAttributes{},
		}})
	}
	return out
}

func schedule(id string) *commandpb.Command {
	return &commandpb.Command{CommandType: enumspb.COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK, Attributes: &commandpb.Command_ScheduleActivityTaskCommandAttributes{
		ScheduleActivityTaskCommandAttributes: &commandpb.ScheduleActivityTaskCommandAttributes{
			ActivityId: id, ActivityType: &commonpb.ActivityType{Name: "do"}, TaskQueue: normal(), StartToCloseTimeout: durationpb.New(attemptTime),
			RetryPolicy: &commonpb.RetryPolicy{InitialInterval: durationpb.New(10 * time.Millisecond), BackoffCoefficient: 1},
		},
	}}
}

func (l *load) pollActivityTasks() {
	for l.ctx.Err() == nil {
		task, err := once(l.ctx, func(ctx context.Context) (*workflowservice.PollActivityTaskQueueResponse, error) {
			return l.api.PollActivityTaskQueue(ctx, &workflowservice.PollActivityTaskQueueRequest{Namespace: namespace, TaskQueue: normal(), Identity: "load"})
		})
		if cut(err) {
			pause(l.ctx, leastGap)
		} else if err != nil {
			l.fail("poll of activity tasks: %v", err)
			return
		}
		if len(task.GetTaskToken()) > 0 {
			l.act(task)
		}
	}
}

// act completes an activity task with a result of its own, sometimes twice.
func (l *load) act(task *workflowservice.PollActivityTaskQueueResponse) {
	for range 1 + rand.IntN(10)/9 {
		result := fmt.Sprintf("result %d", l.attempt.Add(1))
		_, err := again(l.ctx, func(ctx context.Context) (*workflowservice.RespondActivityTaskCompletedResponse, error) {
			return l.api.RespondActivityTaskCompleted(ctx, &workflowservice.RespondActivityTaskCompletedRequest{Namespace: namespace, TaskToken: task.TaskToken, Identity: "load", Result: text(result)})
		})
		switch {
		case err == nil:
			l.ledger.noteResult(task.WorkflowExecution.WorkflowId, task.ActivityId, result)
			l.ack()
		case !is[*serviceerror.NotFound](err):
			l.fail("completion of activity %s: %v", task.ActivityId, err)
		}
	}
}
