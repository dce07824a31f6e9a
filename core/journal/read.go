package journal

import (
	"slices"

	"perdure/core/port"
	"perdure/core/store"
)

// pendingRead is a read that has not come back.
type pendingRead struct {
	tag    uint64
	keys   []store.Key
	ranges []store.Range
}

// Read asks the tables for rows; neither slice must change any more. Its Event
// carries the tag that Read returns, and rows as they are when it comes back:
// the tables' with everything laid over that was changed and is not flushed.
func (l *Log) Read(keys []store.Key, ranges []store.Range, out *port.Effects) uint64 {
	assert(l.Active(), "a closed log was read")
	tag := l.nextTag()
	l.reads = append(l.reads, pendingRead{tag, keys, ranges})
	out.Add(port.ReadStore{Tag: tag, Keys: keys, Ranges: ranges})
	return tag
}

// readCompleted answers a Read; what only lingered for it goes afterwards.
func (l *Log) readCompleted(c *port.Completed) Event {
	i := slices.IndexFunc(l.reads, func(r pendingRead) bool { return r.tag == c.Tag })
	if i < 0 {
		return Event{}
	}
	r := l.reads[i]
	l.reads = slices.Delete(l.reads, i, i+1)
	ev := Event{Kind: Read, Tag: c.Tag, Err: c.Err}
	if c.Err == nil {
		assert(len(c.Rows) == len(r.keys) && len(c.Scans) == len(r.ranges), "a read answers every key and range")
		ev.Rows = l.overlayRows(c.Rows)
		ev.Scans = make([][]store.Row, len(r.ranges))
		ev.Next = make([]string, len(r.ranges))
		for i, in := range r.ranges {
			ev.Scans[i], ev.Next[i] = l.overlayScan(in, c.Scans[i])
		}
	}
	l.letGoAll()
	return ev
}

// overlayRows replaces the rows that the overlay knows better.
func (l *Log) overlayRows(rows []store.Row) []store.Row {
	copied := false
	for i := range rows {
		k := rows[i].Key
		p := l.overlay.get(store.Partition{Table: k.Table, Partition: k.Partition})
		if p == nil {
			continue
		}
		row := store.Row{Key: k}
		if e := p.find(k.Key); e != nil {
			row = l.row(e)
		} else if len(p.tombs) == 0 {
			continue
		}
		if !copied {
			rows, copied = slices.Clone(rows), true
		}
		rows[i] = row
	}
	return rows
}

func (l *Log) row(e *entry) store.Row {
	return store.Row{Key: e.name(), Version: store.MakeVersion(l.fence.Epoch, e.seq), Value: e.value}
}

// overlayScan merges the overlay into the answer of one range. An answer that
// its limit may have cut says nothing of the keys behind its last row, so
// neither does the result.
func (l *Log) overlayScan(in store.Range, rows []store.Row) (merged []store.Row, next string) {
	to := in.To
	if in.Limit > 0 && len(rows) >= in.Limit {
		next = following(rows[len(rows)-1].Key.Key)
	}
	if p := l.overlay.get(store.Partition{Table: in.Table, Partition: in.Partition}); p != nil {
		if len(p.tombs) > 0 { // all that the table has is deleted
			rows, next = nil, ""
		}
		if next != "" {
			to = next
		}
		rows = l.mergeRows(rows, p.window(in.From, to))
	}
	if in.Limit > 0 && len(rows) > in.Limit {
		rows = rows[:in.Limit]
		next = following(rows[in.Limit-1].Key.Key)
	}
	if in.To != "" && next >= in.To {
		next = ""
	}
	return rows, next
}

// following is the smallest key above key.
func following(key string) string { return key + "\x00" }

// mergeRows merges two ascending lists; of equal keys the entry counts.
func (l *Log) mergeRows(rows []store.Row, entries []*entry) []store.Row {
	if len(entries) == 0 {
		return rows
	}
	merged := make([]store.Row, 0, len(rows)+len(entries))
	for _, e := range entries {
		for len(rows) > 0 && rows[0].Key.Key < e.key {
			merged, rows = append(merged, rows[0]), rows[1:]
		}
		if len(rows) > 0 && rows[0].Key.Key == e.key {
			rows = rows[1:]
		}
		if e.kind == put {
			merged = append(merged, l.row(e))
		}
	}
	return append(merged, rows...)
}
