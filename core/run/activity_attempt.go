package run

import (
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
	historypb "go.temporal.io/api/history/v1"
	"google.golang.org/protobuf/proto"

	"perdure/core/port"
	"perdure/core/run/runpb"
	"perdure/core/validate"
)

// Attempts of activities: given out to workers, answered by them, tried again.

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
