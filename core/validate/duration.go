package validate

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"perdure/core/port"
)

// MaxDuration caps every duration: 100 years. A time.Duration ends at 292, and
// visibility databases end at the year 2262.
const MaxDuration = 100 * 365 * 24 * time.Hour

// Duration refuses negative and malformed durations; nil is fine. The texts are
// short because callers put the field's name before them.
func Duration(d *durationpb.Duration) *port.Refusal {
	switch {
	case d == nil:
		return nil
	case d.Seconds > 0 && d.Nanos < 0 || d.Seconds < 0 && d.Nanos > 0:
		return port.Invalid("duration has seconds and nanos with different signs")
	case d.Seconds < 0 || d.Nanos < 0:
		return port.Invalid("negative duration")
	}
	return nil
}

// Capped is the duration, at most MaxDuration; nil is zero.
func Capped(d *durationpb.Duration) time.Duration {
	return min(d.AsDuration(), MaxDuration)
}
