package validate

import (
	"math"
	"strings"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"google.golang.org/protobuf/types/known/durationpb"

	"perdure/core/port"
)

// TimeoutPrefix starts the names by which timeouts can be listed as not
// retryable: TemporalTimeout:StartToClose, TemporalTimeout:Heartbeat.
const TimeoutPrefix = "TemporalTimeout:"

// Defaults of a retry policy.
const (
	retryInitial     = time.Second
	retryCoefficient = 2
	retryMaximum     = 100 // times the initial interval
)

// FilledRetryPolicy is a new policy with the defaults filled in; nil gives the default policy.
func FilledRetryPolicy(p *commonpb.RetryPolicy) *commonpb.RetryPolicy {
	filled := &commonpb.RetryPolicy{
		InitialInterval:        p.GetInitialInterval(),
		BackoffCoefficient:     p.GetBackoffCoefficient(),
		MaximumInterval:        p.GetMaximumInterval(),
		MaximumAttempts:        p.GetMaximumAttempts(),
		NonRetryableErrorTypes: p.GetNonRetryableErrorTypes(),
	}
	if filled.InitialInterval.AsDuration() == 0 {
		filled.InitialInterval = durationpb.New(retryInitial)
	}
	if filled.MaximumInterval.AsDuration() == 0 {
		filled.MaximumInterval = durationpb.New(times(filled.InitialInterval.AsDuration(), retryMaximum))
	}
	if filled.BackoffCoefficient == 0 {
		filled.BackoffCoefficient = retryCoefficient
	}
	return filled
}

// times multiplies and stays at the longest duration instead of overflowing.
func times(d time.Duration, n int64) time.Duration {
	if int64(d) > math.MaxInt64/n {
		return math.MaxInt64
	}
	return d * time.Duration(n)
}

// RetryPolicy refuses a policy (with its defaults filled in) that makes no sense; nil is fine.
func RetryPolicy(p *commonpb.RetryPolicy) *port.Refusal {
	// With one attempt there is no retry, so the rest does not matter.
	if p == nil || p.MaximumAttempts == 1 {
		return nil
	}
	if r := Duration(p.InitialInterval); r != nil {
		return port.Invalid("invalid InitialInterval set on retry policy: %s", r.Message)
	}
	if !(p.BackoffCoefficient >= 1) { // also not a number
		return port.Invalid("BackoffCoefficient cannot be less than 1 on retry policy.")
	}
	if r := Duration(p.MaximumInterval); r != nil {
		return port.Invalid("invalid MaximumInterval set on retry policy: %s", r.Message)
	}
	if most := p.MaximumInterval.AsDuration(); most > 0 && most < p.InitialInterval.AsDuration() {
		return port.Invalid("MaximumInterval cannot be less than InitialInterval on retry policy.")
	}
	if p.MaximumAttempts < 0 {
		return port.Invalid("MaximumAttempts cannot be negative on retry policy.")
	}
	return timeoutNames(p.NonRetryableErrorTypes)
}

func timeoutNames(types []string) *port.Refusal {
	for _, t := range types {
		name, ok := strings.CutPrefix(t, TimeoutPrefix)
		if !ok {
			continue
		}
		if v, err := enumspb.TimeoutTypeFromString(name); err != nil || v == enumspb.TIMEOUT_TYPE_UNSPECIFIED {
			return port.Invalid("Invalid timeout type value: %s.", name)
		}
	}
	return nil
}
