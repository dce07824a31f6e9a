package workload

import (
	"fmt"
	"maps"
	"slices"
	"time"

	commandpb "go.temporal.io/api/command/v1"
	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
	historypb "go.temporal.io/api/history/v1"
	querypb "go.temporal.io/api/query/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"perdure/sim/check"
	"perdure/sim/cluster"
	"perdure/sim/program"
)

// taskGiven begins with a workflow task: its history is completed, replayed and answered.
func (x *worker) taskGiven(t *workflowservice.PollWorkflowTaskQueueResponse) {
	if len(t.TaskToken) == 0 || x.cache == nil {
		return // the poll ended empty, or the worker has
	}
	w := x.world
	w.Counts.Tasks++
	switch {
	case w.bad(x.rand, w.cfg.Vanish):
		w.Counts.Vanished++
		return
	case w.bad(x.rand, w.cfg.Die):
		x.die()
		return
	}
	x.later(50*time.Millisecond, func() { x.collect(t) })
}

// collect gets what is missing of the history: the next pages, or all of it if
// the rest alone was sent and is not what the memory goes on with.
func (x *worker) collect(t *workflowservice.PollWorkflowTaskQueueResponse) {
	events := t.History.GetEvents()
	run := t.WorkflowExecution.RunId
	have := x.cache[run]
	fits := have != nil && have.Started() == t.PreviousStartedEventId && (len(events) == 0 && t.Query != nil || len(events) > 0 && events[0].EventId == have.Next())
	switch {
	case len(events) > 0 && events[0].EventId == 1:
		x.pages(t, events, t.NextPageToken)
	case fits && len(t.NextPageToken) == 0:
		x.work(t, events)
	default:
		x.world.Counts.Misses++
		x.pages(t, nil, nil)
	}
}

// pages reads the history page by page behind what is there. The answer of a task
// that is too old by now does not matter.
func (x *worker) pages(t *workflowservice.PollWorkflowTaskQueueResponse, events []*historypb.HistoryEvent, page []byte) {
	if len(events) > 0 && len(page) == 0 {
		x.work(t, events)
		return
	}
	x.call(&workflowservice.GetWorkflowExecutionHistoryRequest{
		Namespace: x.world.cfg.Namespace, Execution: t.WorkflowExecution, NextPageToken: page, MaximumPageSize: int32(1 + x.rand.IntN(20)),
	}, callTimeout, x.ifAlive(func(r cluster.Result) {
		if !r.OK() {
			if again(r) {
				x.world.U.After(x.rand.Spread(10*time.Millisecond, time.Second), x.alive(func() { x.pages(t, events, page) }))
			}
			return
		}
		m := r.Message.(*workflowservice.GetWorkflowExecutionHistoryResponse)
		events = append(events, m.History.GetEvents()...)
		if len(events) == 0 && len(m.NextPageToken) == 0 {
			return
		}
		x.pages(t, events, m.NextPageToken)
	}))
}

func (x *worker) ifAlive(f func(cluster.Result)) func(cluster.Result) {
	life := x.life
	return func(r cluster.Result) {
		if x.life == life {
			f(r)
		}
	}
}

// work replays the history and answers.
func (x *worker) work(t *workflowservice.PollWorkflowTaskQueueResponse, events []*historypb.HistoryEvent) {
	run := t.WorkflowExecution.RunId
	if t.Query != nil {
		x.query(t, events)
		return
	}
	if events = upToStart(events, t.StartedEventId); events == nil {
		x.world.Counts.Stale++
		return // the history has gone another way since: the task is dead
	}
	have := x.cache[run]
	if have == nil || len(events) > 0 && events[0].EventId == 1 {
		have = program.New(t.WorkflowExecution.WorkflowId, run)
		if x.began[run] == t.StartedEventId { // two owners gave it out: which answer is accepted, and which memory holds, is not known yet
			delete(x.cache, run)
		} else {
			x.remember(run, have)
		}
	}
	x.began[run] = t.StartedEventId
	have.Local = func() bool { return x.rand.IntN(3) > 0 }
	commands, err := have.Advance(events)
	if err != nil {
		delete(x.cache, run)
		x.unfit(t, err)
		return
	}
	x.answer(t, have, commands)
}

// unfit says that the history is not that of the program.
func (x *worker) unfit(t *workflowservice.PollWorkflowTaskQueueResponse, err error) {
	x.world.Fail(&check.Breach{Promise: check.ReplayFits, About: t.WorkflowExecution.RunId, Text: fmt.Sprintf(
		"worker %s, task started as event %d of workflow %s: %v", x.name, t.StartedEventId, t.WorkflowExecution.WorkflowId, err)})
}

// query answers from memory, or from a history of its own that nobody else goes on with.
func (x *worker) query(t *workflowservice.PollWorkflowTaskQueueResponse, events []*historypb.HistoryEvent) {
	have := x.cache[t.WorkflowExecution.RunId]
	if have == nil || len(events) > 0 {
		have = program.New(t.WorkflowExecution.WorkflowId, t.WorkflowExecution.RunId)
	}
	if err := have.Replay(events); err != nil {
		x.unfit(t, err)
		return
	}
	x.answerQuery(t, have)
}

// upToStart cuts the history behind the task's start; nil if the start is not there.
func upToStart(events []*historypb.HistoryEvent, started int64) []*historypb.HistoryEvent {
	for i, e := range events {
		if e.EventId == started && e.EventType == enumspb.EVENT_TYPE_WORKFLOW_TASK_STARTED {
			return events[:i+1]
		}
	}
	return nil
}

// remember keeps an instance; the memory is small.
func (x *worker) remember(run string, p *program.Instance) {
	if len(x.cache) >= cacheMax && x.cache[run] == nil {
		ids := slices.Sorted(maps.Keys(x.cache))
		delete(x.cache, ids[x.rand.IntN(len(ids))])
	}
	x.cache[run] = p
}

// answer completes the task, or fails it, or answers badly.
func (x *worker) answer(t *workflowservice.PollWorkflowTaskQueueResponse, have *program.Instance, commands []*commandpb.Command) {
	w := x.world
	run := t.WorkflowExecution.RunId
	if w.bad(x.rand, w.cfg.FailTask) {
		delete(x.cache, run)
		x.call(&workflowservice.RespondWorkflowTaskFailedRequest{
			Namespace: w.cfg.Namespace, TaskToken: t.TaskToken, Cause: enumspb.WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE, Identity: x.name,
			Failure: &failurepb.Failure{Message: "drawn"},
		}, callTimeout, func(cluster.Result) {})
		return
	}
	token, cheats := x.forged(t.TaskToken)
	req := &workflowservice.RespondWorkflowTaskCompletedRequest{
		Namespace: w.cfg.Namespace, TaskToken: token, Commands: commands, Identity: x.name,
		ReturnNewWorkflowTask: x.rand.IntN(2) == 0, ForceCreateNewWorkflowTask: have.Heartbeat,
	}
	if x.rand.IntN(5) > 0 {
		req.StickyAttributes = &taskqueuepb.StickyExecutionAttributes{
			WorkerTaskQueue:        &taskqueuepb.TaskQueue{Name: x.sticky, Kind: enumspb.TASK_QUEUE_KIND_STICKY, NormalName: x.queue},
			ScheduleToStartTimeout: durationpb.New(x.rand.Between(100*time.Millisecond, 5*time.Second)),
		}
	}
	spoiled := w.bad(x.rand, w.cfg.BadTask)
	if spoiled {
		req.Commands = x.spoil(commands)
		cheats = true
	}
	req.QueryResults = answers(t.Queries, have)
	if cheats {
		delete(x.cache, run)
	}
	if w.bad(x.rand, w.cfg.Twice) {
		x.later(50*time.Millisecond, func() { x.call(proto.Clone(req), callTimeout, func(cluster.Result) {}) })
	}
	x.complete(t, have, req, spoiled)
}

// complete sends the answer. Unless it is acknowledged the memory is not what the server has.
func (x *worker) complete(t *workflowservice.PollWorkflowTaskQueueResponse, have *program.Instance, req *workflowservice.RespondWorkflowTaskCompletedRequest, spoiled bool) {
	run := t.WorkflowExecution.RunId
	x.call(req, callTimeout, x.ifAlive(func(r cluster.Result) {
		if !r.OK() || req.StickyAttributes == nil {
			if x.cache[run] == have {
				delete(x.cache, run)
			}
		}
		if r.OK() || !spoiled { // what is not found may be what a bad command names: the task goes on then
			x.spent(req.TaskToken, r)
		}
		if !r.OK() {
			return
		}
		x.world.Counts.Answered++
		m := r.Message.(*workflowservice.RespondWorkflowTaskCompletedResponse)
		for _, a := range m.ActivityTasks {
			x.activityGiven(a)
		}
		if m.WorkflowTask != nil {
			x.taskGiven(m.WorkflowTask)
		}
	}))
}

// answers answers the queries that came with a task.
func answers(queries map[string]*querypb.WorkflowQuery, have *program.Instance) map[string]*querypb.WorkflowQueryResult {
	if len(queries) == 0 {
		return nil
	}
	out := map[string]*querypb.WorkflowQueryResult{}
	for id := range queries { //ordered: all answers are alike
		out[id] = &querypb.WorkflowQueryResult{ResultType: enumspb.QUERY_RESULT_TYPE_ANSWERED, Answer: program.Payloads(have.Memory())}
	}
	return out
}

func (x *worker) answerQuery(t *workflowservice.PollWorkflowTaskQueueResponse, have *program.Instance) {
	x.call(&workflowservice.RespondQueryTaskCompletedRequest{
		Namespace: x.world.cfg.Namespace, TaskToken: t.TaskToken, CompletedType: enumspb.QUERY_RESULT_TYPE_ANSWERED, QueryResult: program.Payloads(have.Memory()),
	}, callTimeout, func(cluster.Result) {})
}
