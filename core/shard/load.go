package shard

import (
	"errors"

	"perdure/core/history"
	"perdure/core/journal"
	"perdure/core/port"
	"perdure/core/run"
	"perdure/core/run/runpb"
	"perdure/core/store"

	"google.golang.org/protobuf/proto"
)

// current finds the current run id of a workflow. False: in was parked and will
// be handled again.
func (s *Shard) current(k port.RunKey, in port.Input) (string, bool) {
	if s.cache.workflows[workflowKey{k.NamespaceID, k.WorkflowID}] == nil && s.absent.certainly(k) {
		return "", true
	}
	w := s.cache.workflow(k)
	if w.known {
		return w.current, true
	}
	w.parked = append(w.parked, in)
	if !w.loading {
		w.loading = true
		key := pointerKey(k)
		s.read([]store.Key{key}, nil, func(ev *journal.Event) { s.pointerLoaded(k, w, ev.Rows[0].Value) })
	}
	return "", false
}

func (s *Shard) pointerLoaded(k port.RunKey, w *workflow, value []byte) {
	w.loading = false
	if !w.known { // a start that came meanwhile knows better
		w.known, w.current = true, ""
		if value != nil {
			var p runpb.Current
			if err := proto.Unmarshal(value, &p); err != nil {
				panic("shard: a pointer row is corrupt: " + err.Error())
			}
			w.current = p.RunId
		}
	}
	parked := w.parked
	w.parked = nil
	for _, in := range parked {
		s.serve(in)
	}
	// Serving may have forgotten w, and begun to load the pointer again for another input.
	if w.current == "" && len(w.parked) == 0 && s.cache.workflows[workflowKey{k.NamespaceID, k.WorkflowID}] == w {
		s.cache.forgetWorkflow(k)
	}
}

// load finds a run; an empty RunID means the current one. ok is false if in was
// parked: it will be handled again from its beginning (S1). A nil entry, or one without a run, means there is none.
func (s *Shard) load(k port.RunKey, in port.Input) (e *entry, ok bool) {
	if k.RunID == "" {
		id, ok := s.current(k, in)
		if !ok {
			return nil, false
		}
		if id == "" {
			return nil, true
		}
		k.RunID = id
	}
	if s.sick[k] != "" {
		s.turnAway(k, in)
		return nil, false
	}
	e = s.cache.runs[k]
	if e == nil {
		e = &entry{key: k}
		s.cache.add(e)
		s.loadRun(e)
	}
	if e.loading {
		e.parked = append(e.parked, in)
		return nil, false
	}
	s.cache.used(e)
	if _, woken := in.(port.Wake); !woken && s.outlived(e.run) && e.seq <= s.log.Durable() {
		return nil, s.retire(e, in) // its wake is late; or there is none, if it was removed once and the database forgot that
	}
	return e, true
}

// outlived says that the retention of a run is over and nothing keeps it (S4): whoever asks for it finds it no more (S8).
func (s *Shard) outlived(r *run.Run) bool {
	return r != nil && r.Closed() && !r.Owes() && r.S.RetentionTime <= s.time
}

// loadRun reads the run row, its pending rows and its first event.
func (s *Shard) loadRun(e *entry) {
	e.loading = true
	s.read([]store.Key{runKey(e.key)}, []store.Range{
		{Table: store.Pending, Partition: e.key.RunID},
		{Table: store.History, Partition: e.key.RunID, Limit: 1},
	}, func(ev *journal.Event) { s.runLoaded(e, ev) })
}

func (s *Shard) runLoaded(e *entry, ev *journal.Event) {
	e.loading = false
	if row := ev.Rows[0].Value; row != nil && e.run == nil {
		r, batches, err := s.build(row, ev)
		if err != nil {
			s.unreadable(e, err)
			return
		}
		if r.S.NamespaceId == e.key.NamespaceID && r.S.WorkflowId == e.key.WorkflowID {
			e.run = r
			e.seq = s.log.Seq() // its rows may come from a record that is not durable yet
			if len(batches) == 0 {
				e.seq = 0 // these do not: it was removed once
			}
			e.setHistory(batches)
			s.due.learned(e.key, r.Deadline())
		}
	}
	s.cache.resize(e)
	parked := e.parked
	e.parked = nil
	for _, in := range parked {
		s.serve(in)
	}
	if e.run == nil && len(e.parked) == 0 && s.cache.runs[e.key] == e {
		s.cache.remove(e)
	}
}

func (s *Shard) build(row []byte, ev *journal.Event) (*run.Run, []history.Batch, error) {
	pending := make([]run.Row, len(ev.Scans[0]))
	for i, p := range ev.Scans[0] {
		pending[i] = run.Row{Key: p.Key.Key, Value: p.Value}
	}
	r, err := run.NewFromRows(row, pending)
	if err != nil {
		return nil, nil, err
	}
	batches := decodeHistory(ev.Scans[1], 0)
	if len(batches) == 0 && s.outlived(r) {
		return r, nil, nil // it was removed once, and the rest of it has not come back
	}
	if len(batches) == 0 {
		return nil, nil, errors.New("it has no history")
	}
	return r, batches, r.LoadStart(batches[0])
}

// unreadable: rows that do not fit together. Either this shard has another owner,
// who is removing them, or an invariant is broken: a proof of ownership tells.
// Until then whatever needs the run stays parked.
func (s *Shard) unreadable(e *entry, err error) {
	e.loading = true
	s.lastSuspect++
	s.suspects[s.lastSuspect] = suspect{e, err.Error()}
	s.log.SendProven(s.cfg.Self, &port.Completed{Tag: s.lastSuspect}, s.log.Durable(), s.out)
}

// suspect is a run that could not be read.
type suspect struct {
	entry *entry
	what  string
}

// proven is told that the shard was this node's when it could not read a run.
func (s *Shard) proven(c *port.Completed) {
	x, known := s.suspects[c.Tag]
	if !known {
		return
	}
	delete(s.suspects, c.Tag)
	parked := x.entry.parked
	s.setAside(x.entry.key, x.what)
	for _, in := range parked {
		s.turnAway(x.entry.key, in)
	}
}
