package validate

import "time"

// LongPollEnd is when a long poll ends empty: after the longest wait the server
// allows, but early enough that the answer reaches the caller before its
// deadline (zero: none). It may be in the past.
func LongPollEnd(l *Limits, now, deadline time.Time, longest time.Duration) time.Time {
	end := now.Add(longest)
	if last := deadline.Add(-l.LongPollTail); !deadline.IsZero() && last.Before(end) {
		return last
	}
	return end
}
