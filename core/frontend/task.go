package frontend

import (
	"time"

	deploymentpb "go.temporal.io/api/deployment/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/errordetails/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"

	"perdure/core/port"
	"perdure/core/validate"
)

func (a *admission) pollWorkflowTask(req *workflowservice.PollWorkflowTaskQueueRequest) (Plan, *port.Refusal) {
	if r := a.enter(req.Namespace); r != nil {
		return Plan{}, r
	}
	end, r := a.pollEnd()
	if r != nil {
		return Plan{}, r
	}
	c := req.WorkerVersionCapabilities
	if r := first(a.identity(req.Identity), a.versioning(c.GetUseVersioning(), c.GetBuildId(), req.DeploymentOptions, req.TaskQueue), validate.TaskQueue(a.limits(), req.TaskQueue)); r != nil {
		return Plan{}, r
	}
	queue := port.QueueKey{NamespaceID: a.ns.ID, Name: req.TaskQueue.Name, Type: port.WorkflowQueue}
	if req.TaskQueue.Kind == enumspb.TASK_QUEUE_KIND_STICKY {
		queue.Normal = req.TaskQueue.NormalName
	}
	return a.poll(queue, end, req.Identity, req), nil
}

func (a *admission) pollActivityTask(req *workflowservice.PollActivityTaskQueueRequest) (Plan, *port.Refusal) {
	if r := a.enter(req.Namespace); r != nil {
		return Plan{}, r
	}
	end, r := a.pollEnd()
	if r != nil {
		return Plan{}, r
	}
	c := req.WorkerVersionCapabilities
	if r := first(validate.TaskQueue(a.limits(), req.TaskQueue), a.identity(req.Identity), a.versioning(c.GetUseVersioning(), c.GetBuildId(), req.DeploymentOptions, req.TaskQueue)); r != nil {
		return Plan{}, r
	}
	return a.poll(port.QueueKey{NamespaceID: a.ns.ID, Name: req.TaskQueue.Name, Type: port.ActivityQueue}, end, req.Identity, req), nil
}

// pollEnd is when a poll ends empty: so early that the answer reaches the caller before its deadline.
func (a *admission) pollEnd() (time.Time, *port.Refusal) {
	c, l := a.caller, a.limits()
	switch {
	case c.Deadline.IsZero():
		return time.Time{}, port.Invalid("Context timeout is not set.")
	case c.Deadline.Sub(c.Now) < l.LongPollLeast:
		return time.Time{}, port.Refuse(port.FailedPrecondition, "Context timeout is too short.")
	}
	return validate.LongPollEnd(l, c.Now, c.Deadline, l.LongPoll), nil
}

func (a *admission) poll(queue port.QueueKey, end time.Time, identity string, req any) Plan {
	c := a.caller
	in := &port.Poll{Call: c.Call, ID: c.NewID(), Queue: queue, Deadline: end, Identity: identity, Body: req, Client: c.Client}
	return Plan{To: a.place(in), In: in}
}

// versioning refuses what the old ways of versioning workers ask for, which are
// off, and the new one, which is not there: a worker that registers a version
// must learn that nothing would be routed by it.
func (a *admission) versioning(use bool, build string, o *deploymentpb.WorkerDeploymentOptions, q *taskqueuepb.TaskQueue) *port.Refusal {
	switch {
	case use:
		return denied("Worker versioning in workflow progress APIs is disabled on this namespace.")
	case o != nil && q.GetKind() == enumspb.TASK_QUEUE_KIND_STICKY && q.GetNormalName() == "":
		return port.Invalid("NormalName must be set on sticky queue when UseVersioning is true or DeploymentOptions are set.")
	case len(build) > a.limits().Build:
		return port.Invalid("Build ID exceeds configured limit.workerBuildIdSize, use a shorter build ID.")
	case o.GetWorkerVersioningMode() != enumspb.WORKER_VERSIONING_MODE_VERSIONED:
		return nil
	case o.GetDeploymentName() == "" || o.GetBuildId() == "":
		return port.Invalid("Both deployment name and build id must be set when versioning is enabled.")
	}
	return port.Refuse(port.Unimplemented, "worker versioning is not supported by this server: use an unversioned worker")
}

func denied(message string) *port.Refusal {
	return &port.Refusal{Code: port.PermissionDenied, Message: message, Detail: &errordetails.PermissionDeniedFailure{}}
}

func (a *admission) taskCompleted(req *workflowservice.RespondWorkflowTaskCompletedRequest) (Plan, *port.Refusal) {
	t, r := a.enterByToken(req.Namespace, req.TaskToken)
	if r != nil {
		return Plan{}, r
	}
	s := req.WorkerVersionStamp
	if r := first(a.identity(req.Identity), a.versioning(s.GetUseVersioning(), s.GetBuildId(), req.DeploymentOptions, req.StickyAttributes.GetWorkerTaskQueue())); r != nil {
		return Plan{}, r
	}
	return a.byToken(req, t, port.WorkflowTask)
}

func (a *admission) taskFailed(req *workflowservice.RespondWorkflowTaskFailedRequest) (Plan, *port.Refusal) {
	t, r := a.enterByToken(req.Namespace, req.TaskToken)
	if r != nil {
		return Plan{}, r
	}
	if r := a.identity(req.Identity); r != nil {
		return Plan{}, r
	}
	req.Failure, _ = validate.Failure(a.limits(), req.Failure)
	return a.byToken(req, t, port.WorkflowTask)
}

func (a *admission) resetSticky(req *workflowservice.ResetStickyTaskQueueRequest) (Plan, *port.Refusal) {
	if r := first(a.enter(req.Namespace), execution(req.Execution)); r != nil {
		return Plan{}, r
	}
	plan, _ := a.toRun(req, req.Execution.WorkflowId, req.Execution.RunId)
	return plan, nil
}

// shutdownWorker takes a worker's good-bye to the owner of its sticky queue. An old
// worker does not name the normal queue, by which the owner is found: its sticky
// queue is dead soon after its polls end.
func (a *admission) shutdownWorker(req *workflowservice.ShutdownWorkerRequest) (Plan, *port.Refusal) {
	if r := a.enter(req.Namespace); r != nil {
		return Plan{}, r
	}
	if req.StickyTaskQueue == "" || req.TaskQueue == "" {
		return answer(&workflowservice.ShutdownWorkerResponse{}), nil
	}
	in := &port.Request{Call: a.caller.Call, Namespace: a.ns, Body: req, Client: a.caller.Client}
	return Plan{To: a.place(in), In: in}, nil
}

// workerHeartbeat takes the status of workers and forgets it: there is no list of workers yet, and no
// namespace says that there is one (see the capabilities).
func (a *admission) workerHeartbeat(req *workflowservice.RecordWorkerHeartbeatRequest) (Plan, *port.Refusal) {
	if r := a.enter(req.Namespace); r != nil {
		return Plan{}, r
	}
	return answer(&workflowservice.RecordWorkerHeartbeatResponse{}), nil
}
