package run

import (
	"time"

	commandpb "go.temporal.io/api/command/v1"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
	historypb "go.temporal.io/api/history/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"perdure/core/port"
	"perdure/core/run/runpb"
	"perdure/core/validate"
)

// Activities. Attempts are transient: only the end of the last one is written,
// together with its Started event.

func (r *Run) indexActivity(a *runpb.Activity) {
	if r.activityID == nil {
		r.activityID = map[string]int64{}
	}
	r.activityID[a.ActivityId] = a.ScheduledId
}

func (x *commander) scheduleActivity(c *commandpb.Command) *badCommand {
	const cause = enumspb.WORKFLOW_TASK_FAILED_CAUSE_BAD_SCHEDULE_ACTIVITY_ATTRIBUTES
	r := x.run
	a := c.GetScheduleActivityTaskCommandAttributes()
	if a == nil {
		return bad(cause, "ScheduleActivityTaskCommandAttributes is not set on ScheduleActivityTaskCommand.")
	}
	plan, text := r.planActivity(a)
	if text != "" {
		return bad(cause, "%s", text)
	}
	if over(x.limit(), a.Input) {
		return tooLarge(cause, "ScheduleActivityTaskCommandAttributes.Input")
	}
	if n := r.activities.len(); n >= r.tx.env.Limits.PendingActivities {
		return bad(enumspb.WORKFLOW_TASK_FAILED_CAUSE_PENDING_ACTIVITIES_LIMIT_EXCEEDED, "the number of pending activities, %d, has reached the per-workflow limit of %d", n, r.tx.env.Limits.PendingActivities)
	}
	if _, used := r.activityID[a.ActivityId]; used {
		return bad(enumspb.WORKFLOW_TASK_FAILED_CAUSE_SCHEDULE_ACTIVITY_DUPLICATE_ID, "invalid history builder state for action: add-activitytask-scheduled-event, ActivityID: %s", a.ActivityId)
	}
	e := x.event(c, enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED)
	e.Attributes = &historypb.HistoryEvent_ActivityTaskScheduledEventAttributes{ActivityTaskScheduledEventAttributes: plan.event(x.completedID)}
	act := plan.activity(r, e.EventId)
	r.onUndo(func() { r.removeActivity(act) })
	r.activities.put(act.ScheduledId, act)
	r.inputs.put(act.ScheduledId, &runpb.ActivityInput{Input: encodePayloads(a.Input), Header: encode(a.Header)})
	r.indexActivity(act)
	r.touchNew(rowActivity, act.ScheduledId)
	r.touchNew(rowInput, act.ScheduledId)
	if a.RequestEagerExecution && x.completion.Eager {
		r.startAttempt(act, Starter{Identity: x.completion.Identity, RequestID: r.tx.env.NewID()})
		x.eager = append(x.eager, act.ScheduledId)
	} else {
		act.Dispatched = true
		r.add(r.activityDispatch(act))
	}
	r.watch(watchActivity, act.ScheduledId)
	return nil
}

// activityPlan is a command's attributes with everything filled in.
type activityPlan struct {
	a                *commandpb.ScheduleActivityTaskCommandAttributes
	toClose, toStart time.Duration
	run, heartbeat   time.Duration
	retry            *commonpb.RetryPolicy
	queue            *taskqueuepb.TaskQueue
}

// planActivity checks the attributes in the peer's order and fills in defaults; text says what is wrong.
func (r *Run) planActivity(a *commandpb.ScheduleActivityTaskCommandAttributes) (*activityPlan, string) {
	l := r.tx.env.Limits
	p := &activityPlan{a: a, retry: validate.FilledRetryPolicy(a.RetryPolicy)}
	if text := activityNames(l, a); text != "" {
		return nil, text
	}
	if f := validate.RetryPolicy(p.retry); f != nil {
		return nil, f.Message
	}
	if f := validate.Priority(a.Priority); f != nil {
		return nil, "invalid priorities: " + f.Message
	}
	if text := p.timeouts(time.Duration(r.S.RunTimeout)); text != "" {
		return nil, text
	}
	p.queue = &taskqueuepb.TaskQueue{Name: a.TaskQueue.GetName(), Kind: enumspb.TASK_QUEUE_KIND_NORMAL}
	return p, ""
}

// timeouts cuts and fills in the four timeouts.
func (p *activityPlan) timeouts(runTimeout time.Duration) string {
	a := p.a
	for _, d := range []struct {
		v    *durationpb.Duration
		name string
	}{{a.ScheduleToCloseTimeout, "ScheduleToCloseTimeout"}, {a.ScheduleToStartTimeout, "ScheduleToStartTimeout"}, {a.StartToCloseTimeout, "StartToCloseTimeout"}, {a.HeartbeatTimeout, "HeartbeatTimeout"}} {
		if f := validate.Duration(d.v); f != nil {
			return "invalid " + d.name + ": " + f.Message
		}
	}
	p.toClose, p.toStart = validate.Capped(a.ScheduleToCloseTimeout), validate.Capped(a.ScheduleToStartTimeout)
	p.run, p.heartbeat = validate.Capped(a.StartToCloseTimeout), validate.Capped(a.HeartbeatTimeout)
	switch {
	case p.toClose > 0:
		p.toStart = orCut(p.toStart, p.toClose)
		p.run = orCut(p.run, p.toClose)
	case p.run > 0:
		p.toClose = runTimeout
		if p.toStart == 0 {
			p.toStart = runTimeout
		}
	default:
		return "a valid StartToCloseTimeout or ScheduleToCloseTimeout must be set on the activity. ActivityId=" + a.ActivityId + " ActivityType=" + a.ActivityType.GetName()
	}
	if runTimeout > 0 {
		p.toClose, p.toStart = min(p.toClose, runTimeout), min(p.toStart, runTimeout)
		p.run, p.heartbeat = min(p.run, runTimeout), min(p.heartbeat, runTimeout)
	}
	p.heartbeat = min(p.heartbeat, p.run)
	return ""
}

// orCut is d, or the limit if d is unset or above it.
func orCut(d, limit time.Duration) time.Duration {
	if d == 0 || d > limit {
		return limit
	}
	return d
}

func (p *activityPlan) event(completedID int64) *historypb.ActivityTaskScheduledEventAttributes {
	return &historypb.ActivityTaskScheduledEventAttributes{
		ActivityId: p.a.ActivityId, ActivityType: p.a.ActivityType, TaskQueue: p.queue, Header: p.a.Header, Input: p.a.Input,
		ScheduleToCloseTimeout: durationpb.New(p.toClose), ScheduleToStartTimeout: durationpb.New(p.toStart),
		StartToCloseTimeout: durationpb.New(p.run), HeartbeatTimeout: durationpb.New(p.heartbeat),
		WorkflowTaskCompletedEventId: completedID, RetryPolicy: p.retry, UseWorkflowBuildId: p.a.UseWorkflowBuildId, Priority: p.a.Priority,
	}
}

func (p *activityPlan) activity(r *Run, id int64) *runpb.Activity {
	a := &runpb.Activity{
		ScheduledId: id, ActivityId: p.a.ActivityId, Type: p.a.ActivityType.GetName(), Queue: p.queue.Name,
		ScheduleToClose: int64(p.toClose), ScheduleToStart: int64(p.toStart), StartToClose: int64(p.run), Heartbeat: int64(p.heartbeat),
		Retry: retryOf(p.retry), Attempt: 1, FirstScheduledTime: r.tx.env.Now, ScheduledTime: r.tx.env.Now, Stamp: r.stamp(),
	}
	if p.a.Priority != nil {
		a.Priority = encode(p.a.Priority)
	}
	return a
}

// mergePriority lays the parts that are set over those of the workflow.
func mergePriority(base, over *commonpb.Priority) *commonpb.Priority {
	if base == nil {
		return over
	}
	if over == nil {
		return base
	}
	m := &commonpb.Priority{PriorityKey: base.PriorityKey, FairnessKey: base.FairnessKey, FairnessWeight: base.FairnessWeight}
	if over.PriorityKey != 0 {
		m.PriorityKey = over.PriorityKey
	}
	if over.FairnessKey != "" {
		m.FairnessKey = over.FairnessKey
	}
	if over.FairnessWeight != 0 {
		m.FairnessWeight = over.FairnessWeight
	}
	return m
}

func (r *Run) priority() *commonpb.Priority {
	if len(r.S.Priority) == 0 {
		return nil
	}
	return decode(r.S.Priority, &commonpb.Priority{})
}

// ActivityPriority is the activity's own priority over that of the workflow.
func (r *Run) ActivityPriority(a *runpb.Activity) *commonpb.Priority {
	if len(a.Priority) == 0 {
		return r.priority()
	}
	return mergePriority(r.priority(), decode(a.Priority, &commonpb.Priority{}))
}

func (r *Run) activityDispatch(a *runpb.Activity) Dispatch {
	return Dispatch{Kind: port.ActivityTask, Queue: port.QueueKey{NamespaceID: r.S.NamespaceId, Name: a.Queue, Type: port.ActivityQueue},
		ID: a.ScheduledId, Attempt: a.Attempt, Stamp: a.Stamp, Priority: queuePriority(r.ActivityPriority(a)), Time: a.ScheduledTime}
}

func (r *Run) withdrawActivity(a *runpb.Activity) {
	if a.Dispatched {
		a.Dispatched = false
		r.drop(r.activityDispatch(a))
	}
}

func (r *Run) removeActivity(a *runpb.Activity) {
	r.activities.remove(a.ScheduledId)
	r.inputs.remove(a.ScheduledId)
	if r.activityID[a.ActivityId] == a.ScheduledId {
		delete(r.activityID, a.ActivityId)
	}
	r.touch(rowActivity, a.ScheduledId)
	r.touch(rowInput, a.ScheduledId)
}

// Activity looks a pending activity up.
func (r *Run) Activity(scheduledID int64) (*runpb.Activity, bool) {
	return r.activities.get(scheduledID)
}

// ActivityInput is the input and header of a pending activity.
func (r *Run) ActivityInput(scheduledID int64) *runpb.ActivityInput {
	in, _ := r.inputs.get(scheduledID)
	return in
}

// ActivityByID looks a pending activity up by its id.
func (r *Run) ActivityByID(id string) (*runpb.Activity, bool) {
	n, ok := r.activityID[id]
	if !ok {
		return nil, false
	}
	return r.activities.get(n)
}

// StartActivity gives an attempt to a worker. False: it cannot be taken any more,
// or the run was too large and has ended.
func (r *Run) StartActivity(env *Env, scheduledID int64, stamp uint64, by Starter) (*Changes, bool) {
	a, ok := r.activities.get(scheduledID)
	if !ok || r.Closed() || !a.Dispatched || a.Stamp != stamp {
		return nil, false
	}
	r.begin(env)
	r.withdrawActivity(a)
	r.startAttempt(a, by)
	c := r.commit()
	return c, !c.Closed
}

func (r *Run) startAttempt(a *runpb.Activity, by Starter) {
	a.StartedTime, a.Identity, a.RequestId, a.Nonce = r.tx.env.Now, by.Identity, by.RequestID, r.tx.env.Rand()
	a.LastIdentity = by.Identity
	r.touch(rowActivity, a.ScheduledId)
	r.watch(watchActivity, a.ScheduledId)
}

// ActivityUndelivered takes back a start whose worker never got it: the attempt does not count.
func (r *Run) ActivityUndelivered(env *Env, k *port.Token) (*Changes, bool) {
	a, f := r.runningActivity(k)
	if f != nil {
		return nil, false
	}
	r.begin(env)
	a.StartedTime, a.Identity, a.RequestId, a.Nonce = 0, "", "", 0
	a.Dispatched, a.Stamp = true, r.stamp()
	r.add(r.activityDispatch(a))
	r.touch(rowActivity, a.ScheduledId)
	r.watch(watchActivity, a.ScheduledId)
	return r.commit(), true
}

// ActivityToken is the content of the token of a started attempt.
func (r *Run) ActivityToken(a *runpb.Activity) *port.Token {
	return &port.Token{Run: r.Key(), Kind: port.ActivityTask, ScheduledID: a.ScheduledId, Attempt: a.Attempt, Nonce: a.Nonce, ActivityID: a.ActivityId}
}

func activityGone() *port.Refusal {
	return port.Missing("invalid activityID or activity already timed out or invoking workflow is completed")
}

// runningActivity finds the attempt that a token names (R7).
func (r *Run) runningActivity(k *port.Token) (*runpb.Activity, *port.Refusal) {
	if r.Closed() {
		return nil, alreadyCompleted()
	}
	a, ok := r.activities.get(k.ScheduledID)
	if !ok || a.StartedTime == 0 || a.Attempt != k.Attempt || a.Nonce != k.Nonce {
		return nil, activityGone()
	}
	return a, nil
}

// TokenByID makes the token of a pending activity that a by-id call names.
func (r *Run) TokenByID(id string) (*port.Token, *port.Refusal) {
	if r.Closed() {
		return nil, alreadyCompleted()
	}
	a, ok := r.ActivityByID(id)
	if !ok {
		return nil, port.Missing("cannot find pending activity with ActivityID %s, check workflow execution history for more details", id)
	}
	return r.ActivityToken(a), nil
}

// startedActivity writes the Started event of the last attempt.
func (r *Run) startedActivity(a *runpb.Activity) {
	e := r.newEvent(enumspb.EVENT_TYPE_ACTIVITY_TASK_STARTED)
	e.EventTime = timestamp(a.StartedTime)
	attrs := &historypb.ActivityTaskStartedEventAttributes{ScheduledEventId: a.ScheduledId, Attempt: a.Attempt, Identity: a.Identity, RequestId: a.RequestId}
	if len(a.LastFailure) > 0 {
		attrs.LastFailure = decode(a.LastFailure, &failurepb.Failure{})
	}
	e.Attributes = &historypb.HistoryEvent_ActivityTaskStartedEventAttributes{ActivityTaskStartedEventAttributes: attrs}
	r.later(e, false)
}

// endActivity removes an activity whose end was written.
func (r *Run) endActivity(a *runpb.Activity, end *historypb.HistoryEvent) {
	r.withdrawActivity(a)
	r.later(end, true)
	r.removeActivity(a)
}

// CompleteActivity records a result. byID may complete an attempt that is not started.
func (r *Run) CompleteActivity(env *Env, k *port.Token, result *commonpb.Payloads, identity string, byID bool) (*Changes, *port.Refusal) {
	a, f := r.activityToEnd(k, byID)
	if f != nil {
		return nil, f
	}
	r.begin(env)
	if a.StartedTime == 0 {
		r.withdrawActivity(a)
		a.StartedTime, a.Identity = env.Now, identity
	}
	r.startedActivity(a)
	e := r.newEvent(enumspb.EVENT_TYPE_ACTIVITY_TASK_COMPLETED)
	e.Attributes = &historypb.HistoryEvent_ActivityTaskCompletedEventAttributes{ActivityTaskCompletedEventAttributes: &historypb.ActivityTaskCompletedEventAttributes{
		Result: result, ScheduledEventId: a.ScheduledId, Identity: identity,
	}}
	r.endActivity(a, e)
	return r.commit(), nil
}

func (r *Run) activityToEnd(k *port.Token, byID bool) (*runpb.Activity, *port.Refusal) {
	if !byID {
		return r.runningActivity(k)
	}
	if r.Closed() {
		return nil, alreadyCompleted()
	}
	a, ok := r.activities.get(k.ScheduledID)
	if !ok {
		return nil, activityGone()
	}
	return a, nil
}

// FailActivity records a failed attempt: another one follows, or the activity has failed.
func (r *Run) FailActivity(env *Env, k *port.Token, f *failurepb.Failure, details *commonpb.Payloads, identity string) (*Changes, *port.Refusal) {
	a, refused := r.runningActivity(k)
	if refused != nil {
		return nil, refused
	}
	r.begin(env)
	if details != nil {
		a.HeartbeatDetails, a.HeartbeatTime = encode(details), env.Now
	}
	if state := r.retryActivity(a, f); state != enumspb.RETRY_STATE_IN_PROGRESS {
		r.startedActivity(a)
		e := r.newEvent(enumspb.EVENT_TYPE_ACTIVITY_TASK_FAILED)
		e.Attributes = &historypb.HistoryEvent_ActivityTaskFailedEventAttributes{ActivityTaskFailedEventAttributes: &historypb.ActivityTaskFailedEventAttributes{
			Failure: f, ScheduledEventId: a.ScheduledId, Identity: identity, RetryState: state,
		}}
		r.endActivity(a, e)
	}
	return r.commit(), nil
}

// retryActivity plans the next attempt, or says why there is none.
func (r *Run) retryActivity(a *runpb.Activity, f *failurepb.Failure) enumspb.RetryState {
	if a.CancelRequested {
		return enumspb.RETRY_STATE_CANCEL_REQUESTED
	}
	switch f.GetTimeoutFailureInfo().GetTimeoutType() {
	case enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START, enumspb.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE:
		return enumspb.RETRY_STATE_TIMEOUT
	}
	now := r.tx.env.Now
	expiry := int64(0)
	if a.ScheduleToClose > 0 {
		expiry = a.FirstScheduledTime + a.ScheduleToClose
	}
	delay, state := nextAttempt(a.Retry, a.Attempt, now, expiry, f, true)
	if state != enumspb.RETRY_STATE_IN_PROGRESS {
		return state
	}
	r.withdrawActivity(a)
	a.Attempt++
	a.LastIdentity, a.LastAttemptCompleteTime = a.Identity, now
	if f.GetTimeoutFailureInfo() != nil {
		a.LastAttemptCompleteTime = 0 // it was never completed
	}
	a.StartedTime, a.Identity, a.RequestId, a.Nonce = 0, "", "", 0
	a.ScheduledTime = now + delay
	a.LastFailure = encode(r.cutFailure(f))
	a.Stamp = r.stamp()
	r.touch(rowActivity, a.ScheduledId)
	r.watch(watchActivity, a.ScheduledId)
	return state
}

// cutFailure keeps the state of a run small: a long failure is cut.
func (r *Run) cutFailure(f *failurepb.Failure) *failurepb.Failure {
	l := r.tx.env.Limits
	if proto.Size(f) <= l.ActivityFailure {
		return f
	}
	short := validate.ServerFailure(validate.FailureTooLarge, false)
	short.Cause = validate.CutFailure(f, l.ActivityFailureCut)
	return short
}

// CancelActivityTask is the worker's word that it stopped because it was asked to.
func (r *Run) CancelActivityTask(env *Env, k *port.Token, details *commonpb.Payloads, identity string) (*Changes, *port.Refusal) {
	a, refused := r.runningActivity(k)
	if refused != nil {
		return nil, refused
	}
	if !a.CancelRequested {
		return nil, port.Invalid("unable to mark activity as canceled without activity being request canceled first")
	}
	r.begin(env)
	r.startedActivity(a)
	r.canceledActivity(a, details, identity)
	return r.commit(), nil
}

func (r *Run) canceledActivity(a *runpb.Activity, details *commonpb.Payloads, identity string) {
	e := r.newEvent(enumspb.EVENT_TYPE_ACTIVITY_TASK_CANCELED)
	e.Attributes = &historypb.HistoryEvent_ActivityTaskCanceledEventAttributes{ActivityTaskCanceledEventAttributes: &historypb.ActivityTaskCanceledEventAttributes{
		Details: details, LatestCancelRequestedEventId: a.CancelRequestedId, ScheduledEventId: a.ScheduledId, Identity: identity,
	}}
	r.endActivity(a, e)
}

// Heartbeat records details of a running attempt and says whether a cancel was requested.
func (r *Run) Heartbeat(env *Env, k *port.Token, details *commonpb.Payloads) (c *Changes, cancel bool, refused *port.Refusal) {
	a, refused := r.runningActivity(k)
	if refused != nil {
		return nil, false, refused
	}
	r.begin(env)
	a.HeartbeatDetails = nil
	if details != nil {
		a.HeartbeatDetails = encode(details)
	}
	a.HeartbeatTime = env.Now
	r.touch(rowActivity, a.ScheduledId)
	r.watch(watchActivity, a.ScheduledId)
	return r.commit(), a.CancelRequested, nil
}

func (x *commander) cancelActivity(c *commandpb.Command) *badCommand {
	const cause = enumspb.WORKFLOW_TASK_FAILED_CAUSE_BAD_REQUEST_CANCEL_ACTIVITY_ATTRIBUTES
	r := x.run
	a := c.GetRequestCancelActivityTaskCommandAttributes()
	switch {
	case a == nil:
		return bad(cause, "RequestCancelActivityTaskCommandAttributes is not set on RequestCancelActivityTaskCommand.")
	case a.ScheduledEventId <= 0:
		return bad(cause, "ScheduledEventId is not set on RequestCancelActivityTaskCommand.")
	}
	act, pending := r.activities.get(a.ScheduledEventId)
	if pending && act.CancelRequested || !pending && !r.endBuffered(a.ScheduledEventId) {
		return bad(cause, "invalid history builder state for action: add-activitytask-cancel-requested-event, ScheduledEventID: %d", a.ScheduledEventId)
	}
	e := x.event(c, enumspb.EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED)
	e.Attributes = &historypb.HistoryEvent_ActivityTaskCancelRequestedEventAttributes{ActivityTaskCancelRequestedEventAttributes: &historypb.ActivityTaskCancelRequestedEventAttributes{
		ScheduledEventId: a.ScheduledEventId, WorkflowTaskCompletedEventId: x.completedID,
	}}
	if !pending {
		return nil // it ended while the worker was busy; its end is buffered
	}
	r.onUndo(func() { act.CancelRequested, act.CancelRequestedId = false, 0 })
	act.CancelRequested, act.CancelRequestedId = true, e.EventId
	r.touch(rowActivity, act.ScheduledId)
	if act.StartedTime == 0 {
		x.cancelUnstarted(act)
	}
	return nil
}

// cancelUnstarted ends an activity that no worker holds at once.
func (x *commander) cancelUnstarted(a *runpb.Activity) {
	r := x.run
	in, _ := r.inputs.get(a.ScheduledId)
	dispatched, buffer := a.Dispatched, r.buffer
	r.onUndo(func() {
		a.Dispatched, r.buffer = dispatched, buffer
		r.activities.put(a.ScheduledId, a)
		r.inputs.put(a.ScheduledId, in)
		r.indexActivity(a)
	})
	details := textPayload("ACTIVITY_ID_NOT_STARTED")
	r.canceledActivity(a, details, x.completion.Identity)
	x.own = append(x.own, r.buffer[len(buffer):]...)
}

// endBuffered reports whether the end of an activity waits in the buffer.
func (r *Run) endBuffered(scheduledID int64) bool {
	for _, e := range r.buffer {
		if ends(e) && activityOf(e) == scheduledID {
			return true
		}
	}
	return false
}

// activityOf is the scheduled event id of an activity's last event, or 0.
func activityOf(e *historypb.HistoryEvent) int64 {
	switch {
	case e.GetActivityTaskCompletedEventAttributes() != nil:
		return e.GetActivityTaskCompletedEventAttributes().ScheduledEventId
	case e.GetActivityTaskFailedEventAttributes() != nil:
		return e.GetActivityTaskFailedEventAttributes().ScheduledEventId
	case e.GetActivityTaskTimedOutEventAttributes() != nil:
		return e.GetActivityTaskTimedOutEventAttributes().ScheduledEventId
	case e.GetActivityTaskCanceledEventAttributes() != nil:
		return e.GetActivityTaskCanceledEventAttributes().ScheduledEventId
	}
	return 0
}

// activityDue is when the next thing must happen to an activity: the end of its
// backoff or the first of its timeouts. kind tells which; UNSPECIFIED: dispatch.
func activityDue(a *runpb.Activity) (at int64, kind enumspb.TimeoutType) {
	consider := func(t int64, k enumspb.TimeoutType) {
		if at == 0 || t < at {
			at, kind = t, k
		}
	}
	if a.StartedTime == 0 {
		if !a.Dispatched {
			consider(a.ScheduledTime, enumspb.TIMEOUT_TYPE_UNSPECIFIED)
		}
		if a.ScheduleToStart > 0 {
			consider(a.ScheduledTime+a.ScheduleToStart, enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START)
		}
	} else {
		if a.StartToClose > 0 {
			consider(a.StartedTime+a.StartToClose, enumspb.TIMEOUT_TYPE_START_TO_CLOSE)
		}
		if a.Heartbeat > 0 {
			consider(max(a.StartedTime, a.HeartbeatTime)+a.Heartbeat, enumspb.TIMEOUT_TYPE_HEARTBEAT)
		}
	}
	if a.ScheduleToClose > 0 {
		consider(a.FirstScheduledTime+a.ScheduleToClose, enumspb.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE)
	}
	return at, kind
}

// activityTime lets the time of an activity pass: dispatch after a backoff, or a timeout.
func (r *Run) activityTime(a *runpb.Activity) {
	_, kind := activityDue(a)
	if kind == enumspb.TIMEOUT_TYPE_UNSPECIFIED {
		a.Dispatched = true
		r.add(r.activityDispatch(a))
		r.touch(rowActivity, a.ScheduledId)
		r.watch(watchActivity, a.ScheduledId)
		return
	}
	r.timeoutActivity(a, kind)
}

// timeoutActivity retries the attempt or ends the activity. Only its end tells of
// heartbeats and earlier failures: an attempt gets the details by themselves.
func (r *Run) timeoutActivity(a *runpb.Activity, kind enumspb.TimeoutType) {
	f := timeoutFailure("activity "+kind.String()+" timeout", kind)
	state := r.retryActivity(a, f)
	if state == enumspb.RETRY_STATE_IN_PROGRESS {
		return
	}
	if state == enumspb.RETRY_STATE_TIMEOUT && kind != enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START {
		f = timeoutFailure("Not enough time to schedule next retry before activity ScheduleToClose timeout, giving up retrying", enumspb.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE)
	}
	if len(a.HeartbeatDetails) > 0 {
		f.GetTimeoutFailureInfo().LastHeartbeatDetails = decode(a.HeartbeatDetails, &commonpb.Payloads{})
	}
	if len(a.LastFailure) > 0 {
		f.Cause = decode(a.LastFailure, &failurepb.Failure{})
	}
	if a.StartedTime != 0 {
		r.startedActivity(a)
	}
	e := r.newEvent(enumspb.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT)
	e.Attributes = &historypb.HistoryEvent_ActivityTaskTimedOutEventAttributes{ActivityTaskTimedOutEventAttributes: &historypb.ActivityTaskTimedOutEventAttributes{
		Failure: f, ScheduledEventId: a.ScheduledId, RetryState: state,
	}}
	r.endActivity(a, e)
}

func timeoutFailure(message string, kind enumspb.TimeoutType) *failurepb.Failure {
	return &failurepb.Failure{Message: message, Source: "Server",
		FailureInfo: &failurepb.Failure_TimeoutFailureInfo{TimeoutFailureInfo: &failurepb.TimeoutFailureInfo{TimeoutType: kind}}}
}

func activityNames(l *validate.Limits, a *commandpb.ScheduleActivityTaskCommandAttributes) string {
	switch {
	case a.TaskQueue == nil:
		return "taskQueue is not set"
	case a.ActivityId == "":
		return "activityId is not set"
	case a.ActivityType.GetName() == "":
		return "activityType is not set"
	case len(a.ActivityId) > l.ID:
		return lengthText("activityId", len(a.ActivityId), l.ID)
	case len(a.ActivityType.GetName()) > l.ID:
		return lengthText("activityType", len(a.ActivityType.GetName()), l.ID)
	}
	if f := validate.QueueName(l, a.TaskQueue.Name); f != nil {
		return f.Message
	}
	return ""
}
