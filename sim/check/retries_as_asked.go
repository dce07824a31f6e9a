package check

import (
	"math"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
	"google.golang.org/protobuf/proto"

	"perdure/core/run/runpb"
)

// P21 retries_as_asked: an activity has no more attempts than its policy allows,
// each begins no earlier than its backoff ends, and an attempt times out no
// earlier than it may. Attempts are not in the history, so this looks at the rows
// of activities as they change.

func (r *Run) retriesAsAsked(before, after []byte) *Breach {
	old, a := &runpb.Activity{}, &runpb.Activity{}
	if before == nil || proto.Unmarshal(before, old) != nil || proto.Unmarshal(after, a) != nil {
		return nil
	}
	bad := func(format string, args ...any) *Breach {
		return breach(RetriesAsAsked, r.Key.RunID, "activity %s, attempt %d: "+format, append([]any{a.ActivityId, a.Attempt}, args...)...)
	}
	p := a.Retry
	switch {
	case p.GetAttempts() > 0 && a.Attempt > p.Attempts:
		return bad("its policy allows %d", p.Attempts)
	case a.Attempt > 1 && a.StartedTime != 0 && a.StartedTime < a.ScheduledTime:
		return bad("it was started %v before its backoff ended", time.Duration(a.ScheduledTime-a.StartedTime))
	case a.Attempt != old.Attempt+1:
		return nil // or several in one record
	}
	ended := a.ScheduledTime - backoffOf(p, old.Attempt)
	if a.LastAttemptCompleteTime != 0 && ended < a.LastAttemptCompleteTime {
		return bad("its backoff is %v too short", time.Duration(a.LastAttemptCompleteTime-ended))
	}
	if due := attemptDue(old, a); due > ended {
		return bad("the attempt before timed out %v early", time.Duration(due-ended))
	}
	return nil
}

// backoffOf is min(initial * coefficient^(attempt-1), maximum), to a microsecond below.
func backoffOf(p *runpb.Retry, attempt int32) int64 {
	d := float64(p.GetInitial()) * math.Pow(p.GetCoefficient(), float64(attempt-1))
	if p.GetMaximum() > 0 {
		d = min(d, float64(p.GetMaximum()))
	}
	return int64(d) - int64(time.Microsecond)
}

// attemptDue is when an attempt that timed out was due; 0 if it ended otherwise.
func attemptDue(old, a *runpb.Activity) int64 {
	f := &failurepb.Failure{}
	if old.StartedTime == 0 || proto.Unmarshal(a.LastFailure, f) != nil {
		return 0
	}
	switch f.GetTimeoutFailureInfo().GetTimeoutType() {
	case enumspb.TIMEOUT_TYPE_START_TO_CLOSE:
		return old.StartedTime + old.StartToClose
	case enumspb.TIMEOUT_TYPE_HEARTBEAT:
		return max(old.StartedTime, old.HeartbeatTime) + old.Heartbeat
	}
	return 0
}
