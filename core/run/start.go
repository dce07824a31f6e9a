package run

import (
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	sdkpb "go.temporal.io/api/sdk/v1"

	"perdure/core/run/runpb"
	"perdure/core/validate"
)

// Spec says how a run begins. Started is its first event as it will be written;
// New fills in the run ids and what follows from the clock.
type Spec struct {
	WorkflowID, RunID string
	RequestID         string
	FirstRunID        string // empty: this one
	Started           *historypb.WorkflowExecutionStartedEventAttributes
	Links             []*commonpb.Link
	Callbacks         []*commonpb.Callback
	UserMetadata      *sdkpb.UserMetadata
	Backoff           time.Duration // before the first workflow task
	ExecutionExpiry   int64         // of the chain; 0: counted from the execution timeout
	ParentNamespaceID string
	AwaitsParent      bool
	ParentClosed      bool // the parent close policy was carried out on the chain
	Signal            *Signal
	Eager             *Starter // start the first workflow task for the caller
}

// New starts a run.
func New(env *Env, s Spec) (*Run, *Changes) {
	r := &Run{S: &runpb.Run{}}
	r.begin(env).first = true
	r.start(env, &s)
	if s.Signal != nil {
		r.signaled(s.Signal)
	}
	r.tx.force = true
	if s.Eager != nil && r.canSchedule() {
		r.settle()
		r.drop(r.taskDispatch())
		r.startTask(*s.Eager)
	}
	return r, r.commit()
}

func (r *Run) start(env *Env, s *Spec) {
	a := s.Started
	first := s.FirstRunID
	if first == "" {
		first = s.RunID
	}
	a.WorkflowId, a.FirstExecutionRunId, a.OriginalExecutionRunId = s.WorkflowID, first, s.RunID
	if s.Backoff > 0 || a.ContinuedExecutionRunId == "" {
		a.FirstWorkflowTaskBackoff = duration(s.Backoff)
	}
	if a.Attempt == 0 {
		a.Attempt = 1
	}
	r.S = &runpb.Run{
		Format: Format, NamespaceId: env.Namespace.ID, WorkflowId: s.WorkflowID, RunId: s.RunID,
		WorkflowType: a.WorkflowType.GetName(), TaskQueue: a.TaskQueue.GetName(),
		FirstRunId: first, OriginalRunId: s.RunID, StartRequestId: s.RequestID, PreviousRunId: a.ContinuedExecutionRunId,
		Status:    int32(enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING),
		StartTime: env.Now, ExecutionTime: env.Now + s.Backoff.Nanoseconds(),
		RunTimeout:       validate.Capped(a.WorkflowRunTimeout).Nanoseconds(),
		ExecutionTimeout: validate.Capped(a.WorkflowExecutionTimeout).Nanoseconds(),
		TaskTimeout:      validate.Capped(a.WorkflowTaskTimeout).Nanoseconds(),
		NextEventId:      1, TaskAttempt: 1, Attempt: a.Attempt, Retry: retryOf(a.RetryPolicy), Cron: a.CronSchedule,
		ParentInitiatedId: a.ParentInitiatedEventId, ParentNamespaceId: s.ParentNamespaceID, ParentNamespace: a.ParentWorkflowNamespace,
		ParentWorkflowId: a.ParentWorkflowExecution.GetWorkflowId(), ParentRunId: a.ParentWorkflowExecution.GetRunId(),
		RootWorkflowId: a.RootWorkflowExecution.GetWorkflowId(), RootRunId: a.RootWorkflowExecution.GetRunId(),
		AwaitsParent: s.AwaitsParent, StartUnconfirmed: s.AwaitsParent, ParentClosed: s.ParentClosed,
	}
	if s.AwaitsParent {
		r.oweAt(oweAsk, 0, env.Now+resend.Nanoseconds())
	}
	if s.Backoff > 0 {
		r.S.FirstTaskTime = r.S.ExecutionTime
	}
	if a.Priority != nil {
		r.S.Priority = encode(a.Priority)
	}
	if s.UserMetadata != nil {
		r.S.UserMetadata = encode(s.UserMetadata)
	}
	if a.PrevAutoResetPoints != nil {
		r.S.AutoResetPoints = encode(a.PrevAutoResetPoints)
	}
	r.expiries(s, a)
	e := r.event(enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED)
	e.Links, e.UserMetadata = s.Links, s.UserMetadata
	a.EagerExecutionAccepted = s.Eager != nil && r.canSchedule()
	e.Attributes = &historypb.HistoryEvent_WorkflowExecutionStartedEventAttributes{WorkflowExecutionStartedEventAttributes: a}
	r.started = a
	r.watch(watchRun, 0)
}

// expiries fixes when the run, and the chain, end at the latest.
func (r *Run) expiries(s *Spec, a *historypb.WorkflowExecutionStartedEventAttributes) {
	st := r.S
	st.ExecutionExpiry = s.ExecutionExpiry
	if st.ExecutionExpiry == 0 && st.ExecutionTimeout > 0 {
		st.ExecutionExpiry = st.ExecutionTime + st.ExecutionTimeout
	}
	if st.ExecutionExpiry > 0 {
		a.WorkflowExecutionExpirationTime = timestamp(st.ExecutionExpiry)
	}
	if st.RunTimeout > 0 {
		st.RunExpiry = st.ExecutionTime + st.RunTimeout
	}
	if st.ExecutionExpiry > 0 && (st.RunExpiry == 0 || st.ExecutionExpiry < st.RunExpiry) {
		st.RunExpiry = st.ExecutionExpiry
	}
}

// endBackoff lets the first workflow task be made.
func (r *Run) endBackoff() { r.S.FirstTaskTime = 0 }
