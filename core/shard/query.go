package shard

import (
	"slices"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	querypb "go.temporal.io/api/query/v1"
	"go.temporal.io/api/workflowservice/v1"

	"perdure/core/history"
	"perdure/core/port"
	"perdure/core/run"
	"perdure/core/token"
	"perdure/core/validate"
)

// Queries. One that comes while a workflow task is pending waits for that task
// or the next one, so that it sees all that happened before it (buffered); else
// it goes to a worker alone, as a task that leaves no trace (direct): first to
// the worker that has the run in its cache, then to any.

// failedAttempts is the attempt of a workflow task from which on the run cannot
// be asked: a worker that fails its tasks would fail the query too.
const failedAttempts = 3

// stickyWait is how long a sticky worker has for a query if it did not say.
const stickyWait = 10 * time.Second

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
	direct := asksDirectly(e.run)
	if f := s.cannotAsk(r, e, direct); f != nil {
		s.refused(r, f)
		return
	}
	if again := s.queries.byCall[r.Call]; again != nil { // a frontend that heard nothing asks again
		if !again.buffered {
			s.offerQuery(again, again.task.Queue)
		}
		return
	}
	q := s.queries.add(r, e.key, s.newID())
	if direct {
		s.queryDirect(q, e)
		return
	}
	s.queries.buffer(q)
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

// asksDirectly: nothing is pending that a query would have to wait for.
func asksDirectly(x *run.Run) bool {
	return x.S.FirstTaskDone && (x.Closed() || x.S.Task == nil)
}

// cannotAsk says why a query cannot even wait.
func (s *Shard) cannotAsk(r *port.Request, e *entry, direct bool) *port.Refusal {
	st := e.run.S
	switch {
	case s.draining:
		return s.moved()
	case direct:
		return nil
	case e.run.Closed():
		return closedUnseen()
	case st.FirstTaskTime != 0 && !r.Deadline.IsZero() && s.wallOf(st.FirstTaskTime).After(r.Deadline):
		return port.NotReady("Workflow task is not scheduled yet.")
	case st.TaskAttempt >= failedAttempts:
		return port.NotReady("Unable to query workflow due to Workflow Task in failed state.")
	case len(s.queries.buffered[e.key]) >= s.cfg.Limits.BufferedQueries:
		return port.Busy("consistent query buffer is full, this may be caused by too many queries and workflow not able to process query fast enough")
	}
	return nil
}

// closedUnseen: no worker ever completed a task of the run, so none can tell anything.
func closedUnseen() *port.Refusal {
	return port.NotReady("Workflow execution closed before WorkflowTaskStarted event")
}

// wallOf is the wall time of a time of this shard.
func (s *Shard) wallOf(at int64) time.Time { return s.now.Wall.Add(time.Duration(at - s.time)) }

// queryDirect sends a query to the sticky queue of the run, or to its normal one.
func (s *Shard) queryDirect(q *query, e *entry) {
	if e.run.S.StickyQueue == "" {
		s.queryNormal(q, e)
		return
	}
	wait := time.Duration(e.run.S.StickyTimeout)
	if wait <= 0 {
		wait = stickyWait
	}
	s.queries.stick(q, s.now.Wall.Add(wait))
	s.offerQuery(q, port.QueueKey{NamespaceID: e.key.NamespaceID, Name: e.run.S.StickyQueue, Type: port.WorkflowQueue, Normal: e.run.S.TaskQueue})
}

func (s *Shard) queryNormal(q *query, e *entry) {
	s.queries.stick(q, time.Time{})
	s.offerQuery(q, port.QueueKey{NamespaceID: e.key.NamespaceID, Name: e.run.S.TaskQueue, Type: port.WorkflowQueue})
}

func (s *Shard) offerQuery(q *query, queue port.QueueKey) {
	q.at = s.listener(queue)
	q.task = port.Task{Shard: s.cfg.Self, Queue: queue, Run: q.run, Kind: port.QueryTask, ID: q.number, Stamp: s.cfg.Rand()}
	s.out.Send(q.at, port.Offer{Task: q.task, Expect: true, Epoch: s.log.Fence().Epoch})
}

// queryOf is the query that a task stands for; false if that task is over.
func (s *Shard) queryOf(number int64, nonce uint64) (*query, bool) {
	q := s.queries.byNumber[number]
	return q, q != nil && !q.buffered && q.task.Stamp == nonce
}

// queryDeclined sends the query on to the normal queue, or gives up.
func (s *Shard) queryDeclined(d *port.Declined) {
	q, ok := s.queryOf(d.Task.ID, d.Task.Stamp)
	switch {
	case !ok:
	case d.Moved:
		s.endQuery(q, s.moved())
	case d.Task.Queue.Sticky():
		s.leaveSticky(q, d)
	case d.Dead:
		s.endQuery(q, port.Refuse(port.FailedPrecondition, "no poller seen for task queue recently, worker may be down"))
	default:
		s.endQuery(q, port.Exhausted(enumspb.RESOURCE_EXHAUSTED_CAUSE_SYSTEM_OVERLOADED, enumspb.RESOURCE_EXHAUSTED_SCOPE_NAMESPACE,
			"too many queries wait for the workers of this task queue: add workers, or ask less often"))
	}
}

// leaveSticky lets any worker answer. The run forgets a sticky worker that is dead.
func (s *Shard) leaveSticky(q *query, d *port.Declined) {
	e, ok := s.load(q.run, *d)
	if !ok {
		return
	}
	if e == nil || e.run == nil {
		s.endQuery(q, noRun(q.run))
		return
	}
	if d.Dead && !e.run.Closed() && e.run.S.StickyQueue == q.task.Queue.Name {
		s.apply(e, e.run.ResetSticky(s.env(e.key.NamespaceID, e.key)))
	}
	s.queryNormal(q, e)
}

// endQuery forgets a query and, if it failed, tells who asked.
func (s *Shard) endQuery(q *query, f *port.Refusal) {
	s.queries.remove(q)
	if f != nil {
		s.refused(q.req, f)
	}
}

// queryTaken builds the query task for the poll.
func (s *Shard) queryTaken(in *port.Taken) {
	q, ok := s.queryOf(in.Task.ID, in.Task.Stamp)
	if !ok {
		s.untaken(in)
		return
	}
	e, ok := s.load(q.run, *in)
	if !ok {
		return
	}
	if e == nil || e.run == nil {
		s.untaken(in)
		s.endQuery(q, noRun(q.run))
		return
	}
	var bs []history.Batch
	if !in.Task.Queue.Sticky() { // a sticky worker knows the history
		if bs, ok = s.window(e, 1, maxPage, *in); !ok {
			return
		}
	}
	k := &port.Token{Run: q.run, Kind: port.QueryTask, Query: uint64(q.number), Nonce: q.task.Stamp}
	s.log.Reply(port.Reply{Call: in.Poll.Call, Body: s.queryAnswer(e, q, k, bs), Token: k}, e.seq, s.out)
}

// queryAnswer is what a worker gets for a query that comes alone.
func (s *Shard) queryAnswer(e *entry, q *query, k *port.Token, bs []history.Batch) *port.Answer {
	m := &workflowservice.PollWorkflowTaskQueueResponse{
		TaskToken:         token.AppendTask(nil, s.snapshot.Keys, k),
		WorkflowExecution: executionOf(e.key), WorkflowType: &commonpb.WorkflowType{Name: e.run.S.WorkflowType}, Attempt: 1,
		PreviousStartedEventId: e.run.S.PreviousStartedId, Query: queryBody(q),
		WorkflowExecutionTaskQueue: queueMessage(e.run.S.TaskQueue),
	}
	last := e.run.LastEvent()
	fragments, after := upTo(bs, 1, last)
	if !q.task.Queue.Sticky() && after <= last {
		m.NextPageToken = token.AppendPage(nil, &port.PageToken{RunID: e.key.RunID, NextEventID: after, LastEventID: last})
	}
	return &port.Answer{Message: m, Field: historyField, Fragments: fragments}
}

func queryBody(q *query) *querypb.WorkflowQuery {
	return q.req.Body.(*workflowservice.QueryWorkflowRequest).Query
}

// queryUndelivered offers a query again whose worker had gone.
func (s *Shard) queryUndelivered(k *port.Token) {
	if q, ok := s.queryOf(int64(k.Query), k.Nonce); ok {
		s.offerQuery(q, q.task.Queue)
	}
}

// queryAnswered serves RespondQueryTaskCompleted.
func (s *Shard) queryAnswered(r *port.Request, req *workflowservice.RespondQueryTaskCompletedRequest) {
	q, ok := s.queryOf(int64(r.Token.Query), r.Token.Nonce)
	if !ok {
		s.refused(r, port.Missing("query task not found, or already expired"))
		return
	}
	s.replyQuery(q, req.CompletedType, req.QueryResult, req.ErrorMessage, req)
	s.answer(r, &workflowservice.RespondQueryTaskCompletedResponse{})
}

// replyQuery tells who asked what the worker said.
func (s *Shard) replyQuery(q *query, kind enumspb.QueryResultType, result *commonpb.Payloads, message string, f failer) {
	s.queries.remove(q)
	if kind == enumspb.QUERY_RESULT_TYPE_FAILED {
		s.refused(q.req, port.QueryFailure(message, f.GetFailure()))
		return
	}
	s.answer(q.req, &workflowservice.QueryWorkflowResponse{QueryResult: result})
}

// carried are the queries that the workflow task which starts now takes along.
func (s *Shard) carried(k port.RunKey) map[string]*querypb.WorkflowQuery {
	waiting := s.queries.buffered[k]
	if len(waiting) == 0 {
		return nil
	}
	out := make(map[string]*querypb.WorkflowQuery, len(waiting))
	for _, q := range waiting {
		out[q.id] = queryBody(q)
	}
	return out
}

// inTask is the answer to a query that a completed workflow task brought.
type inTask struct {
	query  *query
	result *querypb.WorkflowQueryResult
}

// takeAnswered takes the queries out of the buffer that a completion answers.
// They are told once its changes are made, as the answer may show them.
func (s *Shard) takeAnswered(k port.RunKey, results map[string]*querypb.WorkflowQueryResult) (out []inTask) {
	if len(results) == 0 {
		return nil
	}
	for _, q := range slices.Clone(s.queries.buffered[k]) {
		if x := results[q.id]; x != nil {
			s.queries.unbuffer(q)
			out = append(out, inTask{q, x})
		}
	}
	return out
}

func (s *Shard) replyInTask(answers []inTask) {
	for _, a := range answers {
		if f := validate.Blob(&s.cfg.Limits, a.result.GetAnswer()); f != nil {
			s.endQuery(a.query, f)
			continue
		}
		s.replyQuery(a.query, a.result.GetResultType(), a.result.GetAnswer(), a.result.GetErrorMessage(), a.result)
	}
}

// settleQueries sends buffered queries directly once no workflow task will carry
// them: none followed the one they came with, or the run closed.
func (s *Shard) settleQueries(e *entry) {
	waiting := s.queries.buffered[e.key]
	if len(waiting) == 0 || e.run == nil || e.run.S.Task != nil && !e.run.Closed() {
		return
	}
	if !e.run.S.FirstTaskDone && !e.run.Closed() {
		return // its first task is still to come
	}
	for _, q := range slices.Clone(waiting) {
		if !e.run.S.FirstTaskDone {
			s.endQuery(q, closedUnseen())
			continue
		}
		s.queries.unbuffer(q)
		s.queryDirect(q, e)
	}
}

// expireQueries ends queries whose callers' time is over, and gives up sticky
// workers that did not answer in theirs.
func (s *Shard) expireQueries() {
	for q, ok := s.queries.expired(s.now.Wall); ok; q, ok = s.queries.expired(s.now.Wall) {
		s.withdrawQuery(q)
		if !q.until.IsZero() && !q.until.After(s.now.Wall) {
			s.endQuery(q, port.Refuse(port.DeadlineExceeded, "query timed out before a worker could process it"))
			continue
		}
		s.queries.stick(q, time.Time{})
		s.serve(port.Declined{Task: q.task, Dead: true})
	}
}

// withdrawQuery takes a query back from the task queue it waits in.
func (s *Shard) withdrawQuery(q *query) {
	if q.task.Kind != 0 && !q.buffered {
		s.out.Send(q.at, port.Withdrawn{Task: q.task})
	}
}

// gone forgets what a caller waited for.
func (s *Shard) gone(c port.Call) {
	s.waits.forget(c)
	if q := s.queries.byCall[c]; q != nil {
		s.withdrawQuery(q)
		s.endQuery(q, nil)
	}
}

// refuseQueries tells all who asked to ask again: the answer will not come from here.
func (s *Shard) refuseQueries() {
	for _, q := range s.queries.all() {
		s.withdrawQuery(q)
		s.queries.remove(q)
		s.replyNow(q.req.Call, s.moved())
	}
}
