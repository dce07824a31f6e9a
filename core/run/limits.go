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
	switch {
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
	n := r.size
	for _, e := range r.buffer[r.storedBuffer():] {
		n += proto.Size(e)
	}
	return n > l.BufferedSize
}

func (r *Run) endOversize(reason string) {
	r.tx.oversize = reason
	r.forceCloseTask(nil, serverIdentity)
	r.terminate(reason, nil, serverIdentity, nil)
}
