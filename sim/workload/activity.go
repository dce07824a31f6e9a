package workload

import (
	"fmt"
	"strings"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	failurepb "go.temporal.io/api/failure/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/proto"

	"perdure/sim/cluster"
	"perdure/sim/program"
)

// attempt is one attempt of an activity at a worker.
type attempt struct {
	x     *worker
	task  *workflowservice.PollActivityTaskQueueResponse
	plan  program.Activity
	ended bool
}

func (x *worker) activityGiven(t *workflowservice.PollActivityTaskQueueResponse) {
	if len(t.TaskToken) == 0 || x.cache == nil {
		return
	}
	w := x.world
	w.Counts.Activities++
	a := &attempt{x: x, task: t}
	if !program.Value(t.Input, &a.plan) {
		w.Fail(badTask("activity %s of %s came without its input", t.ActivityId, t.WorkflowExecution))
		return
	}
	if b := w.Ledger.Given(t.WorkflowExecution.RunId, t.ActivityId, t.CurrentAttemptScheduledTime.AsTime().UnixNano(), t.Attempt, x.name); b != nil {
		w.Fail(b)
		return
	}
	switch {
	case w.bad(x.rand, w.cfg.Vanish), int(t.Attempt) <= a.plan.Hangs:
		w.Counts.Vanished++
		return
	case w.bad(x.rand, w.cfg.Die):
		x.die()
		return
	}
	if a.plan.Heartbeat {
		a.beat()
	}
	end := time.Duration(a.plan.Millis) * time.Millisecond
	x.world.U.After(end, x.alive(func() { x.later(20*time.Millisecond, a.end) }))
}

// beat sends heartbeats, well before each is due, until the activity is done; a cancel request ends it.
func (a *attempt) beat() {
	if a.ended {
		return
	}
	a.x.call(a.heartbeat(), callTimeout, a.x.ifAlive(func(r cluster.Result) {
		if m, ok := r.Message.(interface{ GetCancelRequested() bool }); ok && m.GetCancelRequested() {
			a.cancel()
		}
	}))
	every := a.task.HeartbeatTimeout.AsDuration()
	a.x.world.U.After(a.x.rand.Between(every/5, every*4/5), a.x.alive(a.beat))
}

func (a *attempt) heartbeat() proto.Message {
	ns, details := a.x.world.cfg.Namespace, a.oversized(program.Payloads(int(a.task.Attempt)))
	if a.plan.ByID {
		return &workflowservice.RecordActivityTaskHeartbeatByIdRequest{
			Namespace: ns, WorkflowId: a.task.WorkflowExecution.WorkflowId, RunId: a.task.WorkflowExecution.RunId, ActivityId: a.task.ActivityId, Identity: a.x.name, Details: details}
	}
	return &workflowservice.RecordActivityTaskHeartbeatRequest{Namespace: ns, TaskToken: a.task.TaskToken, Identity: a.x.name, Details: details}
}

func (a *attempt) cancel() {
	a.ended = true
	ns, details := a.x.world.cfg.Namespace, a.oversized(program.Payloads(a.plan.ID+"/canceled"))
	var req proto.Message = &workflowservice.RespondActivityTaskCanceledRequest{Namespace: ns, TaskToken: a.task.TaskToken, Identity: a.x.name, Details: details}
	if a.plan.ByID {
		req = &workflowservice.RespondActivityTaskCanceledByIdRequest{
			Namespace: ns, WorkflowId: a.task.WorkflowExecution.WorkflowId, RunId: a.task.WorkflowExecution.RunId, ActivityId: a.task.ActivityId, Identity: a.x.name, Details: details}
	}
	a.x.call(req, callTimeout, func(cluster.Result) {})
}

// end answers as the plan says.
func (a *attempt) end() {
	a.ended = true
	x, w := a.x, a.x.world
	token, _ := x.forged(a.task.TaskToken)
	var req proto.Message
	if int(a.task.Attempt) <= a.plan.Hangs+a.plan.Fails {
		req = a.failure(token)
	} else {
		req = a.completion(token)
	}
	if w.bad(x.rand, w.cfg.Twice) {
		x.later(50*time.Millisecond, func() { x.call(proto.Clone(req), callTimeout, func(cluster.Result) {}) })
	}
	x.send(req, token)
}

func (a *attempt) failure(token []byte) proto.Message {
	f := &failurepb.Failure{Message: fmt.Sprintf("%s, attempt %d", a.plan.ID, a.task.Attempt), FailureInfo: &failurepb.Failure_ApplicationFailureInfo{
		ApplicationFailureInfo: &failurepb.ApplicationFailureInfo{Type: "drawn", NonRetryable: a.plan.Final}}}
	switch a.x.rand.IntN(6) {
	case 0:
		f.GetApplicationFailureInfo().Type = "never again" // as some policies have it
	case 1:
		f.Cause = &failurepb.Failure{Message: "cause", FailureInfo: &failurepb.Failure_CanceledFailureInfo{CanceledFailureInfo: &failurepb.CanceledFailureInfo{}}}
	}
	ns, details := a.x.world.cfg.Namespace, a.oversized(program.Payloads("last"))
	if details.Payloads[0].Metadata == nil {
		f.Message, f.StackTrace = strings.Repeat("long ", 2000), strings.Repeat("trace ", 2000)
	}
	if a.plan.ByID {
		return &workflowservice.RespondActivityTaskFailedByIdRequest{
			Namespace: ns, WorkflowId: a.task.WorkflowExecution.WorkflowId, RunId: a.task.WorkflowExecution.RunId, ActivityId: a.task.ActivityId,
			Identity: a.x.name, Failure: f, LastHeartbeatDetails: details}
	}
	return &workflowservice.RespondActivityTaskFailedRequest{Namespace: ns, TaskToken: token, Identity: a.x.name, Failure: f, LastHeartbeatDetails: details}
}

// completion has a result of its own for each attempt, as a token may be used twice.
func (a *attempt) completion(token []byte) proto.Message {
	result := a.oversized(program.Payloads(fmt.Sprintf("%s#%d-%s-%d", a.plan.ID, a.task.Attempt, a.x.name, a.x.rand.Uint32())))
	if a.plan.ByID {
		return &workflowservice.RespondActivityTaskCompletedByIdRequest{
			Namespace: a.x.world.cfg.Namespace, WorkflowId: a.task.WorkflowExecution.WorkflowId, RunId: a.task.WorkflowExecution.RunId,
			ActivityId: a.task.ActivityId, Result: result, Identity: a.x.name,
		}
	}
	return &workflowservice.RespondActivityTaskCompletedRequest{Namespace: a.x.world.cfg.Namespace, TaskToken: token, Result: result, Identity: a.x.name}
}

// oversized is a payload as it was meant, or one of no meaning that is too large.
func (a *attempt) oversized(p *commonpb.Payloads) *commonpb.Payloads {
	w := a.x.world
	if w.cfg.Oversize == 0 || !w.bad(a.x.rand, w.cfg.Hostile) {
		return p
	}
	return &commonpb.Payloads{Payloads: []*commonpb.Payload{{Data: make([]byte, w.cfg.Oversize)}}}
}

// send repeats an answer as SDKs do, until it is known to be of no use.
func (x *worker) send(req proto.Message, token []byte) {
	x.call(proto.Clone(req), callTimeout, x.ifAlive(func(r cluster.Result) {
		x.spent(token, r)
		if again(r) {
			x.world.U.After(x.rand.Spread(10*time.Millisecond, 2*time.Second), x.alive(func() { x.send(req, token) }))
		}
	}))
}
