package check

import (
	"bytes"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/proto"

	"perdure/core/port"
	"perdure/core/run/runpb"
	"perdure/sim/program"
)

// P2 reply_after_durable: a reply leaves only after what it reports is in the
// journal. It is looked at when the machine makes the effect, so no crash is
// needed to see a reply that came too early; that the journal survives is P13's.

// Answered holds a successful reply to the promise. req is the request as the
// frontend completed it, token what its task token says, if it has one.
func (l *Ledger) Answered(req, res proto.Message, token *port.Token) *Breach {
	switch q := req.(type) {
	case *workflowservice.StartWorkflowExecutionRequest:
		return l.started(q, res.(*workflowservice.StartWorkflowExecutionResponse))
	case *workflowservice.SignalWithStartWorkflowExecutionRequest:
		return l.signaled(program.Text(q.SignalInput), res.(*workflowservice.SignalWithStartWorkflowExecutionResponse).RunId, "signal with start")
	case *workflowservice.SignalWorkflowExecutionRequest:
		return l.signaled(program.Text(q.Input), q.WorkflowExecution.RunId, "signal")
	case *workflowservice.TerminateWorkflowExecutionRequest:
		if r := l.runs[q.WorkflowExecution.RunId]; r != nil && !r.closed {
			return breach(ReplyAfterDurable, r.Key.RunID, "a termination was acknowledged, the run is open")
		}
	case *workflowservice.RequestCancelWorkflowExecutionRequest:
		if r := l.runs[q.WorkflowExecution.RunId]; r != nil && !r.closed && !r.Row.CancelRequested {
			return breach(ReplyAfterDurable, r.Key.RunID, "a cancel request was acknowledged, the run knows of none")
		}
	case *workflowservice.RespondActivityTaskCompletedRequest:
		if b := l.heldBy(token); b != nil {
			return b
		}
		return l.completed(program.Text(q.Result), token)
	case *workflowservice.RespondActivityTaskCompletedByIdRequest:
		return l.completed(program.Text(q.Result), nil)
	case *workflowservice.RespondWorkflowTaskCompletedRequest:
		if b := l.heldBy(token); b != nil {
			return b
		}
		return l.taskCompleted(token)
	case *workflowservice.PollActivityTaskQueueRequest:
		return l.activityStarted(token)
	}
	return nil
}

func (l *Ledger) started(q *workflowservice.StartWorkflowExecutionRequest, res *workflowservice.StartWorkflowExecutionResponse) *Breach {
	r := l.runs[res.RunId]
	if r == nil || r.Row == nil {
		return breach(ReplyAfterDurable, res.RunId, "start of %s was acknowledged with a run that is not durable", q.WorkflowId)
	}
	if !res.Started {
		return nil
	}
	id := inputID(q.Input)
	if e := r.event(1); e == nil || inputID(e.GetWorkflowExecutionStartedEventAttributes().GetInput()) != id {
		return breach(ReplyAfterDurable, res.RunId, "start of %s was acknowledged, its input %q is not in the history of the run", q.WorkflowId, id)
	}
	if l.effects.Acknowledge(startPayload(id), "start of "+q.WorkflowId) {
		l.Marks.Add("start acknowledged again")
	}
	return nil
}

func (l *Ledger) signaled(payload, runID, what string) *Breach {
	if payload == "" {
		return nil
	}
	if !l.hasSignal(payload) {
		return breach(ReplyAfterDurable, runID, "%s %q was acknowledged and is not durable", what, payload)
	}
	if l.effects.Acknowledge(signalPayload(payload), what) {
		l.Marks.Add("signal acknowledged again")
	}
	l.Marks.Add("signal acknowledged")
	return nil
}

// hasSignal: in a history, or in the buffer of a run.
func (l *Ledger) hasSignal(payload string) bool {
	if _, there := l.effects.Place(signalPayload(payload)); there {
		return true
	}
	return l.isBuffered(func(e *historypb.HistoryEvent) bool {
		return program.Text(e.GetWorkflowExecutionSignaledEventAttributes().GetInput()) == payload
	})
}

func (l *Ledger) isBuffered(is func(*historypb.HistoryEvent) bool) bool {
	for i := len(l.Runs) - 1; i >= 0; i-- {
		r := l.Runs[i]
		if r.closed || r.Gone {
			continue
		}
		for _, e := range buffered(r.pendingRows()) {
			if is(e) {
				return true
			}
		}
	}
	return false
}

func (l *Ledger) completed(payload string, token *port.Token) *Breach {
	if payload == "" {
		return nil
	}
	_, there := l.effects.Place(resultPayload(payload))
	if !there && !l.isBuffered(func(e *historypb.HistoryEvent) bool {
		return program.Text(e.GetActivityTaskCompletedEventAttributes().GetResult()) == payload
	}) {
		run := ""
		if token != nil {
			run = token.Run.RunID
		}
		return breach(ReplyAfterDurable, run, "the completion of an activity with %q was acknowledged and is not durable", payload)
	}
	l.effects.Acknowledge(resultPayload(payload), "completion of an activity")
	return nil
}

func (l *Ledger) taskCompleted(token *port.Token) *Breach {
	r := l.runs[token.Run.RunID]
	if r == nil {
		return breach(ReplyAfterDurable, token.Run.RunID, "a completed workflow task was acknowledged, its run is not durable")
	}
	e := r.event(token.StartedID + 1)
	if e == nil || e.EventType != enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED {
		if e = r.lastCompleted(); e == nil || e.EventId <= token.ScheduledID {
			return breach(ReplyAfterDurable, token.Run.RunID, "the completion of the workflow task started as event %d was acknowledged and is not durable", token.StartedID)
		}
	}
	return nil
}

func (r *Run) lastCompleted() *historypb.HistoryEvent {
	for i := len(r.Events) - 1; i >= 0; i-- {
		if r.Events[i].EventType == enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED {
			return r.Events[i]
		}
	}
	return nil
}

// activityStarted: an activity's start is durable before its worker sees it.
func (l *Ledger) activityStarted(token *port.Token) *Breach {
	if token == nil {
		return nil
	}
	bad := func(what string) *Breach {
		return breach(ReplyAfterDurable, token.Run.RunID, "activity %s was given to a worker, %s", token.ActivityID, what)
	}
	r := l.runs[token.Run.RunID]
	if r == nil {
		return bad("its run is not durable")
	}
	if !r.closed && !r.sawActivity(token) {
		return bad("its start is not durable")
	}
	return nil
}

// sawActivity: the attempt is running, or it has ended since.
func (r *Run) sawActivity(token *port.Token) bool {
	for _, row := range r.pendingRows() {
		a := &runpb.Activity{}
		if row.Key[0] == 'a' && idOf(row.Key) == token.ScheduledID && proto.Unmarshal(row.Value, a) == nil {
			return a.Nonce == token.Nonce || a.Attempt > token.Attempt || a.Stamp > 0 && a.StartedTime == 0 && a.Nonce == 0 && a.Attempt == token.Attempt
		}
	}
	return true // not pending any more
}

// ShownDurable is P15: history that anyone is shown, up to event last, is durable, byte for byte.
func (l *Ledger) ShownDurable(runID string, encoded [][]byte, first, last int64) *Breach {
	r := l.runs[runID]
	if r == nil {
		return breach(ShownIsDurable, runID, "history of a run that is not durable was shown")
	}
	for i, b := range encoded {
		id := first + int64(i)
		if id > last {
			return nil
		}
		if id > int64(len(r.Encoded)) {
			return breach(ShownIsDurable, runID, "event %d was shown, the durable history ends at %d", id, len(r.Encoded))
		}
		if !bytes.Equal(b, r.Encoded[id-1]) {
			return breach(ShownIsDurable, runID, "event %d was shown, another one is durable", id)
		}
	}
	return nil
}
