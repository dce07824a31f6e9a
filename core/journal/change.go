package journal

import (
	"perdure/core/store"
)

// openRecord collects what changed since the last record was taken; it will be record seq+1.
type openRecord struct {
	entries []*entry     // changed ones, each once, perhaps changed back since
	tombs   []*partition // deleted ones
	rows    int          // entries whose newest image the record will name
	awaited bool         // something waits for the record, even should it stay empty
}

func (r *openRecord) changed() bool { return r.rows > 0 || len(r.tombs) > 0 }

// due says that the record must be written. A change that was taken back may
// have been waited for: its position must become durable all the same.
func (r *openRecord) due() bool { return r.changed() || r.awaited }

func (r *openRecord) reset() {
	clear(r.entries)
	clear(r.tombs)
	*r = openRecord{entries: r.entries[:0], tombs: r.tombs[:0]}
}

// Put changes a row; v must not change any more. fresh: the caller knows that
// no row of that key was ever written to the tables.
func (l *Log) Put(k store.Key, v []byte, fresh bool) {
	assert(l.Active(), "a closed log was changed")
	assert(len(k.Key) <= store.MaxKey, "key too long")
	if v == nil {
		v = []byte{}
	}
	p := l.overlay.ensure(store.Partition{Table: k.Table, Partition: k.Partition})
	e := p.find(k.Key)
	if e == nil {
		e = l.overlay.insert(p, k.Key)
		e.fresh = fresh
	}
	l.change(e, put, v)
}

// Delete removes a row.
func (l *Log) Delete(k store.Key) {
	assert(l.Active(), "a closed log was changed")
	p := l.overlay.ensure(store.Partition{Table: k.Table, Partition: k.Partition})
	e := p.find(k.Key)
	switch {
	case e == nil:
		l.change(l.overlay.insert(p, k.Key), deleted, nil)
	case e.fresh && !e.taken: // neither journal nor table ever heard of it
		l.vanish(e)
	case e.kind == put:
		l.change(e, deleted, nil)
	}
}

// DeletePartition removes all rows of a partition, those in the table included.
func (l *Log) DeletePartition(id store.Partition) {
	assert(l.Active(), "a closed log was changed")
	p, open := l.overlay.ensure(id), l.seq+1
	if n := len(p.tombs); n == 0 || p.tombs[n-1] != open {
		p.tombs = append(p.tombs, open)
		l.open.tombs = append(l.open.tombs, p)
	}
	if !p.marked {
		p.marked = true
		l.flush.tombs = append(l.flush.tombs, p)
	}
	for i := len(p.order) - 1; i >= 0; i-- { // from the back: vanish shortens order
		e := p.order[i]
		switch {
		case e.gone:
		case !e.taken:
			l.vanish(e)
		case e.kind == put || e.seq == open:
			l.change(e, swept, nil)
		}
	}
}

// change makes the entry's newest image one of the open record.
func (l *Log) change(e *entry, kind imageKind, value []byte) {
	open := l.seq + 1
	if e.seq == open && e.kind != swept {
		l.open.rows--
	}
	if kind != swept {
		l.open.rows++
	}
	if e.listed != open {
		e.listed = open
		l.open.entries = append(l.open.entries, e)
	}
	l.overlay.set(e, open, l.durable, kind, value)
	if !e.dirty {
		e.dirty = true
		l.flush.dirty = append(l.flush.dirty, e)
	}
}

// vanish undoes what only the open record knows.
func (l *Log) vanish(e *entry) {
	if e.kind != swept {
		l.open.rows--
	}
	l.overlay.remove(e)
}

// Unflushed says that the row is in the overlay and certainly in no table.
func (l *Log) Unflushed(k store.Key) bool {
	p := l.overlay.get(store.Partition{Table: k.Table, Partition: k.Partition})
	if p == nil {
		return false
	}
	e := p.find(k.Key)
	return e != nil && e.fresh
}
