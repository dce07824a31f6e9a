package runtime

import (
	"time"

	"perdure/core/port"
)

// alarm is a machine's one timer. Machines move their alarm at nearly every
// step, mostly to later: the timer is then left as it is, and when it fires
// too early it is set again. Guarded by the mailbox's mutex.
type alarm struct {
	ring  func()
	timer *time.Timer
	want  time.Time // wall time the machine asked for; zero: none
	armed time.Time // wall time the timer fires; zero: it is not running
}

// maxWait bounds one run of the timer: it counts monotonic time, so a jump of the wall
// clock to the future (a machine that slept, a correction) is noticed only when it fires.
const maxWait = time.Minute

// set asks for a ring at a wall time.
func (a *alarm) set(at, now time.Time) {
	a.want = at
	if at.IsZero() || (!a.armed.IsZero() && !at.Before(a.armed)) {
		return
	}
	a.arm(now)
}

func (a *alarm) arm(now time.Time) {
	wait := min(max(a.want.Sub(now), 0), maxWait)
	a.armed = now.Add(wait)
	if a.timer == nil {
		a.timer = time.AfterFunc(wait, a.ring)
		return
	}
	a.timer.Reset(wait)
}

// due is called when the timer fired: it reports whether the machine wants to know.
func (a *alarm) due(now time.Time) bool {
	a.armed = time.Time{}
	if a.want.IsZero() {
		return false
	}
	if now.Before(a.want) {
		a.arm(now)
		return false
	}
	a.want = time.Time{}
	return true
}

// ring runs on the timer's own goroutine. A timer that was set anew while this
// ring was on its way rings twice; the second finds nothing to want.
func (r *Runtime) ring(m *mailbox) {
	m.mu.Lock()
	mine := m.alarm.due(wallNow()) && m.add(port.Alarmed{})
	m.mu.Unlock()
	if mine {
		r.stepFrom(m)
	}
}

func wallNow() time.Time { return time.Now().Round(0) }
