package shard

import (
	"perdure/core/history"
	"perdure/core/placement"
	"perdure/core/port"
	"perdure/core/run"
	"perdure/core/run/runpb"
	"perdure/core/store"

	"google.golang.org/protobuf/proto"
)

// apply records the changes of a transition: rows into the open record, tasks
// into their queues, the deadline into the index, messages on their way.
func (s *Shard) apply(e *entry, c *run.Changes) {
	s.deciding = false
	if c == nil {
		return
	}
	k := e.key
	s.keepTime(c.Due)
	s.log.Put(runKey(k), c.Row, c.First)
	for _, p := range c.Pending {
		if p.Value == nil {
			s.log.Delete(pendingKey(k, p.Key))
			continue
		}
		s.log.Put(pendingKey(k, p.Key), p.Value, p.Fresh)
	}
	for _, b := range c.Batches {
		s.log.Put(history.Key(k.RunID, b.First), history.EncodeRow(b), true)
		e.appendHistory(b)
	}
	if c.DueGone != 0 {
		s.log.Delete(deadlineKey(k, c.DueGone))
	}
	if c.Due != 0 {
		s.log.Put(deadlineKey(k, c.Due), encodeDeadline(k), true)
	}
	for i := range c.Dropped {
		s.withdraw(e, &c.Dropped[i])
	}
	for i := range c.Added {
		s.dispatch(e, &c.Added[i])
	}
	if c.NextRun != nil {
		s.adopt(c.Next, c.NextRun)
	}
	e.seq = s.log.Seq()
	s.sendOwed(e)
	s.due.set(k, e.run.S.DeadlineRow, e.run.Deadline())
	s.cache.resize(e)
	s.changed(e, c)
}

// adopt takes in a run that was just made, and makes it the current one.
func (s *Shard) adopt(r *run.Run, c *run.Changes) *entry {
	e := s.cache.runs[r.Key()]
	if e == nil {
		e = &entry{key: r.Key()}
		s.cache.add(e)
	}
	e.run = r // somebody may be looking for it already; what is read does not replace it
	s.setCurrent(e.key)
	s.apply(e, c)
	return e
}

func (s *Shard) setCurrent(k port.RunKey) {
	w := s.cache.workflow(k)
	fresh := w.known && w.current == ""
	w.known, w.current = true, k.RunID
	row, err := proto.MarshalOptions{Deterministic: true}.Marshal(&runpb.Current{Format: run.Format, RunId: k.RunID})
	if err != nil {
		panic("shard: a pointer row cannot be encoded: " + err.Error())
	}
	key := pointerKey(k)
	s.absent.note(pointerHash(key.Key))
	s.log.Put(key, row, fresh)
}

// changed wakes who waits for the run: history polls, and queries that the run's new state answers.
func (s *Shard) changed(e *entry, c *run.Changes) {
	if len(c.Batches) > 0 || c.Closed {
		s.waits.wake(e.key, e.run.Closed(), s.serveRequest)
	}
	s.settleQueries(e)
}

func (s *Shard) serveRequest(r *port.Request) { s.serve(r) }

// sendOwed sends what the run owes to others, once that is durable (S5).
func (s *Shard) sendOwed(e *entry) {
	if !e.run.Owes() {
		return
	}
	env := s.env(e.key.NamespaceID, e.key)
	owed := e.run.Owed(env, func() (history.Batch, bool) { return s.lastBatch(e) })
	s.deciding = false
	for _, m := range owed {
		m.Sender, m.Sent = s.cfg.Self, s.now.Wall
		s.log.SendAfter(s.shardOf(m.To), m, e.seq, s.out)
	}
}

// lastBatch is the batch of the close event, if it is in memory; else it is
// loaded and the run is woken again.
func (s *Shard) lastBatch(e *entry) (history.Batch, bool) {
	first := e.run.S.CloseEventBatch
	bs, ok := s.window(e, first, 1, port.Wake{Run: e.key})
	if !ok || len(bs) == 0 {
		return history.Batch{}, false
	}
	return bs[0], true
}

func (s *Shard) shardOf(k port.RunKey) port.Address {
	at, _ := placement.ShardAddress(s.members, s.cfg.Self.Node, s.snapshot.ShardOf(port.Slot(k.NamespaceID, k.WorkflowID)))
	return at
}

// retire removes a closed run whose retention is over (S4), and all its rows. False:
// in, which found it, waits for the pointer to the current run.
func (s *Shard) retire(e *entry, in port.Input) bool {
	k := e.key
	current, ok := s.current(k, in)
	if !ok {
		return false
	}
	s.log.Delete(runKey(k))
	s.log.DeletePartition(store.Partition{Table: store.Pending, Partition: k.RunID})
	s.log.DeletePartition(store.Partition{Table: store.History, Partition: k.RunID})
	if at := e.run.S.DeadlineRow; at != 0 {
		s.log.Delete(deadlineKey(k, at))
	}
	if current == k.RunID {
		s.log.Delete(pointerKey(k))
	}
	if current == k.RunID || s.cache.runs[port.RunKey{NamespaceID: k.NamespaceID, WorkflowID: k.WorkflowID, RunID: current}] == nil {
		s.cache.forgetWorkflow(k)
	}
	s.due.drop(k)
	e.run = nil
	s.cache.remove(e)
	s.waits.wake(k, true, s.serveRequest)
	return true
}
