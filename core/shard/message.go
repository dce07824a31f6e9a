package shard

import (
	enumspb "go.temporal.io/api/enums/v1"

	"perdure/core/port"
	"perdure/core/run"
)

// Messages of runs to other runs. The receiver records what is asked and answers
// once that is durable; what was recorded before is answered again. So a message
// can be repeated until its outcome is known.

func (s *Shard) message(m *port.Message) {
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
	}
}

// settled sends the outcome once everything recorded so far is durable.
func (s *Shard) settled(m *port.Message, r *run.Result) {
	s.log.SendAfter(m.Sender, &port.Outcome{To: m.From, Kind: m.Kind, ID: m.ID, Body: r}, s.log.Seq(), s.out)
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
// again, before the parent heard of its start. True also if m was parked.
func (s *Shard) startedEarlier(m *port.Message, b *run.StartChildBody, current *entry) bool {
	if current == nil || current.run.S.FirstRunId == b.RunID {
		if current != nil {
			s.settled(m, &run.Result{RunID: b.RunID})
			return true
		}
		return false
	}
	e, ok := s.load(port.RunKey{NamespaceID: m.To.NamespaceID, WorkflowID: m.To.WorkflowID, RunID: b.RunID}, m)
	if !ok {
		return true
	}
	if e != nil && e.run != nil {
		s.settled(m, &run.Result{RunID: b.RunID})
		return true
	}
	return false
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
	if !ok {
		return
	}
	if e == nil || e.run == nil || sameWorkflow(m.From, m.To) || b.ChildOnly && !childOf(e, m.From) {
		s.settled(m, &run.Result{Cause: missing, NotFound: true})
		return
	}
	c, f := e.run.Signal(s.env(e.key.NamespaceID, e.key), b.Signal)
	switch {
	case f != nil && f.Code == port.ResourceExhausted:
		return // its run is closing: the message comes again
	case f != nil && f.Code == port.InvalidArgument:
		s.settled(m, &run.Result{Cause: tooMany})
		return
	case f != nil:
		s.settled(m, &run.Result{Cause: missing, NotFound: true})
		return
	}
	s.apply(e, c)
	s.settled(m, &run.Result{})
}

func (s *Shard) externalCancel(m *port.Message, b *run.CancelBody) {
	const missing = int32(enumspb.CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_EXTERNAL_WORKFLOW_EXECUTION_NOT_FOUND)
	e, ok := s.load(m.To, m)
	if !ok {
		return
	}
	if e == nil || e.run == nil || sameWorkflow(m.From, m.To) || b.ChildOnly && !childOf(e, m.From) {
		s.settled(m, &run.Result{Cause: missing, NotFound: true})
		return
	}
	s.apply(e, e.run.RequestCancel(s.env(e.key.NamespaceID, e.key), b.Cancel))
	s.settled(m, &run.Result{})
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
	if e == nil || e.run.S.FirstRunId != b.FirstRunID || e.run.Closed() {
		s.settled(m, &run.Result{})
		return
	}
	env := s.env(e.key.NamespaceID, e.key)
	switch b.Policy {
	case enumspb.PARENT_CLOSE_POLICY_TERMINATE:
		c, _ := e.run.Terminate(env, "by parent close policy", nil, "history-service", nil)
		s.apply(e, c)
	case enumspb.PARENT_CLOSE_POLICY_REQUEST_CANCEL:
		s.apply(e, e.run.RequestCancel(env, &run.Cancel{Identity: "history-service", External: b.Parent}))
	}
	s.settled(m, &run.Result{})
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
