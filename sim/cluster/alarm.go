package cluster

import (
	"time"

	"perdure/core/port"
)

// alarm is a machine's one timer, in the manner of adapters/runtime: a move to
// later leaves it as it is, and it is set again when it rings too early. It runs
// on monotonic time, so a jump of the wall clock is noticed only when it rings.
type alarm struct {
	want  time.Time
	armed time.Time // wall time; zero: it is not running
	turn  uint64    // tells apart the timer's runs
}

const maxWait = time.Minute

func (a *alarm) set(b *box, at time.Time) {
	a.want = at
	if at.IsZero() || (!a.armed.IsZero() && !at.Before(a.armed)) {
		return
	}
	a.arm(b)
}

func (a *alarm) arm(b *box) {
	p := b.p
	wait := min(max(a.want.Sub(p.Wall()), 0), maxWait)
	a.armed = p.Wall().Add(wait)
	a.turn++
	turn := a.turn
	p.at(p.c.U.Now()+wait, func() {
		if a.turn == turn {
			a.ring(b)
		}
	})
}

func (a *alarm) ring(b *box) {
	a.armed = time.Time{}
	switch {
	case a.want.IsZero():
	case b.p.Wall().Before(a.want):
		a.arm(b)
	default:
		a.want = time.Time{}
		b.p.arrive(b, port.Alarmed{})
	}
}
