package journal

import (
	"time"

	"perdure/core/port"
)

// leaving is the way out of an owner that goes in good order: what is unwritten
// is written, what is acknowledged is flushed, replies leave; then, or when the
// time for it is over, the shard is released and the memory dropped.
//
// J12: after the release was asked for, nothing is written under its fence.
type leaving struct {
	until time.Duration // monotonic, 0: not leaving
	tag   uint64        // of the release under way
	left  bool
}

// Leave begins to leave; it takes at most within and the time of one store call.
// The owner makes no further change. It ends when Left reports so, or in Lost.
func (l *Log) Leave(now port.Clock, within time.Duration) {
	l.last = now
	l.hold = 0
	l.draining = true
	l.leaving = leaving{until: max(now.Mono+within, 1)}
}

// Left reports, once, that the shard was left.
func (l *Log) Left() bool {
	left := l.leaving.left
	if left {
		l.leaving = leaving{}
	}
	return left
}

// endLeave releases the shard when nothing is left to do, or when time is over.
// Whether the release takes effect does not matter: who comes next displaces
// whom it finds. A log whose last append is unknown cannot release: it just goes.
func (l *Log) endLeave(out *port.Effects) {
	v := l.leaving
	if v.until == 0 || v.tag != 0 || v.left || l.last.Mono < v.until && !l.settled() {
		return
	}
	fence, release := l.fence, l.state == active
	l.drop(out)
	if !release {
		l.leaving.left = true
		return
	}
	l.leaving.tag = l.nextTag()
	out.Add(port.ReleaseStore{Tag: l.leaving.tag, Fence: fence})
}

// settled says that everything is in its table and every reply has left.
func (l *Log) settled() bool {
	return l.state == active && l.flushed == l.seq && !l.open.due() && !l.handed.out && !l.flush.busy && len(l.waiting) == 0
}

func (l *Log) released() Event {
	l.leaving = leaving{left: true}
	return Event{}
}
