package shard

import (
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	querypb "go.temporal.io/api/query/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/types/known/timestamppb"

	"perdure/core/history"
	"perdure/core/port"
	"perdure/core/run"
	"perdure/core/token"
)

// maxPage is the most batches one answer carries.
const maxPage = 256

// historyField of PollWorkflowTaskQueueResponse.
const historyField = 8

// taken gives a task to the poll that took it, which is shown only what is durable (S2).
func (s *Shard) taken(in *port.Taken) {
	defer s.answered(&in.Task) // only now: the start belongs into the record that waits for it
	if in.Task.Kind == port.QueryTask {
		s.queryTaken(in)
		return
	}
	e, ok := s.load(in.Task.Run, *in)
	if !ok {
		return
	}
	if e == nil || e.run == nil {
		s.untaken(in)
		return
	}
	if in.Task.Kind == port.ActivityTask {
		s.activityTaken(e, in)
		return
	}
	s.workflowTaken(e, in)
}

// untaken gives the poll back to its queue: the task has gone.
func (s *Shard) untaken(in *port.Taken) {
	s.out.Send(in.From, port.Untaken{Task: in.Task, Poll: in.Poll})
}

func (s *Shard) workflowTaken(e *entry, in *port.Taken) {
	from := int64(1)
	if in.Task.Queue.Sticky() {
		from = e.run.S.PreviousStartedId + 1
	}
	if _, ok := s.window(e, from, maxPage, *in); !ok {
		return
	}
	// What the worker is shown must be durable, its own start excepted.
	at, again := e.seq, e.run.S.Task != nil && e.run.S.Task.Reoffered
	c, started := e.run.StartTask(s.env(e.key.NamespaceID, e.key), in.Task.Stamp, run.Starter{Identity: in.Poll.Identity, RequestID: in.Poll.ID})
	s.apply(e, c)
	if !started {
		s.untaken(in)
		return
	}
	bs, ok := e.batches(from, maxPage)
	if !ok {
		bs = nil // the start made the window too short: the worker reads from its first page token
	}
	queries := s.carried(e.key)
	if again { // its history ends where it was first given out: a later query may want to see more
		queries = nil
	}
	// A start that another owner does not know of is refused by its nonce when it is answered.
	s.log.ReplyUnproven(port.Reply{Call: in.Poll.Call, Body: s.taskAnswer(e, bs, queries), Token: e.run.Token()}, at, s.out)
}

// taskAnswer is what a worker gets for the started workflow task: the first page
// of the history and a token for the rest.
func (s *Shard) taskAnswer(e *entry, bs []history.Batch, queries map[string]*querypb.WorkflowQuery) *port.Answer {
	task := e.run.S.Task
	m := &workflowservice.PollWorkflowTaskQueueResponse{
		TaskToken:         token.AppendTask(nil, s.snapshot.Keys, e.run.Token()),
		WorkflowExecution: executionOf(e.key), WorkflowType: &commonpb.WorkflowType{Name: e.run.S.WorkflowType},
		PreviousStartedEventId: e.run.S.PreviousStartedId, StartedEventId: task.StartedId, Attempt: task.Attempt,
		WorkflowExecutionTaskQueue: &taskqueuepb.TaskQueue{Name: e.run.S.TaskQueue, Kind: enumspb.TASK_QUEUE_KIND_NORMAL},
		ScheduledTime:              stamp(task.ScheduledTime), StartedTime: stamp(task.StartedTime), Queries: queries,
	}
	last := e.run.LastEvent()
	fragments := make([][]byte, 0, len(bs)+1)
	next := last + 1
	for _, b := range bs {
		fragments = append(fragments, b.Events)
		next = b.Last + 1
	}
	if len(bs) == 0 {
		next = 1
	}
	if next <= last {
		m.NextPageToken = token.AppendPage(nil, &port.PageToken{RunID: e.key.RunID, NextEventID: next, LastEventID: last, Running: true})
	} else {
		fragments = appendEvents(fragments, e.run.TransientEvents(true))
	}
	return &port.Answer{Message: m, Field: historyField, Fragments: fragments}
}

func appendEvents(fragments [][]byte, events []*historypb.HistoryEvent) [][]byte {
	if len(events) == 0 {
		return fragments
	}
	var b []byte
	for _, e := range events {
		b = history.AppendEvent(b, e)
	}
	return append(fragments, b)
}

func stamp(ns int64) *timestamppb.Timestamp {
	return &timestamppb.Timestamp{Seconds: ns / 1e9, Nanos: int32(ns % 1e9)}
}

// findTask loads the run of a task token.
func (s *Shard) findTask(r *port.Request) (*entry, bool) {
	e, ok := s.load(r.Token.Run, r)
	if !ok {
		return nil, false
	}
	if e == nil || e.run == nil {
		s.refused(r, noRun(r.Token.Run))
		return nil, false
	}
	return e, true
}

func (s *Shard) taskCompleted(r *port.Request, req *workflowservice.RespondWorkflowTaskCompletedRequest) {
	e, ok := s.findTask(r)
	if !ok {
		return
	}
	c := &run.Completion{
		Identity: req.Identity, Commands: req.Commands, Sticky: req.StickyAttributes, ReturnNew: req.ReturnNewWorkflowTask, ForceNew: req.ForceCreateNewWorkflowTask,
		BinaryChecksum: req.BinaryChecksum, Version: req.WorkerVersionStamp, Deployment: req.DeploymentOptions.GetDeploymentName(), SDK: req.SdkMetadata, Metering: req.MeteringMetadata, Messages: len(req.Messages), Eager: true, //nolint:staticcheck // old SDKs send the checksum
	}
	done := e.run.CompleteTask(s.env(e.key.NamespaceID, e.key), r.Token, c)
	var answers []inTask
	if done.Refusal == nil && !c.Heartbeat() { // what a heartbeat answers may miss local activities that run on
		answers = s.takeAnswered(e.key, req.QueryResults)
	}
	if done.Changes != nil {
		s.apply(e, done.Changes)
		if f := done.Changes.Oversize; f != "" && done.Refusal == nil {
			done.Refusal = port.Invalid("%s", f)
		}
	}
	s.replyInTask(answers)
	if done.Refusal != nil {
		s.refused(r, done.Refusal)
		return
	}
	s.replyCompleted(r, e, &done)
}

// replyCompleted answers with the next task and the eager activities, if there are any.
func (s *Shard) replyCompleted(r *port.Request, e *entry, done *run.Completed) {
	res := &workflowservice.RespondWorkflowTaskCompletedResponse{}
	for _, id := range done.Eager {
		if a, ok := e.run.Activity(id); ok {
			res.ActivityTasks = append(res.ActivityTasks, s.activityAnswer(e, a))
		}
	}
	answer := &port.Answer{Message: res}
	var undelivered any
	if done.NewTask && e.run.S.Task != nil {
		from := e.run.S.PreviousStartedId + 1
		bs, _ := e.batches(from, maxPage)
		const workflowTask = 1 // RespondWorkflowTaskCompletedResponse.workflow_task
		answer.Inner, answer.InnerField = s.taskAnswer(e, bs, s.carried(e.key)), workflowTask
		undelivered = e.run.Token()
	}
	s.log.Reply(port.Reply{Call: r.Call, Body: answer, Token: undelivered}, s.log.Seq(), s.out)
}

func (s *Shard) taskFailed(r *port.Request, req *workflowservice.RespondWorkflowTaskFailedRequest) {
	e, ok := s.findTask(r)
	if !ok {
		return
	}
	c, f := e.run.FailTask(s.env(e.key.NamespaceID, e.key), r.Token, req.Cause, req.Failure, req.Identity, req.BinaryChecksum) //nolint:staticcheck // old SDKs send the checksum
	if f != nil {
		s.refused(r, f)
		return
	}
	s.finish(r, e, c, &workflowservice.RespondWorkflowTaskFailedResponse{})
}

// undelivered takes back a start whose worker has gone.
func (s *Shard) undelivered(r *port.Reply) {
	k, ok := r.Token.(*port.Token)
	if !ok {
		return
	}
	if k.Kind == port.QueryTask {
		s.queryUndelivered(k)
		return
	}
	e, ok := s.load(k.Run, port.Undelivered{Reply: *r})
	if !ok || e == nil || e.run == nil {
		return
	}
	env := s.env(e.key.NamespaceID, e.key)
	var c *run.Changes
	switch k.Kind {
	case port.WorkflowTask:
		c, ok = e.run.TaskUndelivered(env, k)
	case port.ActivityTask:
		c, ok = e.run.ActivityUndelivered(env, k)
	}
	if ok {
		s.apply(e, c)
	}
}
