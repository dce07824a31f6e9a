package run

import (
	"math"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
	historypb "go.temporal.io/api/history/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"google.golang.org/protobuf/types/known/durationpb"

	"perdure/core/port"
	"perdure/core/run/runpb"
)

// The life of a workflow task: scheduled, started, then completed, failed or
// timed out. From the second attempt on a task is transient: it has no events
// until it completes, and its ids are those the events would have.

const (
	serverIdentity = "history-service"
	// taskRetryStep and taskRetryMax: from attempt 4 on a task gets more time, doubled each attempt.
	taskRetryStep = 5 * time.Second
	taskRetryMax  = 10 * time.Minute
)

// canSchedule reports whether a workflow task may be made now.
func (r *Run) canSchedule() bool {
	return r.S.Task == nil && !r.Closed() && r.S.FirstTaskTime == 0 && !r.S.AwaitsParent
}

func (r *Run) scheduleTask() {
	r.flush()
	s, t := r.S, r.tx
	if t.flushed {
		s.TaskAttempt = 1
	}
	task := &runpb.WorkflowTask{
		Attempt: s.TaskAttempt, Timeout: r.taskTimeout(), ScheduledTime: t.env.Now, OriginalScheduledTime: t.env.Now,
		Sticky: s.StickyQueue != "", Queue: s.TaskQueue, Stamp: r.stamp(),
	}
	if task.Sticky {
		task.Queue, task.StickyTimeout = s.StickyQueue, s.StickyTimeout
	}
	if task.Attempt > 1 {
		task.Transient = true
		task.ScheduledId = s.NextEventId
	} else {
		task.ScheduledId = r.scheduledEvent(task).EventId
	}
	s.Task = task
	r.add(r.taskDispatch())
	r.watch(watchTask, 0)
}

func (r *Run) scheduledEvent(task *runpb.WorkflowTask) *historypb.HistoryEvent {
	e := r.event(enumspb.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED)
	e.EventTime = timestamp(task.ScheduledTime)
	e.Attributes = &historypb.HistoryEvent_WorkflowTaskScheduledEventAttributes{WorkflowTaskScheduledEventAttributes: &historypb.WorkflowTaskScheduledEventAttributes{
		TaskQueue: r.taskQueue(task), StartToCloseTimeout: durationpb.New(time.Duration(task.Timeout)), Attempt: task.Attempt,
	}}
	return e
}

func (r *Run) taskQueue(task *runpb.WorkflowTask) *taskqueuepb.TaskQueue {
	if task.Sticky {
		return &taskqueuepb.TaskQueue{Name: task.Queue, Kind: enumspb.TASK_QUEUE_KIND_STICKY, NormalName: r.S.TaskQueue}
	}
	return normalQueue(task.Queue)
}

func normalQueue(name string) *taskqueuepb.TaskQueue {
	return &taskqueuepb.TaskQueue{Name: name, Kind: enumspb.TASK_QUEUE_KIND_NORMAL}
}

// taskTimeout grows from the fourth attempt on, so that a worker that needs longer gets it.
func (r *Run) taskTimeout() int64 {
	base := r.S.TaskTimeout
	if r.S.TaskAttempt < 4 {
		return base
	}
	extra := float64(taskRetryStep) * math.Pow(2, float64(min(r.S.TaskAttempt-4, 20)))
	extra = min(extra, float64(taskRetryMax))
	jitter := 0.8 + 0.2*float64(r.tx.env.Rand()>>11)/(1<<53)
	return base + int64(extra*jitter)
}

func (r *Run) taskDispatch() Dispatch {
	task := r.S.Task
	q := port.QueueKey{NamespaceID: r.S.NamespaceId, Name: task.Queue, Type: port.WorkflowQueue}
	if task.Sticky {
		q.Normal = r.S.TaskQueue
	}
	return Dispatch{Kind: port.WorkflowTask, Queue: q, ID: task.ScheduledId, Attempt: task.Attempt, Stamp: task.Stamp, Priority: r.priorityKey(), Time: task.ScheduledTime}
}

// Starter says who takes a task.
type Starter struct {
	Identity  string
	RequestID string
}

// StartTask gives the workflow task to a worker. False: it is not the one that was
// offered, or the start made the history too large and the run has ended.
func (r *Run) StartTask(env *Env, stamp uint64, by Starter) (*Changes, bool) {
	task := r.S.Task
	if task == nil || task.StartedId != 0 && !task.Reoffered || task.Stamp != stamp || r.Closed() {
		return nil, false
	}
	r.begin(env)
	r.drop(r.taskDispatch())
	if task.Reoffered {
		task.Reoffered, task.Nonce, task.StartedTime = false, env.Rand(), env.Now
		r.watch(watchTask, 0)
	} else {
		r.startTask(by)
	}
	c := r.commit()
	return c, !c.Closed
}

func (r *Run) startTask(by Starter) {
	s, t := r.S, r.tx
	task := s.Task
	if task.Transient && task.ScheduledId != s.NextEventId {
		// something was recorded since the schedule: the worker must see a task in the history
		task.Transient, task.Attempt, s.TaskAttempt = false, 1, 1
		task.ScheduledTime = t.env.Now // what was recorded before it is older
		task.ScheduledId = r.scheduledEvent(task).EventId
	}
	if !task.Sticky {
		r.clearSticky() // whoever holds the run in its cache will not get this task
	}
	task.StartedTime, task.RequestId, task.Identity = t.env.Now, by.RequestID, by.Identity
	task.Nonce = t.env.Rand()
	task.HistorySize = s.HistorySize
	task.SuggestReasons = r.suggest()
	task.SuggestContinueAsNew = task.SuggestReasons != 0
	if task.Transient {
		task.StartedId = task.ScheduledId + 1
	} else {
		task.StartedId = r.startedEvent(task).EventId
		r.endBatch()
	}
	r.watch(watchTask, 0)
}

func (r *Run) startedEvent(task *runpb.WorkflowTask) *historypb.HistoryEvent {
	e := r.event(enumspb.EVENT_TYPE_WORKFLOW_TASK_STARTED)
	e.EventTime = timestamp(task.StartedTime)
	e.Attributes = &historypb.HistoryEvent_WorkflowTaskStartedEventAttributes{WorkflowTaskStartedEventAttributes: r.startedAttributes(task)}
	return e
}

func (r *Run) startedAttributes(task *runpb.WorkflowTask) *historypb.WorkflowTaskStartedEventAttributes {
	a := &historypb.WorkflowTaskStartedEventAttributes{
		ScheduledEventId: task.ScheduledId, Identity: task.Identity, RequestId: task.RequestId,
		HistorySizeBytes: task.HistorySize, SuggestContinueAsNew: task.SuggestContinueAsNew,
	}
	if task.SuggestReasons&suggestSize != 0 {
		a.SuggestContinueAsNewReasons = append(a.SuggestContinueAsNewReasons, enumspb.SUGGEST_CONTINUE_AS_NEW_REASON_HISTORY_SIZE_TOO_LARGE)
	}
	if task.SuggestReasons&suggestCount != 0 {
		a.SuggestContinueAsNewReasons = append(a.SuggestContinueAsNewReasons, enumspb.SUGGEST_CONTINUE_AS_NEW_REASON_TOO_MANY_HISTORY_EVENTS)
	}
	return a
}

const (
	suggestSize = 1 << iota
	suggestCount
)

func (r *Run) suggest() (reasons int32) {
	l := r.tx.env.Limits
	if r.S.HistorySize >= int64(l.HistorySizeSuggest) {
		reasons |= suggestSize
	}
	if r.S.NextEventId-1 >= l.HistorySuggest {
		reasons |= suggestCount
	}
	return
}

// TransientEvents are the events a transient task will have, for those who must
// see them now; only its worker is shown who started it.
func (r *Run) TransientEvents(worker bool) []*historypb.HistoryEvent {
	task := r.S.Task
	if task == nil || !task.Transient || r.Closed() {
		return nil
	}
	if task.StartedId == 0 && task.ScheduledId != r.S.NextEventId {
		return nil // its id was given to another event: it will be a recorded task
	}
	e := &historypb.HistoryEvent{EventId: task.ScheduledId, EventTime: timestamp(task.ScheduledTime), EventType: enumspb.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED, Version: r.S.Version,
		Attributes: &historypb.HistoryEvent_WorkflowTaskScheduledEventAttributes{WorkflowTaskScheduledEventAttributes: &historypb.WorkflowTaskScheduledEventAttributes{
			TaskQueue: r.taskQueue(task), StartToCloseTimeout: durationpb.New(time.Duration(task.Timeout)), Attempt: task.Attempt}}}
	if task.StartedId == 0 {
		return []*historypb.HistoryEvent{e}
	}
	started := r.startedAttributes(task)
	if !worker {
		started.Identity = ""
	}
	return []*historypb.HistoryEvent{e, {EventId: task.StartedId, EventTime: timestamp(task.StartedTime), EventType: enumspb.EVENT_TYPE_WORKFLOW_TASK_STARTED, Version: r.S.Version,
		Attributes: &historypb.HistoryEvent_WorkflowTaskStartedEventAttributes{WorkflowTaskStartedEventAttributes: started}}}
}

// Token is the content of the token of the started workflow task.
func (r *Run) Token() *port.Token {
	task := r.S.Task
	return &port.Token{Run: r.Key(), Kind: port.WorkflowTask, ScheduledID: task.ScheduledId, StartedID: task.StartedId, Attempt: task.Attempt, Nonce: task.Nonce}
}

// holdsTask reports whether the token is that of the task that runs (R7); nobody holds
// one that was offered again.
func (r *Run) holdsTask(k *port.Token) bool {
	task := r.S.Task
	return !r.Closed() && task != nil && task.StartedId != 0 && !task.Reoffered && task.ScheduledId == k.ScheduledID &&
		task.StartedId == k.StartedID && task.Attempt == k.Attempt && task.Nonce == k.Nonce
}

func taskGone() *port.Refusal { return port.Missing("Workflow task not found.") }

// Closing texts that several calls share.
func alreadyCompleted() *port.Refusal { return port.Missing("workflow execution already completed") }

// loseTask ends the running or waiting task without success. Stickiness is
// cleared; without it the next attempt is the next number.
func (r *Run) loseTask(count bool) {
	s := r.S
	task := s.Task
	r.withdrawTask()
	s.Task = nil
	s.CloseRefused = false
	if s.StickyQueue != "" {
		r.clearSticky()
		s.TaskAttempt = 1
		return
	}
	if count {
		s.TaskAttempt = task.Attempt + 1
		s.TaskProblems++
	}
}

// withdrawTask takes a waiting task out of its queue.
func (r *Run) withdrawTask() {
	if task := r.S.Task; task.StartedId == 0 || task.Reoffered {
		r.drop(r.taskDispatch())
	}
}

func (r *Run) clearSticky() {
	r.S.StickyQueue, r.S.StickyTimeout, r.S.StickyWorker = "", 0, ""
}

// failTask records that the running task failed and wants a new one.
func (r *Run) failTask(cause enumspb.WorkflowTaskFailedCause, f *failurepb.Failure, identity, binary string) {
	task := r.S.Task
	if !task.Transient {
		e := r.event(enumspb.EVENT_TYPE_WORKFLOW_TASK_FAILED)
		e.Attributes = &historypb.HistoryEvent_WorkflowTaskFailedEventAttributes{WorkflowTaskFailedEventAttributes: &historypb.WorkflowTaskFailedEventAttributes{
			ScheduledEventId: task.ScheduledId, StartedEventId: task.StartedId, Cause: cause, Failure: f, Identity: identity, BinaryChecksum: binary,
		}}
	}
	r.loseTask(true)
	r.reportProblem("WorkflowTaskFailed", "WorkflowTaskFailedCause"+cause.String())
	r.tx.force = true
}

func (r *Run) timeoutTask(kind enumspb.TimeoutType) {
	task := r.S.Task
	if !task.Transient {
		e := r.event(enumspb.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT)
		e.Attributes = &historypb.HistoryEvent_WorkflowTaskTimedOutEventAttributes{WorkflowTaskTimedOutEventAttributes: &historypb.WorkflowTaskTimedOutEventAttributes{
			ScheduledEventId: task.ScheduledId, StartedEventId: task.StartedId, TimeoutType: kind,
		}}
	}
	r.loseTask(kind == enumspb.TIMEOUT_TYPE_START_TO_CLOSE)
	r.reportProblem("WorkflowTaskTimedOut", "WorkflowTaskTimedOutCause"+kind.String())
	r.tx.force = true
}

// FailTask is the worker's word that it could not do the task.
func (r *Run) FailTask(env *Env, k *port.Token, cause enumspb.WorkflowTaskFailedCause, f *failurepb.Failure, identity, binary string) (*Changes, *port.Refusal) {
	if r.Closed() {
		return nil, alreadyCompleted()
	}
	if !r.holdsTask(k) {
		return nil, taskGone()
	}
	r.begin(env)
	if cause == enumspb.WORKFLOW_TASK_FAILED_CAUSE_GRPC_MESSAGE_TOO_LARGE {
		r.forceCloseTask(nil, serverIdentity)
		r.terminate("GrpcMessageTooLarge", nil, serverIdentity, nil)
		return r.commit(), nil
	}
	r.failTask(cause, f, identity, binary)
	return r.commit(), nil
}

// forceCloseTask fails the running task because the run ends, then flushes.
func (r *Run) forceCloseTask(f *failurepb.Failure, identity string) {
	task := r.S.Task
	if task == nil {
		r.flush()
		return
	}
	r.withdrawTask()
	if task.StartedId != 0 && !task.Transient {
		e := r.event(enumspb.EVENT_TYPE_WORKFLOW_TASK_FAILED)
		e.Attributes = &historypb.HistoryEvent_WorkflowTaskFailedEventAttributes{WorkflowTaskFailedEventAttributes: &historypb.WorkflowTaskFailedEventAttributes{
			ScheduledEventId: task.ScheduledId, StartedEventId: task.StartedId, Cause: enumspb.WORKFLOW_TASK_FAILED_CAUSE_FORCE_CLOSE_COMMAND, Failure: f, Identity: identity,
		}}
	}
	r.S.Task = nil
	r.flush()
}

// StickyLost moves a waiting task from a dead sticky queue to the normal one,
// without an event: no worker has seen it.
func (r *Run) StickyLost(env *Env, stamp uint64) (*Changes, bool) {
	task := r.S.Task
	if task == nil || !task.Sticky || task.StartedId != 0 || task.Stamp != stamp || r.Closed() {
		return nil, false
	}
	r.begin(env)
	r.drop(r.taskDispatch())
	r.clearSticky()
	task.Sticky, task.Queue, task.StickyTimeout = false, r.S.TaskQueue, 0
	task.Stamp = r.stamp()
	r.add(r.taskDispatch())
	return r.commit(), true
}

// ResetSticky forgets the worker that holds the run in its cache.
func (r *Run) ResetSticky(env *Env) *Changes {
	r.begin(env)
	r.clearSticky()
	return r.commit()
}

// TaskUndelivered takes back a start whose worker never got it. A transient
// attempt does not count; a recorded one is offered again with another nonce.
func (r *Run) TaskUndelivered(env *Env, k *port.Token) (*Changes, bool) {
	if !r.holdsTask(k) {
		return nil, false
	}
	r.begin(env)
	task := r.S.Task
	if task.Transient {
		task.StartedId, task.StartedTime, task.RequestId, task.Identity, task.Nonce = 0, 0, "", "", 0
		task.Stamp = r.stamp()
		r.add(r.taskDispatch())
		return r.commit(), true
	}
	task.Reoffered, task.Nonce = true, env.Rand()
	task.Stamp = r.stamp()
	r.add(r.taskDispatch())
	return r.commit(), true
}

func (r *Run) priorityKey() int32 { return queuePriority(r.priority()) }

// queuePriority is the level of a task in its queue.
func queuePriority(p *commonpb.Priority) int32 {
	const middle = 3
	if k := p.GetPriorityKey(); k > 0 {
		return k
	}
	return middle
}
