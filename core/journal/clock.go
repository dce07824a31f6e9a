package journal

import (
	"time"

	"perdure/core/port"
)

// shardClock is the time of a shard: it never goes back, and after a jump of
// the wall clock it goes on at monotonic pace. The zero value follows the wall clock.
type shardClock struct {
	high time.Time // highest time given out or found in a record
	mono time.Duration
}

func (c *shardClock) now(now port.Clock) time.Time {
	t := now.Wall
	if !c.high.IsZero() {
		if least := c.high.Add(max(now.Mono-c.mono, 0)); least.After(t) {
			t = least
		}
	}
	c.high, c.mono = t, now.Mono
	return t
}

// restore takes over the time of a record that another owner wrote.
func (c *shardClock) restore(recorded time.Time, now port.Clock) {
	c.now(now)
	if recorded.After(c.high) {
		c.high = recorded
	}
}

// Time is the shard's time (J9): at least the wall clock, at least what was
// recorded or given out before plus the monotonic time since.
func (l *Log) Time(now port.Clock) time.Time { return l.clock.now(now) }

// NotBefore lets time go on from t at least: the owner knows that its predecessor's came as far.
func (l *Log) NotBefore(t time.Time, now port.Clock) { l.clock.restore(t, now) }
