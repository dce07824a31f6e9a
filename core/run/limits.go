package run

import (
	enumspb "go.temporal.io/api/enums/v1"
	"google.golang.org/protobuf/proto"

	"perdure/core/validate"
)

// enforceLimits ends a run that has grown too large, and fails the task of one
// whose buffer has. It runs before the transition is encoded.
func (r *Run) enforceLimits() {
	l := r.tx.env.Limits
	if r.bufferTooLarge(l) && r.taskRuns() {
		r.failTask(enumspb.WORKFLOW_TASK_FAILED_CAUSE_FORCE_CLOSE_COMMAND, nil, serverIdentity, "")
		r.flush()
		r.tx.flushed = false // what overflowed came with the failed attempt: the next one still counts up
		r.settle()
	}
	r.weighTouched()
	switch {
	case r.stateSize() > l.State:
		r.endOversize("Workflow mutable state size exceeds limit.")
	case r.historyTooLarge(int64(l.HistorySize)):
		r.endOversize("Workflow history size exceeds limit.")
	case r.S.NextEventId-1 > l.HistoryEvents:
		r.endOversize("Workflow history count exceeds limit.")
	}
}

// historyTooLarge counts the events of the transition too, once they can matter:
// one transition is never larger than margin.
func (r *Run) historyTooLarge(limit int64) bool {
	const margin = 16 << 20
	n := r.S.HistorySize
	if n+margin <= limit {
		return false
	}
	for _, e := range r.tx.events {
		n += int64(proto.Size(e))
	}
	return n > limit
}

func (r *Run) bufferTooLarge(l *validate.Limits) bool {
	if len(r.buffer) > l.BufferedEvents {
		return true
	}
	if len(r.buffer) == 0 {
		return false
	}
	return r.buffersSize() > l.BufferedSize
}

// buffersSize is the bytes of the buffer, those of this transition included.
func (r *Run) buffersSize() int {
	n := r.size
	for _, e := range r.buffer[r.storedBuffer():] {
		n += proto.Size(e)
	}
	return n
}

// heavy is what an activity must hold to be weighed on its own; below it counts as one of many.
const (
	heavy  = 1 << 10
	pended = 300 // of one pending thing
	noted  = 50  // of one remembered request
)

// stateSize estimates the bytes of the state that the peer would store: not the
// inputs, which it has in the history only.
func (r *Run) stateSize() int {
	n := len(r.stored) + r.size + r.fields + r.heavySize
	n += (r.activities.len() + r.timers.len() + r.children.len() + r.signals.len() + r.cancels.len()) * pended
	return n + len(r.requests)*noted
}

// weighTouched brings the sizes up to date with the transition.
func (r *Run) weighTouched() {
	for _, x := range r.tx.touched {
		switch x.kind {
		case rowActivity:
			r.weigh(x.id)
		case rowMemo, rowAttributes:
			r.weighFields()
		}
	}
}

func (r *Run) weigh(id int64) {
	n := 0
	if a, ok := r.activities.get(id); ok {
		n = len(a.HeartbeatDetails) + len(a.LastFailure)
	}
	was := r.heavy[id]
	switch {
	case n < heavy && was == 0:
		return
	case n < heavy:
		n = 0
		delete(r.heavy, id)
	case r.heavy == nil:
		r.heavy = map[int64]int{id: n}
	default:
		r.heavy[id] = n
	}
	r.heavySize += n - was
}

func (r *Run) weighFields() {
	r.fields = 0
	if r.memo != nil {
		r.fields += proto.Size(r.memo)
	}
	if r.attributes != nil {
		r.fields += proto.Size(r.attributes)
	}
}

// weighAll is for a run that was just loaded.
func (r *Run) weighAll() {
	for _, id := range r.activities.ids() {
		r.weigh(id)
	}
	r.weighFields()
}

func (r *Run) endOversize(reason string) {
	r.tx.oversize = reason
	r.forceCloseTask(nil, serverIdentity)
	r.terminate(reason, nil, serverIdentity, nil)
}
