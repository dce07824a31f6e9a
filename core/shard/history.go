package shard

import (
	"slices"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/workflowservice/v1"

	"perdure/core/history"
	"perdure/core/port"
	"perdure/core/token"
	"perdure/core/validate"
)

// pageField is History of GetWorkflowExecutionHistory(Reverse)Response.
const pageField = 1

// history serves GetWorkflowExecutionHistory. The run is fixed by the first call:
// pages and waits never go on to the next run of a chain.
func (s *Shard) history(r *port.Request, req *workflowservice.GetWorkflowExecutionHistoryRequest) {
	e, ok := s.find(r)
	if !ok {
		return
	}
	r.Run = e.key // later steps mean the same run
	if req.HistoryEventFilterType == enumspb.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT {
		s.closeEvent(r, req, e)
		return
	}
	next, last, running := int64(1), e.run.LastEvent(), !e.run.Closed()
	if p := r.Page; p != nil {
		next, last = max(p.NextEventID, 1), min(p.LastEventID, last)
		if next > last && p.Running {
			if last = e.run.LastEvent(); next > last && running && req.WaitNewEvent {
				s.wait(r, e)
				return
			}
		}
		running = running && p.Running
	}
	s.page(r, req, e, next, last, running)
}

// page answers with the batches from event next on, up to event last.
func (s *Shard) page(r *port.Request, req *workflowservice.GetWorkflowExecutionHistoryRequest, e *entry, next, last int64, running bool) {
	most := int(req.MaximumPageSize)
	bs, ok := s.window(e, next, most, r)
	if !ok {
		return
	}
	fragments, after := upTo(bs, next, last)
	res := &workflowservice.GetWorkflowExecutionHistoryResponse{}
	if len(fragments) == 0 {
		res.History = &historypb.History{}
	}
	more := after <= last || len(fragments) == most
	switch {
	case more, req.WaitNewEvent && running:
		res.NextPageToken = token.AppendPage(nil, &port.PageToken{RunID: e.key.RunID, NextEventID: after, LastEventID: last, Running: running})
	}
	// Who waits for more gets these events when they are real: with the same ids there may be others.
	if res.NextPageToken == nil && showsTransient(r.Client) && after > e.run.LastEvent() {
		fragments = appendEvents(fragments, e.run.TransientEvents(false))
	}
	s.log.Reply(port.Reply{Call: r.Call, Body: &port.Answer{Message: res, Field: pageField, Fragments: fragments}}, s.log.Seq(), s.out)
}

// upTo gives the encoded events of next..last and the id behind them.
func upTo(bs []history.Batch, next, last int64) (fragments [][]byte, after int64) {
	after = next
	for _, b := range bs {
		if b.First > last {
			break
		}
		if b.First < next {
			b = b.Tail(next)
		}
		fragments = append(fragments, b.Events)
		after = b.Last + 1
	}
	return fragments, after
}

// showsTransient: the command line and the Web UI show only what is in the history.
func showsTransient(c port.Client) bool {
	return !strings.HasPrefix(c.Name, "temporal-cli") && !strings.HasPrefix(c.Name, "temporal-ui")
}

// doubtAfter is how long an owner without a cluster takes its last proof of ownership for enough while somebody waits here.
const doubtAfter = 5 * time.Second

// wait parks a call until the run changes or its time is over.
func (s *Shard) wait(r *port.Request, e *entry) {
	if s.draining {
		s.historyTimedOut(r)
		return
	}
	if s.members == nil { // in a cluster the seat sees to that
		s.log.ProveWithin(doubtAfter)
	}
	closed := r.Body.(*workflowservice.GetWorkflowExecutionHistoryRequest).HistoryEventFilterType == enumspb.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT
	s.waits.add(e.key, r, closed, validate.LongPollEnd(&s.cfg.Limits, s.now.Wall, r.Deadline, s.cfg.Limits.HistoryLongPoll))
}

// historyTimedOut ends a wait without events; the same token goes on.
func (s *Shard) historyTimedOut(r *port.Request) {
	req := r.Body.(*workflowservice.GetWorkflowExecutionHistoryRequest)
	res := &workflowservice.GetWorkflowExecutionHistoryResponse{History: &historypb.History{}}
	if req.WaitNewEvent {
		p := r.Page
		if p == nil {
			p = &port.PageToken{RunID: r.Run.RunID, NextEventID: 1, Running: true}
		}
		res.NextPageToken = token.AppendPage(nil, p)
	}
	s.out.Add(port.Reply{Call: r.Call, Body: &port.Answer{Message: res}})
}

// closeEvent answers with the last event of a closed run and waits for that of an open one.
func (s *Shard) closeEvent(r *port.Request, req *workflowservice.GetWorkflowExecutionHistoryRequest, e *entry) {
	if !e.run.Closed() {
		s.wait(r, e)
		return
	}
	bs, ok := s.window(e, e.run.S.CloseEventBatch, 1, r)
	if !ok {
		return
	}
	last := bs[len(bs)-1].Tail(bs[len(bs)-1].Last)
	if e.run.S.NewRunId != "" && !r.Client.Has("follows-next-run-id") {
		last = asContinued(last)
	}
	s.log.Reply(port.Reply{Call: r.Call, Body: &port.Answer{
		Message: &workflowservice.GetWorkflowExecutionHistoryResponse{}, Field: pageField, Fragments: [][]byte{last.Events},
	}}, s.log.Seq(), s.out)
}

// asContinued shows the close of a run that is followed by another as clients
// know it that look for nothing else.
func asContinued(b history.Batch) history.Batch {
	e, err := b.Event(b.Last)
	if err != nil {
		panic("shard: a close event cannot be decoded: " + err.Error())
	}
	next := &historypb.WorkflowExecutionContinuedAsNewEventAttributes{}
	switch a := e.Attributes.(type) {
	case *historypb.HistoryEvent_WorkflowExecutionCompletedEventAttributes:
		next.NewExecutionRunId = a.WorkflowExecutionCompletedEventAttributes.NewExecutionRunId
		next.LastCompletionResult = a.WorkflowExecutionCompletedEventAttributes.Result
	case *historypb.HistoryEvent_WorkflowExecutionFailedEventAttributes:
		next.NewExecutionRunId = a.WorkflowExecutionFailedEventAttributes.NewExecutionRunId
		next.Failure = a.WorkflowExecutionFailedEventAttributes.Failure
	case *historypb.HistoryEvent_WorkflowExecutionTimedOutEventAttributes:
		next.NewExecutionRunId = a.WorkflowExecutionTimedOutEventAttributes.NewExecutionRunId
		next.Failure = &failurepb.Failure{Message: "workflow timeout", Source: "Server", FailureInfo: &failurepb.Failure_TimeoutFailureInfo{
			TimeoutFailureInfo: &failurepb.TimeoutFailureInfo{TimeoutType: enumspb.TIMEOUT_TYPE_START_TO_CLOSE}}}
	default:
		return b
	}
	shown := &historypb.HistoryEvent{EventId: e.EventId, EventTime: e.EventTime, Version: e.Version, TaskId: e.TaskId, EventType: enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW,
		Attributes: &historypb.HistoryEvent_WorkflowExecutionContinuedAsNewEventAttributes{WorkflowExecutionContinuedAsNewEventAttributes: next}}
	return history.Encode([]*historypb.HistoryEvent{shown})
}

// historyReverse serves GetWorkflowExecutionHistoryReverse: batches and their
// events from the newest to the oldest.
func (s *Shard) historyReverse(r *port.Request, req *workflowservice.GetWorkflowExecutionHistoryReverseRequest) {
	e, ok := s.find(r)
	if !ok {
		return
	}
	r.Run = e.key
	top := e.run.LastEvent()
	if r.Page != nil {
		top = max(min(r.Page.NextEventID, top), 1)
	}
	// How many events that many batches have is not known: usually a handful each.
	from := max(top-8*int64(req.MaximumPageSize)-64, 1)
	bs, ok := s.span(e, from, top, r)
	if !ok {
		return
	}
	res := &workflowservice.GetWorkflowExecutionHistoryReverseResponse{History: &historypb.History{}}
	left := int(req.MaximumPageSize)
	for i := len(bs) - 1; i >= 0 && left > 0; i-- {
		events, err := bs[i].Decode()
		if err != nil {
			panic("shard: a stored batch cannot be decoded: " + err.Error())
		}
		slices.Reverse(events)
		res.History.Events = append(res.History.Events, events...)
		top = bs[i].First - 1
		left--
	}
	if top >= 1 {
		res.NextPageToken = token.AppendPage(nil, &port.PageToken{RunID: e.key.RunID, NextEventID: top, LastEventID: e.run.LastEvent(), Reverse: true})
	}
	s.answer(r, res)
}
