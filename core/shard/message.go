package shard

import (
	enumspb "go.temporal.io/api/enums/v1"

	"perdure/core/journal"
	"perdure/core/port"
	"perdure/core/run"
	"perdure/core/store"
)

// Messages of runs to other runs. The receiver records what is asked and answers
// once that is durable; what was recorded before is answered again. So a message
// can be repeated until its outcome is known. A failure is final: a later copy of the
// message must not succeed (docs/decisions/006-messages-between-runs.md).

func (s *Shard) message(m *port.Message) {
	if s.now.Wall.Sub(m.Sent) > run.MessageAge {
		return // who still needs it sends it again
	}
	switch body := m.Body.(type) {
	case *run.StartChildBody:
		s.childStart(m, body)
	case *run.SignalBody:
		s.externalSignal(m, body)
	case *run.CancelBody:
		s.externalCancel(m, body)
	case *run.ParentClosedBody:
		s.parentClosed(m, body)
	case *run.ChildStartedBody:
		s.childRecorded(m)
	case *run.ChildClosedBody:
		s.childClosed(m, body)
	case *run.ChildWaitsBody:
		s.childWaits(m, body)
	}
}

// settled sends the outcome once everything recorded so far is durable, and only
// from who is proven to own the shard: that a run is missing, or closed, may be news
// of the past at an owner that was displaced.
func (s *Shard) settled(m *port.Message, r *run.Result) {
	r.Of = m.To.RunID
	s.log.SendProven(m.Sender, &port.Outcome{To: m.From, Kind: m.Kind, ID: m.ID, Body: r}, s.log.Seq(), s.out)
}

func (s *Shard) outcome(o *port.Outcome) {
	e, ok := s.load(o.To, o)
	if !ok || e == nil || e.run == nil {
		return
	}
	s.apply(e, e.run.Outcome(s.env(e.key.NamespaceID, e.key), o))
}

func (s *Shard) childStart(m *port.Message, b *run.StartChildBody) {
	old, ok := s.currentRun(m.To, m)
	if !ok {
		return
	}
	env := s.env(m.To.NamespaceID, m.To)
	const exists = int32(enumspb.START_CHILD_WORKFLOW_EXECUTION_FAILED_CAUSE_WORKFLOW_ALREADY_EXISTS)
	if old != nil && old.run.S.StartRequestId == b.RequestID {
		s.settled(m, &run.Result{RunID: b.RunID})
		return
	}
	if s.startedEarlier(m, b, old) {
		return
	}
	if old != nil && !old.run.Closed() {
		if b.Initiated.WorkflowIdReusePolicy != enumspb.WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING || sameWorkflow(m.From, old.key) {
			s.settled(m, &run.Result{Cause: exists})
			return
		}
		s.terminateFor(old, b.RunID)
	} else if old != nil && reuse(old, b.Initiated.WorkflowIdReusePolicy) != nil {
		s.settled(m, &run.Result{Cause: exists})
		return
	}
	s.adopt(run.New(env, run.ChildSpec(env, b)))
	s.settled(m, &run.Result{RunID: b.RunID})
}

// startedEarlier answers for a child whose chain went on, or whose id was used
// again, before the parent heard of its start. True also if m waits for rows.
func (s *Shard) startedEarlier(m *port.Message, b *run.StartChildBody, current *entry) bool {
	k := port.RunKey{NamespaceID: m.To.NamespaceID, WorkflowID: m.To.WorkflowID, RunID: b.RunID}
	switch {
	case current == nil:
		return s.startedLongAgo(m, k)
	case current.run.S.FirstRunId == b.RunID:
		s.settled(m, &run.Result{RunID: b.RunID})
		return true
	}
	e, ok := s.load(k, m)
	if !ok {
		return true
	}
	if e != nil && e.run != nil {
		s.settled(m, &run.Result{RunID: b.RunID})
		return true
	}
	return false
}

// startedLongAgo looks for a run that is kept though the workflow id has no current
// run any more: its id was used again and that run's retention is over. A first
// copy is younger than any retention, so it need not look.
func (s *Shard) startedLongAgo(m *port.Message, k port.RunKey) bool {
	if !m.Repeated || m.Checked {
		return false
	}
	s.read([]store.Key{runKey(k)}, nil, func(ev *journal.Event) {
		if ev.Rows[0].Value != nil {
			s.settled(m, &run.Result{RunID: k.RunID})
			return
		}
		checked := *m
		checked.Checked = true
		s.serve(&checked)
	})
	return true
}

func sameWorkflow(a, b port.RunKey) bool {
	return a.NamespaceID == b.NamespaceID && a.WorkflowID == b.WorkflowID
}

// childRecorded lets a child begin.
func (s *Shard) childRecorded(m *port.Message) {
	e, ok := s.load(m.To, m)
	if !ok {
		return
	}
	if e != nil && e.run != nil {
		s.apply(e, e.run.ParentRecorded(s.env(e.key.NamespaceID, e.key)))
	}
	s.settled(m, &run.Result{})
}

func (s *Shard) externalSignal(m *port.Message, b *run.SignalBody) {
	const missing = int32(enumspb.SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_EXTERNAL_WORKFLOW_EXECUTION_NOT_FOUND)
	const tooMany = int32(enumspb.SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_SIGNAL_COUNT_LIMIT_EXCEEDED)
	e, ok := s.load(m.To, m)
	switch {
	case !ok:
		return
	case !reachable(e, m, b.ChildOnly), b.Signal == nil && e.run.Closed():
		s.settled(m, &run.Result{Cause: missing})
		return
	case b.Signal == nil:
		s.settled(m, &run.Result{RunID: e.key.RunID})
		return
	}
	c, f := e.run.Signal(s.env(e.key.NamespaceID, e.key), b.Signal)
	switch {
	case f == nil:
		s.apply(e, c)
		s.settled(m, &run.Result{})
	case f.Code == port.ResourceExhausted: // its run is closing: the message comes again
	case f.Code == port.InvalidArgument:
		s.settled(m, &run.Result{Cause: tooMany})
	default:
		s.settled(m, &run.Result{Cause: missing, Moved: true})
	}
}

// externalCancel needs no key: that a cancel was requested is part of the run.
func (s *Shard) externalCancel(m *port.Message, b *run.CancelBody) {
	const missing = int32(enumspb.CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_EXTERNAL_WORKFLOW_EXECUTION_NOT_FOUND)
	e, ok := s.load(m.To, m)
	switch {
	case !ok:
	case !reachable(e, m, b.ChildOnly):
		s.settled(m, &run.Result{Cause: missing})
	case e.run.Closed():
		s.settled(m, &run.Result{Moved: !e.run.S.CancelRequested})
	case b.Cancel == nil:
		s.settled(m, &run.Result{RunID: e.key.RunID})
	default:
		s.apply(e, e.run.RequestCancel(s.env(e.key.NamespaceID, e.key), b.Cancel))
		s.settled(m, &run.Result{})
	}
}

// reachable reports whether there is a run that the sender may signal or cancel.
func reachable(e *entry, m *port.Message, childOnly bool) bool {
	return e != nil && e.run != nil && !sameWorkflow(m.From, m.To) && (!childOnly || childOf(e, m.From))
}

func childOf(e *entry, parent port.RunKey) bool {
	return e.run.S.ParentWorkflowId == parent.WorkflowID && e.run.S.ParentNamespaceId == parent.NamespaceID && e.run.S.ParentRunId == parent.RunID
}

// parentClosed carries out a parent close policy on the current run of the child.
func (s *Shard) parentClosed(m *port.Message, b *run.ParentClosedBody) {
	e, ok := s.currentRun(m.To, m)
	if !ok {
		return
	}
	if e != nil && e.run.S.FirstRunId == b.FirstRunID {
		s.apply(e, e.run.ParentClosed(s.env(e.key.NamespaceID, e.key), b))
	}
	s.settled(m, &run.Result{})
}

// childWaits tells a child whether its parent recorded the start. A parent that
// is gone owed nothing any more, so it had recorded something else.
func (s *Shard) childWaits(m *port.Message, b *run.ChildWaitsBody) {
	e, ok := s.load(m.To, m)
	if !ok {
		return
	}
	answer := &run.Result{NotFound: true}
	if e != nil && e.run != nil {
		answer = e.run.ChildWaits(m.ID, b.FirstRunID)
	}
	if answer != nil {
		s.settled(m, answer)
	}
}

// childClosed records the end of a child at its parent.
func (s *Shard) childClosed(m *port.Message, b *run.ChildClosedBody) {
	e, ok := s.load(m.To, m)
	if !ok {
		return
	}
	if e != nil && e.run != nil {
		s.apply(e, e.run.ChildClosed(s.env(e.key.NamespaceID, e.key), m.ID, b))
	}
	s.settled(m, &run.Result{})
}
