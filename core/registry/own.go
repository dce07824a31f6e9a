package registry

import (
	"time"

	"perdure/core/ownership"
	"perdure/core/port"
)

// Coming and going of the registry's owner, as of any shard's (core/shard, own.go).

const leaveWithin = time.Second

// obey does what the seat orders.
func (r *Registry) obey() {
	switch r.seat.End(r.now, r.out) {
	case ownership.Open:
		r.log.Open(r.now, r.out)
	case ownership.Abandon:
		r.log.Close(r.out)
		r.forget()
	case ownership.Leave:
		r.forget()
		r.leaving = true
		r.log.Leave(r.now, leaveWithin)
	case ownership.Yield:
		r.log.Close(r.out)
		r.lose()
		r.obey()
	}
}

func (r *Registry) lose() {
	r.forget()
	if r.leaving {
		r.leaving = false
		r.seat.Left(r.out)
		return
	}
	r.seat.Lost(r.now)
}

func (r *Registry) left() {
	if r.log.Left() {
		r.leaving = false
		r.seat.Left(r.out)
		r.obey()
	}
}

func (r *Registry) elsewhere() port.NodeID {
	if r.leaving {
		return r.seat.Heir()
	}
	return r.seat.Elsewhere()
}
