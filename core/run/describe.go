package run

import (
	"time"

	activitypb "go.temporal.io/api/activity/v1"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
	sdkpb "go.temporal.io/api/sdk/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	ws "go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"perdure/core/run/runpb"
)

// Describe is the run as DescribeWorkflowExecution shows it. The Started event must be in memory.
func (r *Run) Describe(env *Env) *ws.DescribeWorkflowExecutionResponse {
	s, a := r.S, r.mustStart()
	out := &ws.DescribeWorkflowExecutionResponse{
		ExecutionConfig: &workflowpb.WorkflowExecutionConfig{
			TaskQueue: normalQueue(s.TaskQueue), WorkflowExecutionTimeout: a.WorkflowExecutionTimeout, WorkflowRunTimeout: a.WorkflowRunTimeout,
			DefaultWorkflowTaskTimeout: a.WorkflowTaskTimeout,
		},
		WorkflowExecutionInfo: r.Info(),
		WorkflowExtendedInfo: &workflowpb.WorkflowExecutionExtendedInfo{
			OriginalStartTime: timestamp(s.StartTime), RunExpirationTime: &timestamppb.Timestamp{Seconds: 0}, CancelRequested: s.CancelRequested,
		},
		PendingWorkflowTask: r.pendingTask(),
	}
	if len(s.UserMetadata) > 0 {
		out.ExecutionConfig.UserMetadata = decode(s.UserMetadata, &sdkpb.UserMetadata{})
	}
	x := out.WorkflowExtendedInfo
	if s.RunExpiry != 0 {
		x.RunExpirationTime = timestamp(s.RunExpiry)
	}
	if s.ExecutionExpiry != 0 {
		x.ExecutionExpirationTime = timestamp(s.ExecutionExpiry)
	}
	x.RequestIdInfos = r.requestInfos()
	for _, id := range r.activities.ids() {
		act, _ := r.activities.get(id)
		out.PendingActivities = append(out.PendingActivities, r.pendingActivity(env, act))
	}
	for _, id := range r.children.ids() {
		c, _ := r.children.get(id)
		p := &workflowpb.PendingChildExecutionInfo{WorkflowId: c.WorkflowId, WorkflowTypeName: c.Type, InitiatedId: id, ParentClosePolicy: enumspb.ParentClosePolicy(c.ParentClosePolicy)}
		if c.StartedId != 0 || c.Resolved {
			p.RunId = c.RunId
		}
		out.PendingChildren = append(out.PendingChildren, p)
	}
	return out
}

// Info is the run as lists show it.
func (r *Run) Info() *workflowpb.WorkflowExecutionInfo {
	s := r.S
	i := &workflowpb.WorkflowExecutionInfo{
		Execution: r.Execution(), Type: &commonpb.WorkflowType{Name: s.WorkflowType}, StartTime: timestamp(s.StartTime), ExecutionTime: timestamp(s.ExecutionTime),
		Status: r.Status(), HistoryLength: r.LastEvent(), HistorySizeBytes: s.HistorySize, StateTransitionCount: s.Transitions,
		TaskQueue: s.TaskQueue, FirstRunId: s.FirstRunId, Memo: r.Memo(), SearchAttributes: r.shownAttributes(), AutoResetPoints: r.resetPoints(),
		RootExecution: r.Execution(),
	}
	if i.Memo == nil {
		i.Memo = &commonpb.Memo{}
	}
	if s.RootWorkflowId != "" {
		i.RootExecution = execution(s.RootWorkflowId, s.RootRunId)
	}
	if s.ParentWorkflowId != "" {
		i.ParentNamespaceId, i.ParentExecution = s.ParentNamespaceId, execution(s.ParentWorkflowId, s.ParentRunId)
	}
	if r.Closed() {
		i.CloseTime = timestamp(s.CloseTime)
		i.ExecutionDuration = durationpb.New(timestamp(s.CloseTime).AsTime().Sub(timestamp(s.ExecutionTime).AsTime()))
	}
	if p := r.priority(); p != nil {
		i.Priority = p
	}
	return i
}

func (r *Run) pendingTask() *workflowpb.PendingWorkflowTaskInfo {
	task := r.S.Task
	if task == nil {
		return nil
	}
	p := &workflowpb.PendingWorkflowTaskInfo{
		State: enumspb.PENDING_WORKFLOW_TASK_STATE_SCHEDULED, ScheduledTime: timestamp(task.ScheduledTime),
		OriginalScheduledTime: timestamp(task.OriginalScheduledTime), Attempt: task.Attempt,
	}
	if task.StartedId != 0 {
		p.State, p.StartedTime = enumspb.PENDING_WORKFLOW_TASK_STATE_STARTED, timestamp(task.StartedTime)
	}
	return p
}

func (r *Run) pendingActivity(env *Env, a *runpb.Activity) *workflowpb.PendingActivityInfo {
	p := &workflowpb.PendingActivityInfo{
		ActivityId: a.ActivityId, ActivityType: &commonpb.ActivityType{Name: a.Type}, State: enumspb.PENDING_ACTIVITY_STATE_SCHEDULED,
		Attempt: a.Attempt, MaximumAttempts: a.Retry.GetAttempts(), LastWorkerIdentity: a.LastIdentity,
		ActivityOptions: r.activityOptions(a),
	}
	switch {
	case a.CancelRequested:
		p.State = enumspb.PENDING_ACTIVITY_STATE_CANCEL_REQUESTED
	case a.StartedTime != 0:
		p.State = enumspb.PENDING_ACTIVITY_STATE_STARTED
	}
	p.ScheduledTime = timestamp(a.ScheduledTime)
	if a.StartedTime != 0 {
		p.LastStartedTime = timestamp(a.StartedTime)
	}
	if a.ScheduleToClose > 0 {
		p.ExpirationTime = timestamp(a.FirstScheduledTime + a.ScheduleToClose)
	}
	if a.HeartbeatTime != 0 {
		p.LastHeartbeatTime = timestamp(a.HeartbeatTime)
	}
	if len(a.HeartbeatDetails) > 0 {
		p.HeartbeatDetails = decode(a.HeartbeatDetails, &commonpb.Payloads{})
	}
	if len(a.LastFailure) > 0 {
		p.LastFailure = decode(a.LastFailure, &failurepb.Failure{})
	}
	if a.LastAttemptCompleteTime != 0 {
		p.LastAttemptCompleteTime = timestamp(a.LastAttemptCompleteTime)
	}
	if a.StartedTime == 0 && a.ScheduledTime > env.Now && p.State == enumspb.PENDING_ACTIVITY_STATE_SCHEDULED {
		p.NextAttemptScheduleTime = timestamp(a.ScheduledTime)
		p.CurrentRetryInterval = durationpb.New(nanoseconds(retryInterval(a)))
	}
	if len(a.Priority) > 0 {
		p.Priority = decode(a.Priority, &commonpb.Priority{})
	}
	return p
}

// retryInterval is the backoff that an activity is in. After a timeout it is the
// computed one: only a worker's answer names another, and leaves its time.
func retryInterval(a *runpb.Activity) int64 {
	if a.LastAttemptCompleteTime == 0 {
		return computedDelay(a.Retry, a.Attempt-1)
	}
	return a.ScheduledTime - a.LastAttemptCompleteTime
}

func (r *Run) activityOptions(a *runpb.Activity) *activitypb.ActivityOptions {
	o := &activitypb.ActivityOptions{
		TaskQueue:              &taskqueuepb.TaskQueue{Name: a.Queue, NormalName: a.Queue},
		ScheduleToCloseTimeout: durationpb.New(nanoseconds(a.ScheduleToClose)), ScheduleToStartTimeout: durationpb.New(nanoseconds(a.ScheduleToStart)),
		StartToCloseTimeout: durationpb.New(nanoseconds(a.StartToClose)), HeartbeatTimeout: durationpb.New(nanoseconds(a.Heartbeat)),
		RetryPolicy: RetryPolicyOf(a.Retry),
	}
	if len(a.Priority) > 0 {
		o.Priority = decode(a.Priority, &commonpb.Priority{})
	}
	return o
}

func nanoseconds(n int64) time.Duration { return time.Duration(n) }

// RetryPolicyOf is the stored policy as the API shows it.
func RetryPolicyOf(p *runpb.Retry) *commonpb.RetryPolicy {
	if p == nil {
		return nil
	}
	return &commonpb.RetryPolicy{InitialInterval: durationpb.New(nanoseconds(p.Initial)), BackoffCoefficient: p.Coefficient,
		MaximumInterval: durationpb.New(nanoseconds(p.Maximum)), MaximumAttempts: p.Attempts, NonRetryableErrorTypes: p.NonRetryable}
}

// requestInfos tells what became of the request ids that were attached or started the run.
func (r *Run) requestInfos() map[string]*workflowpb.RequestIdInfo {
	out := map[string]*workflowpb.RequestIdInfo{
		r.S.StartRequestId: {EventType: enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED, EventId: 1},
	}
	for id, q := range r.requests { //ordered: a map is built
		out[id] = &workflowpb.RequestIdInfo{EventType: enumspb.EventType(q.EventType), EventId: q.EventId, Buffered: q.EventId == 0}
	}
	return out
}

// shownAttributes are the search attributes and those the server keeps itself.
func (r *Run) shownAttributes() *commonpb.SearchAttributes {
	base := r.SearchAttributes()
	if !r.S.FirstTaskDone && len(r.S.Problems) == 0 {
		if base == nil {
			return &commonpb.SearchAttributes{}
		}
		return base
	}
	out := make(map[string]*commonpb.Payload, len(base.GetIndexedFields())+2)
	for k, v := range base.GetIndexedFields() { //ordered: a map is built
		out[k] = v
	}
	if r.S.FirstTaskDone {
		out["BuildIds"] = keywordList(r.buildIDs())
	}
	if len(r.S.Problems) > 0 {
		out["TemporalReportedProblems"] = decode(r.S.Problems, &commonpb.Payload{})
	}
	return &commonpb.SearchAttributes{IndexedFields: out}
}

func keywordList(json string) *commonpb.Payload {
	return &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("json/plain"), "type": []byte("KeywordList")}, Data: []byte(json)}
}

// problemsShown is after how many problems in a row a search attribute tells of them.
const problemsShown = 5

// reportProblem sets the search attribute TemporalReportedProblems once a run's
// workflow task keeps failing.
func (r *Run) reportProblem(category, cause string) {
	if r.S.TaskProblems >= problemsShown {
		r.S.Problems = encode(keywordList(`["category=` + category + `","cause=` + cause + `"]`))
	}
}
