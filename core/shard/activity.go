package shard

import (
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"perdure/core/port"
	"perdure/core/run"
	"perdure/core/run/runpb"
	"perdure/core/token"
	"time"
)

func (s *Shard) activityTaken(e *entry, in *port.Taken) {
	c, ok := e.run.StartActivity(s.env(e.key.NamespaceID, e.key), in.Task.ID, in.Task.Stamp, run.Starter{Identity: in.Poll.Identity, RequestID: in.Poll.ID})
	s.apply(e, c)
	if !ok {
		s.untaken(in)
		return
	}
	a, _ := e.run.Activity(in.Task.ID)
	// The start must be durable before the worker acts on it.
	s.log.Reply(port.Reply{Call: in.Poll.Call, Body: &port.Answer{Message: s.activityAnswer(e, a)}, Token: e.run.ActivityToken(a)}, s.log.Seq(), s.out)
}

// activityAnswer is what a worker gets for a started attempt.
func (s *Shard) activityAnswer(e *entry, a *runpb.Activity) *workflowservice.PollActivityTaskQueueResponse {
	m := &workflowservice.PollActivityTaskQueueResponse{
		TaskToken:         token.AppendTask(nil, s.snapshot.Keys, e.run.ActivityToken(a)),
		WorkflowNamespace: s.env(e.key.NamespaceID, e.key).Namespace.Name, WorkflowType: &commonpb.WorkflowType{Name: e.run.S.WorkflowType},
		WorkflowExecution: executionOf(e.key), ActivityType: &commonpb.ActivityType{Name: a.Type}, ActivityId: a.ActivityId,
		ScheduledTime: stamp(a.FirstScheduledTime), CurrentAttemptScheduledTime: stamp(a.ScheduledTime), StartedTime: stamp(a.StartedTime), Attempt: a.Attempt,
		ScheduleToCloseTimeout: durationpb.New(time.Duration(a.ScheduleToClose)), StartToCloseTimeout: durationpb.New(time.Duration(a.StartToClose)),
		HeartbeatTimeout: durationpb.New(time.Duration(a.Heartbeat)), RetryPolicy: run.RetryPolicyOf(a.Retry),
	}
	if in := e.run.ActivityInput(a.ScheduledId); in != nil {
		if len(in.Input) > 0 {
			m.Input = decode(in.Input, &commonpb.Payloads{})
		}
		if len(in.Header) > 0 {
			m.Header = decode(in.Header, &commonpb.Header{})
		}
	}
	if len(a.HeartbeatDetails) > 0 {
		m.HeartbeatDetails = decode(a.HeartbeatDetails, &commonpb.Payloads{})
	}
	m.Priority = e.run.ActivityPriority(a)
	return m
}

func decode[M proto.Message](b []byte, m M) M {
	if err := proto.Unmarshal(b, m); err != nil {
		panic("shard: a stored message cannot be decoded: " + err.Error())
	}
	return m
}

// activityAnswered serves the eight answers to an activity task.
func (s *Shard) activityAnswered(r *port.Request) {
	byID := r.Token == nil
	k := r.Token
	var e *entry
	var ok bool
	if byID {
		e, ok = s.find(r)
	} else {
		e, ok = s.findTask(r)
	}
	if !ok {
		return
	}
	if byID {
		var f *port.Refusal
		if k, f = e.run.TokenByID(activityID(r.Body)); f != nil {
			s.refused(r, f)
			return
		}
	}
	c, res, f := activityAct(e.run, s.env(e.key.NamespaceID, e.key), k, r.Body, byID)
	if f != nil {
		s.refused(r, f)
		return
	}
	s.finish(r, e, c, res)
}

func activityID(body any) string { return body.(interface{ GetActivityId() string }).GetActivityId() }

// activityAct carries out one of the answers.
func activityAct(x *run.Run, env *run.Env, k *port.Token, body any, byID bool) (*run.Changes, proto.Message, *port.Refusal) {
	switch q := body.(type) {
	case *workflowservice.RespondActivityTaskCompletedRequest:
		c, f := x.CompleteActivity(env, k, q.Result, q.Identity, byID)
		return c, &workflowservice.RespondActivityTaskCompletedResponse{}, f
	case *workflowservice.RespondActivityTaskCompletedByIdRequest:
		c, f := x.CompleteActivity(env, k, q.Result, q.Identity, byID)
		return c, &workflowservice.RespondActivityTaskCompletedByIdResponse{}, f
	case *workflowservice.RespondActivityTaskFailedRequest:
		c, f := x.FailActivity(env, k, q.Failure, q.LastHeartbeatDetails, q.Identity)
		return c, &workflowservice.RespondActivityTaskFailedResponse{}, f
	case *workflowservice.RespondActivityTaskFailedByIdRequest:
		c, f := x.FailActivity(env, k, q.Failure, q.LastHeartbeatDetails, q.Identity)
		return c, &workflowservice.RespondActivityTaskFailedByIdResponse{}, f
	case *workflowservice.RespondActivityTaskCanceledRequest:
		c, f := x.CancelActivityTask(env, k, q.Details, q.Identity)
		return c, &workflowservice.RespondActivityTaskCanceledResponse{}, f
	case *workflowservice.RespondActivityTaskCanceledByIdRequest:
		c, f := x.CancelActivityTask(env, k, q.Details, q.Identity)
		return c, &workflowservice.RespondActivityTaskCanceledByIdResponse{}, f
	case *workflowservice.RecordActivityTaskHeartbeatRequest:
		c, cancel, f := x.Heartbeat(env, k, q.Details)
		return c, &workflowservice.RecordActivityTaskHeartbeatResponse{CancelRequested: cancel}, f
	case *workflowservice.RecordActivityTaskHeartbeatByIdRequest:
		c, cancel, f := x.Heartbeat(env, k, q.Details)
		return c, &workflowservice.RecordActivityTaskHeartbeatByIdResponse{CancelRequested: cancel}, f
	}
	panic("shard: not an answer to an activity")
}
