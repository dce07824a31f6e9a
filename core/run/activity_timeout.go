package run

import (
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
	historypb "go.temporal.io/api/history/v1"

	"perdure/core/run/runpb"
)

// Times of activities: when an attempt begins, and when it has taken too long.

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
