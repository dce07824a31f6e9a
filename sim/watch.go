package sim

import (
	"fmt"
	"strings"

	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	enumspb "go.temporal.io/api/enums/v1"

	"perdure/core/port"
	"perdure/core/store"
	"perdure/core/token"
	"perdure/sim/check"
	"perdure/sim/cluster"
)

// What the store does goes to the ledger; what machines answer is held against it.

// Appended tells the ledger of a record.
func (s *simulation) Appended(owner store.Fence, seq store.Seq, record []byte) {
	if s.traced {
		s.tell("  durable: record %d of shard %d", seq, owner.Shard)
	}
	s.ledger.Appended(owner, seq, record)
}

// recorded tells the trace of an event that just became durable.
func (s *simulation) recorded(r *check.Run, e *historypb.HistoryEvent) {
	s.tell("* event %d of %s/%s: %v", e.EventId, r.Workflow(), r.Key.RunID, e.EventType)
}

// Trimmed tells the ledger of a trim point.
func (s *simulation) Trimmed(shard store.ShardID, seq store.Seq) { s.ledger.Trimmed(shard, seq) }

// Issued notes what is durable before a call.
func (s *simulation) Issued(req proto.Message) any { return s.ledger.Before(req) }

// Halted is a program that does not know what its cluster writes. That is its due
// fate if it is old, also while it drains to make room for a newer one; the newest must never meet it.
func (s *simulation) Halted(node port.NodeID, knows port.Level, why string) {
	if knows == port.NewestLevel {
		s.fail(&check.Breach{Promise: check.LevelKnownByAll, Text: fmt.Sprintf("node %d, of the newest level, halted: %s", node, why)})
		return
	}
	s.ledger.Marks.Add("node halted: its program is too old for the cluster")
	s.nodes.refused(int(node) - 1)
}

// Stepped tells the checkers that look at what passes between machines.
func (s *simulation) Stepped(p *cluster.Process, at port.Address, m port.Machine, in port.Input, out []port.Effect) {
	if s.options.Step != nil && !s.options.Step(s.u.Steps(), s.u.Sum()) {
		s.stopped = true
	}
	s.memory.Stepped(p.Boot(), at, m, in, out)
	if m, ok := in.(*port.Message); ok {
		if r := s.ledger.Run(m.To.RunID); r != nil && r.Gone {
			s.ledger.Marks.Add("message to a run that was removed")
		}
	}
	if !s.store.Exclusive() {
		if b := check.Displaces(in, out); b != nil {
			s.fail(b)
		}
	}
	if s.plan.Cluster.Nodes > 1 && !s.store.Exclusive() && (at.Role == port.RoleShard || at.Role == port.RoleRegistry) {
		s.claims.Stepped(p.Boot(), at, m, in, out)
	}
	switch at.Role {
	case port.RoleQueues:
		s.queues.Stepped(p.Boot(), at, in, out)
	case port.RoleRegistry:
		s.levels.Stepped(p.Boot(), at, m, in)
		for _, e := range out {
			if x, ok := e.(port.Publish); ok {
				for _, b := range []*check.Breach{s.ledger.Published(x.Snapshot), s.ledger.Shown(p.Boot(), x.Snapshot)} {
					if b != nil {
						s.fail(b)
					}
				}
			}
		}
	}
}

// Replied holds a reply against what is durable now.
func (s *simulation) Replied(c *cluster.Call, r *port.Reply) {
	if s.breach != nil {
		return
	}
	s.markReply(c, r)
	if r.Refusal != nil {
		for _, b := range []*check.Breach{check.Refused(c.Admit, r.Refusal), s.current(c, nil, r.Refusal)} {
			if b != nil {
				s.fail(b)
			}
		}
		return
	}
	var b *check.Breach
	switch m := r.Body.Message.(type) {
	case *workflowservice.PollWorkflowTaskQueueResponse:
		b = s.taskShown(m, r.Body.Fragments)
	case *workflowservice.GetWorkflowExecutionHistoryResponse:
		b = s.historyShown(c, r.Body.Fragments)
	default:
		b = s.ledger.Answered(c.Admit, m, s.tokenOf(c.Admit, m))
	}
	if b == nil {
		b = s.current(c, r.Body, nil)
	}
	if b != nil {
		s.fail(b)
	}
}

// markReply counts what was answered to whom.
func (s *simulation) markReply(c *cluster.Call, r *port.Reply) {
	name := strings.TrimSuffix(string(c.Admit.ProtoReflect().Descriptor().Name()), "Request")
	if r.Refusal != nil {
		s.ledger.Marks.Add(fmt.Sprintf("refused: %s, code %d", name, r.Refusal.Code))
		return
	}
	s.ledger.Marks.Add("answered: " + name)
	switch m := r.Body.Message.(type) {
	case *workflowservice.PollWorkflowTaskQueueResponse:
		switch {
		case m.Query != nil:
			s.ledger.Marks.Add("query by itself")
		case len(m.Queries) > 0:
			s.ledger.Marks.Add("query with a workflow task")
		case len(m.TaskToken) == 0:
			s.ledger.Marks.Add("poll ended empty")
		}
		if len(m.NextPageToken) > 0 {
			s.ledger.Marks.Add("workflow task with more pages of history")
		}
	case *workflowservice.StartWorkflowExecutionResponse:
		if r.Body.Inner != nil {
			s.ledger.Marks.Add("eager workflow task")
		}
		if !m.Started {
			s.ledger.Marks.Add("start answered with the run there is")
		}
	case *workflowservice.RespondWorkflowTaskCompletedResponse:
		if r.Body.Inner != nil {
			s.ledger.Marks.Add("next workflow task in the answer to one")
		}
		if len(m.ActivityTasks) > 0 {
			s.ledger.Marks.Add("eager activity")
		}
	case *workflowservice.GetWorkflowExecutionHistoryResponse:
		if q, ok := c.Admit.(*workflowservice.GetWorkflowExecutionHistoryRequest); ok && q.WaitNewEvent && len(r.Body.Fragments) == 0 {
			s.ledger.Marks.Add("wait for history ended empty")
		}
	}
}

// current holds an answer to what was durable when the call was issued.
func (s *simulation) current(c *cluster.Call, a *port.Answer, refusal *port.Refusal) *check.Breach {
	seen, ok := c.Note.(check.Seen)
	if !ok {
		return nil
	}
	var res proto.Message
	if a != nil {
		res = a.Message
		if _, history := res.(*workflowservice.GetWorkflowExecutionHistoryResponse); history {
			var err error
			if res, err = cluster.Decode(a); err != nil {
				return nil
			}
		}
	}
	if b := check.Current(seen, c.Admit, res, refusal); b != nil {
		return b
	}
	return s.ledger.Linear(seen, c.Admit, res, refusal)
}

// tokenOf is what the task token says that the request or the response carries.
func (s *simulation) tokenOf(req, res proto.Message) *port.Token {
	raw := []byte(nil)
	if q, ok := req.(interface{ GetTaskToken() []byte }); ok {
		raw = q.GetTaskToken()
	}
	if m, ok := res.(*workflowservice.PollActivityTaskQueueResponse); ok {
		raw = m.TaskToken
	}
	keys := s.nodes.keys()
	if keys == nil || len(raw) == 0 {
		return nil
	}
	t, ok := token.DecodeTask(keys, raw)
	if !ok {
		return nil
	}
	return t
}

// taskShown: a worker is shown only what is durable, its own task excepted: the
// start is never waited for, and a task that was transient until then got both its
// events with the start.
func (s *simulation) taskShown(m *workflowservice.PollWorkflowTaskQueueResponse, fragments [][]byte) *check.Breach {
	if len(m.TaskToken) == 0 || len(fragments) == 0 {
		return nil
	}
	encoded, first := split(fragments)
	last := int64(1 << 60)
	if m.Query == nil {
		last = m.StartedEventId - 1
		if i := last - first; i >= 0 && i < int64(len(encoded)) && decodeEvent(encoded[i]).EventType == enumspb.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED {
			last--
		}
	}
	return s.ledger.ShownDurable(m.WorkflowExecution.RunId, encoded, first, last)
}

func (s *simulation) historyShown(c *cluster.Call, fragments [][]byte) *check.Breach {
	q, ok := c.Admit.(*workflowservice.GetWorkflowExecutionHistoryRequest)
	if !ok || q.HistoryEventFilterType == enumspb.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT || len(fragments) == 0 || q.Execution.RunId == "" {
		return nil
	}
	encoded, first := split(fragments)
	if first == 0 {
		return nil
	}
	return s.ledger.ShownDurable(q.Execution.RunId, encoded, first, s.transientFrom(q.Execution.RunId, encoded, first)-1)
}

// transientFrom is the first of the task events that are shown though they are
// not recorded, or were not when the answer was made.
func (s *simulation) transientFrom(run string, encoded [][]byte, first int64) int64 {
	end := first + int64(len(encoded))
	for end > first && end > first+int64(len(encoded))-2 && s.ledger.ShownDurable(run, encoded, first, end-1) != nil {
		e := decodeEvent(encoded[end-1-first])
		if e.EventType != enumspb.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED && e.EventType != enumspb.EVENT_TYPE_WORKFLOW_TASK_STARTED {
			break
		}
		end--
	}
	return end
}

// split cuts fragments into their events, each with its tag, and says the id of the first.
func split(fragments [][]byte) (encoded [][]byte, first int64) {
	for _, f := range fragments {
		for len(f) > 0 {
			_, _, n := protowire.ConsumeTag(f)
			_, m := protowire.ConsumeBytes(f[n:])
			encoded = append(encoded, f[:n+m])
			f = f[n+m:]
		}
	}
	if len(encoded) > 0 {
		first = decodeEvent(encoded[0]).EventId
	}
	return encoded, first
}

func decodeEvent(b []byte) *historypb.HistoryEvent {
	var h historypb.History
	if proto.Unmarshal(b, &h) != nil || len(h.Events) == 0 {
		return &historypb.HistoryEvent{}
	}
	return h.Events[0]
}
