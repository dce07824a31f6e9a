package durability

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"

	"perdure/test/server"
)

const (
	rowsARun = 20  // more than a run that only started has
	lateRuns = 200 // begun just before the kill
	starters = 32
)

// TestRecoveryReadsTheTailOnly keeps many idle workflows open, kills the
// server, and counts the rows that the next start replays: those of the
// workflows begun last, however many there are.
func TestRecoveryReadsTheTailOnly(t *testing.T) {
	s := server.Start(t)
	many := amount(2_000, 100_000)
	idle(t, dial(t, s.Addr), 0, many)
	s.Kill()
	began := time.Now()
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d idle workflows, killed while they were begun: serving after %v", many, time.Since(began).Round(time.Millisecond))
	everyShard(t, dial(t, s.Addr), many)
	t.Logf("rows replayed then: %d", tailRows(t, s))
	if err := s.Stop(); err != nil { // flushes everything
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	idle(t, dial(t, s.Addr), many, lateRuns)
	s.Kill()
	began = time.Now()
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	api := dial(t, s.Addr)
	everyShard(t, api, many+lateRuns)
	rows := tailRows(t, s)
	t.Logf("%d idle workflows, %d of them new: %d rows replayed, all shards answer after %v", many+lateRuns, lateRuns, rows, time.Since(began).Round(time.Millisecond))
	if rows > lateRuns*rowsARun {
		t.Errorf("%d rows were replayed, more than %d workflows can have left", rows, lateRuns)
	}
}

// idle begins workflows whose first task is done at once: nothing is due for them.
func idle(t *testing.T, api workflowservice.WorkflowServiceClient, from, n int) {
	t.Helper()
	var next atomic.Int64
	var all sync.WaitGroup
	for range starters {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && !t.Failed(); i = int(next.Add(1)) - 1 {
				if err := beginIdle(t.Context(), api, from+i); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}

func idleID(i int) string { return fmt.Sprintf("idle-%d", i) }

func beginIdle(ctx context.Context, api workflowservice.WorkflowServiceClient, i int) error {
	started, err := again(ctx, func(ctx context.Context) (*workflowservice.StartWorkflowExecutionResponse, error) {
		return api.StartWorkflowExecution(ctx, &workflowservice.StartWorkflowExecutionRequest{
			Namespace: namespace, WorkflowId: idleID(i), RequestId: idleID(i), WorkflowType: &commonpb.WorkflowType{Name: "idle"}, TaskQueue: normal(), RequestEagerExecution: true,
		})
	})
	if err != nil {
		return err
	}
	_, err = again(ctx, func(ctx context.Context) (*workflowservice.RespondWorkflowTaskCompletedResponse, error) {
		return api.RespondWorkflowTaskCompleted(ctx, &workflowservice.RespondWorkflowTaskCompletedRequest{Namespace: namespace, TaskToken: started.EagerWorkflowTask.GetTaskToken()})
	})
	return err
}

// everyShard asks for enough workflows that every shard must have answered; all of them are open.
func everyShard(t *testing.T, api workflowservice.WorkflowServiceClient, n int) {
	t.Helper()
	for i := 0; i < n; i += max(1, n/100) {
		d, err := again(t.Context(), func(ctx context.Context) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
			return api.DescribeWorkflowExecution(ctx, &workflowservice.DescribeWorkflowExecutionRequest{Namespace: namespace, Execution: execution(idleID(i))})
		})
		if err != nil {
			t.Fatal(err)
		}
		if info := d.WorkflowExecutionInfo; info.Status != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING || info.HistoryLength != 4 {
			t.Errorf("%s is %s with %d events", idleID(i), info.Status, info.HistoryLength)
		}
	}
}

// opened is the line that the server logs for each shard it opens.
var opened = regexp.MustCompile(`msg="shard opened" shard=\d+ tail_rows=(\d+)`)

const shards = 4

// tailRows is what the shards replayed at the last start.
func tailRows(t *testing.T, s *server.Server) (rows int) {
	t.Helper()
	found := opened.FindAllStringSubmatch(s.Log(), -1)
	if len(found) == 0 || len(found)%shards != 0 {
		t.Fatalf("%d shards were opened, not %d at each start", len(found), shards)
	}
	for _, line := range found[len(found)-shards:] {
		n, err := strconv.Atoi(line[1])
		if err != nil {
			t.Fatal(err)
		}
		rows += n
	}
	return rows
}
