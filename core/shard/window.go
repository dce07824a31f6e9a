package shard

import (
	"fmt"
	"sort"

	"perdure/core/history"
	"perdure/core/journal"
	"perdure/core/port"
	"perdure/core/store"
)

// The history of a run in memory is a window: consecutive batches, encoded. What
// a handler needs beyond it is read, and replaces it.

const maxWindow = 1 << 20 // bytes of history kept with a run that goes on

// appendHistory adds a new batch. If the window was one of the past, it is not any more.
func (e *entry) appendHistory(b history.Batch) {
	if n := len(e.hist); n > 0 && e.hist[n-1].Last+1 != b.First {
		e.setHistory(nil)
	}
	e.hist = append(e.hist, b)
	e.histSize += len(b.Events)
	for e.histSize > maxWindow && len(e.hist) > 1 {
		e.histSize -= len(e.hist[0].Events)
		e.hist = e.hist[1:]
	}
}

// setHistory replaces the window by what was read.
func (e *entry) setHistory(bs []history.Batch) {
	e.hist, e.histSize = bs, 0
	for _, b := range bs {
		e.histSize += len(b.Events)
	}
}

// find is the place of the batch that holds event id, false if it is not in the window.
func (e *entry) find(id int64) (int, bool) {
	if len(e.hist) == 0 || id < e.hist[0].First {
		return 0, false
	}
	i := sort.Search(len(e.hist), func(i int) bool { return e.hist[i].Last >= id })
	return i, i < len(e.hist)
}

// batches gives up to most batches beginning with the one that holds event from;
// fewer if these are as large as a window. False: the window does not hold them.
func (e *entry) batches(from int64, most int) ([]history.Batch, bool) {
	if from > e.run.LastEvent() {
		return nil, true
	}
	i, ok := e.find(from)
	if !ok {
		return nil, false
	}
	out := e.hist[i:]
	if len(out) >= most {
		return out[:most], true
	}
	return out, out[len(out)-1].Last == e.run.LastEvent() || totalSize(out) >= maxWindow
}

func totalSize(bs []history.Batch) (n int) {
	for _, b := range bs {
		n += len(b.Events)
	}
	return n
}

// window makes sure that batches from event from on are in memory, most of them
// or a window full. False: in was parked.
func (s *Shard) window(e *entry, from int64, most int, in port.Input) ([]history.Batch, bool) {
	bs, ok := e.batches(from, most)
	if !ok {
		s.parkForHistory(e, in, historyRead{from: from, to: from, most: most})
	}
	return bs, ok
}

// span makes sure that all batches from event from to event to are in memory. False: in was parked.
func (s *Shard) span(e *entry, from, to int64, in port.Input) ([]history.Batch, bool) {
	i, first := e.find(from)
	j, last := e.find(to)
	if !first || !last {
		s.parkForHistory(e, in, historyRead{from: from, to: to})
		return nil, false
	}
	return e.hist[i : j+1], true
}

// parkForHistory handles in again when the events are in memory, or when another
// read is done that was under way.
func (s *Shard) parkForHistory(e *entry, in port.Input, r historyRead) {
	e.parked = append(e.parked, in)
	if !e.reading {
		e.reading = true
		r.entry = e
		s.readFor(&r)
	}
}

// historyRead collects the rows that hold events from..to, and on until there are
// most batches or a window full. The row that holds an event may begin before it,
// nobody knows where: so a read steps back, farther each time, until it finds it.
// That is so of every part of a read: a flush may merge rows between two parts.
type historyRead struct {
	entry    *entry
	from, to int64
	most     int
	back     int64
	key      string // where the part under way begins
	batches  []history.Batch
}

// wanted is the first event that is not read yet.
func (r *historyRead) wanted() int64 {
	if n := len(r.batches); n > 0 {
		return r.batches[n-1].Last + 1
	}
	return r.from
}

// readFor reads rows from some events before the one that is wanted.
func (s *Shard) readFor(r *historyRead) {
	s.readHistory(r, history.EventKey(max(r.wanted()-r.back, 1)))
}

func (s *Shard) readHistory(r *historyRead, key string) {
	r.key = key
	s.read(nil, []store.Range{{Table: store.History, Partition: r.entry.key.RunID, From: key, Limit: s.cfg.HistoryRows}}, func(ev *journal.Event) {
		s.historyRead(r, ev)
	})
}

func (s *Shard) historyRead(r *historyRead, ev *journal.Event) {
	found, more := decodeHistory(ev.Scans[0], r.wanted()), ev.Next[0]
	switch {
	case r.before(found, more):
		r.back = max(8*r.back, 64)
		s.readFor(r)
	case !r.enough(found) && more != "":
		s.readHistory(r, more)
	default:
		s.historyLoaded(r)
	}
}

// before says that the event that is wanted is in a row before those that were read.
func (r *historyRead) before(found []history.Batch, more string) bool {
	switch {
	case r.key == history.EventKey(1):
		return false
	case len(found) > 0:
		return found[0].First > r.wanted()
	}
	return more == "" && (len(r.batches) == 0 || r.entry.run != nil && r.wanted() <= r.entry.run.LastEvent())
}

// enough takes in what was found and says whether that is all that is wanted.
func (r *historyRead) enough(found []history.Batch) bool {
	r.batches = append(r.batches, found...)
	n := len(r.batches)
	return n > 0 && r.batches[n-1].Last >= r.to && (n >= r.most || totalSize(r.batches) >= maxWindow)
}

func (s *Shard) historyLoaded(r *historyRead) {
	e := r.entry
	e.reading = false
	if e.run != nil {
		if id := r.missing(); id > 0 {
			s.unreadable(e, fmt.Errorf("event %d is missing", id))
			return
		}
		e.setHistory(r.batches)
	}
	s.cache.resize(e)
	parked := e.parked
	e.parked = nil
	for _, in := range parked {
		s.serve(in)
	}
}

// missing is the first event that is not where it should be, 0 if none.
func (r *historyRead) missing() int64 {
	next := r.from
	for i, b := range r.batches {
		if b.First > next || i > 0 && b.First < next {
			return next
		}
		next = b.Last + 1
	}
	if next == r.from {
		return next
	}
	return 0
}

// decodeHistory gives the batches of rows that hold events from on. Rows may
// overlap after a crash between two flushes: what was seen is skipped.
func decodeHistory(rows []store.Row, from int64) []history.Batch {
	var out []history.Batch
	next := from
	for _, row := range rows {
		batches, err := history.DecodeRow(row.Value)
		if err != nil {
			panic("shard: a history row cannot be read: " + err.Error())
		}
		for _, b := range batches {
			if b.Last < next {
				continue
			}
			out = append(out, b)
			next = b.Last + 1
		}
	}
	return out
}
