package program

import (
	"bytes"
	"fmt"

	commandpb "go.temporal.io/api/command/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"google.golang.org/protobuf/proto"
)

// match holds the events of a completed task against the commands of the turn.
func (x *Instance) match(events []*historypb.HistoryEvent) error {
	if len(events) != len(x.turn) {
		return fmt.Errorf("task completed as event %d: %d commands, %d events of commands", x.next-int64(len(events))-1, len(x.turn), len(events))
	}
	for i, e := range events {
		c := x.turn[i]
		if what := differs(c.c, e); what != "" {
			return fmt.Errorf("event %d, %v, does not fit command %v: %s", e.EventId, e.EventType, c.c.CommandType, what)
		}
		if c.op != nil {
			c.op.event = e.EventId
			x.ops[e.EventId] = c.op
		}
	}
	x.turn = nil
	return nil
}

// ofCommand reports whether an event was made by a command of the task completed as event id.
func ofCommand(e *historypb.HistoryEvent, id int64) bool {
	a, ok := attributes(e).(interface{ GetWorkflowTaskCompletedEventId() int64 })
	return ok && a.GetWorkflowTaskCompletedEventId() == id
}

// attributes is the message inside the event's oneof.
func attributes(e *historypb.HistoryEvent) any {
	m := e.ProtoReflect()
	f := m.WhichOneof(m.Descriptor().Oneofs().ByName("attributes"))
	if f == nil {
		return nil
	}
	return m.Get(f).Message().Interface()
}

// differs says in what an event does not fit a command.
func differs(c *commandpb.Command, e *historypb.HistoryEvent) string {
	switch a := c.Attributes.(type) {
	case *commandpb.Command_ScheduleActivityTaskCommandAttributes:
		want, have := a.ScheduleActivityTaskCommandAttributes, e.GetActivityTaskScheduledEventAttributes()
		return first(have != nil, "kind", have.GetActivityId() == want.ActivityId, "id", proto.Equal(have.GetInput(), want.Input), "input",
			have.GetRetryPolicy().GetMaximumAttempts() == want.RetryPolicy.GetMaximumAttempts(), "attempts")
	case *commandpb.Command_RequestCancelActivityTaskCommandAttributes:
		want, have := a.RequestCancelActivityTaskCommandAttributes, e.GetActivityTaskCancelRequestedEventAttributes()
		return first(have != nil, "kind", have.GetScheduledEventId() == want.ScheduledEventId, "activity")
	case *commandpb.Command_StartTimerCommandAttributes:
		want, have := a.StartTimerCommandAttributes, e.GetTimerStartedEventAttributes()
		return first(have != nil, "kind", have.GetTimerId() == want.TimerId, "id", proto.Equal(have.GetStartToFireTimeout(), want.StartToFireTimeout), "time")
	case *commandpb.Command_CancelTimerCommandAttributes:
		want, have := a.CancelTimerCommandAttributes, e.GetTimerCanceledEventAttributes()
		return first(have != nil, "kind", have.GetTimerId() == want.TimerId, "id")
	case *commandpb.Command_RecordMarkerCommandAttributes:
		want, have := a.RecordMarkerCommandAttributes, e.GetMarkerRecordedEventAttributes()
		return first(have != nil, "kind", have.GetMarkerName() == want.MarkerName, "name", proto.Equal(have.GetDetails()["id"], want.Details["id"]), "details")
	case *commandpb.Command_UpsertWorkflowSearchAttributesCommandAttributes:
		const name = "TemporalChangeVersion"
		want, have := a.UpsertWorkflowSearchAttributesCommandAttributes.SearchAttributes, e.GetUpsertWorkflowSearchAttributesEventAttributes()
		return first(have != nil, "kind", bytes.Equal(have.GetSearchAttributes().GetIndexedFields()[name].GetData(), want.IndexedFields[name].Data), "attribute")
	case *commandpb.Command_ModifyWorkflowPropertiesCommandAttributes:
		want, have := a.ModifyWorkflowPropertiesCommandAttributes, e.GetWorkflowPropertiesModifiedEventAttributes()
		return first(have != nil, "kind", proto.Equal(have.GetUpsertedMemo(), want.UpsertedMemo), "memo")
	}
	return differsOutside(c, e)
}

// differsOutside is differs for commands that reach other workflows.
func differsOutside(c *commandpb.Command, e *historypb.HistoryEvent) string {
	switch a := c.Attributes.(type) {
	case *commandpb.Command_StartChildWorkflowExecutionCommandAttributes:
		want, have := a.StartChildWorkflowExecutionCommandAttributes, e.GetStartChildWorkflowExecutionInitiatedEventAttributes()
		return first(have != nil, "kind", have.GetWorkflowId() == want.WorkflowId, "id", proto.Equal(have.GetInput(), want.Input), "input")
	case *commandpb.Command_SignalExternalWorkflowExecutionCommandAttributes:
		want, have := a.SignalExternalWorkflowExecutionCommandAttributes, e.GetSignalExternalWorkflowExecutionInitiatedEventAttributes()
		return first(have != nil, "kind", have.GetWorkflowExecution().GetWorkflowId() == want.Execution.WorkflowId, "workflow", proto.Equal(have.GetInput(), want.Input), "input")
	case *commandpb.Command_RequestCancelExternalWorkflowExecutionCommandAttributes:
		want, have := a.RequestCancelExternalWorkflowExecutionCommandAttributes, e.GetRequestCancelExternalWorkflowExecutionInitiatedEventAttributes()
		return first(have != nil, "kind", have.GetWorkflowExecution().GetWorkflowId() == want.WorkflowId, "workflow")
	}
	return first(endEvent(c.CommandType) == e.EventType, "kind")
}

func endEvent(c enumspb.CommandType) enumspb.EventType {
	switch c {
	case enumspb.COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION:
		return enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED
	case enumspb.COMMAND_TYPE_FAIL_WORKFLOW_EXECUTION:
		return enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED
	case enumspb.COMMAND_TYPE_CANCEL_WORKFLOW_EXECUTION:
		return enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED
	case enumspb.COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION:
		return enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW
	}
	return enumspb.EVENT_TYPE_UNSPECIFIED
}

// first is the name of the first condition that does not hold.
func first(conditions ...any) string {
	for i := 0; i < len(conditions); i += 2 {
		if !conditions[i].(bool) {
			return conditions[i+1].(string)
		}
	}
	return ""
}
