package workload

import (
	"slices"
	"strings"
	"time"

	commandpb "go.temporal.io/api/command/v1"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"google.golang.org/protobuf/types/known/durationpb"

	"perdure/sim/program"
)

// spoil puts a bad command before or behind the good ones, or behind another bad one.
func (x *worker) spoil(commands []*commandpb.Command) []*commandpb.Command {
	all := badCommands()
	bad := all[x.rand.IntN(len(all))]
	switch x.rand.IntN(3) {
	case 0:
		return append([]*commandpb.Command{bad}, commands...)
	case 1:
		return append(slices.Clone(commands), bad, all[x.rand.IntN(len(all))])
	}
	return append(slices.Clone(commands), bad)
}

// badCommands are commands that no worker should give.
func badCommands() (all []*commandpb.Command) {
	for kind := range enumspb.CommandType_name { //ordered: sorted below
		all = append(all, &commandpb.Command{CommandType: enumspb.CommandType(kind)}) // without its attributes
	}
	slices.SortFunc(all, func(a, b *commandpb.Command) int { return int(a.CommandType - b.CommandType) })
	long, negative := strings.Repeat("x", 2000), durationpb.New(-time.Second)
	queue := &taskqueuepb.TaskQueue{Name: queueName(0)}
	timer := func(id string, d *durationpb.Duration) {
		all = append(all, &commandpb.Command{CommandType: enumspb.COMMAND_TYPE_START_TIMER, Attributes: &commandpb.Command_StartTimerCommandAttributes{
			StartTimerCommandAttributes: &commandpb.StartTimerCommandAttributes{TimerId: id, StartToFireTimeout: d}}})
	}
	timer("", nil)
	timer(long, nil)
	timer("t", negative)
	unstart := func(id string) {
		all = append(all, &commandpb.Command{CommandType: enumspb.COMMAND_TYPE_CANCEL_TIMER, Attributes: &commandpb.Command_CancelTimerCommandAttributes{
			CancelTimerCommandAttributes: &commandpb.CancelTimerCommandAttributes{TimerId: id}}})
	}
	unstart("")
	unstart("nobody's")
	activity := func(edit func(*commandpb.ScheduleActivityTaskCommandAttributes)) {
		a := &commandpb.ScheduleActivityTaskCommandAttributes{ActivityId: "bad", ActivityType: &commonpb.ActivityType{Name: "activity"}, TaskQueue: queue, StartToCloseTimeout: durationpb.New(time.Second)}
		edit(a)
		all = append(all, &commandpb.Command{CommandType: enumspb.COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK, Attributes: &commandpb.Command_ScheduleActivityTaskCommandAttributes{ScheduleActivityTaskCommandAttributes: a}})
	}
	activity(func(a *commandpb.ScheduleActivityTaskCommandAttributes) { a.ActivityId = "" })
	activity(func(a *commandpb.ScheduleActivityTaskCommandAttributes) { a.ActivityType = nil })
	activity(func(a *commandpb.ScheduleActivityTaskCommandAttributes) { a.TaskQueue = nil })
	activity(func(a *commandpb.ScheduleActivityTaskCommandAttributes) { a.StartToCloseTimeout = nil })
	activity(func(a *commandpb.ScheduleActivityTaskCommandAttributes) { a.HeartbeatTimeout = negative })
	activity(func(a *commandpb.ScheduleActivityTaskCommandAttributes) {
		a.RetryPolicy = &commonpb.RetryPolicy{MaximumAttempts: -1}
	})
	activity(func(a *commandpb.ScheduleActivityTaskCommandAttributes) {
		a.Priority = &commonpb.Priority{PriorityKey: -1}
	})
	child := func(edit func(*commandpb.StartChildWorkflowExecutionCommandAttributes)) {
		a := &commandpb.StartChildWorkflowExecutionCommandAttributes{WorkflowId: "bad", WorkflowType: &commonpb.WorkflowType{Name: "program"}}
		edit(a)
		all = append(all, &commandpb.Command{CommandType: enumspb.COMMAND_TYPE_START_CHILD_WORKFLOW_EXECUTION, Attributes: &commandpb.Command_StartChildWorkflowExecutionCommandAttributes{StartChildWorkflowExecutionCommandAttributes: a}})
	}
	child(func(a *commandpb.StartChildWorkflowExecutionCommandAttributes) { a.WorkflowId = "" })
	child(func(a *commandpb.StartChildWorkflowExecutionCommandAttributes) { a.WorkflowId = long })
	child(func(a *commandpb.StartChildWorkflowExecutionCommandAttributes) { a.WorkflowType = nil })
	child(func(a *commandpb.StartChildWorkflowExecutionCommandAttributes) { a.Namespace = "nobody" })
	child(func(a *commandpb.StartChildWorkflowExecutionCommandAttributes) { a.WorkflowRunTimeout = negative })
	child(func(a *commandpb.StartChildWorkflowExecutionCommandAttributes) { a.CronSchedule = "never" })
	child(func(a *commandpb.StartChildWorkflowExecutionCommandAttributes) {
		a.SearchAttributes = unknownAttributes()
	})
	signal := func(id, run, name, namespace string) {
		all = append(all, &commandpb.Command{CommandType: enumspb.COMMAND_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION, Attributes: &commandpb.Command_SignalExternalWorkflowExecutionCommandAttributes{
			SignalExternalWorkflowExecutionCommandAttributes: &commandpb.SignalExternalWorkflowExecutionCommandAttributes{Namespace: namespace, Execution: &commonpb.WorkflowExecution{WorkflowId: id, RunId: run}, SignalName: name}}})
		all = append(all, &commandpb.Command{CommandType: enumspb.COMMAND_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION, Attributes: &commandpb.Command_RequestCancelExternalWorkflowExecutionCommandAttributes{
			RequestCancelExternalWorkflowExecutionCommandAttributes: &commandpb.RequestCancelExternalWorkflowExecutionCommandAttributes{Namespace: namespace, WorkflowId: id, RunId: run + "!"}}})
	}
	signal("", "", "s", "")
	signal("wf-0", "no uuid", "s", "")
	signal("wf-0", "", "", "nobody")
	signal(long, "", "s", "")
	again := func(edit func(*commandpb.ContinueAsNewWorkflowExecutionCommandAttributes)) {
		a := &commandpb.ContinueAsNewWorkflowExecutionCommandAttributes{}
		edit(a)
		all = append(all, &commandpb.Command{CommandType: enumspb.COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION, Attributes: &commandpb.Command_ContinueAsNewWorkflowExecutionCommandAttributes{ContinueAsNewWorkflowExecutionCommandAttributes: a}})
	}
	again(func(a *commandpb.ContinueAsNewWorkflowExecutionCommandAttributes) { a.WorkflowRunTimeout = negative })
	again(func(a *commandpb.ContinueAsNewWorkflowExecutionCommandAttributes) {
		a.WorkflowType = &commonpb.WorkflowType{Name: long}
	})
	again(func(a *commandpb.ContinueAsNewWorkflowExecutionCommandAttributes) {
		a.SearchAttributes = unknownAttributes()
	})
	return append(all,
		&commandpb.Command{CommandType: enumspb.COMMAND_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES, Attributes: &commandpb.Command_UpsertWorkflowSearchAttributesCommandAttributes{
			UpsertWorkflowSearchAttributesCommandAttributes: &commandpb.UpsertWorkflowSearchAttributesCommandAttributes{SearchAttributes: unknownAttributes()}}},
		&commandpb.Command{CommandType: enumspb.COMMAND_TYPE_RECORD_MARKER, Attributes: &commandpb.Command_RecordMarkerCommandAttributes{RecordMarkerCommandAttributes: &commandpb.RecordMarkerCommandAttributes{}}},
		&commandpb.Command{CommandType: enumspb.COMMAND_TYPE_FAIL_WORKFLOW_EXECUTION, Attributes: &commandpb.Command_FailWorkflowExecutionCommandAttributes{FailWorkflowExecutionCommandAttributes: &commandpb.FailWorkflowExecutionCommandAttributes{}}},
		&commandpb.Command{CommandType: enumspb.COMMAND_TYPE_REQUEST_CANCEL_ACTIVITY_TASK, Attributes: &commandpb.Command_RequestCancelActivityTaskCommandAttributes{
			RequestCancelActivityTaskCommandAttributes: &commandpb.RequestCancelActivityTaskCommandAttributes{ScheduledEventId: 1}}},
	)
}

func unknownAttributes() *commonpb.SearchAttributes {
	return &commonpb.SearchAttributes{IndexedFields: map[string]*commonpb.Payload{"Unknown": program.Payload(1)}}
}

// systemAttributes are others that clients may set, of several types; empty ones are dropped.
func systemAttributes() *commonpb.SearchAttributes {
	return &commonpb.SearchAttributes{IndexedFields: map[string]*commonpb.Payload{
		"TemporalSchedulePaused": program.Payload(true), "TemporalScheduledStartTime": program.Payload("2030-01-01T00:00:00Z"),
		"BatcherUser": program.Payload([]string{"alone"}), "BatcherNamespace": program.Payload(nil), "BuildIds": program.Payload([]string{}),
		"TemporalScheduledById": {Metadata: map[string][]byte{"encoding": []byte("binary/null")}},
	}}
}

// attributes are search attributes that every namespace has.
func attributes(values ...string) *commonpb.SearchAttributes {
	return &commonpb.SearchAttributes{IndexedFields: map[string]*commonpb.Payload{"TemporalChangeVersion": program.Payload(values)}}
}
