package frontend

import (
	"testing"
	"time"

	deploymentpb "go.temporal.io/api/deployment/v1"
	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/proto"

	"perdure/core/placement"
	"perdure/core/port"
	"perdure/core/token"
)

func polls(ns string, q *taskqueuepb.TaskQueue) []proto.Message {
	return []proto.Message{
		&workflowservice.PollWorkflowTaskQueueRequest{Namespace: ns, TaskQueue: q, Identity: "me"},
		&workflowservice.PollActivityTaskQueueRequest{Namespace: ns, TaskQueue: q, Identity: "me"},
	}
}

func TestPollRules(t *testing.T) {
	sticky := func(name, normal string) *taskqueuepb.TaskQueue {
		return &taskqueuepb.TaskQueue{Name: name, NormalName: normal, Kind: enumspb.TASK_QUEUE_KIND_STICKY}
	}
	for _, x := range []struct {
		name, namespace string
		queue           *taskqueuepb.TaskQueue
		want            string
	}{
		{"queue", "conform", queue("q"), "ok"},
		{"sticky queue", "conform", sticky("s", "q"), "ok"},
		{"sticky queue without normal name", "conform", sticky("s", ""), "ok"},
		{"no queue", "conform", nil, "Invalid: taskQueue is not set"},
		{"empty name", "conform", queue(""), "Invalid: missing task queue name"},
		{"name of 1001", "conform", queue(long(1001)), "Invalid: taskQueue length exceeds limit"},
		{"reserved name", "conform", queue("/_sys/x"), "Invalid: task queue name cannot start with reserved prefix /_sys/"},
		{"no namespace", "", queue("q"), "Invalid: Namespace is empty."},
		{"unknown namespace", "nowhere", queue("q"), "NotFound: Namespace nowhere is not found. [NamespaceNotFoundFailure]"},
	} {
		for _, req := range polls(x.namespace, x.queue) {
			if _, r := admit(req); told(r) != x.want {
				t.Errorf("%s, %T:\n got %s\nwant %s", x.name, req, told(r), x.want)
			}
		}
	}
}

func TestPollsOfVersionedWorkers(t *testing.T) {
	unversioned := &deploymentpb.WorkerDeploymentOptions{WorkerVersioningMode: enumspb.WORKER_VERSIONING_MODE_UNVERSIONED}
	for _, x := range []struct {
		name    string
		queue   *taskqueuepb.TaskQueue
		options *deploymentpb.WorkerDeploymentOptions
		want    string
	}{
		{"unversioned", queue("q"), unversioned, "ok"},
		{"versioned without a name", queue("q"), &deploymentpb.WorkerDeploymentOptions{WorkerVersioningMode: enumspb.WORKER_VERSIONING_MODE_VERSIONED, BuildId: "1"}, "Invalid: Both deployment name and build id must be set when versioning is enabled."},
		{"versioned", queue("q"), &deploymentpb.WorkerDeploymentOptions{WorkerVersioningMode: enumspb.WORKER_VERSIONING_MODE_VERSIONED, DeploymentName: "d", BuildId: "1"}, "Unimplemented: worker versioning is not supported by this server: use an unversioned worker"},
		{"sticky without normal name", &taskqueuepb.TaskQueue{Name: "s", Kind: enumspb.TASK_QUEUE_KIND_STICKY}, unversioned, "Invalid: NormalName must be set on sticky queue when UseVersioning is true or DeploymentOptions are set."},
	} {
		if _, r := admit(&workflowservice.PollWorkflowTaskQueueRequest{Namespace: "conform", TaskQueue: x.queue, DeploymentOptions: x.options}); told(r) != x.want {
			t.Errorf("%s:\n got %s\nwant %s", x.name, told(r), x.want)
		}
	}
}

func TestPollDeadlines(t *testing.T) {
	for _, x := range []struct {
		timeout time.Duration // 0: none
		want    string
		end     time.Duration
	}{
		{0, "Invalid: Context timeout is not set.", 0},
		{1500 * time.Millisecond, "Failed: Context timeout is too short.", 0},
		{2 * time.Second, "ok", time.Second},
		{20 * time.Second, "ok", 19 * time.Second},
		{61 * time.Second, "ok", 60 * time.Second},
		{time.Hour, "ok", 60 * time.Second},
	} {
		c := caller()
		if c.Deadline = now.Add(x.timeout); x.timeout == 0 {
			c.Deadline = time.Time{}
		}
		for _, req := range polls("conform", queue("q")) {
			plan, r := admitAs(c, req)
			if told(r) != x.want {
				t.Errorf("%v, %T: %s", x.timeout, req, told(r))
			}
			if r == nil && !plan.In.(*port.Poll).Deadline.Equal(now.Add(x.end)) {
				t.Errorf("%v, %T: ends at %v", x.timeout, req, plan.In.(*port.Poll).Deadline.Sub(now))
			}
		}
	}
}

func TestPollsGoToTheirQueue(t *testing.T) {
	for _, x := range []struct {
		req  proto.Message
		want port.QueueKey
	}{
		{polls("conform", queue("q"))[0], port.QueueKey{NamespaceID: conformID, Name: "q", Type: port.WorkflowQueue}},
		{polls("conform", queue("q"))[1], port.QueueKey{NamespaceID: conformID, Name: "q", Type: port.ActivityQueue}},
		{polls("conform", &taskqueuepb.TaskQueue{Name: "s", NormalName: "q", Kind: enumspb.TASK_QUEUE_KIND_STICKY})[0], port.QueueKey{NamespaceID: conformID, Name: "s", Type: port.WorkflowQueue, Normal: "q"}},
	} {
		plan, r := admit(x.req)
		if r != nil {
			t.Fatal(told(r))
		}
		in := plan.In.(*port.Poll)
		if in.Queue != x.want || in.ID != "new-1" || in.Identity != "me" || in.Call.ID != 5 || in.Body != any(x.req) {
			t.Errorf("poll %+v", in)
		}
		if want, _ := placement.Queue(nil, 3, 4, x.want); plan.To != want {
			t.Errorf("to %v, want %v", plan.To, want)
		}
	}
}

// answers are the requests that carry a task token, and the kind of task they answer.
func answers(ns string, raw []byte) ([]proto.Message, []port.TaskKind) {
	return []proto.Message{
			&workflowservice.RespondWorkflowTaskCompletedRequest{Namespace: ns, TaskToken: raw},
			&workflowservice.RespondWorkflowTaskFailedRequest{Namespace: ns, TaskToken: raw},
			&workflowservice.RespondActivityTaskCompletedRequest{Namespace: ns, TaskToken: raw},
			&workflowservice.RespondActivityTaskFailedRequest{Namespace: ns, TaskToken: raw},
			&workflowservice.RespondActivityTaskCanceledRequest{Namespace: ns, TaskToken: raw},
			&workflowservice.RecordActivityTaskHeartbeatRequest{Namespace: ns, TaskToken: raw},
			&workflowservice.RespondQueryTaskCompletedRequest{Namespace: ns, TaskToken: raw},
		}, []port.TaskKind{
			port.WorkflowTask, port.WorkflowTask, port.ActivityTask, port.ActivityTask, port.ActivityTask, port.ActivityTask, port.QueryTask,
		}
}

func TestTaskTokenRules(t *testing.T) {
	foreign := token.AppendTask(nil, []port.Key{{ID: 1, Secret: []byte("somebody else's thirty-two bytes")}}, &port.Token{Run: port.RunKey{NamespaceID: conformID, WorkflowID: "wf", RunID: runID}, Kind: port.WorkflowTask})
	const nonsense = "Invalid: Error deserializing task token."
	for _, x := range []struct {
		name, namespace string
		raw             func(port.TaskKind) []byte
		want            string
	}{
		{"its namespace", "conform", func(k port.TaskKind) []byte { return taskToken(k, conformID) }, "ok"},
		{"no namespace", "", func(k port.TaskKind) []byte { return taskToken(k, conformID) }, "ok"},
		{"another namespace", "other", func(k port.TaskKind) []byte { return taskToken(k, conformID) }, "Invalid: Operation requested with a token from a different namespace."},
		{"an unknown namespace", "nowhere", func(k port.TaskKind) []byte { return taskToken(k, conformID) }, "NotFound: Namespace nowhere is not found. [NamespaceNotFoundFailure]"},
		{"of a namespace that is no more", "", func(k port.TaskKind) []byte { return taskToken(k, "55555555-5555-4555-8555-555555555555") }, "NotFound: Namespace 55555555-5555-4555-8555-555555555555 is not found. [NamespaceNotFoundFailure]"},
		{"empty", "conform", func(port.TaskKind) []byte { return nil }, "Invalid: Task token not set on request."},
		{"empty, unknown namespace", "nowhere", func(port.TaskKind) []byte { return nil }, "Invalid: Task token not set on request."},
		{"nonsense", "conform", func(port.TaskKind) []byte { return []byte("nonsense") }, nonsense},
		{"of another cluster", "conform", func(port.TaskKind) []byte { return foreign }, nonsense},
	} {
		_, kinds := answers("", nil)
		for i, kind := range kinds {
			all, _ := answers(x.namespace, x.raw(kind))
			plan, r := admit(all[i])
			if told(r) != x.want {
				t.Errorf("%s, %T:\n got %s\nwant %s", x.name, all[i], told(r), x.want)
			}
			if r != nil {
				continue
			}
			in := plan.In.(*port.Request)
			if in.Run != (port.RunKey{NamespaceID: conformID, WorkflowID: "wf", RunID: runID}) || in.Token == nil || in.Token.Nonce != 9 || in.Namespace.ID != conformID {
				t.Errorf("%s, %T: %+v", x.name, all[i], in)
			}
		}
	}
}

func TestTokensOfOtherTasks(t *testing.T) {
	want := map[port.TaskKind]string{
		port.WorkflowTask: "NotFound: Workflow task not found. [NotFoundFailure]",
		port.ActivityTask: "NotFound: invalid activityID or activity already timed out or invoking workflow is completed [NotFoundFailure]",
		port.QueryTask:    "Invalid: Invalid TaskToken.",
	}
	for _, of := range []port.TaskKind{port.WorkflowTask, port.ActivityTask, port.QueryTask} {
		all, kinds := answers("conform", taskToken(of, conformID))
		for i, req := range all {
			if _, r := admit(req); kinds[i] != of && told(r) != want[kinds[i]] {
				t.Errorf("token of kind %d, %T: %s", of, req, told(r))
			}
		}
	}
}

func TestTooLargeFailureOfATaskIsReplaced(t *testing.T) {
	req := &workflowservice.RespondWorkflowTaskFailedRequest{TaskToken: taskToken(port.WorkflowTask, conformID), Failure: &failurepb.Failure{Message: long(3 << 20)}}
	request(t, req)
	if req.Failure.Message != "Failure exceeds size limit." || len(req.Failure.Cause.Message) != 512<<10 {
		t.Errorf("%.50s, cause of %d bytes", req.Failure.Message, len(req.Failure.GetCause().GetMessage()))
	}
}

func TestTooLargeAnswerOfAQueryFails(t *testing.T) {
	req := &workflowservice.RespondQueryTaskCompletedRequest{TaskToken: taskToken(port.QueryTask, conformID), QueryResult: payloads(2 << 20), CompletedType: enumspb.QUERY_RESULT_TYPE_ANSWERED}
	request(t, req)
	if req.QueryResult != nil || req.CompletedType != enumspb.QUERY_RESULT_TYPE_FAILED || req.ErrorMessage != "Blob data size exceeds limit." {
		t.Errorf("%v %q", req.CompletedType, req.ErrorMessage)
	}
}

func TestIdentitiesAreBounded(t *testing.T) {
	for _, req := range []proto.Message{
		&workflowservice.PollWorkflowTaskQueueRequest{Namespace: "conform", TaskQueue: queue("q"), Identity: long(1001)},
		&workflowservice.PollActivityTaskQueueRequest{Namespace: "conform", TaskQueue: queue("q"), Identity: long(1001)},
		&workflowservice.RespondWorkflowTaskCompletedRequest{TaskToken: taskToken(port.WorkflowTask, conformID), Identity: long(1001)},
		&workflowservice.RespondActivityTaskCompletedRequest{TaskToken: taskToken(port.ActivityTask, conformID), Identity: long(1001)},
	} {
		if _, r := admit(req); told(r) != "Invalid: Identity length exceeds limit." {
			t.Errorf("%T: %s", req, told(r))
		}
	}
}
