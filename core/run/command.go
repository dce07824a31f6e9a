package run

import (
	"fmt"

	commandpb "go.temporal.io/api/command/v1"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"google.golang.org/protobuf/proto"

	"perdure/core/port"
	"perdure/core/run/runpb"
)

// commander carries out the commands of one completed task, in order.
type commander struct {
	run         *Run
	completedID int64
	completion  *Completion
	eager       []int64
	children    map[string]bool           // workflow ids of children started by this task
	own         []*historypb.HistoryEvent // buffered events that these commands brought about
}

// command carries out one command, or says what is wrong with it.
func (x *commander) command(c *commandpb.Command) *badCommand {
	switch c.GetCommandType() {
	case enumspb.COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK:
		return x.scheduleActivity(c)
	case enumspb.COMMAND_TYPE_REQUEST_CANCEL_ACTIVITY_TASK:
		return x.cancelActivity(c)
	case enumspb.COMMAND_TYPE_START_TIMER:
		return x.startTimer(c)
	case enumspb.COMMAND_TYPE_CANCEL_TIMER:
		return x.cancelTimer(c)
	case enumspb.COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION:
		return x.completeWorkflow(c)
	case enumspb.COMMAND_TYPE_FAIL_WORKFLOW_EXECUTION:
		return x.failWorkflow(c)
	case enumspb.COMMAND_TYPE_CANCEL_WORKFLOW_EXECUTION:
		return x.cancelWorkflow(c)
	case enumspb.COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION:
		return x.continueAsNew(c)
	case enumspb.COMMAND_TYPE_START_CHILD_WORKFLOW_EXECUTION:
		return x.startChild(c)
	case enumspb.COMMAND_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION:
		return x.signalExternal(c)
	case enumspb.COMMAND_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION:
		return x.cancelExternal(c)
	case enumspb.COMMAND_TYPE_RECORD_MARKER:
		return x.recordMarker(c)
	case enumspb.COMMAND_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES:
		return x.upsertAttributes(c)
	case enumspb.COMMAND_TYPE_MODIFY_WORKFLOW_PROPERTIES:
		return x.modifyProperties(c)
	case enumspb.COMMAND_TYPE_PROTOCOL_MESSAGE:
		return protocolMessage(c)
	case enumspb.COMMAND_TYPE_SCHEDULE_NEXUS_OPERATION:
		return scheduleNexus(c)
	case enumspb.COMMAND_TYPE_REQUEST_CANCEL_NEXUS_OPERATION:
		return cancelNexus(c)
	}
	return &badCommand{refusal: port.Invalid("unknown command type: %v", c.GetCommandType())}
}

// event adds the event of a command: its metadata and the groups it belongs to go along.
func (x *commander) event(c *commandpb.Command, kind enumspb.EventType) *historypb.HistoryEvent {
	e := x.run.event(kind)
	e.UserMetadata, e.EventGroupMarkers = c.GetUserMetadata(), c.GetEventGroupMarkers()
	return e
}

func (x *commander) limit() int { return x.run.tx.env.Limits.Blob }

// over reports whether the messages together are above the blob limit.
func over(limit int, ms ...proto.Message) bool {
	n := 0
	for _, m := range ms {
		n += proto.Size(m)
	}
	return n > limit
}

// queueText is a task queue in the text of a failure. The text form of protobuf
// changes with each build, and failures are recorded.
func queueText(q *taskqueuepb.TaskQueue) string {
	text := fmt.Sprintf("name:%q", q.GetName())
	if k := q.GetKind(); k != enumspb.TASK_QUEUE_KIND_UNSPECIFIED {
		text += "  kind:" + enumspb.TaskQueueKind_name[int32(k)]
	}
	return text
}

// Markers.

func (x *commander) recordMarker(c *commandpb.Command) *badCommand {
	const cause = enumspb.WORKFLOW_TASK_FAILED_CAUSE_BAD_RECORD_MARKER_ATTRIBUTES
	a := c.GetRecordMarkerCommandAttributes()
	limit := x.run.tx.env.Limits.ID
	switch {
	case a == nil:
		return bad(cause, "RecordMarkerCommandAttributes is not set on RecordMarkerCommand.")
	case a.MarkerName == "":
		return bad(cause, "MarkerName is not set on RecordMarkerCommand.")
	case len(a.MarkerName) > limit:
		return bad(cause, "MarkerName on RecordMarkerCommand exceeds length limit. MarkerName=%s Length=%d Limit=%d", a.MarkerName, len(a.MarkerName), limit)
	}
	n := 0
	for k, v := range a.Details {
		n += len(k) + proto.Size(v)
	}
	if n > x.limit() {
		return tooLarge(cause, "RecordMarkerCommandAttributes.Details")
	}
	e := x.event(c, enumspb.EVENT_TYPE_MARKER_RECORDED)
	e.Attributes = &historypb.HistoryEvent_MarkerRecordedEventAttributes{MarkerRecordedEventAttributes: &historypb.MarkerRecordedEventAttributes{
		MarkerName: a.MarkerName, Details: a.Details, WorkflowTaskCompletedEventId: x.completedID, Header: a.Header, Failure: a.Failure,
	}}
	return nil
}

// Upserts of search attributes and memo.

func (x *commander) upsertAttributes(c *commandpb.Command) *badCommand {
	const cause = enumspb.WORKFLOW_TASK_FAILED_CAUSE_BAD_SEARCH_ATTRIBUTES
	a := c.GetUpsertWorkflowSearchAttributesCommandAttributes()
	switch {
	case a == nil:
		return bad(cause, "UpsertWorkflowSearchAttributesCommandAttributes is not set on UpsertWorkflowSearchAttributesCommand.")
	case a.SearchAttributes == nil:
		return bad(cause, "SearchAttributes is not set on UpsertWorkflowSearchAttributesCommand.")
	case len(a.SearchAttributes.IndexedFields) == 0:
		return bad(cause, "IndexedFields is not set on UpsertWorkflowSearchAttributesCommand.")
	}
	typed, b := x.run.typed(x.run.tx.env.Namespace, a.SearchAttributes, cause)
	if b != nil {
		return b
	}
	r := x.run
	merged := merge(r.SearchAttributes().GetIndexedFields(), typed.IndexedFields)
	e := x.event(c, enumspb.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES)
	e.Attributes = &historypb.HistoryEvent_UpsertWorkflowSearchAttributesEventAttributes{UpsertWorkflowSearchAttributesEventAttributes: &historypb.UpsertWorkflowSearchAttributesEventAttributes{
		WorkflowTaskCompletedEventId: x.completedID, SearchAttributes: typed,
	}}
	before := r.attributes
	r.onUndo(func() { r.attributes = before })
	r.attributes = &commonpb.SearchAttributes{IndexedFields: merged}
	r.touch(rowAttributes, 0)
	return nil
}

func (x *commander) modifyProperties(c *commandpb.Command) *badCommand {
	const cause = enumspb.WORKFLOW_TASK_FAILED_CAUSE_BAD_MODIFY_WORKFLOW_PROPERTIES_ATTRIBUTES
	a := c.GetModifyWorkflowPropertiesCommandAttributes()
	switch {
	case a == nil:
		return bad(cause, "ModifyWorkflowPropertiesCommandAttributes is not set on ModifyWorkflowPropertiesCommand.")
	case a.UpsertedMemo == nil:
		return bad(cause, "UpsertedMemo is not set on ModifyWorkflowPropertiesCommand.")
	case len(a.UpsertedMemo.Fields) == 0:
		return bad(cause, "UpsertedMemo.Fields is not set on ModifyWorkflowPropertiesCommand.")
	}
	r := x.run
	merged := &commonpb.Memo{Fields: merge(r.Memo().GetFields(), a.UpsertedMemo.Fields)}
	if over(r.tx.env.Limits.Memo, a.UpsertedMemo) || over(r.tx.env.Limits.Memo, merged) {
		return tooLarge(cause, "ModifyWorkflowPropertiesCommandAttributes")
	}
	e := x.event(c, enumspb.EVENT_TYPE_WORKFLOW_PROPERTIES_MODIFIED)
	e.Attributes = &historypb.HistoryEvent_WorkflowPropertiesModifiedEventAttributes{WorkflowPropertiesModifiedEventAttributes: &historypb.WorkflowPropertiesModifiedEventAttributes{
		WorkflowTaskCompletedEventId: x.completedID, UpsertedMemo: a.UpsertedMemo,
	}}
	before := r.memo
	r.onUndo(func() { r.memo = before })
	r.memo = merged
	r.touch(rowMemo, 0)
	return nil
}

// merge lays the new fields over the old ones; a null or empty-list payload deletes.
func merge(old, upsert map[string]*commonpb.Payload) map[string]*commonpb.Payload {
	out := make(map[string]*commonpb.Payload, len(old)+len(upsert))
	for k, v := range old {
		out[k] = v
	}
	for k, v := range upsert {
		if isNull(v) {
			delete(out, k)
			continue
		}
		out[k] = v
	}
	return out
}

func isNull(p *commonpb.Payload) bool {
	if p == nil || len(p.Data) == 0 && len(p.Metadata) == 0 {
		return true
	}
	enc := string(p.Metadata["encoding"])
	return enc == "binary/null" || enc == "json/plain" && (string(p.Data) == "null" || string(p.Data) == "[]")
}

// Memo as it is now. The Started event must be in memory.
func (r *Run) Memo() *commonpb.Memo {
	if r.memo != nil {
		return r.memo
	}
	return r.mustStart().Memo
}

// SearchAttributes as they are now. The Started event must be in memory.
func (r *Run) SearchAttributes() *commonpb.SearchAttributes {
	if r.attributes != nil {
		return r.attributes
	}
	return r.mustStart().SearchAttributes
}

func (r *Run) mustStart() *historypb.WorkflowExecutionStartedEventAttributes {
	if r.started == nil {
		panic("run: the Started event was not loaded")
	}
	return r.started
}

// Commands whose feature is not there yet fail the task as the API says for an
// unknown update, endpoint or operation.

func protocolMessage(c *commandpb.Command) *badCommand {
	const cause = enumspb.WORKFLOW_TASK_FAILED_CAUSE_BAD_UPDATE_WORKFLOW_EXECUTION_MESSAGE
	a := c.GetProtocolMessageCommandAttributes()
	switch {
	case a == nil:
		return bad(cause, "ProtocolMessageCommandAttributes is not set on ProtocolMessageCommand.")
	case a.MessageId == "":
		return bad(cause, "MessageID is not set on ProtocolMessageCommand.")
	}
	return bad(cause, "ProtocolMessageCommand referenced absent message ID %s", a.MessageId)
}

func scheduleNexus(c *commandpb.Command) *badCommand {
	const cause = enumspb.WORKFLOW_TASK_FAILED_CAUSE_BAD_SCHEDULE_NEXUS_OPERATION_ATTRIBUTES
	a := c.GetScheduleNexusOperationCommandAttributes()
	if a == nil {
		return bad(cause, "empty ScheduleNexusOperationCommandAttributes")
	}
	return bad(cause, "endpoint %q not found", a.Endpoint)
}

func cancelNexus(c *commandpb.Command) *badCommand {
	const cause = enumspb.WORKFLOW_TASK_FAILED_CAUSE_BAD_REQUEST_CANCEL_NEXUS_OPERATION_ATTRIBUTES
	a := c.GetRequestCancelNexusOperationCommandAttributes()
	if a == nil {
		return bad(cause, "empty CancelNexusOperationCommandAttributes")
	}
	return bad(cause, "requested cancelation for a non-existing or already completed operation with scheduled event ID of %d", a.ScheduledEventId)
}

func retryOf(p *commonpb.RetryPolicy) *runpb.Retry {
	if p == nil {
		return nil
	}
	return &runpb.Retry{Initial: p.GetInitialInterval().AsDuration().Nanoseconds(), Coefficient: p.BackoffCoefficient,
		Maximum: p.GetMaximumInterval().AsDuration().Nanoseconds(), Attempts: p.MaximumAttempts, NonRetryable: p.NonRetryableErrorTypes}
}
