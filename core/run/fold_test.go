package run

import (
	"fmt"
	"maps"
	"slices"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"perdure/core/validate"
)

// fold is a second opinion on the state of a run: it knows nothing but the events
// of the encoded history, one after the other, and refuses a history that no
// worker could replay.
type fold struct {
	last      int64 // event id
	completed int64 // id of the WorkflowTaskCompleted whose commands may follow
	seen      map[int64]enumspb.EventType

	activities map[int64]string // scheduled id -> activity id
	started    map[int64]int64  // scheduled or initiated id -> started event
	timers     map[int64]string
	children   map[int64]string
	signals    map[int64]bool
	cancels    map[int64]bool

	taskScheduled, taskStarted int64
	previousStarted            int64
	lastCompleted              int64
	received                   int64 // signals
	cancelRequested            bool
	memo                       map[string]*commonpb.Payload
	attributes                 map[string]*commonpb.Payload
	status                     enumspb.WorkflowExecutionStatus
	newRun                     string
	unseen                     bool // something happened that no completed task has seen
	buffered                   bool // the event at hand is in the buffer: it has no id yet
}

// folds: the history is well formed and folds to the state of the run.
func folds(k *kept) error {
	events, ends, err := k.events()
	if err != nil {
		return err
	}
	f := &fold{
		seen: map[int64]enumspb.EventType{}, activities: map[int64]string{}, started: map[int64]int64{}, timers: map[int64]string{},
		children: map[int64]string{}, signals: map[int64]bool{}, cancels: map[int64]bool{}, status: enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING,
	}
	for _, e := range events {
		if err := f.event(e); err != nil {
			return fmt.Errorf("event %d %s: %w", e.EventId, e.EventType, err)
		}
		if e.EventType == enumspb.EVENT_TYPE_WORKFLOW_TASK_STARTED && !slices.Contains(ends, e.EventId) {
			return fmt.Errorf("event %d: WorkflowTaskStarted does not end its batch", e.EventId)
		}
	}
	if err := f.sizes(k, len(ends)); err != nil {
		return err
	}
	return f.equals(k.run)
}

func (f *fold) sizes(k *kept, batches int) error {
	size := 0
	for _, b := range k.batches {
		size += len(b.Events)
	}
	s := k.run.S
	switch {
	case s.HistorySize != int64(size):
		return fmt.Errorf("history size %d, %d in the state", size, s.HistorySize)
	case s.Batches != int64(batches):
		return fmt.Errorf("%d batches, %d in the state", batches, s.Batches)
	case s.CloseEventBatch != k.batches[batches-1].First:
		return fmt.Errorf("last batch begins with %d, %d in the state", k.batches[batches-1].First, s.CloseEventBatch)
	}
	return nil
}

// event takes the next event.
func (f *fold) event(e *historypb.HistoryEvent) error {
	if e.EventId != f.last+1 {
		return fmt.Errorf("follows event %d", f.last)
	}
	if (e.EventId == 1) != (e.EventType == enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED) {
		return fmt.Errorf("a run begins with its start")
	}
	if f.status != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
		return fmt.Errorf("the run is closed")
	}
	f.last = e.EventId
	f.seen[e.EventId] = e.EventType
	if f.taskStarted != 0 && !f.endsTask(e) {
		return fmt.Errorf("a worker holds the workflow task: it must wait in the buffer")
	}
	if err := f.command(e); err != nil {
		return err
	}
	f.look(e)
	return f.apply(e)
}

// look tells what a worker has not seen yet: what began, what came from outside, a task that was lost.
func (f *fold) look(e *historypb.HistoryEvent) {
	switch e.EventType {
	case enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
		f.unseen = false
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED, enumspb.EVENT_TYPE_WORKFLOW_TASK_FAILED, enumspb.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT,
		enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED, enumspb.EVENT_TYPE_TIMER_FIRED,
		enumspb.EVENT_TYPE_ACTIVITY_TASK_COMPLETED, enumspb.EVENT_TYPE_ACTIVITY_TASK_FAILED, enumspb.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT, enumspb.EVENT_TYPE_ACTIVITY_TASK_CANCELED,
		enumspb.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_FAILED, enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED,
		enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED, enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_FAILED, enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_CANCELED,
		enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TIMED_OUT, enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TERMINATED,
		enumspb.EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_SIGNALED, enumspb.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED,
		enumspb.EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED, enumspb.EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED:
		f.unseen = true
	}
}

func (f *fold) endsTask(e *historypb.HistoryEvent) bool {
	switch e.EventType {
	case enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED, enumspb.EVENT_TYPE_WORKFLOW_TASK_FAILED, enumspb.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT:
		return true
	}
	return false
}

// command checks that the event of a command names the completed task it came with, and follows it.
func (f *fold) command(e *historypb.HistoryEvent) error {
	m := e.ProtoReflect()
	d := m.WhichOneof(m.Descriptor().Oneofs().ByName("attributes"))
	if d == nil {
		return fmt.Errorf("no attributes")
	}
	id := d.Message().Fields().ByName("workflow_task_completed_event_id")
	if id == nil {
		if e.EventType != enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED {
			f.completed = 0
		}
		return nil
	}
	at := m.Get(d).Message().Get(id).Int()
	switch e.EventType { // they have the field, but are no command's
	case enumspb.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_FAILED, enumspb.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED,
		enumspb.EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED:
		f.completed = 0
		if at != 0 {
			return fmt.Errorf("names task completed %d", at)
		}
		return nil
	}
	if at == 0 || at != f.completed {
		return fmt.Errorf("comes with task completed %d, the last one was %d", at, f.completed)
	}
	return nil
}

func (f *fold) apply(e *historypb.HistoryEvent) error {
	switch a := e.Attributes.(type) {
	case *historypb.HistoryEvent_WorkflowExecutionStartedEventAttributes:
		f.memo = a.WorkflowExecutionStartedEventAttributes.GetMemo().GetFields()
		f.attributes = a.WorkflowExecutionStartedEventAttributes.GetSearchAttributes().GetIndexedFields()
	case *historypb.HistoryEvent_WorkflowExecutionSignaledEventAttributes:
		f.received++
	case *historypb.HistoryEvent_WorkflowExecutionCancelRequestedEventAttributes:
		if f.cancelRequested {
			return fmt.Errorf("a second cancel request")
		}
		f.cancelRequested = true
	case *historypb.HistoryEvent_WorkflowExecutionOptionsUpdatedEventAttributes, *historypb.HistoryEvent_MarkerRecordedEventAttributes:
	case *historypb.HistoryEvent_UpsertWorkflowSearchAttributesEventAttributes:
		f.attributes = laid(f.attributes, a.UpsertWorkflowSearchAttributesEventAttributes.SearchAttributes.GetIndexedFields())
	case *historypb.HistoryEvent_WorkflowPropertiesModifiedEventAttributes:
		f.memo = laid(f.memo, a.WorkflowPropertiesModifiedEventAttributes.UpsertedMemo.GetFields())
	default:
		for _, family := range []func(*historypb.HistoryEvent) (bool, error){f.task, f.activity, f.timer, f.child, f.external, f.close} {
			if mine, err := family(e); mine {
				return err
			}
		}
		return fmt.Errorf("is not known here")
	}
	return nil
}

func laid(old, over map[string]*commonpb.Payload) map[string]*commonpb.Payload {
	out := map[string]*commonpb.Payload{}
	maps.Copy(out, old)
	for k, v := range over {
		if validate.EmptyPayload(v) {
			delete(out, k)
		} else {
			out[k] = v
		}
	}
	return out
}

func (f *fold) task(e *historypb.HistoryEvent) (bool, error) {
	ends := func(scheduled, started int64, must bool) error {
		switch {
		case f.taskScheduled == 0 || scheduled != f.taskScheduled:
			return fmt.Errorf("names task %d, there is %d", scheduled, f.taskScheduled)
		case started != f.taskStarted:
			return fmt.Errorf("names start %d, there is %d", started, f.taskStarted)
		case must && started == 0:
			return fmt.Errorf("task %d was not started", scheduled)
		}
		f.taskScheduled, f.taskStarted = 0, 0
		return nil
	}
	switch a := e.Attributes.(type) {
	case *historypb.HistoryEvent_WorkflowTaskScheduledEventAttributes:
		if f.taskScheduled != 0 {
			return true, fmt.Errorf("task %d is pending", f.taskScheduled)
		}
		f.taskScheduled = e.EventId
	case *historypb.HistoryEvent_WorkflowTaskStartedEventAttributes:
		if at := a.WorkflowTaskStartedEventAttributes.ScheduledEventId; f.taskScheduled == 0 || at != f.taskScheduled || f.taskStarted != 0 {
			return true, fmt.Errorf("starts task %d, pending is %d, started %d", at, f.taskScheduled, f.taskStarted)
		}
		f.taskStarted = e.EventId
	case *historypb.HistoryEvent_WorkflowTaskCompletedEventAttributes:
		x := a.WorkflowTaskCompletedEventAttributes
		f.previousStarted, f.lastCompleted, f.completed = x.StartedEventId, e.EventId, e.EventId
		return true, ends(x.ScheduledEventId, x.StartedEventId, true)
	case *historypb.HistoryEvent_WorkflowTaskFailedEventAttributes:
		x := a.WorkflowTaskFailedEventAttributes
		return true, ends(x.ScheduledEventId, x.StartedEventId, true)
	case *historypb.HistoryEvent_WorkflowTaskTimedOutEventAttributes:
		x := a.WorkflowTaskTimedOutEventAttributes
		return true, ends(x.ScheduledEventId, x.StartedEventId, x.TimeoutType == enumspb.TIMEOUT_TYPE_START_TO_CLOSE)
	default:
		return false, nil
	}
	return true, nil
}

// end is the last event of something that was pending; started is the event id it names.
func (f *fold) end(pending map[int64]string, id, started int64, mustStart bool) error {
	if _, ok := pending[id]; !ok {
		return fmt.Errorf("ends %d, which is not pending", id)
	}
	if !f.buffered && started != f.started[id] {
		return fmt.Errorf("names start %d of %d, there is %d", started, id, f.started[id])
	}
	if mustStart && f.started[id] == 0 {
		return fmt.Errorf("%d was not started", id)
	}
	delete(pending, id)
	delete(f.started, id)
	return nil
}

func (f *fold) activity(e *historypb.HistoryEvent) (bool, error) {
	switch a := e.Attributes.(type) {
	case *historypb.HistoryEvent_ActivityTaskScheduledEventAttributes:
		f.activities[e.EventId] = a.ActivityTaskScheduledEventAttributes.ActivityId
	case *historypb.HistoryEvent_ActivityTaskStartedEventAttributes:
		id := a.ActivityTaskStartedEventAttributes.ScheduledEventId
		if _, ok := f.activities[id]; !ok || f.started[id] != 0 {
			return true, fmt.Errorf("starts activity %d", id)
		}
		f.started[id] = f.idOf(e)
	case *historypb.HistoryEvent_ActivityTaskCancelRequestedEventAttributes:
		if f.seen[a.ActivityTaskCancelRequestedEventAttributes.ScheduledEventId] != enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED {
			return true, fmt.Errorf("names no activity")
		}
	case *historypb.HistoryEvent_ActivityTaskCompletedEventAttributes:
		x := a.ActivityTaskCompletedEventAttributes
		return true, f.end(f.activities, x.ScheduledEventId, x.StartedEventId, true)
	case *historypb.HistoryEvent_ActivityTaskFailedEventAttributes:
		x := a.ActivityTaskFailedEventAttributes
		return true, f.end(f.activities, x.ScheduledEventId, x.StartedEventId, true)
	case *historypb.HistoryEvent_ActivityTaskTimedOutEventAttributes:
		x := a.ActivityTaskTimedOutEventAttributes
		return true, f.end(f.activities, x.ScheduledEventId, x.StartedEventId, false)
	case *historypb.HistoryEvent_ActivityTaskCanceledEventAttributes:
		x := a.ActivityTaskCanceledEventAttributes
		if f.seen[x.LatestCancelRequestedEventId] != enumspb.EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED {
			return true, fmt.Errorf("no cancel was requested")
		}
		return true, f.end(f.activities, x.ScheduledEventId, x.StartedEventId, false)
	default:
		return false, nil
	}
	return true, nil
}

// idOf is the event's id; one in the buffer has none yet, but it has been.
func (f *fold) idOf(e *historypb.HistoryEvent) int64 {
	if f.buffered {
		return -1
	}
	return e.EventId
}

func (f *fold) timer(e *historypb.HistoryEvent) (bool, error) {
	gone := func(id int64, name string) error {
		if got, ok := f.timers[id]; !ok || got != name {
			return fmt.Errorf("timer %d %s is not pending", id, name)
		}
		delete(f.timers, id)
		return nil
	}
	switch a := e.Attributes.(type) {
	case *historypb.HistoryEvent_TimerStartedEventAttributes:
		f.timers[e.EventId] = a.TimerStartedEventAttributes.TimerId
	case *historypb.HistoryEvent_TimerFiredEventAttributes:
		return true, gone(a.TimerFiredEventAttributes.StartedEventId, a.TimerFiredEventAttributes.TimerId)
	case *historypb.HistoryEvent_TimerCanceledEventAttributes:
		return true, gone(a.TimerCanceledEventAttributes.StartedEventId, a.TimerCanceledEventAttributes.TimerId)
	default:
		return false, nil
	}
	return true, nil
}

func (f *fold) child(e *historypb.HistoryEvent) (bool, error) {
	switch a := e.Attributes.(type) {
	case *historypb.HistoryEvent_StartChildWorkflowExecutionInitiatedEventAttributes:
		f.children[e.EventId] = a.StartChildWorkflowExecutionInitiatedEventAttributes.WorkflowId
		return true, nil
	case *historypb.HistoryEvent_ChildWorkflowExecutionStartedEventAttributes:
		id := a.ChildWorkflowExecutionStartedEventAttributes.InitiatedEventId
		if f.children[id] == "" || f.started[id] != 0 {
			return true, fmt.Errorf("starts child %d", id)
		}
		f.started[id] = f.idOf(e)
		return true, nil
	case *historypb.HistoryEvent_StartChildWorkflowExecutionFailedEventAttributes:
		return true, f.end(f.children, a.StartChildWorkflowExecutionFailedEventAttributes.InitiatedEventId, 0, false)
	}
	// The five ends have the same two ids.
	switch e.EventType {
	case enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED, enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_FAILED,
		enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_CANCELED, enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TIMED_OUT,
		enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TERMINATED:
		return true, f.end(f.children, number(e, "initiated_event_id"), number(e, "started_event_id"), true)
	}
	return false, nil
}

// number is an integer field of the event's attributes.
func number(e *historypb.HistoryEvent, field protoreflect.Name) int64 {
	m := e.ProtoReflect()
	a := m.Get(m.WhichOneof(m.Descriptor().Oneofs().ByName("attributes"))).Message()
	return a.Get(a.Descriptor().Fields().ByName(field)).Int()
}

func (f *fold) external(e *historypb.HistoryEvent) (bool, error) {
	answered := func(pending map[int64]bool) error {
		id := number(e, "initiated_event_id")
		if !pending[id] {
			return fmt.Errorf("answers %d, which is not pending", id)
		}
		delete(pending, id)
		return nil
	}
	switch e.EventType {
	case enumspb.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED:
		f.signals[e.EventId] = true
	case enumspb.EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED:
		f.cancels[e.EventId] = true
	case enumspb.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED, enumspb.EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_SIGNALED:
		return true, answered(f.signals)
	case enumspb.EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED, enumspb.EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED:
		return true, answered(f.cancels)
	default:
		return false, nil
	}
	return true, nil
}

func (f *fold) close(e *historypb.HistoryEvent) (bool, error) {
	switch a := e.Attributes.(type) {
	case *historypb.HistoryEvent_WorkflowExecutionCompletedEventAttributes:
		f.status, f.newRun = enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED, a.WorkflowExecutionCompletedEventAttributes.NewExecutionRunId
	case *historypb.HistoryEvent_WorkflowExecutionFailedEventAttributes:
		f.status, f.newRun = enumspb.WORKFLOW_EXECUTION_STATUS_FAILED, a.WorkflowExecutionFailedEventAttributes.NewExecutionRunId
	case *historypb.HistoryEvent_WorkflowExecutionTimedOutEventAttributes:
		f.status, f.newRun = enumspb.WORKFLOW_EXECUTION_STATUS_TIMED_OUT, a.WorkflowExecutionTimedOutEventAttributes.NewExecutionRunId
	case *historypb.HistoryEvent_WorkflowExecutionContinuedAsNewEventAttributes:
		f.status, f.newRun = enumspb.WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW, a.WorkflowExecutionContinuedAsNewEventAttributes.NewExecutionRunId
	case *historypb.HistoryEvent_WorkflowExecutionCanceledEventAttributes:
		f.status = enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED
	case *historypb.HistoryEvent_WorkflowExecutionTerminatedEventAttributes:
		f.status = enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED
	default:
		return false, nil
	}
	return true, nil
}

// equals: what the events say, then what waits in the buffer, gives the run's state.
func (f *fold) equals(r *Run) error {
	scheduled, started := f.taskScheduled, f.taskStarted
	if err := f.takeBuffer(r); err != nil {
		return err
	}
	for _, c := range []struct {
		what      string
		got, want any
	}{
		{"last event", r.LastEvent(), f.last},
		{"status", r.Status(), f.status},
		{"previous started", r.S.PreviousStartedId, f.previousStarted},
		{"last completed", r.S.LastCompletedId, f.lastCompleted},
		{"signals", r.S.Signals, f.received},
		{"cancel requested", r.S.CancelRequested, f.cancelRequested},
		{"successor", r.S.NewRunId, f.newRun},
	} {
		if c.got != c.want {
			return fmt.Errorf("%s: %v in the state, %v by the history", c.what, c.got, c.want)
		}
	}
	if !proto.Equal(&commonpb.Memo{Fields: r.Memo().GetFields()}, &commonpb.Memo{Fields: f.memo}) {
		return fmt.Errorf("memo: %v in the state, %v by the history", r.Memo(), f.memo)
	}
	if !proto.Equal(&commonpb.SearchAttributes{IndexedFields: r.SearchAttributes().GetIndexedFields()}, &commonpb.SearchAttributes{IndexedFields: f.attributes}) {
		return fmt.Errorf("search attributes: %v in the state, %v by the history", r.SearchAttributes(), f.attributes)
	}
	if r.Closed() {
		return closedEmpty(r)
	}
	if err := f.taskEquals(r, scheduled, started); err != nil {
		return err
	}
	return f.pendingEquals(r)
}

// takeBuffer folds the events that have no id yet.
func (f *fold) takeBuffer(r *Run) error {
	if len(r.buffer) > 0 && (r.Closed() || !r.taskRuns()) {
		return fmt.Errorf("%d events wait in the buffer though no worker holds the task", len(r.buffer))
	}
	f.buffered = true
	for _, e := range r.buffer {
		if e.EventId != 0 {
			return fmt.Errorf("a buffered event has id %d", e.EventId)
		}
		if err := f.apply(e); err != nil {
			return fmt.Errorf("buffered %s: %w", e.EventType, err)
		}
	}
	return nil
}

// closedEmpty: nothing waits in a closed run but what it owes to others.
func closedEmpty(r *Run) error {
	if r.activities.len()+r.inputs.len()+r.timers.len()+len(r.buffer) > 0 || r.S.Task != nil || r.S.FirstTaskTime != 0 {
		return fmt.Errorf("a closed run has %d activities, %d timers, %d buffered events, task %v", r.activities.len(), r.timers.len(), len(r.buffer), r.S.Task)
	}
	return nil
}

func (f *fold) taskEquals(r *Run, scheduled, started int64) error {
	t := r.S.Task
	switch {
	case t == nil && f.unseen && r.S.FirstTaskTime == 0 && !r.S.AwaitsParent:
		return fmt.Errorf("no_silent_stall: something waits to be seen, and there is no workflow task")
	case t == nil || t.Transient:
		if scheduled != 0 {
			return fmt.Errorf("task %d is pending by the history, in the state %v", scheduled, t)
		}
	case t.ScheduledId != scheduled || t.StartedId != started:
		return fmt.Errorf("task %d, %d by the history, in the state %v", scheduled, started, t)
	}
	if t != nil && t.Transient && t.StartedId != 0 && (t.ScheduledId != r.S.NextEventId || t.StartedId != t.ScheduledId+1) {
		return fmt.Errorf("a transient task has ids %d, %d, the next event is %d", t.ScheduledId, t.StartedId, r.S.NextEventId)
	}
	return nil
}

func (f *fold) pendingEquals(r *Run) error {
	activities, timers, children := map[int64]string{}, map[int64]string{}, map[int64]string{}
	for _, id := range r.activities.ids() {
		a, _ := r.activities.get(id)
		activities[id] = a.ActivityId
	}
	for _, id := range r.timers.ids() {
		t, _ := r.timers.get(id)
		timers[id] = t.TimerId
	}
	for _, id := range r.children.ids() {
		c, _ := r.children.get(id)
		children[id] = c.WorkflowId
		if at := f.started[id]; c.StartedId != max(at, 0) || c.Resolved != (at != 0) {
			return fmt.Errorf("child %d started by event %d in the state, %d by the history", id, c.StartedId, at)
		}
	}
	switch {
	case len(r.activityID) != len(activities) || len(r.timerID) != len(timers):
		return fmt.Errorf("ids %v, %v are not one for each of activities %v, timers %v", r.activityID, r.timerID, activities, timers)
	case !maps.Equal(activities, f.activities):
		return fmt.Errorf("activities %v in the state, %v by the history", activities, f.activities)
	case !maps.Equal(timers, f.timers):
		return fmt.Errorf("timers %v in the state, %v by the history", timers, f.timers)
	case !maps.Equal(children, f.children):
		return fmt.Errorf("children %v in the state, %v by the history", children, f.children)
	case !slices.Equal(r.signals.ids(), slices.Sorted(maps.Keys(f.signals))):
		return fmt.Errorf("signals to others %v in the state, %v by the history", r.signals.ids(), f.signals)
	case !slices.Equal(r.cancels.ids(), slices.Sorted(maps.Keys(f.cancels))):
		return fmt.Errorf("cancels of others %v in the state, %v by the history", r.cancels.ids(), f.cancels)
	}
	return nil
}
