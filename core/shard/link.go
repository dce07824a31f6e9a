package shard

import (
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"

	"perdure/core/port"
)

const (
	startedEvent  = enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED
	signaledEvent = enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED
	optionsEvent  = enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_OPTIONS_UPDATED
)

// eventLink points to an event by its id.
func eventLink(namespace string, k port.RunKey, id int64, kind enumspb.EventType) *commonpb.Link {
	return &commonpb.Link{Variant: &commonpb.Link_WorkflowEvent_{WorkflowEvent: &commonpb.Link_WorkflowEvent{
		Namespace: namespace, WorkflowId: k.WorkflowID, RunId: k.RunID,
		Reference: &commonpb.Link_WorkflowEvent_EventRef{EventRef: &commonpb.Link_WorkflowEvent_EventReference{EventId: id, EventType: kind}},
	}}}
}

// requestLink points to the event of a request, whose id may not be known yet.
func requestLink(namespace string, k port.RunKey, requestID string, kind enumspb.EventType) *commonpb.Link {
	return &commonpb.Link{Variant: &commonpb.Link_WorkflowEvent_{WorkflowEvent: &commonpb.Link_WorkflowEvent{
		Namespace: namespace, WorkflowId: k.WorkflowID, RunId: k.RunID,
		Reference: &commonpb.Link_WorkflowEvent_RequestIdRef{RequestIdRef: &commonpb.Link_WorkflowEvent_RequestIdReference{RequestId: requestID, EventType: kind}},
	}}}
}

func queueMessage(name string) *taskqueuepb.TaskQueue {
	return &taskqueuepb.TaskQueue{Name: name, Kind: enumspb.TASK_QUEUE_KIND_NORMAL}
}

// failer is a message that may carry a failure.
type failer interface{ GetFailure() *failurepb.Failure }
