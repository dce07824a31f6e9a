package shard

import (
	"sort"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	querypb "go.temporal.io/api/query/v1"
	"go.temporal.io/api/workflowservice/v1"

	"perdure/core/history"
	"perdure/core/port"
	"perdure/core/run"
	"perdure/core/token"
)

// Queries. One that comes while a workflow task is pending waits for it
// (run.Queries), so that it sees all that was there before it; else it goes to a
// worker on its own, as a task that leaves no trace.

// directQueries are those on their own way, by number.
type directQueries struct {
	byNumber map[int64]*directQuery
	last     int64
}

type directQuery struct {
	number int64
	req    *port.Request
	run    port.RunKey
	task   port.Task
	nonce  uint64
	until  time.Time
}

func (d *directQueries) next() (at time.Time) {
	for _, q := range d.byNumber { //ordered: the minimum does not depend on the order
		at = earlier(at, q.until)
	}
	return at
}

func (d *directQueries) sorted() []*directQuery {
	all := make([]*directQuery, 0, len(d.byNumber))
	for _, q := range d.byNumber { //ordered: sorted below
		all = append(all, q)
	}
	sort.Slice(all, func(i, j int) bool { return all[i].number < all[j].number })
	return all
}

func (d *directQueries) each(f func(*directQuery)) {
	for _, q := range d.sorted() {
		f(q)
	}
}

func (s *Shard) query(r *port.Request, req *workflowservice.QueryWorkflowRequest) {
	e, ok := s.find(r)
	if !ok {
		return
	}
	r.Run = e.key
	if rejected(e.run, req.QueryRejectCondition) {
		s.answer(r, &workflowservice.QueryWorkflowResponse{QueryRejected: &querypb.QueryRejected{Status: e.run.Status()}})
		return
	}
	st := e.run.S
	switch {
	case e.run.Closed() && !st.FirstTaskDone:
		s.refused(r, port.NotReady("workflow closed before first workflow task completed, cannot query"))
	case e.run.Closed(), st.FirstTaskDone && st.Task == nil:
		s.queryDirect(r, e)
	case st.TaskAttempt >= 3:
		s.refused(r, port.NotReady("cannot query workflow: workflow task in failed state"))
	case st.FirstTaskTime != 0 || st.AwaitsParent:
		s.refused(r, port.NotReady("workflow has not started its first workflow task yet"))
	case e.run.Queries.Len() >= s.cfg.Limits.BufferedQueries:
		s.refused(r, port.Exhausted(enumspb.RESOURCE_EXHAUSTED_CAUSE_BUSY_WORKFLOW, enumspb.RESOURCE_EXHAUSTED_SCOPE_NAMESPACE, "consistent query buffer is full, cannot accept new consistent queries"))
	default:
		e.run.Queries.Add(r.Call, req.Query)
		s.queries.waiting(r, e.key)
	}
}

func rejected(x *run.Run, c enumspb.QueryRejectCondition) bool {
	switch c {
	case enumspb.QUERY_REJECT_CONDITION_NOT_OPEN:
		return x.Closed()
	case enumspb.QUERY_REJECT_CONDITION_NOT_COMPLETED_CLEANLY:
		return x.Closed() && x.Status() != enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED
	}
	return false
}

// waiting remembers the request behind a buffered query: it may have to go directly later.
func (d *directQueries) waiting(r *port.Request, k port.RunKey) { d.add(r, k) }

func (d *directQueries) add(r *port.Request, k port.RunKey) *directQuery {
	if d.byNumber == nil {
		d.byNumber = map[int64]*directQuery{}
	}
	d.last++
	q := &directQuery{number: d.last, req: r, run: k}
	if !r.Deadline.IsZero() {
		q.until = r.Deadline
	}
	d.byNumber[q.number] = q
	return q
}

func (d *directQueries) byCall(c port.Call) *directQuery {
	for _, q := range d.byNumber { //ordered: a call has one query
		if q.req.Call == c {
			return q
		}
	}
	return nil
}

// queryDirect sends a query to the sticky queue, or to the normal one.
func (s *Shard) queryDirect(r *port.Request, e *entry) {
	s.offerQuery(s.queries.add(r, e.key), e, e.run.S.StickyQueue)
}

func (s *Shard) offerQuery(q *directQuery, e *entry, sticky string) {
	queue := port.QueueKey{NamespaceID: e.key.NamespaceID, Name: e.run.S.TaskQueue, Type: port.WorkflowQueue}
	if sticky != "" {
		queue.Name, queue.Normal = sticky, e.run.S.TaskQueue
	}
	q.nonce = s.cfg.Rand()
	q.task = port.Task{Shard: s.cfg.Self, Queue: queue, Run: e.key, Kind: port.QueryTask, ID: q.number, Stamp: q.nonce}
	s.out.Send(s.queueAddress(queue), port.Offer{Task: q.task, Expect: true})
}

// queryDeclined sends the query on to the normal queue, or gives up.
func (s *Shard) queryDeclined(d *port.Declined) {
	q := s.queries.byNumber[d.Task.ID]
	if q == nil || q.nonce != d.Task.Stamp || !d.Dead {
		return
	}
	e, ok := s.load(q.run, *d)
	if !ok {
		return
	}
	if e != nil && e.run != nil && d.Task.Queue.Sticky() {
		s.offerQuery(q, e, "")
		return
	}
	s.endQuery(q, port.Refuse(port.FailedPrecondition, "no poller seen for task queue recently, worker may be down"))
}

func (s *Shard) endQuery(q *directQuery, f *port.Refusal) {
	delete(s.queries.byNumber, q.number)
	if f != nil {
		s.replyNow(q.req.Call, f)
	}
}

// queryTaken builds the query task for the poll.
func (s *Shard) queryTaken(in *port.Taken) {
	q := s.queries.byNumber[in.Task.ID]
	if q == nil || q.nonce != in.Task.Stamp {
		s.untaken(in)
		return
	}
	e, ok := s.load(q.run, *in)
	if !ok {
		return
	}
	if e == nil || e.run == nil {
		s.untaken(in)
		return
	}
	var bs []history.Batch
	if !in.Task.Queue.Sticky() {
		if bs, ok = s.window(e, 1, maxPage, *in); !ok {
			return
		}
	}
	k := &port.Token{Run: q.run, Kind: port.QueryTask, Query: uint64(q.number), Nonce: q.nonce}
	m := &workflowservice.PollWorkflowTaskQueueResponse{
		TaskToken:         token.AppendTask(nil, s.snapshot.Keys, k),
		WorkflowExecution: executionOf(e.key), WorkflowType: &commonpb.WorkflowType{Name: e.run.S.WorkflowType},
		PreviousStartedEventId: e.run.S.PreviousStartedId, Query: q.req.Body.(*workflowservice.QueryWorkflowRequest).Query,
		WorkflowExecutionTaskQueue: queueMessage(e.run.S.TaskQueue),
	}
	fragments, after := upTo(bs, 1, e.run.LastEvent())
	if !in.Task.Queue.Sticky() && after <= e.run.LastEvent() {
		m.NextPageToken = token.AppendPage(nil, &port.PageToken{RunID: e.key.RunID, NextEventID: after, LastEventID: e.run.LastEvent()})
	}
	s.log.Reply(port.Reply{Call: in.Poll.Call, Body: &port.Answer{Message: m, Field: historyField, Fragments: fragments}, Token: k}, e.seq, s.out)
}

func (s *Shard) queryUndelivered(e *entry, k *port.Token) {
	if q := s.queries.byNumber[int64(k.Query)]; q != nil && q.nonce == k.Nonce {
		s.offerQuery(q, e, "")
	}
}

// queryAnswered serves RespondQueryTaskCompleted.
func (s *Shard) queryAnswered(r *port.Request, req *workflowservice.RespondQueryTaskCompletedRequest) {
	q := s.queries.byNumber[int64(r.Token.Query)]
	if q == nil || q.nonce != r.Token.Nonce {
		s.refused(r, port.Missing("query task not found, or already expired"))
		return
	}
	s.replyQuery(q.req, req.CompletedType, req.QueryResult, req.ErrorMessage, req)
	s.endQuery(q, nil)
	s.answer(r, &workflowservice.RespondQueryTaskCompletedResponse{})
}

func (s *Shard) replyQuery(to *port.Request, kind enumspb.QueryResultType, result *commonpb.Payloads, message string, f failer) {
	if kind == enumspb.QUERY_RESULT_TYPE_FAILED {
		s.refused(to, port.QueryFailure(message, f.GetFailure()))
		return
	}
	s.answer(to, &workflowservice.QueryWorkflowResponse{QueryResult: result})
}

// takeQueries collects the answers that came with a completed task.
func (s *Shard) takeQueries(e *entry, k *port.Token, results map[string]*querypb.WorkflowQueryResult) map[string]*querypb.WorkflowQueryResult {
	return results
}

// answerQueries answers the queries that the task carried. Those it left out go
// with the next task, or directly.
func (s *Shard) answerQueries(e *entry, results map[string]*querypb.WorkflowQueryResult, completed bool) {
	if e.run == nil || e.run.Queries.Len() == 0 {
		return
	}
	if !completed {
		e.run.Queries.Unsend()
		return
	}
	ids := make([]string, 0, len(results))
	for id := range results { //ordered: sorted below
		ids = append(ids, id)
	}
	sort.Strings(ids)
	for _, id := range ids {
		x, ok := e.run.Queries.Take(id)
		if !ok {
			continue
		}
		if q := s.queries.byCall(x.Call); q != nil {
			s.replyQuery(q.req, results[id].ResultType, results[id].Answer, results[id].ErrorMessage, results[id])
			s.endQuery(q, nil)
		}
	}
	e.run.Queries.Unsend()
	s.settleQueries(e)
}

// settleQueries sends buffered queries directly once no workflow task will carry them.
func (s *Shard) settleQueries(e *entry) {
	if e.run == nil || e.run.Queries.Len() == 0 || e.run.S.Task != nil {
		return
	}
	for _, x := range e.run.Queries.TakeAll() {
		q := s.queries.byCall(x.Call)
		if q == nil {
			continue
		}
		if !e.run.S.FirstTaskDone {
			s.endQuery(q, port.NotReady("workflow closed before first workflow task completed, cannot query"))
			continue
		}
		s.offerQuery(q, e, e.run.S.StickyQueue)
	}
}

// expireQueries ends queries whose callers' time is over.
func (s *Shard) expireQueries() {
	for _, q := range s.queries.sorted() {
		if q.until.IsZero() || q.until.After(s.now.Wall) {
			continue
		}
		s.dropQuery(q)
		s.endQuery(q, port.Refuse(port.DeadlineExceeded, "query timed out before a worker could process it"))
	}
}

// dropQuery takes a query back from wherever it waits.
func (s *Shard) dropQuery(q *directQuery) {
	if q.nonce != 0 {
		s.out.Send(s.queueAddress(q.task.Queue), port.Withdrawn{Task: q.task})
	}
	if e := s.cache.runs[q.run]; e != nil && e.run != nil {
		e.run.Queries.Forget(q.req.Call)
	}
}

// gone forgets what a caller waited for.
func (s *Shard) gone(c port.Call) {
	s.waits.forget(c)
	if q := s.queries.byCall(c); q != nil {
		s.dropQuery(q)
		s.endQuery(q, nil)
	}
}
