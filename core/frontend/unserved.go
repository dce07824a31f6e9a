package frontend

import (
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/proto"

	"perdure/core/port"
)

// unserved is the answer to what nobody serves: some of it was never built by
// the peer or is off in it by default, and clients know those answers.
func (a *admission) unserved(req proto.Message) *port.Refusal {
	switch req := req.(type) {
	case *workflowservice.UpdateWorkerBuildIdCompatibilityRequest, *workflowservice.GetWorkerBuildIdCompatibilityRequest:
		return denied("Worker versioning v0.1 (Version Set-based, deprecated) is disabled on this namespace.")
	case *workflowservice.UpdateWorkerVersioningRulesRequest, *workflowservice.GetWorkerVersioningRulesRequest, *workflowservice.GetWorkerTaskReachabilityRequest:
		return denied("Worker versioning v0.2 (Rules-based, deprecated) is disabled on this namespace.")
	case *workflowservice.DescribeDeploymentRequest, *workflowservice.ListDeploymentsRequest, *workflowservice.GetDeploymentReachabilityRequest,
		*workflowservice.GetCurrentDeploymentRequest, *workflowservice.SetCurrentDeploymentRequest:
		return unimplemented("Deployments are deprecated and no longer supported, use Worker Deployments instead")
	case *workflowservice.FetchWorkerConfigRequest:
		return unimplemented("FetchWorkerConfig command is not enabled.")
	case *workflowservice.UpdateWorkerConfigRequest:
		return unimplemented("UpdateWorkerConfig command is not enabled.")
	case *workflowservice.PauseWorkflowExecutionRequest:
		return unimplemented("workflow pause is not enabled for namespace: " + req.GetNamespace())
	case *workflowservice.StartNexusOperationExecutionRequest, *workflowservice.DescribeNexusOperationExecutionRequest,
		*workflowservice.PollNexusOperationExecutionRequest, *workflowservice.ListNexusOperationExecutionsRequest,
		*workflowservice.CountNexusOperationExecutionsRequest, *workflowservice.RequestCancelNexusOperationExecutionRequest,
		*workflowservice.TerminateNexusOperationExecutionRequest, *workflowservice.DeleteNexusOperationExecutionRequest:
		return unimplemented("Standalone Nexus operation is disabled")
	case *workflowservice.CreateWorkflowRuleRequest, *workflowservice.DescribeWorkflowRuleRequest, *workflowservice.DeleteWorkflowRuleRequest,
		*workflowservice.ListWorkflowRulesRequest, *workflowservice.TriggerWorkflowRuleRequest:
		return unimplemented("method " + method(req) + " not supported")
	case *workflowservice.PollWorkflowExecutionTimeSkippingRequest:
		return noTimeSkipping()
	case *workflowservice.ListArchivedWorkflowExecutionsRequest:
		return port.Invalid("Cluster is not configured for visibility archival.")
	}
	return unimplemented("Perdure does not serve " + method(req) + " yet")
}

func unimplemented(message string) *port.Refusal {
	return port.Refuse(port.Unimplemented, "%s", message)
}

// method is the name of the call that the request is for.
func method(req proto.Message) string {
	const suffix = "Request"
	name := string(req.ProtoReflect().Descriptor().Name())
	if n := len(name) - len(suffix); n > 0 && name[n:] == suffix {
		return name[:n]
	}
	return name
}
