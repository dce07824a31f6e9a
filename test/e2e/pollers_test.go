package e2e

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/stats"
	"google.golang.org/protobuf/types/known/durationpb"

	"perdure/test/server"
)

const (
	openPolls       = 10_000
	pollConnections = 20
	pollQueues      = 100
)

// sent counts the requests that left for the network.
type sent struct{ polls sync.WaitGroup }

func (s *sent) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (s *sent) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (s *sent) HandleConn(context.Context, stats.ConnStats)                       {}

func (s *sent) HandleRPC(_ context.Context, what stats.RPCStats) {
	if p, ok := what.(*stats.OutPayload); ok {
		if _, ok := p.Payload.(*workflowservice.PollWorkflowTaskQueueRequest); ok {
			s.polls.Done()
		}
	}
}

// TestTenThousandOpenPolls keeps 10,000 polls open, logs what they cost the server, and ends each with a task.
func TestTenThousandOpenPolls(t *testing.T) {
	h := server.Start(t, "--log-level", "warn")
	before, err := h.ResidentBytes()
	if err != nil {
		t.Fatal(err)
	}
	var out sent
	out.polls.Add(openPolls)
	apis := make([]workflowservice.WorkflowServiceClient, pollConnections)
	for i := range apis {
		apis[i] = workflowservice.NewWorkflowServiceClient(dialRaw(t, h.Addr, grpc.WithStatsHandler(&out)))
	}
	var polls sync.WaitGroup
	runs := make([]string, openPolls)
	for i := range openPolls {
		polls.Go(func() { runs[i] = pollOnce(t, apis[i%pollConnections], pollQueue(i)) })
	}
	out.polls.Wait()
	for _, api := range apis { // answered after the polls before it on its connection were read
		if _, err := api.GetSystemInfo(t.Context(), &workflowservice.GetSystemInfoRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	with, err := h.ResidentBytes()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d open polls: %d MiB resident, %d MiB before, %d bytes a poll", openPolls, with>>20, before>>20, (with-before)/openPolls)
	startForPolls(t, apis)
	polls.Wait()
	tasks := map[string]bool{}
	for _, run := range runs {
		tasks[run] = true
	}
	if len(tasks) != openPolls {
		t.Errorf("%d polls got %d different tasks", openPolls, len(tasks))
	}
}

func pollQueue(i int) *taskqueuepb.TaskQueue {
	return &taskqueuepb.TaskQueue{Name: fmt.Sprintf("polled-%d", i%pollQueues)}
}

// pollOnce returns the run of the task that the poll got.
func pollOnce(t *testing.T, api workflowservice.WorkflowServiceClient, queue *taskqueuepb.TaskQueue) string {
	ctx, cancel := context.WithTimeout(t.Context(), patience) // a poll must have a deadline
	defer cancel()
	task, err := api.PollWorkflowTaskQueue(ctx, &workflowservice.PollWorkflowTaskQueueRequest{Namespace: home, TaskQueue: queue, Identity: "e2e"})
	if err != nil {
		t.Errorf("a poll ended with %v", err)
	}
	return task.GetWorkflowExecution().GetRunId()
}

// startForPolls starts as many workflows on each queue as polls wait there.
func startForPolls(t *testing.T, apis []workflowservice.WorkflowServiceClient) {
	var all sync.WaitGroup
	for c, api := range apis {
		all.Go(func() {
			for i := c; i < openPolls; i += len(apis) {
				_, err := api.StartWorkflowExecution(t.Context(), &workflowservice.StartWorkflowExecutionRequest{
					Namespace: home, WorkflowId: fmt.Sprintf("polled-%d", i), RequestId: "a", WorkflowType: &commonpb.WorkflowType{Name: "polled"}, TaskQueue: pollQueue(i),
					WorkflowTaskTimeout: durationpb.New(2 * time.Minute), // nobody works: no task is to come twice
				})
				if err != nil {
					t.Errorf("start %d: %v", i, err)
					return
				}
			}
		})
	}
	all.Wait()
}
