package workload

import (
	"strings"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	deploymentpb "go.temporal.io/api/deployment/v1"
	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
	querypb "go.temporal.io/api/query/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"perdure/core/port"
	"perdure/sim/program"
	"perdure/sim/universe"
)

// Requests with one field that no server may take, in nearly every field that there is.

var (
	tooLong  = strings.Repeat("x", 2000)
	negative = durationpb.New(-time.Second)
)

// badLinks are links that lack something, or are too many or too large.
func badLinks() [][]*commonpb.Link {
	many := make([]*commonpb.Link, 11)
	for i := range many {
		many[i] = &commonpb.Link{Variant: &commonpb.Link_BatchJob_{BatchJob: &commonpb.Link_BatchJob{JobId: "job"}}}
	}
	all := [][]*commonpb.Link{many}
	for _, l := range []*commonpb.Link{
		{},
		{Variant: &commonpb.Link_BatchJob_{BatchJob: &commonpb.Link_BatchJob{}}},
		{Variant: &commonpb.Link_BatchJob_{BatchJob: &commonpb.Link_BatchJob{JobId: strings.Repeat("x", 5000)}}},
		{Variant: &commonpb.Link_Activity_{Activity: &commonpb.Link_Activity{Namespace: "n"}}},
		{Variant: &commonpb.Link_NexusOperation_{NexusOperation: &commonpb.Link_NexusOperation{Namespace: "n"}}},
		{Variant: &commonpb.Link_Workflow_{Workflow: &commonpb.Link_Workflow{Namespace: "n"}}},
		{Variant: &commonpb.Link_WorkflowEvent_{WorkflowEvent: &commonpb.Link_WorkflowEvent{Namespace: "n"}}},
		{Variant: &commonpb.Link_WorkflowEvent_{WorkflowEvent: &commonpb.Link_WorkflowEvent{Namespace: "n", WorkflowId: "w", RunId: "r",
			Reference: &commonpb.Link_WorkflowEvent_EventRef{EventRef: &commonpb.Link_WorkflowEvent_EventReference{EventId: 7}}}}},
	} {
		all = append(all, []*commonpb.Link{l})
	}
	return all
}

// badRetries are retry policies that make no sense.
func badRetries() []*commonpb.RetryPolicy {
	return []*commonpb.RetryPolicy{
		{BackoffCoefficient: 0.5}, {InitialInterval: negative}, {MaximumInterval: negative}, {MaximumAttempts: -1},
		{InitialInterval: &durationpb.Duration{Seconds: 1, Nanos: -1}},
		{InitialInterval: durationpb.New(time.Minute), MaximumInterval: durationpb.New(time.Second)},
		{NonRetryableErrorTypes: []string{"TemporalTimeout:Nonsense"}},
	}
}

// badAttributes are search attributes of the system that clients cannot set, or not so.
func badAttributes() (all []*commonpb.SearchAttributes) {
	add := func(name string, p *commonpb.Payload) {
		all = append(all, &commonpb.SearchAttributes{IndexedFields: map[string]*commonpb.Payload{name: p}})
	}
	encoded := func(encoding, data string) *commonpb.Payload {
		return &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte(encoding)}, Data: []byte(data)}
	}
	add("Unknown", program.Payload(1))
	add("RunId", program.Payload("x"))
	add("TemporalWorkerDeployment", program.Payload("x"))
	add("TemporalSchedulePaused", program.Payload("x"))
	add("TemporalScheduledStartTime", program.Payload("never"))
	add("BatcherUser", program.Payload([]string{"one", "two"}))
	add("BatcherUser", encoded("json/plain", "{"))
	add("BatcherUser", encoded("json/plain", "\"\xff\""))
	add("BatcherUser", encoded("binary/plain", "x"))
	add("BatcherUser", program.Payload(strings.Repeat("x", 3000)))
	return all
}

// badStart is a start with one field that makes no sense.
func (c *client) badStart() proto.Message {
	type request = workflowservice.StartWorkflowExecutionRequest
	q := &request{Namespace: c.world.cfg.Namespace, WorkflowId: c.workflow(), WorkflowType: &commonpb.WorkflowType{Name: "program"}, TaskQueue: c.queue()}
	universe.Pick(c.rand,
		func() { q.Namespace = "" },
		func() { q.Namespace = tooLong },
		func() { q.WorkflowId = "" },
		func() { q.WorkflowType = nil },
		func() { q.WorkflowType.Name = tooLong },
		func() { q.TaskQueue = nil },
		func() { q.TaskQueue.Name = "/_sys/x" },
		func() { q.WorkflowExecutionTimeout = negative },
		func() { q.WorkflowTaskTimeout = &durationpb.Duration{Seconds: -1, Nanos: 1} },
		func() { q.RetryPolicy = universe.Pick(c.rand, badRetries()...) },
		func() { q.RetryPolicy = universe.Pick(c.rand, badRetries()...) },
		func() { q.Links = universe.Pick(c.rand, badLinks()...) },
		func() { q.Links = universe.Pick(c.rand, badLinks()...) },
		func() { q.SearchAttributes = universe.Pick(c.rand, badAttributes()...) },
		func() { q.SearchAttributes = universe.Pick(c.rand, badAttributes()...) },
		func() { q.Priority = &commonpb.Priority{FairnessKey: tooLong} },
		func() { q.Priority = &commonpb.Priority{FairnessWeight: -1} },
		func() { q.CompletionCallbacks = []*commonpb.Callback{{}} },
		func() { q.CompletionCallbacks = make([]*commonpb.Callback, 3000) },
		func() {
			q.CompletionCallbacks = []*commonpb.Callback{{Variant: &commonpb.Callback_Nexus_{Nexus: &commonpb.Callback_Nexus{Url: "http://nowhere"}}}}
		},
		func() { q.OnConflictOptions = &workflowpb.OnConflictOptions{AttachCompletionCallbacks: true} },
		func() { q.VersioningOverride = &workflowpb.VersioningOverride{} },
		func() {
			q.WorkflowIdReusePolicy, q.WorkflowIdConflictPolicy = enumspb.WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING, enumspb.WORKFLOW_ID_CONFLICT_POLICY_FAIL
		},
		func() {
			q.WorkflowIdReusePolicy, q.WorkflowIdConflictPolicy = enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE, enumspb.WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING
		},
	)()
	return q
}

// badSignalWithStart is the same for a signal that may start.
func (c *client) badSignalWithStart() proto.Message {
	q := &workflowservice.SignalWithStartWorkflowExecutionRequest{
		Namespace: c.world.cfg.Namespace, WorkflowId: c.workflow(), WorkflowType: &commonpb.WorkflowType{Name: "program"}, TaskQueue: c.queue(), SignalName: "x"}
	universe.Pick(c.rand,
		func() { q.WorkflowId = "" },
		func() { q.SignalName = tooLong },
		func() { q.WorkflowType = nil },
		func() { q.WorkflowType.Name = tooLong },
		func() { q.TaskQueue = nil },
		func() { q.RequestId = tooLong },
		func() { q.WorkflowRunTimeout = negative },
		func() { q.RetryPolicy = universe.Pick(c.rand, badRetries()...) },
		func() { q.CronSchedule, q.WorkflowStartDelay = "@every 1m", durationpb.New(time.Second) },
		func() { q.WorkflowStartDelay = negative },
		func() { q.CronSchedule = "never" },
		func() { q.WorkflowIdConflictPolicy = enumspb.WORKFLOW_ID_CONFLICT_POLICY_FAIL },
		func() {
			q.WorkflowIdReusePolicy, q.WorkflowIdConflictPolicy = enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE, enumspb.WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING
		},
		func() { q.SearchAttributes = universe.Pick(c.rand, badAttributes()...) },
		func() { q.Links = universe.Pick(c.rand, badLinks()...) },
	)()
	return q
}

// badCall is any other call with one field that makes no sense.
func (c *client) badCall() proto.Message {
	ns, e, none := c.world.cfg.Namespace, c.execution(), &commonpb.WorkflowExecution{}
	links := universe.Pick(c.rand, badLinks()...)
	queue := &taskqueuepb.TaskQueue{Name: queueName(0)}
	versioned := &deploymentpb.WorkerDeploymentOptions{WorkerVersioningMode: enumspb.WORKER_VERSIONING_MODE_VERSIONED}
	strange := &commonpb.WorkflowExecution{WorkflowId: "wf-0", RunId: universe.Pick(c.rand, "32049b68787240948e63d0dd59896a83", "{32049b68-7872-4094-8e63-d0dd59896a83}",
		"urn:uuid:32049b68-7872-4094-8e63-d0dd59896a83", "xxx:uuid:32049b68-7872-4094-8e63-d0dd59896a83", "32049b68x7872-4094-8e63-d0dd59896a83", "32049b68-7872-4094-8e63-d0dd5989zzzz")}
	return universe.Pick[proto.Message](c.rand,
		&workflowservice.SignalWorkflowExecutionRequest{Namespace: ns, WorkflowExecution: e},
		&workflowservice.SignalWorkflowExecutionRequest{Namespace: ns, WorkflowExecution: e, SignalName: "x", RequestId: tooLong},
		&workflowservice.SignalWorkflowExecutionRequest{Namespace: ns, WorkflowExecution: e, SignalName: "x", Links: links},
		&workflowservice.SignalWorkflowExecutionRequest{Namespace: ns, WorkflowExecution: strange, SignalName: "x"},
		&workflowservice.RequestCancelWorkflowExecutionRequest{WorkflowExecution: e},
		&workflowservice.RequestCancelWorkflowExecutionRequest{Namespace: ns, WorkflowExecution: none},
		&workflowservice.RequestCancelWorkflowExecutionRequest{Namespace: ns, WorkflowExecution: e, Links: links},
		&workflowservice.TerminateWorkflowExecutionRequest{WorkflowExecution: e},
		&workflowservice.TerminateWorkflowExecutionRequest{Namespace: ns},
		&workflowservice.TerminateWorkflowExecutionRequest{Namespace: ns, WorkflowExecution: e, Links: links},
		&workflowservice.DescribeWorkflowExecutionRequest{Namespace: ns, Execution: strange},
		&workflowservice.GetWorkflowExecutionHistoryRequest{Namespace: ns},
		&workflowservice.GetWorkflowExecutionHistoryReverseRequest{Namespace: ns},
		&workflowservice.QueryWorkflowRequest{Namespace: ns, Execution: none, Query: &querypb.WorkflowQuery{QueryType: "memory"}},
		&workflowservice.QueryWorkflowRequest{Namespace: ns, Execution: e, Query: &querypb.WorkflowQuery{}},
		&workflowservice.ResetStickyTaskQueueRequest{Namespace: ns},
		&workflowservice.ShutdownWorkerRequest{},
		&workflowservice.RecordWorkerHeartbeatRequest{},
		&workflowservice.DescribeNamespaceRequest{},
		&workflowservice.DescribeNamespaceRequest{Namespace: tooLong},
		&workflowservice.DescribeNamespaceRequest{Namespace: ns, Id: "x"},
		&workflowservice.DescribeNamespaceRequest{Id: "x"},
		&workflowservice.RegisterNamespaceRequest{WorkflowExecutionRetentionPeriod: durationpb.New(time.Hour)},
		&workflowservice.RegisterNamespaceRequest{Namespace: tooLong},
		&workflowservice.DeprecateNamespaceRequest{},
		&workflowservice.PollWorkflowTaskQueueRequest{Namespace: ns, TaskQueue: queue, Identity: tooLong},
		&workflowservice.PollWorkflowTaskQueueRequest{Namespace: ns, TaskQueue: queue, DeploymentOptions: versioned},
		&workflowservice.PollWorkflowTaskQueueRequest{Namespace: ns, TaskQueue: &taskqueuepb.TaskQueue{Name: "s", Kind: enumspb.TASK_QUEUE_KIND_STICKY}, DeploymentOptions: versioned},
		&workflowservice.PollWorkflowTaskQueueRequest{Namespace: ns, TaskQueue: queue, WorkerVersionCapabilities: &commonpb.WorkerVersionCapabilities{UseVersioning: true}},
		&workflowservice.PollWorkflowTaskQueueRequest{Namespace: ns, TaskQueue: queue, WorkerVersionCapabilities: &commonpb.WorkerVersionCapabilities{BuildId: tooLong}},
		&workflowservice.PollActivityTaskQueueRequest{Namespace: ns, TaskQueue: queue, DeploymentOptions: &deploymentpb.WorkerDeploymentOptions{
			WorkerVersioningMode: enumspb.WORKER_VERSIONING_MODE_VERSIONED, DeploymentName: "d", BuildId: "b"}},
		&workflowservice.RespondActivityTaskCompletedByIdRequest{Namespace: ns, WorkflowId: "wf-0", ActivityId: "a1", Identity: tooLong},
		&workflowservice.RespondActivityTaskCanceledByIdRequest{Namespace: ns, WorkflowId: "wf-0", RunId: "no uuid", ActivityId: "a1"},
		&workflowservice.RespondActivityTaskFailedByIdRequest{Namespace: ns, ActivityId: "a1"},
		&workflowservice.RecordActivityTaskHeartbeatByIdRequest{Namespace: ns, WorkflowId: "wf-0"},
		c.withToken(),
		c.unserved(),
		&workflowservice.GetClusterInfoRequest{}, // from a client that is no good: see deed.nonsense
	)
}

// withToken gives an answer under a token that is worth nothing, in another namespace, or with other nonsense.
func (c *client) withToken() proto.Message {
	token, ns := c.stolen(), c.world.cfg.Namespace
	elsewhere := universe.Pick(c.rand, tooLong, "nobody")
	return universe.Pick[proto.Message](c.rand,
		&workflowservice.RespondWorkflowTaskCompletedRequest{Namespace: elsewhere, TaskToken: token},
		&workflowservice.RespondWorkflowTaskFailedRequest{Namespace: ns, TaskToken: token, Identity: tooLong},
		&workflowservice.RespondActivityTaskCompletedRequest{Namespace: ns, TaskToken: token, Identity: tooLong},
		&workflowservice.RespondActivityTaskCanceledRequest{Namespace: ns, TaskToken: token, Identity: tooLong},
		&workflowservice.RecordActivityTaskHeartbeatRequest{Namespace: elsewhere, TaskToken: token},
		&workflowservice.RespondActivityTaskFailedRequest{Namespace: ns, TaskToken: token, Failure: &failurepb.Failure{Message: "of no kind"}},
		&workflowservice.RespondQueryTaskCompletedRequest{Namespace: ns, TaskToken: token},
	)
}

// unserved is one of the calls that nobody serves.
func (c *client) unserved() proto.Message {
	ns := c.world.cfg.Namespace
	return universe.Pick[proto.Message](c.rand,
		&workflowservice.UpdateWorkerBuildIdCompatibilityRequest{Namespace: ns},
		&workflowservice.GetWorkerVersioningRulesRequest{Namespace: ns},
		&workflowservice.GetCurrentDeploymentRequest{Namespace: ns},
		&workflowservice.FetchWorkerConfigRequest{Namespace: ns},
		&workflowservice.UpdateWorkerConfigRequest{Namespace: ns},
		&workflowservice.PauseWorkflowExecutionRequest{Namespace: ns},
		&workflowservice.ListNexusOperationExecutionsRequest{Namespace: ns},
		&workflowservice.ListWorkflowRulesRequest{Namespace: ns},
		&workflowservice.PollWorkflowExecutionTimeSkippingRequest{Namespace: ns},
		&workflowservice.ListArchivedWorkflowExecutionsRequest{Namespace: ns},
	)
}

// badClients are clients that the server cannot work with.
func badClients() []port.Client {
	return []port.Client{
		{Name: "temporal-go", Version: "9.0.0"}, {Name: "temporal-go", Version: "nine"},
		{Name: "temporal-ui", Version: "2.0.0", Servers: ">=2.0.0"}, {Name: "somebody's", Version: "1.0.0", Servers: "any"},
	}
}
