// Package frontend admits requests of the API: it checks every field, fills in
// defaults, and says which machine answers. Admission is a pure function of the
// request and a snapshot of the registry; it runs on the caller's goroutine and
// keeps nothing, so any number of calls may be admitted side by side.
//
// The texts of the refusals, and which of two mistakes is reported first, are
// those that clients of the API know.
package frontend

import (
	"time"

	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/proto"

	"perdure/core/port"
	"perdure/core/validate"
)

// Settings says what a Frontend belongs to.
type Settings struct {
	Node       port.NodeID
	QueueParts int // parts of the node's task queues; default 1

	ClusterName     string // default "active"
	HostVersion     string // that clients see; default Version
	PersistenceName string // what GetClusterInfo calls the store; default "sqlite"
	VisibilityName  string // default that of the persistence

	Limits validate.Limits // default validate.Defaults()
}

// Version is the version of the peer whose API is served.
const Version = "1.32.0"

func (s *Settings) defaults() {
	setDefault(&s.QueueParts, 1)
	setDefault(&s.ClusterName, "active")
	setDefault(&s.HostVersion, Version)
	setDefault(&s.PersistenceName, "sqlite")
	setDefault(&s.VisibilityName, s.PersistenceName)
	setDefault(&s.Limits, validate.Defaults())
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Frontend admits requests. It never changes after New.
type Frontend struct {
	set Settings
}

// New makes a frontend.
func New(s Settings) *Frontend {
	s.defaults()
	return &Frontend{set: s}
}

// Caller is who asks, and when.
type Caller struct {
	Now      time.Time
	Deadline time.Time // zero: none
	Call     port.Call
	Client   port.Client
	NewID    func() string // UUIDs, for request ids and polls
	Members  *port.Members // this node's view of the cluster; nil: it is alone
}

// Plan is what becomes of an admitted request: In goes to To, which replies to
// the caller's Call, or the Answer is there already.
type Plan struct {
	To     port.Address
	In     port.Input
	Answer *port.Answer
}

// admission is one request on its way.
type admission struct {
	*Frontend
	snapshot *port.Snapshot
	caller   *Caller
	ns       *port.Namespace // once entered
}

func (a *admission) limits() *validate.Limits { return &a.set.Limits }

// Admit checks a request, completes it in place, and plans its way. The request
// belongs to the core from then on.
func (f *Frontend) Admit(s *port.Snapshot, c Caller, req proto.Message) (Plan, *port.Refusal) {
	if r := f.checkClient(&c.Client); r != nil {
		return Plan{}, r
	}
	a := &admission{Frontend: f, snapshot: s, caller: &c}
	switch req := req.(type) {
	case *workflowservice.StartWorkflowExecutionRequest:
		return a.start(req)
	case *workflowservice.SignalWithStartWorkflowExecutionRequest:
		return a.signalWithStart(req)
	case *workflowservice.SignalWorkflowExecutionRequest:
		return a.signal(req)
	case *workflowservice.RequestCancelWorkflowExecutionRequest:
		return a.requestCancel(req)
	case *workflowservice.TerminateWorkflowExecutionRequest:
		return a.terminate(req)

	case *workflowservice.PollWorkflowTaskQueueRequest:
		return a.pollWorkflowTask(req)
	case *workflowservice.RespondWorkflowTaskCompletedRequest:
		return a.taskCompleted(req)
	case *workflowservice.RespondWorkflowTaskFailedRequest:
		return a.taskFailed(req)
	case *workflowservice.ResetStickyTaskQueueRequest:
		return a.resetSticky(req)
	case *workflowservice.ShutdownWorkerRequest:
		return a.shutdownWorker(req)
	case *workflowservice.RecordWorkerHeartbeatRequest:
		return a.workerHeartbeat(req)

	case *workflowservice.PollActivityTaskQueueRequest:
		return a.pollActivityTask(req)
	case *workflowservice.RespondActivityTaskCompletedRequest:
		return a.activityCompleted(req)
	case *workflowservice.RespondActivityTaskFailedRequest:
		return a.activityFailed(req)
	case *workflowservice.RespondActivityTaskCanceledRequest:
		return a.activityCanceled(req)
	case *workflowservice.RecordActivityTaskHeartbeatRequest:
		return a.heartbeat(req)
	case *workflowservice.RespondActivityTaskCompletedByIdRequest:
		return a.activityCompletedByID(req)
	case *workflowservice.RespondActivityTaskFailedByIdRequest:
		return a.activityFailedByID(req)
	case *workflowservice.RespondActivityTaskCanceledByIdRequest:
		return a.activityCanceledByID(req)
	case *workflowservice.RecordActivityTaskHeartbeatByIdRequest:
		return a.heartbeatByID(req)

	case *workflowservice.GetWorkflowExecutionHistoryRequest:
		return a.history(req)
	case *workflowservice.GetWorkflowExecutionHistoryReverseRequest:
		return a.historyReverse(req)
	case *workflowservice.DescribeWorkflowExecutionRequest:
		return a.describe(req)
	case *workflowservice.QueryWorkflowRequest:
		return a.query(req)
	case *workflowservice.RespondQueryTaskCompletedRequest:
		return a.queryCompleted(req)

	case *workflowservice.RegisterNamespaceRequest:
		return a.namespaceNamed(req, req.GetNamespace())
	case *workflowservice.DescribeNamespaceRequest:
		return a.describeNamespace(req)
	case *workflowservice.ListNamespacesRequest:
		return a.registry(req), nil
	case *workflowservice.UpdateNamespaceRequest:
		return a.namespaceNamed(req, req.GetNamespace())
	case *workflowservice.DeprecateNamespaceRequest:
		return a.namespaceNamed(req, req.GetNamespace())
	case *operatorservice.AddSearchAttributesRequest:
		return a.searchAttributes(req, req.GetNamespace())
	case *operatorservice.RemoveSearchAttributesRequest:
		return a.searchAttributes(req, req.GetNamespace())
	case *operatorservice.ListSearchAttributesRequest:
		return a.searchAttributes(req, req.GetNamespace())

	case *workflowservice.GetSearchAttributesRequest:
		return a.allSearchAttributes(), nil
	case *workflowservice.GetSystemInfoRequest:
		return a.systemInfo(), nil
	case *workflowservice.GetClusterInfoRequest:
		return a.clusterInfo(), nil
	}
	return Plan{}, a.unserved(req)
}

// toRun sends the request to the shard of a run of the namespace entered.
func (a *admission) toRun(body proto.Message, workflowID, runID string) (Plan, *port.Request) {
	return a.toKey(body, port.RunKey{NamespaceID: a.ns.ID, WorkflowID: workflowID, RunID: runID})
}

func (a *admission) toKey(body proto.Message, run port.RunKey) (Plan, *port.Request) {
	in := &port.Request{Call: a.caller.Call, Deadline: a.caller.Deadline, Namespace: a.ns, Run: run, Body: body, Client: a.caller.Client}
	return Plan{To: a.place(in), In: in}, in
}

// registry sends the request to the registry's machine.
func (a *admission) registry(body proto.Message) Plan {
	in := &port.Request{Call: a.caller.Call, Deadline: a.caller.Deadline, Body: body, Client: a.caller.Client}
	return Plan{To: a.place(in), In: in}
}

func answer(m proto.Message) Plan { return Plan{Answer: &port.Answer{Message: m}} }
