package run

import (
	"time"

	commandpb "go.temporal.io/api/command/v1"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
	historypb "go.temporal.io/api/history/v1"
	"google.golang.org/protobuf/types/known/durationpb"

	"perdure/core/port"
	"perdure/core/run/cron"
	"perdure/core/validate"
)

// Chains: a run that closes may be followed by another of the same workflow id,
// by continue-as-new, retry or cron. Both ends are one transition.

// successor is the run to come.
type successor struct {
	id      string
	started *historypb.WorkflowExecutionStartedEventAttributes
	backoff time.Duration
}

func (s *successor) runID() string {
	if s == nil {
		return ""
	}
	return s.id
}

// follow starts the successor inside the transition that closes this run.
func (r *Run) follow(n *successor) {
	r.S.NewRunId = n.id
	env := *r.tx.env
	n.started.ContinuedExecutionRunId = r.S.RunId
	n.started.ParentWorkflowNamespace, n.started.ParentWorkflowNamespaceId = r.S.ParentNamespace, r.S.ParentNamespaceId
	n.started.ParentInitiatedEventId = r.S.ParentInitiatedId
	start := r.mustStart()
	n.started.ParentWorkflowExecution, n.started.RootWorkflowExecution = start.ParentWorkflowExecution, start.RootWorkflowExecution
	n.started.PrevAutoResetPoints = r.resetPointsForNext()
	next, c := New(&env, Spec{
		WorkflowID: r.S.WorkflowId, RunID: n.id, RequestID: env.NewID(), FirstRunID: r.S.FirstRunId, Started: n.started, Links: r.startLinks,
		Backoff: n.backoff, ExecutionExpiry: r.S.ExecutionExpiry, ParentNamespaceID: r.S.ParentNamespaceId, ParentClosed: r.S.ParentClosed,
	})
	r.tx.next, r.tx.nextDone = next, c
}

// again copies what a retry and a cron run take from the Started event.
func (r *Run) again(initiator enumspb.ContinueAsNewInitiator) *historypb.WorkflowExecutionStartedEventAttributes {
	a := r.mustStart()
	return &historypb.WorkflowExecutionStartedEventAttributes{
		WorkflowType: a.WorkflowType, TaskQueue: a.TaskQueue, Input: a.Input, Header: a.Header,
		WorkflowExecutionTimeout: a.WorkflowExecutionTimeout, WorkflowRunTimeout: a.WorkflowRunTimeout, WorkflowTaskTimeout: a.WorkflowTaskTimeout,
		RetryPolicy: a.RetryPolicy, CronSchedule: a.CronSchedule, Memo: a.Memo, SearchAttributes: a.SearchAttributes,
		Priority: a.Priority, Initiator: initiator, CompletionCallbacks: a.CompletionCallbacks,
	}
}

// nextAfterFailure is the run after a failure or a run timeout: a retry, else cron.
func (r *Run) nextAfterFailure(f *failurepb.Failure) (*successor, enumspb.RetryState) {
	state := enumspb.RETRY_STATE_RETRY_POLICY_NOT_SET
	if r.S.Retry != nil {
		delay, s := nextAttempt(r.S.Retry, r.S.Attempt, r.tx.env.Now, r.S.ExecutionExpiry, f, false)
		if s == enumspb.RETRY_STATE_IN_PROGRESS {
			a := r.again(enumspb.CONTINUE_AS_NEW_INITIATOR_RETRY)
			a.Attempt = r.S.Attempt + 1
			a.ContinuedFailure = f
			if f.GetTimeoutFailureInfo() != nil {
				a.LastCompletionResult = r.mustStart().LastCompletionResult
			}
			return &successor{id: r.tx.env.NewRunID(), started: a, backoff: r.leastBackoff(time.Duration(delay))}, s
		}
		state = s
	}
	return r.nextCron(f, nil), state
}

// nextCron is the next run of a cron schedule, nil without one. Its time may lie
// after the end of the chain: then the execution timeout ends that run.
func (r *Run) nextCron(f *failurepb.Failure, result *commonpb.Payloads) *successor {
	if r.S.Cron == "" {
		return nil
	}
	now := time.Unix(0, r.tx.env.Now)
	backoff := cron.Backoff(r.S.Cron, time.Unix(0, r.S.ExecutionTime), now)
	if backoff < 0 {
		return nil
	}
	a := r.again(enumspb.CONTINUE_AS_NEW_INITIATOR_CRON_SCHEDULE)
	a.CompletionCallbacks = nil
	a.ContinuedFailure, a.LastCompletionResult = f, result
	if f != nil {
		a.LastCompletionResult = r.mustStart().LastCompletionResult
	}
	return &successor{id: r.tx.env.NewRunID(), started: a, backoff: r.leastBackoff(backoff)}
}

func (x *commander) continueAsNew(c *commandpb.Command) *badCommand {
	if b := x.unhandled(); b != nil {
		return b
	}
	a := c.GetContinueAsNewWorkflowExecutionCommandAttributes()
	next, b := x.planContinueAsNew(a)
	if b != nil {
		return b
	}
	n := next.started
	e := x.event(c, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW)
	attrs := &historypb.WorkflowExecutionContinuedAsNewEventAttributes{
		NewExecutionRunId: next.id, WorkflowType: n.WorkflowType, TaskQueue: n.TaskQueue, Input: n.Input,
		WorkflowRunTimeout: n.WorkflowRunTimeout, WorkflowTaskTimeout: n.WorkflowTaskTimeout, WorkflowTaskCompletedEventId: x.completedID,
		Initiator: a.Initiator, Failure: n.ContinuedFailure, LastCompletionResult: n.LastCompletionResult,
		Header: n.Header, Memo: n.Memo, SearchAttributes: n.SearchAttributes,
	}
	if next.backoff > 0 {
		attrs.BackoffStartInterval = durationpb.New(next.backoff)
	}
	e.Attributes = &historypb.HistoryEvent_WorkflowExecutionContinuedAsNewEventAttributes{WorkflowExecutionContinuedAsNewEventAttributes: attrs}
	x.run.close(enumspb.WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW, next)
	return nil
}

// planContinueAsNew checks the command and builds the run it asks for.
func (x *commander) planContinueAsNew(a *commandpb.ContinueAsNewWorkflowExecutionCommandAttributes) (*successor, *badCommand) {
	const cause = enumspb.WORKFLOW_TASK_FAILED_CAUSE_BAD_CONTINUE_AS_NEW_ATTRIBUTES
	r := x.run
	if a == nil {
		return nil, bad(cause, "ContinueAsNewWorkflowExecutionCommandAttributes is not set on ContinueAsNewWorkflowExecutionCommand.")
	}
	n := &historypb.WorkflowExecutionStartedEventAttributes{
		WorkflowType: a.WorkflowType, TaskQueue: a.TaskQueue, Input: a.Input, Header: a.Header, Memo: a.Memo,
		CronSchedule: a.CronSchedule, LastCompletionResult: a.LastCompletionResult, ContinuedFailure: a.Failure,
		Initiator: a.Initiator, Attempt: 1, Priority: r.mustStart().Priority, CompletionCallbacks: r.mustStart().CompletionCallbacks,
		WorkflowExecutionTimeout: r.mustStart().WorkflowExecutionTimeout,
	}
	if n.WorkflowType.GetName() == "" {
		n.WorkflowType = &commonpb.WorkflowType{Name: r.S.WorkflowType}
	}
	if len(n.WorkflowType.Name) > r.tx.env.Limits.ID {
		return nil, bad(cause, "WorkflowType on ContinueAsNewWorkflowExecutionCommand exceeds length limit. WorkflowType=%s Length=%d Limit=%d", n.WorkflowType.Name, len(n.WorkflowType.Name), r.tx.env.Limits.ID)
	}
	if n.TaskQueue.GetName() == "" {
		n.TaskQueue = normalQueue(r.S.TaskQueue)
	} else if f := validate.QueueName(r.tx.env.Limits, n.TaskQueue.Name); f != nil {
		return nil, bad(cause, "error validating ContinueAsNewWorkflowExecutionCommand TaskQueue: %s. WorkflowType=%s TaskQueue=%s", f.Message, n.WorkflowType.Name, queueText(a.TaskQueue))
	} else {
		n.TaskQueue = normalQueue(n.TaskQueue.Name)
	}
	if b := x.continueTimeouts(a, n); b != nil {
		return nil, b
	}
	if b := r.continueFields(a, n); b != nil {
		return nil, b
	}
	if a.Initiator == enumspb.CONTINUE_AS_NEW_INITIATOR_UNSPECIFIED {
		n.Initiator = enumspb.CONTINUE_AS_NEW_INITIATOR_WORKFLOW
	}
	if a.Initiator == enumspb.CONTINUE_AS_NEW_INITIATOR_RETRY {
		n.Attempt = r.S.Attempt + 1
	}
	return &successor{id: r.tx.env.NewRunID(), started: n, backoff: r.continueBackoff(a, n)}, nil
}

func (x *commander) continueTimeouts(a *commandpb.ContinueAsNewWorkflowExecutionCommandAttributes, n *historypb.WorkflowExecutionStartedEventAttributes) *badCommand {
	const cause = enumspb.WORKFLOW_TASK_FAILED_CAUSE_BAD_CONTINUE_AS_NEW_ATTRIBUTES
	r := x.run
	for _, d := range []struct {
		v    *durationpb.Duration
		name string
	}{{a.WorkflowRunTimeout, "WorkflowRunTimeout"}, {a.WorkflowTaskTimeout, "WorkflowTaskTimeout"}, {a.BackoffStartInterval, "BackoffStartInterval"}} {
		if f := validate.Duration(d.v); f != nil {
			return bad(cause, "Invalid %s on ContinueAsNewWorkflowExecutionCommand: %s. WorkflowType=%s TaskQueue=%s", d.name, f.Message, n.WorkflowType.Name, queueText(a.TaskQueue))
		}
	}
	run, task := validate.Capped(a.WorkflowRunTimeout), validate.Capped(a.WorkflowTaskTimeout)
	if run == 0 {
		run = time.Duration(r.S.RunTimeout)
	}
	if whole := time.Duration(r.S.ExecutionTimeout); whole > 0 {
		run = orCut(run, whole)
	}
	if task == 0 {
		task = time.Duration(r.S.TaskTimeout)
	}
	task = min(task, r.tx.env.Limits.TaskTimeoutMax)
	if run > 0 {
		task = min(task, run)
	}
	n.WorkflowRunTimeout, n.WorkflowTaskTimeout = durationpb.New(run), durationpb.New(task)
	return nil
}

func (r *Run) continueFields(a *commandpb.ContinueAsNewWorkflowExecutionCommandAttributes, n *historypb.WorkflowExecutionStartedEventAttributes) *badCommand {
	const cause = enumspb.WORKFLOW_TASK_FAILED_CAUSE_BAD_CONTINUE_AS_NEW_ATTRIBUTES
	if a.RetryPolicy != nil {
		n.RetryPolicy = validate.FilledRetryPolicy(a.RetryPolicy)
		if f := validate.RetryPolicy(n.RetryPolicy); f != nil {
			return bad(cause, "invalid WorkflowRetryPolicy on ContinueAsNewWorkflowExecutionCommand: %s. WorkflowType=%s TaskQueue=%s", f.Message, n.WorkflowType.Name, queueText(a.TaskQueue))
		}
	}
	if a.SearchAttributes != nil {
		typed, b := r.typed(r.tx.env.Namespace, a.SearchAttributes, cause)
		if b != nil {
			return b
		}
		n.SearchAttributes = typed
	}
	l := r.tx.env.Limits
	switch {
	case over(l.Blob, a.Input):
		return tooLarge(cause, "ContinueAsNewWorkflowExecutionCommandAttributes. Input")
	case over(l.Memo, a.Memo):
		return tooLarge(cause, "ContinueAsNewWorkflowExecutionCommandAttributes. Memo")
	}
	return nil
}

// continueBackoff is how long the next run is held back.
func (r *Run) continueBackoff(a *commandpb.ContinueAsNewWorkflowExecutionCommandAttributes, n *historypb.WorkflowExecutionStartedEventAttributes) time.Duration {
	backoff := validate.Capped(a.BackoffStartInterval)
	if n.CronSchedule != "" && a.Initiator == enumspb.CONTINUE_AS_NEW_INITIATOR_CRON_SCHEDULE {
		now := time.Unix(0, r.tx.env.Now)
		if b := cron.Backoff(n.CronSchedule, time.Unix(0, r.S.ExecutionTime), now); b > 0 && backoff == 0 {
			backoff = b
		}
	}
	return r.leastBackoff(backoff)
}

// leastBackoff keeps a chain from spinning: the life of this run and the backoff
// of the next are at least a second.
func (r *Run) leastBackoff(backoff time.Duration) time.Duration {
	lived := time.Duration(r.tx.env.Now - r.S.ExecutionTime)
	if least := r.tx.env.Limits.WorkflowIDInterval; lived+backoff < least {
		return least - lived
	}
	return backoff
}

// typed checks search attributes and gives each value its type. Those that are
// only too large end the run, with the cause that the command has for that.
func (r *Run) typed(ns *port.Namespace, a *commonpb.SearchAttributes, oversize enumspb.WorkflowTaskFailedCause) (*commonpb.SearchAttributes, *badCommand) {
	l := r.tx.env.Limits
	t, f := validate.SearchAttributes(l, ns, a)
	if f != nil {
		return nil, bad(enumspb.WORKFLOW_TASK_FAILED_CAUSE_BAD_SEARCH_ATTRIBUTES, "%s", f.Message)
	}
	if f := validate.AttributeSizes(l, a); f != nil {
		return nil, &badCommand{cause: oversize, message: f.Message, terminate: true}
	}
	return t, nil
}
