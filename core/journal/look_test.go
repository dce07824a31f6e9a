package journal

import "perdure/core/store"

// What tests look at and nobody else asks for.

// Peek is what the overlay alone knows of a row; known with a nil value: deleted.
func (l *Log) Peek(k store.Key) (value []byte, known bool) {
	p := l.overlay.get(store.Partition{Table: k.Table, Partition: k.Partition})
	if p == nil {
		return nil, false
	}
	if e := p.find(k.Key); e != nil {
		return e.value, true
	}
	return nil, len(p.tombs) > 0
}

// Clean says that nothing is unwritten or unflushed and the journal is empty.
func (l *Log) Clean() bool {
	return l.state == active && l.trimmed == l.seq && !l.open.due() && !l.handed.out && !l.flush.busy
}
