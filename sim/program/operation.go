package program

import (
	"strconv"
	"time"

	commandpb "go.temporal.io/api/command/v1"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"google.golang.org/protobuf/types/known/durationpb"
)

// operation is a leaf: one command, and what becomes of it.
type operation struct {
	kind    enumspb.CommandType
	make    func(x *Instance, number int) *commandpb.Command
	waits   bool // for its end
	waitsTo bool // of a child: for its start only
	local   bool // a local activity: a marker, once the worker has done it

	number int      // of its first turn
	sent   *command // the command that was given
	id     string   // of timer or activity; workflow id of a child
	run    string   // of a child that started
	event  int64    // of its command
	closed bool     // its end is in the history
	off    bool     // nobody waits for it any more
}

// command is one command of a turn and the operation that it began, if any.
type command struct {
	c  *commandpb.Command
	op *operation
}

func (o *operation) step(x *Instance) bool {
	if o.off {
		return true
	}
	if o.sent == nil {
		if o.number == 0 {
			x.number++
			o.number = x.number
		}
		if o.local && !x.localDone(markerID(x, o.number)) {
			return false
		}
		o.sent = x.give(o.make(x, o.number), o)
	}
	switch {
	case o.waitsTo:
		return o.run != "" || o.closed
	case o.waits:
		return o.closed
	}
	return true
}

// cancel takes the command back if it was not sent, else sends one that cancels.
func (o *operation) cancel(x *Instance) {
	if o.off {
		return
	}
	o.off = true
	if o.sent == nil || o.closed || x.takeBack(o) {
		return
	}
	switch o.kind {
	case enumspb.COMMAND_TYPE_START_TIMER:
		x.give(&commandpb.Command{CommandType: enumspb.COMMAND_TYPE_CANCEL_TIMER, Attributes: &commandpb.Command_CancelTimerCommandAttributes{
			CancelTimerCommandAttributes: &commandpb.CancelTimerCommandAttributes{TimerId: o.id}}}, nil)
		o.closed = true // nothing follows
	case enumspb.COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK:
		x.give(&commandpb.Command{CommandType: enumspb.COMMAND_TYPE_REQUEST_CANCEL_ACTIVITY_TASK, Attributes: &commandpb.Command_RequestCancelActivityTaskCommandAttributes{
			RequestCancelActivityTaskCommandAttributes: &commandpb.RequestCancelActivityTaskCommandAttributes{ScheduledEventId: o.event}}}, nil)
	case enumspb.COMMAND_TYPE_START_CHILD_WORKFLOW_EXECUTION:
		if o.run != "" {
			x.number++
			x.give(cancelOf(o.id, o.run, true), &operation{kind: enumspb.COMMAND_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION, off: true})
		}
	}
}

func activity(queue string, plan Activity, attributes *commandpb.ScheduleActivityTaskCommandAttributes) *operation {
	o := &operation{kind: enumspb.COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK, waits: true}
	o.make = func(x *Instance, n int) *commandpb.Command {
		o.id = "a" + strconv.Itoa(n)
		plan.ID = x.RunID + "/" + o.id
		attributes.ActivityId, attributes.Input = o.id, Payloads(plan)
		attributes.ActivityType = &commonpb.ActivityType{Name: "activity"}
		attributes.TaskQueue = &taskqueuepb.TaskQueue{Name: queue}
		return &commandpb.Command{CommandType: o.kind, Attributes: &commandpb.Command_ScheduleActivityTaskCommandAttributes{ScheduleActivityTaskCommandAttributes: attributes}}
	}
	return o
}

func timer(d time.Duration) *operation {
	o := &operation{kind: enumspb.COMMAND_TYPE_START_TIMER, waits: true}
	o.make = func(_ *Instance, n int) *commandpb.Command {
		o.id = "t" + strconv.Itoa(n)
		return &commandpb.Command{CommandType: o.kind, Attributes: &commandpb.Command_StartTimerCommandAttributes{
			StartTimerCommandAttributes: &commandpb.StartTimerCommandAttributes{TimerId: o.id, StartToFireTimeout: durationpb.New(d)}}}
	}
	return o
}

func marker(local bool) *operation {
	o := &operation{kind: enumspb.COMMAND_TYPE_RECORD_MARKER, local: local}
	o.make = func(x *Instance, n int) *commandpb.Command {
		name := "side-effect"
		if local {
			name = "local-activity"
		}
		return &commandpb.Command{CommandType: o.kind, Attributes: &commandpb.Command_RecordMarkerCommandAttributes{
			RecordMarkerCommandAttributes: &commandpb.RecordMarkerCommandAttributes{MarkerName: name, Details: map[string]*commonpb.Payloads{"id": Payloads(markerID(x, n))}}}}
	}
	return o
}

func markerID(x *Instance, n int) string { return x.RunID + "/m" + strconv.Itoa(n) }

func memo(value int) *operation {
	o := &operation{kind: enumspb.COMMAND_TYPE_MODIFY_WORKFLOW_PROPERTIES}
	o.make = func(_ *Instance, _ int) *commandpb.Command {
		return &commandpb.Command{CommandType: o.kind, Attributes: &commandpb.Command_ModifyWorkflowPropertiesCommandAttributes{
			ModifyWorkflowPropertiesCommandAttributes: &commandpb.ModifyWorkflowPropertiesCommandAttributes{
				UpsertedMemo: &commonpb.Memo{Fields: map[string]*commonpb.Payload{"value": Payload(value)}}}}}
	}
	return o
}

// upsert sets a search attribute that every namespace has.
func upsert(value int) *operation {
	o := &operation{kind: enumspb.COMMAND_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES}
	o.make = func(_ *Instance, _ int) *commandpb.Command {
		return &commandpb.Command{CommandType: o.kind, Attributes: &commandpb.Command_UpsertWorkflowSearchAttributesCommandAttributes{
			UpsertWorkflowSearchAttributesCommandAttributes: &commandpb.UpsertWorkflowSearchAttributesCommandAttributes{
				SearchAttributes: &commonpb.SearchAttributes{IndexedFields: map[string]*commonpb.Payload{"TemporalChangeVersion": Payload([]string{strconv.Itoa(value)})}}}}}
	}
	return o
}

func child(input Input, policy enumspb.ParentClosePolicy, startOnly bool, attributes *commandpb.StartChildWorkflowExecutionCommandAttributes) *operation {
	o := &operation{kind: enumspb.COMMAND_TYPE_START_CHILD_WORKFLOW_EXECUTION, waits: !startOnly, waitsTo: startOnly}
	o.make = func(x *Instance, n int) *commandpb.Command {
		o.id = x.WorkflowID + "/" + strconv.Itoa(n)
		input.ID = x.RunID + "/c" + strconv.Itoa(n)
		attributes.WorkflowId, attributes.Input, attributes.ParentClosePolicy = o.id, Payloads(input), policy
		attributes.WorkflowType = &commonpb.WorkflowType{Name: "program"}
		x.children = append(x.children, o)
		return &commandpb.Command{CommandType: o.kind, Attributes: &commandpb.Command_StartChildWorkflowExecutionCommandAttributes{StartChildWorkflowExecutionCommandAttributes: attributes}}
	}
	return o
}

// signalOther signals a workflow of the clients, or an own child that runs.
func signalOther(target string, waits bool) *operation {
	o := &operation{kind: enumspb.COMMAND_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION, waits: waits}
	o.make = func(x *Instance, n int) *commandpb.Command {
		to := &commonpb.WorkflowExecution{WorkflowId: target}
		mine := x.runningChild()
		if mine != nil {
			to.WorkflowId = mine.id
		}
		return &commandpb.Command{CommandType: o.kind, Attributes: &commandpb.Command_SignalExternalWorkflowExecutionCommandAttributes{
			SignalExternalWorkflowExecutionCommandAttributes: &commandpb.SignalExternalWorkflowExecutionCommandAttributes{
				Execution: to, SignalName: "from-workflow", Input: Payloads(x.RunID + "/s" + strconv.Itoa(n)), ChildWorkflowOnly: mine != nil}}}
	}
	return o
}

func cancelOther(target string, waits bool) *operation {
	o := &operation{kind: enumspb.COMMAND_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION, waits: waits}
	o.make = func(x *Instance, _ int) *commandpb.Command { return cancelOf(target, "", false) }
	return o
}

func cancelOf(workflow, run string, childOnly bool) *commandpb.Command {
	return &commandpb.Command{CommandType: enumspb.COMMAND_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION, Attributes: &commandpb.Command_RequestCancelExternalWorkflowExecutionCommandAttributes{
		RequestCancelExternalWorkflowExecutionCommandAttributes: &commandpb.RequestCancelExternalWorkflowExecutionCommandAttributes{WorkflowId: workflow, RunId: run, ChildWorkflowOnly: childOnly}}}
}
