package journal

import (
	"perdure/core/port"
	"perdure/core/store"
)

// handed is what the committer has of this log: at most one append.
type handed struct {
	out      bool
	stale    bool // handed over before the memory was dropped (J2)
	trimOnly bool
	trim     store.Seq
	ticket   uint64 // replies up to this one were there before the append was issued
}

// endRecord answers a waiting TakeRecord and announces what is to be written.
func (l *Log) endRecord(out *port.Effects) {
	if l.trimming.due(l.last.Mono) {
		l.trimming.at = 0
	}
	again := l.state == active && l.taken != nil && !l.handed.out
	if l.hold > 0 && !again && l.state == active {
		return
	}
	if l.asked {
		l.asked = false
		out.Send(l.cfg.Committer, port.Record{Shard: l.cfg.Self, Append: l.nextAppend()})
	}
	if !l.announced && l.writeDue() {
		l.announced = true
		out.Send(l.cfg.Committer, port.Dirty{Shard: l.cfg.Self})
	}
}

// writeDue says that an append is to be handed over. While reopening none is (J5).
func (l *Log) writeDue() bool {
	if l.state != active {
		return false
	}
	return l.open.due() || l.taken != nil && !l.handed.out || l.trimDue()
}

// trimDue says that an idle journal can be emptied, or that of a long tail only a part is
// flushed, which need not be replayed again. A busy journal is trimmed by its next record.
func (l *Log) trimDue() bool {
	idle := !l.handed.out && !l.open.due()
	return idle && (l.flushed == l.seq || l.flush.more) && l.trimmed < l.flushed && l.trimming.at == 0
}

// nextAppend is what the committer gets: the record whose append must be
// repeated, else a new one, else a trim, else nothing.
func (l *Log) nextAppend() store.Append {
	if !l.writeDue() {
		return store.Append{}
	}
	assert(!l.handed.out, "J2: one append of a log at a time")
	if l.taken == nil && l.open.due() {
		l.take()
	}
	l.handed = handed{out: true, trimOnly: l.taken == nil, trim: l.flushed, ticket: l.proofs.ticket}
	l.under = l.fence
	return store.Append{Fence: l.fence, Seq: l.seq, Trim: l.flushed, Record: l.taken}
}

// take encodes the open record, once.
func (l *Log) take() {
	size := headSize
	open := l.seq + 1
	for _, p := range l.open.tombs {
		size += 16 + len(p.id.Partition)
	}
	for _, e := range l.open.entries {
		size += 24 + len(e.part.id.Partition) + len(e.key) + len(e.value)
	}
	at := l.Time(l.last)
	b := appendHead(l.buffer(size), Format, at)
	for _, p := range l.open.tombs {
		b = appendDeletedPartition(b, p.id)
	}
	for _, e := range l.open.entries {
		if !e.gone && e.seq == open && e.kind != swept {
			b = appendRow(b, e.part.id, e.key, e.value)
		}
	}
	l.taken, l.takenSize = b, len(b)
	if l.packs && len(b) > l.cfg.PackBytes {
		buffer := l.buffer(0)
		if p := packed(buffer, b, at); p != nil {
			l.taken, buffer = p, b
		}
		l.reuse(buffer)
	}
	l.seal()
}

// spareMost bounds each of the two buffers that are kept for the next record, and for packing it.
const spareMost = 1 << 20

// reuse keeps the buffer of a record that the store is done with.
func (l *Log) reuse(record []byte) {
	if n := cap(record); n > 0 && n <= spareMost && len(l.spare) < 2 {
		l.spare = append(l.spare, record[:0])
	}
}

func (l *Log) buffer(size int) []byte {
	n := len(l.spare) - 1
	if n < 0 || cap(l.spare[n]) < size {
		return make([]byte, 0, size)
	}
	b := l.spare[n]
	l.spare = l.spare[:n]
	return b
}

// seal ends the open record: it has a number now and what it names is journaled.
func (l *Log) seal() {
	for _, e := range l.open.entries {
		e.taken = true
	}
	l.open.reset()
	l.seq++
}

// appended learns what became of the append that was handed over.
func (l *Log) appended(in port.Appended, out *port.Effects) Event {
	h := l.handed
	l.handed = handed{}
	if !h.out || h.stale {
		return Event{}
	}
	assert(in.Seq == l.seq, "J2: the outcome is of the append that is out")
	switch {
	case in.Outcome == store.Fenced:
		return l.lost(store.ErrFenced, out)
	case in.Outcome == store.Done:
		l.trimmed = max(l.trimmed, h.trim)
		l.trimming, l.doubts = retry{}, retry{}
		l.proofs.prove(h.ticket, l.last.Mono)
		ev := Event{}
		if !h.trimOnly {
			record := l.taken
			ev = l.advance()
			l.reuse(record)
		}
		l.letOut(out)
		return ev
	case h.trimOnly: // a trim may land whenever it likes
		l.trimming.again(l)
		return Event{}
	}
	l.state = reopening
	again := l.doubts.wait != 0
	l.doubts.again(l)
	if again { // the store takes an Open, but no append: a full disk can be like that
		l.opens.at = l.doubts.at
	} else {
		l.reopen(out)
	}
	return Event{}
}

// advance makes the taken record durable.
func (l *Log) advance() Event {
	assert(l.seq == l.durable+1 && l.taken != nil, "J1: one record is between taken and durable")
	l.durable = l.seq
	l.acknowledged(l.takenSize)
	l.taken, l.takenSize = nil, 0
	return Event{Kind: Durable}
}
