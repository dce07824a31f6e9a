package journal

import (
	"errors"

	"perdure/core/port"
	"perdure/core/store"
)

// The end of a journal whose shard leaves the layout. First everything goes to its
// table and the journal is trimmed (Empty, Emptied); then the store ends it.
//
// J15: a journal is ended by the owner that emptied it, under the fence it emptied it under.

// retiring is the call that ends the journal, or the wait for its next try.
type retiring struct {
	retry
	tag   uint64
	fence store.Fence
}

// Empty makes the log flush and trim all it has. The owner makes no further change.
func (l *Log) Empty() {
	l.hold = 0
	l.draining = true
}

// Emptied says that nothing is left to write, in memory and in the journal, and nobody waits.
func (l *Log) Emptied() bool { return l.settled() && l.trimmed == l.seq }

// Retire ends the emptied journal; memory is dropped. It ends in the event Retired, or in Lost if
// another owner opened the journal before.
func (l *Log) Retire(now port.Clock, out *port.Effects) {
	assert(l.Emptied(), "J15: what is ended is empty")
	l.last = now
	fence := l.fence
	l.drop(out)
	l.retiring.fence = fence
	l.sendRetire(out)
}

func (l *Log) sendRetire(out *port.Effects) {
	r := &l.retiring
	r.tag, r.at = l.nextTag(), 0
	out.Add(port.RetireStore{Tag: r.tag, Fence: r.fence})
}

func (l *Log) retireCompleted(c *port.Completed) Event {
	switch {
	case c.Err == nil, errors.Is(c.Err, store.ErrRetired):
		l.retiring = retiring{}
		return Event{Kind: Retired}
	case errors.Is(c.Err, store.ErrFenced), errors.Is(c.Err, store.ErrNotEmpty), errors.Is(c.Err, store.ErrNoShard):
		l.retiring = retiring{} // another owner came between
		return Event{Kind: Lost, Err: c.Err}
	}
	l.retiring.tag = 0
	l.retiring.again(l)
	return Event{}
}

// endRetire repeats a call that failed.
func (l *Log) endRetire(out *port.Effects) {
	if l.retiring.due(l.last.Mono) {
		l.sendRetire(out)
	}
}
