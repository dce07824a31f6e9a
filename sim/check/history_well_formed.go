package check

import (
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
)

// P5 history_well_formed: ids are consecutive from 1, the first event and no
// other is the start, nothing follows the close, one workflow task at a time and
// nothing between its start and its end, events of commands stand right behind
// their task, and whatever ends was begun and had not ended.

// order is what the events of a run so far allow to come.
type order struct {
	next      int64
	taskID    int64 // highest TaskId
	time      int64 // highest event time of events that are stamped when they are made
	closed    bool
	scheduled int64 // open workflow task
	started   int64
	commands  int64           // completed event whose commands may still follow
	open      map[int64]opens // by the event that began it
	starts    map[int64]int64 // started event of activities and children, by what began them
}

// opens is what began: what may end it.
type opens uint8

const (
	opensActivity opens = iota + 1
	opensTimer
	opensChild
	opensSignal
	opensCancel
)

func (o *order) check(r *Run, e *historypb.HistoryEvent) *Breach {
	bad := func(format string, args ...any) *Breach {
		args = append([]any{e.EventId, e.EventType}, args...)
		return breach(HistoryWellFormed, r.Key.RunID, "event %d, %v: "+format, args...)
	}
	if o.open == nil {
		o.next, o.open, o.starts = 1, map[int64]opens{}, map[int64]int64{}
	}
	switch {
	case e.EventId != o.next:
		return bad("expected id %d", o.next)
	case (e.EventId == 1) != (e.EventType == enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED):
		return bad("the start is the first event and no other")
	case o.closed:
		return bad("it follows the close")
	case e.TaskId <= o.taskID:
		return bad("task id %d does not grow", e.TaskId)
	}
	o.next, o.taskID = e.EventId+1, e.TaskId
	if text := o.timeText(e); text != "" {
		return bad("%s", text)
	}
	for _, f := range []func(*historypb.HistoryEvent) string{o.task, o.command, o.begin, o.end} {
		if text := f(e); text != "" {
			return bad("%s", text)
		}
	}
	o.closed = closes(e.EventType)
	return nil
}

// timeText: times never go back. Some events carry the time at which something began earlier.
func (o *order) timeText(e *historypb.HistoryEvent) string {
	at := e.EventTime.AsTime().UnixNano()
	switch e.EventType {
	case enumspb.EVENT_TYPE_ACTIVITY_TASK_STARTED, enumspb.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED, enumspb.EVENT_TYPE_WORKFLOW_TASK_STARTED:
		return ""
	}
	if isBuffered(e.EventType) { // it waited while a worker held the task
		return ""
	}
	if at < o.time {
		return "its time is before that of an earlier event"
	}
	o.time = at
	return ""
}

// isBuffered: events that may get their id later than their time.
func isBuffered(t enumspb.EventType) bool {
	switch t {
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED, enumspb.EVENT_TYPE_TIMER_FIRED,
		enumspb.EVENT_TYPE_ACTIVITY_TASK_COMPLETED, enumspb.EVENT_TYPE_ACTIVITY_TASK_FAILED, enumspb.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT, enumspb.EVENT_TYPE_ACTIVITY_TASK_CANCELED,
		enumspb.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_FAILED, enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED, enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED,
		enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_FAILED, enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_CANCELED, enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TIMED_OUT,
		enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TERMINATED, enumspb.EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_SIGNALED, enumspb.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED,
		enumspb.EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED, enumspb.EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED,
		enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_OPTIONS_UPDATED:
		return true
	}
	return false
}

// task follows the one workflow task that may be open.
func (o *order) task(e *historypb.HistoryEvent) string {
	switch e.EventType {
	case enumspb.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED:
		if o.scheduled != 0 {
			return "another workflow task is open"
		}
		o.scheduled = e.EventId
	case enumspb.EVENT_TYPE_WORKFLOW_TASK_STARTED:
		if a := e.GetWorkflowTaskStartedEventAttributes(); o.scheduled == 0 || o.started != 0 || a.ScheduledEventId != o.scheduled {
			return "it starts a workflow task that is not waiting"
		}
		o.started = e.EventId
	case enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED, enumspb.EVENT_TYPE_WORKFLOW_TASK_FAILED, enumspb.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT:
		a := attributesOf[interface {
			GetScheduledEventId() int64
			GetStartedEventId() int64
		}](e)
		if o.scheduled == 0 || a.GetScheduledEventId() != o.scheduled || a.GetStartedEventId() != o.started {
			return "it ends a workflow task that is not open"
		}
		if o.started == 0 && e.EventType != enumspb.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT {
			return "it ends a workflow task that no worker had"
		}
		o.scheduled, o.started = 0, 0
	default:
		if o.started != 0 {
			return "it stands between the start and the end of a workflow task"
		}
	}
	return ""
}

// command: events of commands stand right behind the completion of their task.
func (o *order) command(e *historypb.HistoryEvent) string {
	if e.EventType == enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED {
		o.commands = e.EventId
		return ""
	}
	a := attributesOf[interface{ GetWorkflowTaskCompletedEventId() int64 }](e)
	_, kind, _ := ended(e)
	switch {
	case a == nil, kind != 0 && kind != opensTimer: // some ends have the field and no use for it
		o.commands = 0
	case a.GetWorkflowTaskCompletedEventId() != o.commands || o.commands == 0:
		return "it does not stand behind the task whose command made it"
	}
	return ""
}

func (o *order) begin(e *historypb.HistoryEvent) string {
	switch e.EventType {
	case enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
		o.open[e.EventId] = opensActivity
	case enumspb.EVENT_TYPE_TIMER_STARTED:
		o.open[e.EventId] = opensTimer
	case enumspb.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED:
		o.open[e.EventId] = opensChild
	case enumspb.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED:
		o.open[e.EventId] = opensSignal
	case enumspb.EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED:
		o.open[e.EventId] = opensCancel
	case enumspb.EVENT_TYPE_ACTIVITY_TASK_STARTED:
		id := e.GetActivityTaskStartedEventAttributes().ScheduledEventId
		if o.open[id] != opensActivity || o.starts[id] != 0 {
			return "it starts an activity that is not waiting"
		}
		o.starts[id] = e.EventId
	case enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED:
		id := e.GetChildWorkflowExecutionStartedEventAttributes().InitiatedEventId
		if o.open[id] != opensChild || o.starts[id] != 0 {
			return "it starts a child that is not waiting"
		}
		o.starts[id] = e.EventId
	}
	return ""
}

func (o *order) end(e *historypb.HistoryEvent) string {
	id, kind, started := ended(e)
	if kind == 0 {
		return ""
	}
	if o.open[id] != kind {
		return "it ends what is not open"
	}
	if started != o.starts[id] {
		return "it names another started event than the one there is"
	}
	delete(o.open, id)
	delete(o.starts, id)
	return ""
}

// ended is the event that began what e ends, its kind, and the started event that e names.
func ended(e *historypb.HistoryEvent) (id int64, kind opens, started int64) {
	type ofActivity interface {
		GetScheduledEventId() int64
		GetStartedEventId() int64
	}
	type ofChild interface {
		GetInitiatedEventId() int64
		GetStartedEventId() int64
	}
	type ofMessage interface{ GetInitiatedEventId() int64 }
	switch e.EventType {
	case enumspb.EVENT_TYPE_ACTIVITY_TASK_COMPLETED, enumspb.EVENT_TYPE_ACTIVITY_TASK_FAILED, enumspb.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT, enumspb.EVENT_TYPE_ACTIVITY_TASK_CANCELED:
		a := attributesOf[ofActivity](e)
		return a.GetScheduledEventId(), opensActivity, a.GetStartedEventId()
	case enumspb.EVENT_TYPE_TIMER_FIRED:
		return e.GetTimerFiredEventAttributes().StartedEventId, opensTimer, 0
	case enumspb.EVENT_TYPE_TIMER_CANCELED:
		return e.GetTimerCanceledEventAttributes().StartedEventId, opensTimer, 0
	case enumspb.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_FAILED:
		return e.GetStartChildWorkflowExecutionFailedEventAttributes().InitiatedEventId, opensChild, 0
	case enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED, enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_FAILED, enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_CANCELED,
		enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TIMED_OUT, enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TERMINATED:
		a := attributesOf[ofChild](e)
		return a.GetInitiatedEventId(), opensChild, a.GetStartedEventId()
	case enumspb.EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_SIGNALED, enumspb.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED:
		return attributesOf[ofMessage](e).GetInitiatedEventId(), opensSignal, 0
	case enumspb.EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED, enumspb.EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED:
		return attributesOf[ofMessage](e).GetInitiatedEventId(), opensCancel, 0
	}
	return 0, 0, 0
}

func closes(t enumspb.EventType) bool {
	switch t {
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT,
		enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW:
		return true
	}
	return false
}

// attributesOf is the message inside an event if it has certain getters, else nil.
func attributesOf[T any](e *historypb.HistoryEvent) T {
	m := e.ProtoReflect()
	var none T
	f := m.WhichOneof(m.Descriptor().Oneofs().ByName("attributes"))
	if f == nil {
		return none
	}
	a, _ := m.Get(f).Message().Interface().(T)
	return a
}
