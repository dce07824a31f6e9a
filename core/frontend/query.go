package frontend

import (
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"

	"perdure/core/port"
	"perdure/core/validate"
)

func (a *admission) query(req *workflowservice.QueryWorkflowRequest) (Plan, *port.Refusal) {
	if r := first(a.enter(req.Namespace), execution(req.Execution)); r != nil {
		return Plan{}, r
	}
	switch {
	case req.Query == nil:
		return Plan{}, port.Invalid("WorkflowQuery is not set on request.")
	case req.Query.QueryType == "":
		return Plan{}, port.Invalid("QueryType is not set on request.")
	}
	setDefault(&req.QueryRejectCondition, enumspb.QUERY_REJECT_CONDITION_NONE)
	if r := validate.Blob(a.limits(), req.Query); r != nil {
		return Plan{}, r
	}
	plan, _ := a.toRun(req, req.Execution.WorkflowId, req.Execution.RunId)
	return plan, nil
}

// queryCompleted turns an answer that is too large into a failed one: who asked must learn it.
func (a *admission) queryCompleted(req *workflowservice.RespondQueryTaskCompletedRequest) (Plan, *port.Refusal) {
	t, r := a.enterByToken(req.Namespace, req.TaskToken)
	if r != nil {
		return Plan{}, r
	}
	if r := validate.Blob(a.limits(), req.QueryResult); r != nil {
		req.CompletedType = enumspb.QUERY_RESULT_TYPE_FAILED
		req.QueryResult = nil
		req.ErrorMessage = r.Message
	}
	return a.byToken(req, t, port.QueryTask)
}
