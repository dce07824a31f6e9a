package grpc

import (
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"perdure/core/frontend"
	"perdure/core/port"
)

// features names parts of the API in a user's words, each by one call without which it does not work.
var features = []struct {
	name string
	call protoreflect.Name
}{
	{"updates", "UpdateWorkflowExecution"},
	{"update-with-start", "ExecuteMultiOperation"},
	{"list and count of workflows", "ListWorkflowExecutions"},
	{"schedules", "CreateSchedule"},
	{"reset", "ResetWorkflowExecution"},
	{"queries", "QueryWorkflow"},
	{"batch operations", "StartBatchOperation"},
	{"pausing and resetting activities", "PauseActivity"},
	{"changing options of workflows", "UpdateWorkflowExecutionOptions"},
	{"worker versioning", "DescribeWorkerDeployment"},
	{"standalone activities", "StartActivityExecution"},
	{"Nexus", "PollNexusTaskQueue"},
	{"list of workers", "ListWorkers"},
	{"task queue limits", "UpdateTaskQueueConfig"},
	{"deleting namespaces", "DeleteNamespace"},
}

// Unserved lists in a user's words what this server does not serve yet. It
// asks the frontend, so it needs a runtime that is ready.
func (s *Server) Unserved() (names []string) {
	for _, f := range features {
		_, refusal := s.frontend.Admit(s.runtime.Snapshot(), frontend.Caller{Now: time.Now(), NewID: newID}, emptyRequest(f.call))
		if refusal != nil && refusal.Code == port.Unimplemented {
			names = append(names, f.name)
		}
	}
	return names
}

func emptyRequest(call protoreflect.Name) proto.Message {
	for _, service := range services() {
		if m := service.Methods().ByName(call); m != nil {
			return requestType(m).New().Interface()
		}
	}
	panic("grpc: there is no call " + call)
}
