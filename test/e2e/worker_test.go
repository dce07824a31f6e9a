package e2e

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	commandpb "go.temporal.io/api/command/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
)

var workerCases = []testCase{
	{"worker_comes_late", workerComesLate},
	{"worker_hands_over", workerHandsOver},
	{"worker_vanishes", workerVanishes},
	{"worker_reset_sticky", workerResetSticky},
	{"worker_shutdown_by_hand", workerShutdownByHand},
	{"worker_panics_then_is_fixed", workerPanicsThenIsFixed},
	{"worker_panic_fails_the_workflow", workerPanicFailsTheWorkflow},
	{"worker_never_answers", workerNeverAnswers},
	{"worker_polls_in_vain", workerPollsInVain},
}

// workerComesLate lets tasks of both kinds wait where nobody polls.
func workerComesLate(s *scene) {
	const many = 30
	runs := make([]client.WorkflowRun, many)
	for i := range runs {
		runs[i] = s.startWith(client.StartWorkflowOptions{ID: s.id(letters(i))}, "late")
	}
	s.workWith(s.client, s.queue, worker.Options{LocalActivityWorkerOnly: true}, flows{"late": func(ctx workflow.Context) (got string, err error) {
		err = workflow.ExecuteActivity(withActivity(ctx), "echo", "late").Get(ctx, &got)
		return got, err
	}}, nil)
	for _, run := range runs {
		s.await(run, enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED)
	}
	s.halfway()
	s.workWith(s.client, s.queue, worker.Options{DisableWorkflowWorker: true}, nil, acts{"echo": echo})
	for _, run := range runs {
		s.same(result[string](s, run), "late")
	}
}

func workerHandsOver(s *scene) {
	first := s.work(flows{"collect": collect}, nil)
	run := s.start("collect")
	s.signal(run, "number", 1)
	s.started(run)
	first.Stop()
	s.signal(run, "number", 2)
	s.halfway()
	s.work(flows{"collect": collect}, nil)
	s.signal(run, "number", 3)
	s.signal(run, "stop", nil)
	s.same(result[[]int](s, run), []int{1, 2, 3})
}

// cable is a connection that can be cut, so that a worker vanishes without a word.
type cable struct {
	cut   atomic.Bool
	mu    sync.Mutex
	conns []net.Conn
}

func (c *cable) dial(ctx context.Context, address string) (net.Conn, error) {
	if c.cut.Load() {
		return nil, errors.New("the cable is cut")
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	c.mu.Lock()
	c.conns = append(c.conns, conn)
	c.mu.Unlock()
	return conn, err
}

func (c *cable) sever() {
	c.cut.Store(true)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		if conn != nil {
			conn.Close()
		}
	}
}

// workerVanishes cuts off a worker that has the run in its cache; another one finishes it.
func workerVanishes(s *scene) {
	var wire cable
	away := dial(s, s.server.Addr, home, grpc.WithContextDialer(wire.dial))
	s.workWith(away, s.queue, worker.Options{StickyScheduleToStartTimeout: time.Second}, flows{"collect": collect}, nil)
	run := s.startWith(client.StartWorkflowOptions{WorkflowTaskTimeout: 2 * time.Second}, "collect") // it may vanish with a task
	s.signal(run, "number", 1)
	s.started(run)
	wire.sever()
	s.signal(run, "number", 2)
	s.halfway()
	s.work(flows{"collect": collect}, nil)
	s.signal(run, "stop", nil)
	s.same(result[[]int](s, run), []int{1, 2})
}

func workerResetSticky(s *scene) {
	s.work(flows{"collect": collect}, nil)
	run := s.start("collect")
	s.started(run)
	s.halfway()
	_, err := s.api.ResetStickyTaskQueue(s.ctx, &workflowservice.ResetStickyTaskQueueRequest{Namespace: home, Execution: execution(run.GetID(), "")})
	s.must(err)
	s.signal(run, "stop", nil)
	s.same(result[[]int](s, run), []int(nil))
	scheduled := 0
	for _, e := range s.history(run.GetID(), "") {
		if a := e.GetWorkflowTaskScheduledEventAttributes(); a != nil {
			scheduled++
			s.same(a.TaskQueue.Kind, enumspb.TASK_QUEUE_KIND_NORMAL)
		}
	}
	s.check(scheduled >= 2, "%d tasks", scheduled)
}

// workerShutdownByHand answers a task stickily, says good-bye, and finds the next task in the normal queue.
func workerShutdownByHand(s *scene) {
	_, err := s.api.StartWorkflowExecution(s.ctx, s.startRequest("raw", "a"))
	s.must(err)
	_, err = s.api.RespondWorkflowTaskCompleted(s.ctx, &workflowservice.RespondWorkflowTaskCompletedRequest{Namespace: home, TaskToken: s.poll().TaskToken, StickyAttributes: stickyAttributes(s.id("sticky"), s.queue)})
	s.must(err)
	s.halfway()
	_, err = s.api.ShutdownWorker(s.ctx, &workflowservice.ShutdownWorkerRequest{Namespace: home, StickyTaskQueue: s.id("sticky"), Identity: "e2e", Reason: "the case says so"})
	s.must(err)
	_, err = s.api.SignalWorkflowExecution(s.ctx, &workflowservice.SignalWorkflowExecutionRequest{Namespace: home, WorkflowExecution: execution(s.id("raw"), ""), SignalName: "go", RequestId: "a"})
	s.must(err)
	task := s.poll() // of the normal queue, with the whole history
	s.check(task.History.Events[0].EventId == 1, "the history begins with %v", task.History.Events[0])
	_, err = s.api.RespondWorkflowTaskCompleted(s.ctx, &workflowservice.RespondWorkflowTaskCompletedRequest{Namespace: home, TaskToken: task.TaskToken, Commands: []*commandpb.Command{complete()}})
	s.must(err)
}

func workerPanicsThenIsFixed(s *scene) {
	var broken atomic.Bool
	broken.Store(true)
	s.work(flows{"fragile": func(ctx workflow.Context) (string, error) {
		if broken.Load() {
			panic("a bug")
		}
		return "fixed", nil
	}}, nil)
	run := s.start("fragile")
	failed := s.await(run, enumspb.EVENT_TYPE_WORKFLOW_TASK_FAILED).GetWorkflowTaskFailedEventAttributes()
	s.same(failed.Cause, enumspb.WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE)
	s.halfway()
	broken.Store(false)
	s.same(result[string](s, run), "fixed")
}

func workerPanicFailsTheWorkflow(s *scene) {
	s.workWith(s.client, s.queue, worker.Options{WorkflowPanicPolicy: worker.FailWorkflow}, flows{"fragile": func(ctx workflow.Context) error {
		workflow.GetSignalChannel(ctx, "go").Receive(ctx, nil)
		panic("a bug")
	}}, nil)
	run := s.start("fragile")
	s.halfway()
	s.signal(run, "go", nil)
	s.check(is[*temporal.PanicError](s.failure(run)), "not failed by its panic")
}

// workerNeverAnswers takes a task and drops it; it is given out again.
func workerNeverAnswers(s *scene) {
	req := s.startRequest("raw", "a")
	req.WorkflowTaskTimeout = durationpb.New(time.Second)
	_, err := s.api.StartWorkflowExecution(s.ctx, req)
	s.must(err)
	lost := s.poll()
	s.halfway()
	task := s.poll()
	s.check(task.Attempt == 2 || task.Attempt == 1, "attempt %d", task.Attempt) // 1 if the kill forgot that the first was taken
	_, err = s.api.RespondWorkflowTaskCompleted(s.ctx, &workflowservice.RespondWorkflowTaskCompletedRequest{Namespace: home, TaskToken: lost.TaskToken, Commands: []*commandpb.Command{complete()}})
	s.check(err != nil, "the dead token was accepted")
	for {
		_, err = s.api.RespondWorkflowTaskCompleted(s.ctx, &workflowservice.RespondWorkflowTaskCompletedRequest{Namespace: home, TaskToken: task.TaskToken, Commands: []*commandpb.Command{complete()}})
		if !is[*serviceerror.NotFound](err) {
			break
		}
		task = s.poll() // a second is short on a busy machine
	}
	s.must(err)
}

// workerPollsInVain gets an empty answer before its own deadline, not an error.
func workerPollsInVain(s *scene) {
	s.halfway()
	ctx, cancel := context.WithTimeout(s.ctx, 4*time.Second)
	defer cancel()
	task, err := s.api.PollWorkflowTaskQueue(ctx, &workflowservice.PollWorkflowTaskQueueRequest{Namespace: home, TaskQueue: s.normal(), Identity: "e2e"})
	s.must(err)
	s.same(len(task.TaskToken), 0)
}
