package frontend

import (
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/proto"

	"perdure/core/port"
	"perdure/core/token"
)

func (a *admission) history(req *workflowservice.GetWorkflowExecutionHistoryRequest) (Plan, *port.Refusal) {
	if r := first(a.enter(req.Namespace), execution(req.Execution)); r != nil {
		return Plan{}, r
	}
	a.pageSize(&req.MaximumPageSize)
	setDefault(&req.HistoryEventFilterType, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	return a.page(req, req.Execution, req.NextPageToken, false)
}

func (a *admission) historyReverse(req *workflowservice.GetWorkflowExecutionHistoryReverseRequest) (Plan, *port.Refusal) {
	if r := first(a.enter(req.Namespace), execution(req.Execution)); r != nil {
		return Plan{}, r
	}
	a.pageSize(&req.MaximumPageSize)
	return a.page(req, req.Execution, req.NextPageToken, true)
}

// pageSize is in batches; out of range means as many as there may be.
func (a *admission) pageSize(n *int32) {
	if most := int32(a.limits().HistoryPage); *n <= 0 || *n > most {
		*n = most
	}
}

// page fixes the run: the one of the request, of the token, or, on the first page, the current one.
func (a *admission) page(req proto.Message, e *commonpb.WorkflowExecution, raw []byte, reverse bool) (Plan, *port.Refusal) {
	if len(raw) == 0 {
		plan, _ := a.toRun(req, e.WorkflowId, e.RunId)
		return plan, nil
	}
	page, ok := token.DecodePage(raw, reverse)
	switch {
	case !ok:
		return Plan{}, port.Invalid("Invalid NextPageToken.")
	case e.RunId != "" && e.RunId != page.RunID:
		return Plan{}, port.Invalid("RunId in the request does not match the NextPageToken.")
	}
	plan, in := a.toRun(req, e.WorkflowId, page.RunID)
	in.Page = page
	return plan, nil
}

func (a *admission) describe(req *workflowservice.DescribeWorkflowExecutionRequest) (Plan, *port.Refusal) {
	if r := first(a.enter(req.Namespace), execution(req.Execution)); r != nil {
		return Plan{}, r
	}
	plan, _ := a.toRun(req, req.Execution.WorkflowId, req.Execution.RunId)
	return plan, nil
}
