package history

import (
	commonpb "go.temporal.io/api/common/v1"
	historypb "go.temporal.io/api/history/v1"
)

// Encoding must not depend on the order of maps. Sorting them costs more than all
// the rest of a small event, and nearly every event has no map with two entries:
// these are recognised here and encoded without sorting.

// Small reports whether no payload has two metadata entries.
func Small(p *commonpb.Payloads) bool {
	for _, x := range p.GetPayloads() {
		if len(x.GetMetadata()) > 1 {
			return false
		}
	}
	return true
}

// ordered reports whether the event has no map with two entries. False when in doubt.
func ordered(e *historypb.HistoryEvent) bool {
	if e.UserMetadata != nil || len(e.EventGroupMarkers) > 0 {
		return false
	}
	switch a := e.Attributes.(type) {
	case *historypb.HistoryEvent_WorkflowTaskScheduledEventAttributes, *historypb.HistoryEvent_WorkflowTaskStartedEventAttributes,
		*historypb.HistoryEvent_TimerStartedEventAttributes, *historypb.HistoryEvent_TimerFiredEventAttributes, *historypb.HistoryEvent_TimerCanceledEventAttributes:
		return true
	case *historypb.HistoryEvent_WorkflowTaskCompletedEventAttributes:
		return a.WorkflowTaskCompletedEventAttributes.SdkMetadata == nil
	case *historypb.HistoryEvent_WorkflowExecutionStartedEventAttributes:
		x := a.WorkflowExecutionStartedEventAttributes
		return len(x.Header.GetFields()) == 0 && len(x.Memo.GetFields()) == 0 && len(x.SearchAttributes.GetIndexedFields()) == 0 &&
			x.ContinuedFailure == nil && x.LastCompletionResult == nil && x.CompletionCallbacks == nil && Small(x.Input)
	case *historypb.HistoryEvent_ActivityTaskScheduledEventAttributes:
		x := a.ActivityTaskScheduledEventAttributes
		return len(x.Header.GetFields()) == 0 && Small(x.Input)
	case *historypb.HistoryEvent_ActivityTaskStartedEventAttributes:
		return a.ActivityTaskStartedEventAttributes.LastFailure == nil
	case *historypb.HistoryEvent_ActivityTaskCompletedEventAttributes:
		return Small(a.ActivityTaskCompletedEventAttributes.Result)
	case *historypb.HistoryEvent_WorkflowExecutionCompletedEventAttributes:
		return Small(a.WorkflowExecutionCompletedEventAttributes.Result)
	case *historypb.HistoryEvent_WorkflowExecutionSignaledEventAttributes:
		x := a.WorkflowExecutionSignaledEventAttributes
		return len(x.Header.GetFields()) == 0 && Small(x.Input)
	}
	return false
}
