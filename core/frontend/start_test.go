package frontend

import (
	"reflect"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/types/known/durationpb"

	"perdure/core/port"
)

type startRequest = workflowservice.StartWorkflowExecutionRequest

func startOf() *startRequest {
	return &startRequest{Namespace: "conform", WorkflowId: "wf", WorkflowType: &commonpb.WorkflowType{Name: "T"}, TaskQueue: queue("q"), RequestId: "req"}
}

func TestStartRules(t *testing.T) {
	const (
		mapping = "Invalid: Namespace conform has no mapping defined for search attribute "
		system  = " attribute can't be set in SearchAttributes"
		wrong   = "Invalid: invalid value for search attribute "
	)
	sa := func(name string, p *commonpb.Payload) func(*startRequest) {
		return func(r *startRequest) { r.SearchAttributes = attributes(name, p) }
	}
	retry := func(p *commonpb.RetryPolicy) func(*startRequest) {
		return func(r *startRequest) { r.RetryPolicy = p }
	}
	policy := func(reuse enumspb.WorkflowIdReusePolicy, conflict enumspb.WorkflowIdConflictPolicy) func(*startRequest) {
		return func(r *startRequest) { r.WorkflowIdReusePolicy, r.WorkflowIdConflictPolicy = reuse, conflict }
	}
	checkRules(t, startOf, []rule[*startRequest]{
		{"nothing wrong", func(*startRequest) {}, "ok"},
		{"no workflow id", func(r *startRequest) { r.WorkflowId = "" }, "Invalid: WorkflowId is not set on request."},
		{"workflow id of 1001", func(r *startRequest) { r.WorkflowId = long(1001) }, "Invalid: WorkflowId exceeds maximum allowed length (1001/1000)"},
		{"workflow id of 1000", func(r *startRequest) { r.WorkflowId = long(1000) }, "ok"},
		{"request id of 1001", func(r *startRequest) { r.RequestId = long(1001) }, "Invalid: RequestId length exceeds limit."},
		{"no type", func(r *startRequest) { r.WorkflowType = nil }, "Invalid: WorkflowType is not set on request."},
		{"empty type", func(r *startRequest) { r.WorkflowType.Name = "" }, "Invalid: WorkflowType is not set on request."},
		{"type of 1001", func(r *startRequest) { r.WorkflowType.Name = long(1001) }, "Invalid: WorkflowType length exceeds limit."},
		{"no task queue", func(r *startRequest) { r.TaskQueue = nil }, "Invalid: taskQueue is not set"},
		{"empty task queue", func(r *startRequest) { r.TaskQueue.Name = "" }, "Invalid: missing task queue name"},
		{"task queue of 1001", func(r *startRequest) { r.TaskQueue.Name = long(1001) }, "Invalid: taskQueue length exceeds limit"},
		{"task queue /_sys/x", func(r *startRequest) { r.TaskQueue.Name = "/_sys/x" }, "Invalid: task queue name cannot start with reserved prefix /_sys/"},
		{"sticky queue", func(r *startRequest) { r.TaskQueue.Kind = enumspb.TASK_QUEUE_KIND_STICKY }, "ok"},
		{"no namespace", func(r *startRequest) { r.Namespace = "" }, "Invalid: Namespace is empty."},
		{"unknown namespace", func(r *startRequest) { r.Namespace = "nowhere" }, "NotFound: Namespace nowhere is not found. [NamespaceNotFoundFailure]"},
		{"namespace of 1001", func(r *startRequest) { r.Namespace = long(1001) }, "Invalid: Namespace length exceeds limit."},
		{"deprecated namespace", func(r *startRequest) { r.Namespace = "old" }, "Failed: Namespace has invalid state: Deprecated. Must be Registered. [NamespaceInvalidStateFailure]"},
		{"deleted namespace", func(r *startRequest) { r.Namespace = "gone" }, "Failed: Namespace has invalid state: Deleted. Must be Registered. [NamespaceInvalidStateFailure]"},
		{"the namespace comes first", func(r *startRequest) { r.Namespace, r.WorkflowId = "nowhere", "" }, "NotFound: Namespace nowhere is not found. [NamespaceNotFoundFailure]"},

		{"cron nonsense", func(r *startRequest) { r.CronSchedule = "nonsense" }, "Invalid: invalid CronSchedule."},
		{"cron and delay", func(r *startRequest) { r.CronSchedule, r.WorkflowStartDelay = "* * * * *", seconds(5) }, "Invalid: CronSchedule and WorkflowStartDelay may not be used together."},
		{"negative delay", func(r *startRequest) { r.WorkflowStartDelay = seconds(-1) }, "Invalid: An invalid WorkflowStartDelaySeconds is set on request. cause: negative duration"},
		{"negative execution timeout", func(r *startRequest) { r.WorkflowExecutionTimeout = seconds(-1) }, "Invalid: An invalid WorkflowExecutionTimeoutSeconds is set on request. cause: negative duration"},
		{"negative run timeout", func(r *startRequest) { r.WorkflowRunTimeout = seconds(-1) }, "Invalid: An invalid WorkflowRunTimeoutSeconds is set on request. cause: negative duration"},
		{"negative task timeout", func(r *startRequest) { r.WorkflowTaskTimeout = seconds(-1) }, "Invalid: An invalid WorkflowTaskTimeoutSeconds is set on request. cause: negative duration"},
		{"execution timeout of two signs", func(r *startRequest) { r.WorkflowExecutionTimeout = &durationpb.Duration{Seconds: 1, Nanos: -1} }, "Invalid: An invalid WorkflowExecutionTimeoutSeconds is set on request. cause: duration has seconds and nanos with different signs"},
		{"task timeout of 12000 years", func(r *startRequest) { r.WorkflowTaskTimeout = &durationpb.Duration{Seconds: 400000000000} }, "ok"},

		{"coefficient 0.5", retry(&commonpb.RetryPolicy{BackoffCoefficient: 0.5}), "Invalid: BackoffCoefficient cannot be less than 1 on retry policy."},
		{"coefficient -1", retry(&commonpb.RetryPolicy{BackoffCoefficient: -1}), "Invalid: BackoffCoefficient cannot be less than 1 on retry policy."},
		{"maximum below initial", retry(&commonpb.RetryPolicy{InitialInterval: seconds(3), MaximumInterval: seconds(2)}), "Invalid: MaximumInterval cannot be less than InitialInterval on retry policy."},
		{"negative attempts", retry(&commonpb.RetryPolicy{MaximumAttempts: -1}), "Invalid: MaximumAttempts cannot be negative on retry policy."},
		{"negative initial", retry(&commonpb.RetryPolicy{InitialInterval: seconds(-1)}), "Invalid: invalid InitialInterval set on retry policy: negative duration"},
		{"negative maximum", retry(&commonpb.RetryPolicy{MaximumInterval: seconds(-1)}), "Invalid: invalid MaximumInterval set on retry policy: negative duration"},
		{"unknown timeout name", retry(&commonpb.RetryPolicy{NonRetryableErrorTypes: []string{"TemporalTimeout:Nothing"}}), "Invalid: Invalid timeout type value: Nothing."},
		{"known timeout name", retry(&commonpb.RetryPolicy{NonRetryableErrorTypes: []string{"TemporalTimeout:StartToClose", "x"}}), "ok"},
		{"bad but one attempt", retry(&commonpb.RetryPolicy{MaximumAttempts: 1, BackoffCoefficient: -1}), "ok"},

		{"terminate if running + fail", policy(enumspb.WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING, enumspb.WORKFLOW_ID_CONFLICT_POLICY_FAIL), "Invalid: Invalid WorkflowIDReusePolicy: WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING cannot be used together with a WorkflowIDConflictPolicy"},
		{"reject + terminate", policy(enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE, enumspb.WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING), "Invalid: Invalid WorkflowIDReusePolicy: WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE cannot be used together with WorkflowIdConflictPolicy WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING"},
		{"unknown policies", policy(99, 99), "ok"},
		{"callbacks without request id", func(r *startRequest) {
			r.OnConflictOptions = &workflowpb.OnConflictOptions{AttachCompletionCallbacks: true}
		}, "Invalid: attaching request ID is required for attaching completion callbacks"},

		{"unknown attribute", sa("Nowhere", text(`"x"`)), mapping + "Nowhere"},
		{"reserved attribute", sa("NamespaceId", text(`"x"`)), mapping + "NamespaceId"},
		{"text for an int", sa("CustomInt", text(`"text"`)), wrong + "CustomInt of type Int: text"},
		{"int for a keyword", sa("CustomKeyword", text(`7`)), wrong + "CustomKeyword of type Keyword: 7"},
		{"list of one keyword", sa("CustomKeyword", text(`["a"]`)), "ok"},
		{"list of two keywords", sa("CustomKeyword", text(`["a","b"]`)), wrong + "CustomKeyword of type Keyword: [a b]"},
		{"null", sa("CustomKeyword", text(`null`)), "ok"},
		{"no payload", sa("CustomKeyword", &commonpb.Payload{}), wrong + "CustomKeyword of type Keyword: value from <>"},
		{"status", sa("ExecutionStatus", text(`"Running"`)), "Invalid: ExecutionStatus" + system},
		{"deployment", sa("TemporalWorkerDeployment", text(`"x"`)), "Invalid: TemporalWorkerDeployment" + system},
		{"build ids", sa("BuildIds", text(`["x"]`)), "ok"},
		{"attribute over 2 KiB", sa("CustomKeyword", text(`"`+long(2100)+`"`)), "Invalid: search attribute CustomKeyword value size 2102 exceeds size limit 2048"},

		{"negative priority", func(r *startRequest) { r.Priority = &commonpb.Priority{PriorityKey: -1} }, "Invalid: priority key can't be negative"},
		{"fairness key of 65", func(r *startRequest) { r.Priority = &commonpb.Priority{FairnessKey: long(65)} }, "Invalid: fairness key length exceeds limit"},
		{"negative weight", func(r *startRequest) { r.Priority = &commonpb.Priority{FairnessWeight: -1} }, "Invalid: must be greater than zero"},
		{"priority 6", func(r *startRequest) { r.Priority = &commonpb.Priority{PriorityKey: 6, FairnessWeight: 5000} }, "ok"},

		{"11 links", func(r *startRequest) { r.Links = links(11) }, "Invalid: cannot attach more than 10 links per request, got 11"},
		{"link of 5000 bytes", func(r *startRequest) { r.Links = []*commonpb.Link{link(long(5000), runID)} }, "Invalid: link exceeds allowed size of 4000, got 5053"},
		{"link without workflow id", func(r *startRequest) { r.Links = []*commonpb.Link{link("", runID)} }, "Invalid: workflow event link must not have an empty workflow ID field"},
		{"link without run id", func(r *startRequest) { r.Links = []*commonpb.Link{link("wf", "")} }, "Invalid: workflow event link must not have an empty run ID field"},
		{"empty link", func(r *startRequest) { r.Links = []*commonpb.Link{{}} }, "Invalid: unsupported link variant"},
		{"time skipping", func(r *startRequest) { r.TimeSkippingConfig = &commonpb.TimeSkippingConfig{} }, "Unimplemented: The Time-Skipping feature is not enabled for namespace."},

		{"input over the limit", func(r *startRequest) { r.Input = payloads(2 << 20) }, "Invalid: Blob data size exceeds limit."},
		{"memo over the limit", func(r *startRequest) {
			r.Memo = &commonpb.Memo{Fields: map[string]*commonpb.Payload{"m": {Data: make([]byte, 2<<20)}}}
		}, "Invalid: Memo size exceeds limit."},
		{"header over the limit", func(r *startRequest) {
			r.Header = &commonpb.Header{Fields: map[string]*commonpb.Payload{"h": {Data: make([]byte, 2<<20)}}}
		}, "ok"},
		{"result over the limit", func(r *startRequest) { r.LastCompletionResult = payloads(2 << 20) }, "ok"},
	})
}

func TestStartIsCompleted(t *testing.T) {
	req := startOf()
	req.RequestId = ""
	req.RetryPolicy = &commonpb.RetryPolicy{InitialInterval: seconds(3), MaximumAttempts: 2}
	req.SearchAttributes = &commonpb.SearchAttributes{IndexedFields: map[string]*commonpb.Payload{"CustomInt": text("7"), "CustomKeyword": text("null"), "BuildIds": text(`["b"]`)}}
	to, in := request(t, req)

	slot := port.Slot(conformID, "wf")
	want := port.ShardAddress(3, snapshot().ShardOf(slot))
	if to != want {
		t.Errorf("to %v, want %v", to, want)
	}
	if in.Run != (port.RunKey{NamespaceID: conformID, WorkflowID: "wf"}) || in.Namespace.Name != "conform" || in.Call.ID != 5 || in.Deadline != now.Add(70*time.Second) {
		t.Errorf("request %+v", in)
	}
	if in.Key != "new-1" || req.RequestId != "new-1" {
		t.Errorf("key %q, request id %q", in.Key, req.RequestId)
	}
	if req.TaskQueue.Kind != enumspb.TASK_QUEUE_KIND_NORMAL || req.WorkflowIdReusePolicy != enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE || req.WorkflowIdConflictPolicy != enumspb.WORKFLOW_ID_CONFLICT_POLICY_FAIL {
		t.Errorf("defaults %v", req)
	}
	if p := req.RetryPolicy; p.MaximumInterval.AsDuration() != 300*time.Second || p.BackoffCoefficient != 2 {
		t.Errorf("retry policy %v", p)
	}
	types := map[string]string{}
	for name, p := range req.SearchAttributes.IndexedFields {
		types[name] = string(p.Metadata["type"])
	}
	if !reflect.DeepEqual(types, map[string]string{"CustomInt": "Int", "BuildIds": "KeywordList"}) {
		t.Errorf("search attributes %v", types)
	}
}

func TestGivenTypesOfAttributesStay(t *testing.T) {
	req := startOf()
	req.SearchAttributes = attributes("CustomKeyword", text(`"k"`))
	req.SearchAttributes.IndexedFields["CustomKeyword"].Metadata["type"] = []byte("Text")
	request(t, req)
	if got := string(req.SearchAttributes.IndexedFields["CustomKeyword"].Metadata["type"]); got != "Text" {
		t.Errorf("type %s", got)
	}
}

func TestTimeoutsAreCut(t *testing.T) {
	const never = -1
	hundredYears := float64(100 * 365 * 24 * 3600)
	for _, x := range []struct {
		name                               string
		execution, run, task               float64 // seconds, never: not there
		wantExecution, wantRun, wantTask   float64
		executionStays, runStays, taskStay bool
	}{
		{"none", never, never, never, never, never, 10, true, true, false},
		{"zeros stay", 0, 0, never, 0, 0, 10, true, true, false},
		{"task above its maximum", never, never, 200, never, never, 120, true, true, false},
		{"task above the run", never, 50, 60, never, 50, 50, true, true, false},
		{"default task above the run", never, 5, never, never, 5, 5, true, true, false},
		{"run above the execution", 100, 200, never, 100, 100, 10, true, false, false},
		{"execution only", 5, never, never, 5, 5, 5, true, false, false},
		{"9000 years", 9000 * 365 * 24 * 3600, never, never, hundredYears, hundredYears, 10, false, false, false},
		{"all in order", 100, 50, 20, 100, 50, 20, true, true, true},
	} {
		req := startOf()
		given := []*durationpb.Duration{nil, nil, nil}
		for i, s := range []float64{x.execution, x.run, x.task} {
			if s != never {
				given[i] = &durationpb.Duration{Seconds: int64(s)}
			}
		}
		req.WorkflowExecutionTimeout, req.WorkflowRunTimeout, req.WorkflowTaskTimeout = given[0], given[1], given[2]
		request(t, req)
		for i, d := range []*durationpb.Duration{req.WorkflowExecutionTimeout, req.WorkflowRunTimeout, req.WorkflowTaskTimeout} {
			want := []float64{x.wantExecution, x.wantRun, x.wantTask}[i]
			if (d == nil) != (want == never) || d != nil && d.AsDuration().Seconds() != want {
				t.Errorf("%s: timeout %d is %v, want %v", x.name, i, d, want)
			}
			if stays := []bool{x.executionStays, x.runStays, x.taskStay}[i]; stays && d != given[i] {
				t.Errorf("%s: timeout %d was replaced", x.name, i)
			}
		}
	}
}

func TestTerminateIfRunningIsRewritten(t *testing.T) {
	req := startOf()
	req.WorkflowIdReusePolicy = enumspb.WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING
	request(t, req)
	if req.WorkflowIdReusePolicy != enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE || req.WorkflowIdConflictPolicy != enumspb.WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING {
		t.Errorf("%v, %v", req.WorkflowIdReusePolicy, req.WorkflowIdConflictPolicy)
	}
}

type signalStart = workflowservice.SignalWithStartWorkflowExecutionRequest

func signalStartOf() *signalStart {
	return &signalStart{Namespace: "conform", WorkflowId: "wf", WorkflowType: &commonpb.WorkflowType{Name: "T"}, TaskQueue: &taskqueuepb.TaskQueue{Name: "q"}, SignalName: "s"}
}

func TestSignalWithStartRules(t *testing.T) {
	checkRules(t, signalStartOf, []rule[*signalStart]{
		{"nothing wrong", func(*signalStart) {}, "ok"},
		{"conflict FAIL", func(r *signalStart) { r.WorkflowIdConflictPolicy = enumspb.WORKFLOW_ID_CONFLICT_POLICY_FAIL }, "Invalid: Invalid WorkflowIDConflictPolicy: WORKFLOW_ID_CONFLICT_POLICY_FAIL is not supported for this operation."},
		{"reject + terminate", func(r *signalStart) {
			r.WorkflowIdReusePolicy, r.WorkflowIdConflictPolicy = enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE, enumspb.WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING
		}, "Invalid: Invalid WorkflowIDReusePolicy: WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE cannot be used together with WorkflowIdConflictPolicy WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING"},
		{"no signal name", func(r *signalStart) { r.SignalName = "" }, "Invalid: signal not set"},
		{"signal name of 1001", func(r *signalStart) { r.SignalName = long(1001) }, "Invalid: signal name exceeds maximum allowed length (1001/1000)"},
		{"no workflow id", func(r *signalStart) { r.WorkflowId = "" }, "Invalid: WorkflowId is not set on request."},
		{"no type", func(r *signalStart) { r.WorkflowType = nil }, "Invalid: workflow type not set"},
		{"no task queue", func(r *signalStart) { r.TaskQueue = nil }, "Invalid: taskQueue is not set"},
		{"request id of 1001", func(r *signalStart) { r.RequestId = long(1001) }, "Invalid: Request ID exceeds maximum allowed length (1001/1000)"},
		{"bad cron", func(r *signalStart) { r.CronSchedule = "x" }, "Invalid: invalid CronSchedule."},
		{"negative run timeout", func(r *signalStart) { r.WorkflowRunTimeout = seconds(-1) }, "Invalid: An invalid WorkflowRunTimeoutSeconds is set on request. cause: negative duration"},
		{"bad retry policy", func(r *signalStart) { r.RetryPolicy = &commonpb.RetryPolicy{MaximumAttempts: -1} }, "Invalid: MaximumAttempts cannot be negative on retry policy."},
		{"signal input over the limit", func(r *signalStart) { r.SignalInput = payloads(2 << 20) }, "Invalid: Blob data size exceeds limit."},
		{"input over the limit", func(r *signalStart) { r.Input = payloads(2 << 20) }, "Invalid: Blob data size exceeds limit."},
		{"unknown namespace", func(r *signalStart) { r.Namespace = "nowhere" }, "NotFound: Namespace nowhere is not found. [NamespaceNotFoundFailure]"},
		{"deprecated namespace", func(r *signalStart) { r.Namespace = "old" }, "Failed: Namespace has invalid state: Deprecated. Must be Registered. [NamespaceInvalidStateFailure]"},
	})
	req := signalStartOf()
	if _, in := request(t, req); in.Key != "new-1" || req.RequestId != "new-1" || req.WorkflowIdConflictPolicy != enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING {
		t.Errorf("key %q, %v", in.Key, req)
	}
}
