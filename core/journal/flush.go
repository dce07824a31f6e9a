package journal

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"time"

	"perdure/core/port"
	"perdure/core/store"
)

// flush is the way of rows to their tables: what the next flush has to look at,
// and the one under way.
type flush struct {
	dirty []*entry     // entries with images that no flush has taken
	tombs []*partition // deleted partitions that no flush has taken
	tail  []stretch    // acknowledged records that no flush has taken, oldest first
	more  bool         // when the last flush was done, a whole stretch waited already

	busy    bool // rows are taken and not known to be in their tables
	retry        // of the call
	tag     uint64
	number  uint64
	call    store.Flush
	upTo    store.Seq // the flush takes the records up to here
	entries []*entry
	parts   []*partition
}

// stretch is records that one flush takes, so that also of a long tail something
// is in the tables, and trimmed, soon: LogConfig.FlushBytes and one record at most.
type stretch struct {
	upTo  store.Seq
	bytes int
	due   time.Duration // monotonic time when the oldest of them must go
}

// linger is what was flushed while reads were under way: they may have seen the
// tables before it (J8), so their results need it when they come back.
type linger struct {
	until   uint64 // tag of the last read issued before the acknowledgement
	upTo    store.Seq
	entries []*entry
	parts   []*partition
}

// acknowledged counts the record that became durable.
func (l *Log) acknowledged(size int) {
	f := &l.flush
	if n := len(f.tail); n == 0 || l.full(&f.tail[n-1]) {
		f.tail = append(f.tail, stretch{due: l.last.Mono + l.cfg.FlushAge})
	}
	last := &f.tail[len(f.tail)-1]
	last.upTo, last.bytes = l.durable, last.bytes+size
}

func (l *Log) full(s *stretch) bool { return s.bytes > l.cfg.FlushBytes }

// flushAlarm is when endFlush will have something to do.
func (l *Log) flushAlarm() time.Duration {
	f := &l.flush
	switch {
	case l.state != active || f.busy && f.tag != 0:
		return 0
	case f.busy:
		return f.at
	case len(f.tail) > 0:
		return f.tail[0].due
	}
	return 0
}

func (l *Log) endFlush(out *port.Effects) {
	f, mono := &l.flush, l.last.Mono
	if f.busy && f.tag == 0 && f.due(mono) {
		l.repeatFlush(out)
	}
	for !f.busy && len(f.tail) > 0 && (l.draining || l.full(&f.tail[0]) || mono >= f.tail[0].due) {
		l.startFlush(out)
	}
}

// startFlush (J16) takes the oldest records, acknowledged all (J4): the newest image
// of each row that no later acknowledged record changed. That record stays in the
// journal, so of its rows the tables may have any older image, or none.
func (l *Log) startFlush(out *port.Effects) {
	f := &l.flush
	f.upTo = f.tail[0].upTo
	f.tail = slices.Delete(f.tail, 0, 1)
	l.collectEntries()
	l.collectPartitions()
	slices.SortFunc(f.entries, compareEntries)
	f.call = store.Flush{Fence: l.fence, Rows: l.flushRows(), Deleted: l.flushDeleted()}
	if len(f.call.Rows)+len(f.call.Deleted) == 0 {
		l.finishFlush()
		return
	}
	f.busy = true
	f.number++
	f.call.Number = f.number
	l.sendFlush(out)
}

// collectEntries moves the entries whose newest acknowledged image the flush takes from
// the dirty list to it. One that is deleted and was never in a table is done already.
func (l *Log) collectEntries() {
	f, rest := &l.flush, l.flush.dirty[:0]
	for _, e := range f.dirty {
		if e.gone {
			continue
		}
		e.dirty = e.seq > f.upTo
		if e.dirty {
			rest = append(rest, e)
		}
		image := e.at(l.durable)
		switch {
		case image == nil || image.seq > f.upTo:
		case image.seq <= l.flushed: // the former image of a lingering entry
		case image.kind == put || !e.fresh:
			f.entries = append(f.entries, e)
		case e.dirty:
			l.overlay.cut(e, f.upTo)
		default:
			l.overlay.remove(e)
		}
	}
	clear(f.dirty[len(rest):])
	f.dirty = rest
}

// collectPartitions does the same for deleted partitions. A deletion goes into
// one flush only: after it, rows that were put later may be in the table.
func (l *Log) collectPartitions() {
	f, rest := &l.flush, l.flush.tombs[:0]
	for _, p := range f.tombs {
		p.marked = p.tombs[len(p.tombs)-1] > f.upTo
		if p.marked {
			rest = append(rest, p)
		}
		if p.tomb(f.upTo) > l.flushed {
			f.parts = append(f.parts, p)
		}
	}
	clear(f.tombs[len(rest):])
	f.tombs = rest
}

// flushRows makes rows of the entries, in order, and merges neighbours. A row
// that was merged into another is not written; what the table may have of it is deleted.
func (l *Log) flushRows() []store.Row {
	rows := make([]store.Row, 0, len(l.flush.entries))
	last := -1 // the row that the next one may be merged into
	for _, e := range l.flush.entries {
		image, fresh := e.at(l.flush.upTo), e.fresh
		e.fresh = false // from now on the table may have it
		if image.kind == swept {
			continue
		}
		row := store.Row{Key: e.name(), Version: store.MakeVersion(l.fence.Epoch, image.seq), Value: slices.Clip(image.value)}
		if last >= 0 && image.kind == put && l.merge(&rows[last], row) {
			if fresh {
				continue
			}
			row.Value = nil
		} else if last = -1; image.kind == put {
			last = len(rows)
		}
		rows = append(rows, row)
	}
	return rows
}

// merge tries to make one row of two. The merged row is as new as the newer of them.
func (l *Log) merge(prev *store.Row, next store.Row) bool {
	a, b := &prev.Key, &next.Key
	if l.cfg.Coalesce == nil || a.Table != b.Table || a.Partition != b.Partition {
		return false
	}
	candidate := *prev
	if !l.cfg.Coalesce(&candidate, next) {
		return false
	}
	assert(candidate.Key == prev.Key && candidate.Value != nil, "a merged row keeps its key and has a value")
	prev.Value, prev.Version = candidate.Value, max(prev.Version, next.Version)
	return true
}

func (l *Log) flushDeleted() []store.DeletedPartition {
	slices.SortFunc(l.flush.parts, func(a, b *partition) int { return comparePartitions(a.id, b.id) })
	deleted := make([]store.DeletedPartition, 0, len(l.flush.parts))
	for _, p := range l.flush.parts {
		// Rows put by the same record come after the deletion: it is one older than they are.
		version := store.MakeVersion(l.fence.Epoch, p.tomb(l.flush.upTo)-1)
		deleted = append(deleted, store.DeletedPartition{Partition: p.id, Version: version})
	}
	return deleted
}

func (l *Log) sendFlush(out *port.Effects) {
	l.flush.at, l.flush.tag = 0, l.nextTag()
	out.Add(port.FlushStore{Tag: l.flush.tag, Flush: l.flush.call})
}

// repeatFlush sends the same flush again; under a new epoch it is a new one.
func (l *Log) repeatFlush(out *port.Effects) {
	f := &l.flush
	if f.call.Fence != l.fence {
		f.number++
		f.call = reissued(f.call, l.fence, f.number)
	}
	l.sendFlush(out)
}

// reissued copies the flush: the store may still read the rows of the first one.
func reissued(call store.Flush, fence store.Fence, number uint64) store.Flush {
	call.Fence, call.Number = fence, number
	call.Rows, call.Deleted = slices.Clone(call.Rows), slices.Clone(call.Deleted)
	for i := range call.Rows {
		call.Rows[i].Version = store.MakeVersion(fence.Epoch, call.Rows[i].Version.Seq())
	}
	for i := range call.Deleted {
		call.Deleted[i].Version = store.MakeVersion(fence.Epoch, call.Deleted[i].Version.Seq())
	}
	return call
}

func (l *Log) flushCompleted(c *port.Completed, out *port.Effects) Event {
	f := &l.flush
	f.tag = 0
	fenced := errors.Is(c.Err, store.ErrFenced) || errors.Is(c.Err, store.ErrRetired) || errors.Is(c.Err, store.ErrNoShard)
	switch {
	case c.Err == nil:
		l.finishFlush()
	case f.call.Fence != l.fence || l.state == reopening && fenced: // perhaps only our own Open fenced it
		f.at = max(l.last.Mono, 1)
	case fenced:
		return l.lost(c.Err, out)
	default:
		f.again(l)
	}
	return Event{}
}

// finishFlush: the rows are in their tables. The overlay lets them go when no
// read that may have missed them is under way (J8).
func (l *Log) finishFlush() {
	f := &l.flush
	assert(l.flushed < f.upTo && f.upTo <= l.durable, "J1: a flush takes acknowledged records")
	f.busy, f.retry, f.call = false, retry{}, store.Flush{}
	l.flushed = f.upTo
	f.more = len(f.tail) > 0 && l.full(&f.tail[0])
	for _, e := range f.entries {
		l.overlay.cut(e, f.upTo)
	}
	done := linger{until: l.lastTag(), upTo: f.upTo, entries: f.entries, parts: f.parts}
	if len(l.reads) > 0 {
		l.lingers = append(l.lingers, done)
		f.entries, f.parts = nil, nil
		return
	}
	l.letGo(done)
	clear(f.entries)
	clear(f.parts)
	f.entries, f.parts = f.entries[:0], f.parts[:0]
}

// letGo drops what the tables have, unless it changed since.
func (l *Log) letGo(done linger) {
	for _, e := range done.entries {
		if !e.gone && e.seq <= done.upTo {
			l.overlay.remove(e)
		}
	}
	for _, p := range done.parts {
		p.dropTombs(done.upTo)
		l.overlay.prune(p)
	}
}

// letGoAll lets go what no read needs any more, oldest first: so the deletion of
// a partition never outlives a row that was put after it.
func (l *Log) letGoAll() {
	n := 0
	for n < len(l.lingers) && (len(l.reads) == 0 || l.reads[0].tag > l.lingers[n].until) {
		l.letGo(l.lingers[n])
		n++
	}
	l.lingers = slices.Delete(l.lingers, 0, n)
}

func (e *entry) name() store.Key {
	return store.Key{Table: e.part.id.Table, Partition: e.part.id.Partition, Key: e.key}
}

func compareEntries(a, b *entry) int {
	if a.part != b.part {
		return comparePartitions(a.part.id, b.part.id)
	}
	return strings.Compare(a.key, b.key)
}

func comparePartitions(a, b store.Partition) int {
	if a.Table != b.Table {
		return cmp.Compare(a.Table, b.Table)
	}
	return strings.Compare(a.Partition, b.Partition)
}
