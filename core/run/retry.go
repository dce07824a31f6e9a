package run

import (
	"fmt"
	"math"

	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"

	"perdure/core/run/runpb"
	"perdure/core/validate"
)

// nextAttempt decides whether and when a failed attempt is followed by another.
// activity: a delay named by the failure has no cap. expiry 0: none.
func nextAttempt(p *runpb.Retry, attempt int32, now, expiry int64, f *failurepb.Failure, activity bool) (delay int64, s enumspb.RetryState) {
	if p == nil {
		return 0, enumspb.RETRY_STATE_RETRY_POLICY_NOT_SET
	}
	if !retryable(f, p.NonRetryable) {
		return 0, enumspb.RETRY_STATE_NON_RETRYABLE_FAILURE
	}
	if p.Attempts > 0 && attempt >= p.Attempts {
		return 0, enumspb.RETRY_STATE_MAXIMUM_ATTEMPTS_REACHED
	}
	delay = computedDelay(p, attempt)
	if named := f.GetApplicationFailureInfo().GetNextRetryDelay(); named != nil {
		delay = validate.Capped(named).Nanoseconds()
		if !activity && p.Maximum > 0 {
			delay = min(delay, p.Maximum)
		}
	}
	if expiry > 0 && now+delay >= expiry {
		return 0, enumspb.RETRY_STATE_TIMEOUT
	}
	return delay, enumspb.RETRY_STATE_IN_PROGRESS
}

// computedDelay is min(initial * coefficient^(attempt-1), maximum).
func computedDelay(p *runpb.Retry, attempt int32) int64 {
	d := float64(p.Initial) * math.Pow(p.Coefficient, float64(attempt-1))
	limit := float64(validate.MaxDuration)
	if p.Maximum > 0 {
		limit = min(limit, float64(p.Maximum))
	}
	if !(d < limit) { // also not a number
		d = limit
	}
	return int64(d)
}

// retryable looks at the failure itself; its causes do not count.
func retryable(f *failurepb.Failure, nonRetryable []string) bool {
	if f == nil {
		return true
	}
	switch info := f.FailureInfo.(type) {
	case *failurepb.Failure_TerminatedFailureInfo, *failurepb.Failure_CanceledFailureInfo:
		return false
	case *failurepb.Failure_TimeoutFailureInfo:
		k := info.TimeoutFailureInfo.TimeoutType
		if k != enumspb.TIMEOUT_TYPE_START_TO_CLOSE && k != enumspb.TIMEOUT_TYPE_HEARTBEAT {
			return false
		}
		return !listed(validate.TimeoutPrefix+k.String(), nonRetryable)
	case *failurepb.Failure_ServerFailureInfo:
		return !info.ServerFailureInfo.NonRetryable
	case *failurepb.Failure_ApplicationFailureInfo:
		return !info.ApplicationFailureInfo.NonRetryable && !listed(info.ApplicationFailureInfo.Type, nonRetryable)
	}
	return true
}

func listed(name string, names []string) bool {
	for _, n := range names {
		if n == name {
			return true
		}
	}
	return false
}

func lengthText(what string, length, limit int) string {
	return fmt.Sprintf("%s exceeds length limit. Length=%d Limit=%d", what, length, limit)
}
