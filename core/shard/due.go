package shard

import (
	"time"

	"github.com/tidwall/btree"

	"perdure/core/journal"
	"perdure/core/port"
	"perdure/core/store"
)

// The index of deadlines: when each run must be woken. Memory mirrors the rows of
// due; of a run in memory it knows the exact time, of another the time of its row.

type dueIndex struct {
	at    map[port.RunKey]int64
	order *btree.BTreeG[dueItem]
}

type dueItem struct {
	at  int64
	key port.RunKey
}

func dueLess(a, b dueItem) bool {
	if a.at != b.at {
		return a.at < b.at
	}
	return a.key.RunID < b.key.RunID
}

func newDueIndex() dueIndex {
	return dueIndex{at: map[port.RunKey]int64{}, order: btree.NewBTreeGOptions(dueLess, btree.Options{NoLocks: true})}
}

// set notes when a run must be woken; 0: never.
func (d *dueIndex) set(k port.RunKey, at int64) {
	old, known := d.at[k]
	if known && old == at {
		return
	}
	if known {
		d.order.Delete(dueItem{old, k})
		delete(d.at, k)
	}
	if at != 0 {
		d.at[k] = at
		d.order.Set(dueItem{at, k})
	}
}

// learned replaces the time of a run's row by the exact one, if the run is known here.
func (d *dueIndex) learned(k port.RunKey, at int64) {
	if _, known := d.at[k]; known {
		d.set(k, at)
	}
}

// pop takes the first run whose time has come.
func (d *dueIndex) pop(now int64) (port.RunKey, bool) {
	first, ok := d.order.Min()
	if !ok || first.at > now {
		return port.RunKey{}, false
	}
	d.set(first.key, 0)
	return first.key, true
}

// next is the wall time of the next deadline.
func (d *dueIndex) next(shardNow int64, wall time.Time) time.Time {
	first, ok := d.order.Min()
	if !ok {
		return time.Time{}
	}
	return wall.Add(time.Duration(max(first.at-shardNow, 0)))
}

const firePerStep = 64 // so that one step stays short

// fireDue wakes the runs whose time has come.
func (s *Shard) fireDue() {
	if !s.ready || s.snapshot == nil {
		return
	}
	for range firePerStep {
		k, ok := s.due.pop(s.time)
		if !ok {
			return
		}
		s.serve(port.Wake{Run: k})
	}
}

// wakeRun lets time pass for one run.
func (s *Shard) wakeRun(k port.RunKey) {
	e, ok := s.load(k, port.Wake{Run: k})
	if !ok || e == nil || e.run == nil {
		return
	}
	env := s.env(k.NamespaceID, k)
	c := e.run.Fire(env)
	if c != nil {
		s.apply(e, c)
	} else {
		s.sendOwed(e)
	}
	at := e.run.Deadline()
	switch {
	case e.run.Closed() && !e.run.Owes() && e.run.S.RetentionTime <= s.time:
		if _, known := s.current(k, port.Wake{Run: k}); known { // else it is woken again when its pointer was read
			s.retire(e)
		}
		return
	case c == nil && (at == 0 || at > s.time) && e.run.S.DeadlineRow != 0 && e.run.S.DeadlineRow <= s.time && !e.run.Owes():
		s.apply(e, e.run.Rearm(env)) // its row was early: it moves on
	}
	if e.run.Closed() && e.run.Owes() && at <= s.time {
		at = s.time + time.Second.Nanoseconds() // retention waits for what the run owes
	}
	if e.reading && at != 0 && at <= s.time {
		at = s.time + time.Second.Nanoseconds() // a message needs history: its read wakes the run
	}
	s.due.set(k, at)
}

// loadDue fills the index after the journal was opened.
func (s *Shard) loadDue() {
	strips := s.log.Strips()
	ranges := make([]store.Range, 0, int(strips.To-strips.From))
	for p := strips.From; p < strips.To; p++ {
		ranges = append(ranges, store.Range{Table: store.Due, Partition: stripPartition(p)})
	}
	s.read(nil, ranges, s.dueLoaded)
}

func (s *Shard) dueLoaded(ev *journal.Event) {
	for _, rows := range ev.Scans {
		for _, row := range rows {
			if row.Key.Key == keyClock {
				s.clockLoaded(row.Value)
				continue
			}
			t, err := DecodeDue(row.Value)
			if err != nil {
				panic("shard: " + err.Error())
			}
			if t.Kind == 0 {
				s.due.set(t.Run, deadlineTime(row.Key.Key))
				continue
			}
			t.Shard = s.cfg.Self // rows do not say it: they outlive their shard
			s.queues.add(t)
		}
	}
	s.ready = true
	s.runEarly()
}
