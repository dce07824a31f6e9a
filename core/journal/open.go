package journal

import (
	"bytes"
	"errors"
	"fmt"

	"perdure/core/port"
	"perdure/core/store"
)

// openCall is the Open under way, or the wait for the next try.
type openCall struct {
	retry
	tag    uint64
	nonce  store.Nonce
	ticket uint64 // replies up to this one were there before the call was issued
	asking bool   // the call is not an Open yet: is this the owner still?
}

// Open takes the journal over. It ends in Opened; each failed try is reported as
// Failed and repeated with growing waits, except after store.ErrRetired and
// ErrRecord, where only another Open call tries again. A call while the wait
// runs tries at once, one while a try is under way or the log is active does nothing.
func (l *Log) Open(now port.Clock, out *port.Effects) {
	l.last = now
	if l.Active() || l.opens.tag != 0 {
		return
	}
	l.state = opening
	l.sendOpen(out)
}

// sendOpen tries once. A log that still has memory asks only for what it does not know to be durable.
func (l *Log) sendOpen(out *port.Effects) {
	known := store.Seq(0)
	if l.state == reopening {
		known = l.durable
	}
	c := &l.opens
	c.tag, c.nonce, c.ticket, c.at = l.nextTag(), l.cfg.Nonce(), l.proofs.ticket, 0
	out.Add(port.OpenStore{Tag: c.tag, Open: store.Open{Shard: l.cfg.Shard, Owner: l.cfg.Owner, Nonce: c.nonce, Known: known}})
}

// tryOpen repeats what failed.
func (l *Log) tryOpen(out *port.Effects) {
	if l.state == reopening {
		l.reopen(out)
	} else {
		l.sendOpen(out)
	}
}

// reopen (J14) finds out the fate of a record. Only Open tells, and Open displaces: so the store is
// asked first whether this is the owner still, lest one that was displaced
// takes the shard back from its successor, only to find that its memory is void.
func (l *Log) reopen(out *port.Effects) {
	if l.cfg.Exclusive {
		l.sendOpen(out)
		return
	}
	c := &l.opens
	c.tag, c.at, c.asking = l.nextTag(), 0, true
	out.Add(port.ConfirmStore{Tag: c.tag, Fence: l.under})
}

// reopenAsked takes the answer.
func (l *Log) reopenAsked(c *port.Completed, out *port.Effects) Event {
	l.opens.tag, l.opens.asking = 0, false
	switch {
	case c.Err != nil:
		l.opens.again(l)
	case !c.Owner:
		return l.lost(store.ErrFenced, out)
	default:
		l.sendOpen(out)
	}
	return Event{}
}

func (l *Log) openCompleted(c *port.Completed, out *port.Effects) Event {
	if l.opens.asking {
		return l.reopenAsked(c, out)
	}
	if c.Err != nil {
		return l.openFailed(c.Err, out)
	}
	call := l.opens
	l.opens = openCall{}
	fence := store.Fence{Shard: l.cfg.Shard, Epoch: c.Opened.Epoch, Nonce: call.nonce}
	if l.state == reopening {
		return l.reopened(fence, c.Opened, call.ticket, out)
	}
	if err := l.replay(c.Opened); err != nil {
		l.drop(out)
		return Event{Kind: Failed, Err: err}
	}
	l.state, l.fence, l.strips, l.flush.number = active, fence, c.Opened.Strips, 0
	l.proofs.sure = l.last.Mono
	return Event{Kind: Opened}
}

func (l *Log) openFailed(err error, out *port.Effects) Event {
	l.opens.tag = 0
	retired, missing := errors.Is(err, store.ErrRetired), errors.Is(err, store.ErrNoShard)
	switch {
	case l.state == reopening && (retired || missing):
		return l.lost(err, out)
	case retired:
		l.drop(out)
	default:
		l.opens.again(l)
	}
	return Event{Kind: Failed, Err: err}
}

// reopened finds out the fate of the record whose append was unknown. The epoch
// is fenced now, so the tail says it for good. J6: memory is this journal's only
// if nobody was owner since the last append: the pair displaced is the one
// appended under. A try of our own that took effect without our knowing breaks
// that too, for another owner may have been before it.
func (l *Log) reopened(fence store.Fence, o store.Opened, ticket uint64, out *port.Effects) Event {
	if o.Displaced != l.under {
		return l.lost(fmt.Errorf("%w: epoch %d was not the last one", store.ErrFenced, l.under.Epoch), out)
	}
	l.state, l.fence, l.flush.number = active, fence, 0
	l.proofs.prove(ticket, l.last.Mono)
	ev := Event{}
	if o.Last == l.seq { // it had been written
		assert(len(o.Records) == 1 && o.Records[0].Seq == l.seq && bytes.Equal(o.Records[0].Record, l.taken),
			"J6: the journal holds the record that was appended")
		ev = l.advance()
		l.doubts = retry{}
	}
	assert(o.Last == l.durable, "J6: the journal ends where memory does") // else taken is still there and is appended again
	l.letOut(out)
	return ev
}

// replay makes the memory of a new owner from the tail of the journal. Some of
// it may be in the tables already, but what one flush took is in the tail as a
// whole or not at all (store.Append.Trim): so rows that were merged are merged again, not doubled.
func (l *Log) replay(o store.Opened) error {
	l.overlay.reset()
	l.tail = 0
	l.seq, l.durable = o.Last, o.Last
	first := o.Last + 1
	if len(o.Records) > 0 {
		first = o.Records[0].Seq
	}
	l.flushed, l.trimmed = first-1, first-1
	assert(first+store.Seq(len(o.Records)) == o.Last+1, "J7: the tail has no gaps and ends at the last record")
	l.seq, l.durable = first-1, first-1
	l.state = active // changes are allowed
	for _, entry := range o.Records {
		assert(entry.Seq == l.seq+1, "J7: the tail has no gaps")
		r, err := DecodeRecord(entry.Record)
		if err != nil {
			return fmt.Errorf("shard %d, record %d: %w", l.cfg.Shard, entry.Seq, err)
		}
		before := l.overlay.bytes
		l.replayRecord(r)
		l.acknowledged(max(len(entry.Record), l.overlay.bytes-before)) // as it is unpacked
	}
	return nil
}

// replayRecord applies one record. Nothing of it is fresh: the owner who wrote it may have flushed it.
func (l *Log) replayRecord(r Record) {
	l.clock.restore(r.Time, l.last)
	l.tail += len(r.Rows) + len(r.Deleted)
	for _, p := range r.Deleted {
		l.DeletePartition(p)
	}
	for _, row := range r.Rows {
		if row.Value == nil {
			l.Delete(row.Key)
		} else {
			l.Put(row.Key, row.Value, false)
		}
	}
	l.seal()
	l.durable = l.seq
}
