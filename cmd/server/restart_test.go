package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	commandpb "go.temporal.io/api/command/v1"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	workflow "go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	"perdure/adapters/config"
	"perdure/adapters/store/sqlite"
	"perdure/core/store"
)

// startServer runs a real server on the folder of s. end stops it and waits until it has.
func startServer(t *testing.T, s *config.Settings) (client workflow.WorkflowServiceClient, end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	g := &greeting{ready: make(chan struct{})}
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, s, wire, g) }()
	select {
	case <-g.ready:
	case err := <-ended:
		t.Fatal(err)
	}
	address := strings.TrimSuffix(strings.Fields(g.text.String())[6], ",")
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	return workflow.NewWorkflowServiceClient(conn), func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		conn.Close()
	}
}

// TestWorkflowSurvivesRestarts starts a workflow, stops the server, answers the
// workflow's task on the next server, and reads its history on a third. The store
// keeps the shards that the first one made, whatever the others are told.
func TestWorkflowSurvivesRestarts(t *testing.T) {
	s := settings(t)
	s.Shards = 7
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	queue := &taskqueuepb.TaskQueue{Name: "queue"}

	client, end := startServer(t, s)
	started, err := client.StartWorkflowExecution(ctx, &workflow.StartWorkflowExecutionRequest{
		Namespace: "default", WorkflowId: "w", WorkflowType: &commonpb.WorkflowType{Name: "type"}, TaskQueue: queue, RequestId: "r",
	})
	if err != nil {
		t.Fatal(err)
	}
	end()

	s.Shards = 0
	client, end = startServer(t, s)
	task, err := client.PollWorkflowTaskQueue(ctx, &workflow.PollWorkflowTaskQueueRequest{Namespace: "default", TaskQueue: queue})
	if err != nil || task.WorkflowExecution.GetRunId() != started.RunId {
		t.Fatalf("task %v, %v", task, err)
	}
	if _, err := client.RespondWorkflowTaskCompleted(ctx, &workflow.RespondWorkflowTaskCompletedRequest{TaskToken: task.TaskToken, Commands: []*commandpb.Command{{
		CommandType: enumspb.COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION,
		Attributes:  &commandpb.Command_CompleteWorkflowExecutionCommandAttributes{CompleteWorkflowExecutionCommandAttributes: &commandpb.CompleteWorkflowExecutionCommandAttributes{}},
	}}}); err != nil {
		t.Fatal(err)
	}
	before := readHistory(ctx, t, client)
	end()

	s.Shards = 2
	client, end = startServer(t, s)
	after := readHistory(ctx, t, client)
	end()
	if len(before.Events) != 5 || !proto.Equal(before, after) {
		t.Fatalf("before the restart %v\nafter it %v", before, after)
	}
	db, err := sqlite.Open(s.Data, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for id, want := range map[store.ShardID]error{1: nil, 7: nil, 8: store.ErrNoShard} {
		if _, err := db.Open(store.Open{Shard: id, Owner: "test", Nonce: 1}); !errors.Is(err, want) {
			t.Errorf("shard %d: %v, want %v", id, err, want)
		}
	}
}

func TestTellsOfAnotherNumberOfShards(t *testing.T) {
	for _, c := range []struct {
		stored, setting int
		want            string
	}{{4, 0, ""}, {4, 4, ""}, {4, 8, "shards=4 setting=8"}} {
		var b bytes.Buffer
		tellShards(slog.New(slog.NewTextHandler(&b, nil)), c.stored, c.setting)
		if got := b.String(); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%d stored, %d set: %q", c.stored, c.setting, got)
		}
	}
}

func readHistory(ctx context.Context, t *testing.T, client workflow.WorkflowServiceClient) *historypb.History {
	t.Helper()
	r, err := client.GetWorkflowExecutionHistory(ctx, &workflow.GetWorkflowExecutionHistoryRequest{Namespace: "default", Execution: &commonpb.WorkflowExecution{WorkflowId: "w"}})
	if err != nil {
		t.Fatal(err)
	}
	return r.History
}
