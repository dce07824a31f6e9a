package workload

import (
	"fmt"
	"time"

	failurepb "go.temporal.io/api/failure/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/proto"

	"perdure/sim/cluster"
	"perdure/sim/program"
)

// attempt is one attempt of an activity at a worker.
type attempt struct {
	x    *worker
	task *workflowservice.PollActivityTaskQueueResponse
	plan program.Activity
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

// beat sends heartbeats until the activity should be done; a cancel request ends it.
func (a *attempt) beat() {
	a.x.call(&workflowservice.RecordActivityTaskHeartbeatRequest{
		Namespace: a.x.world.cfg.Namespace, TaskToken: a.task.TaskToken, Identity: a.x.name, Details: program.Payloads(int(a.task.Attempt)),
	}, callTimeout, a.x.ifAlive(func(r cluster.Result) {
		if m, ok := r.Message.(*workflowservice.RecordActivityTaskHeartbeatResponse); ok && m.CancelRequested {
			a.cancel()
		}
	}))
}

func (a *attempt) cancel() {
	a.x.call(&workflowservice.RespondActivityTaskCanceledRequest{
		Namespace: a.x.world.cfg.Namespace, TaskToken: a.task.TaskToken, Identity: a.x.name, Details: program.Payloads(a.plan.ID + "/canceled"),
	}, callTimeout, func(cluster.Result) {})
}

// end answers as the plan says.
func (a *attempt) end() {
	x, w := a.x, a.x.world
	token, _ := x.forged(a.task.TaskToken)
	var req proto.Message
	if int(a.task.Attempt) <= a.plan.Hangs+a.plan.Fails {
		req = &workflowservice.RespondActivityTaskFailedRequest{
			Namespace: w.cfg.Namespace, TaskToken: token, Identity: x.name,
			Failure: &failurepb.Failure{Message: fmt.Sprintf("%s, attempt %d", a.plan.ID, a.task.Attempt), FailureInfo: &failurepb.Failure_ApplicationFailureInfo{
				ApplicationFailureInfo: &failurepb.ApplicationFailureInfo{Type: "drawn", NonRetryable: a.plan.Final}}},
		}
	} else {
		req = a.completion(token)
	}
	if w.bad(x.rand, w.cfg.Twice) {
		x.later(50*time.Millisecond, func() { x.call(proto.Clone(req), callTimeout, func(cluster.Result) {}) })
	}
	x.send(req, token)
}

// completion has a result of its own for each attempt, as a token may be used twice.
func (a *attempt) completion(token []byte) proto.Message {
	result := program.Payloads(fmt.Sprintf("%s#%d-%s-%d", a.plan.ID, a.task.Attempt, a.x.name, a.x.rand.Uint32()))
	if a.plan.ByID {
		return &workflowservice.RespondActivityTaskCompletedByIdRequest{
			Namespace: a.x.world.cfg.Namespace, WorkflowId: a.task.WorkflowExecution.WorkflowId, RunId: a.task.WorkflowExecution.RunId,
			ActivityId: a.task.ActivityId, Result: result, Identity: a.x.name,
		}
	}
	return &workflowservice.RespondActivityTaskCompletedRequest{Namespace: a.x.world.cfg.Namespace, TaskToken: token, Result: result, Identity: a.x.name}
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
