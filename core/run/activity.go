package run

import (
	"time"

	commandpb "go.temporal.io/api/command/v1"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"google.golang.org/protobuf/types/known/durationpb"

	"perdure/core/port"
	"perdure/core/run/runpb"
	"perdure/core/validate"
)

// Activities. Attempts are transient: only the end of the last one is written,
// together with its Started event.

func (r *Run) indexActivity(a *runpb.Activity) {
	if r.activityID == nil {
		r.activityID = map[string]int64{}
	}
	r.activityID[a.ActivityId] = a.ScheduledId
}

func (x *commander) scheduleActivity(c *commandpb.Command) *badCommand {
	const cause = enumspb.WORKFLOW_TASK_FAILED_CAUSE_BAD_SCHEDULE_ACTIVITY_ATTRIBUTES
	r := x.run
	a := c.GetScheduleActivityTaskCommandAttributes()
	if a == nil {
		return bad(cause, "ScheduleActivityTaskCommandAttributes is not set on ScheduleActivityTaskCommand.")
	}
	plan, text := r.planActivity(a)
	if text != "" {
		return bad(cause, "%s", text)
	}
	if over(x.limit(), a.Input) {
		return tooLarge(cause, "ScheduleActivityTaskCommandAttributes.Input")
	}
	if n := r.activities.len(); n >= r.tx.env.Limits.PendingActivities {
		return bad(enumspb.WORKFLOW_TASK_FAILED_CAUSE_PENDING_ACTIVITIES_LIMIT_EXCEEDED, "the number of pending activities, %d, has reached the per-workflow limit of %d", n, r.tx.env.Limits.PendingActivities)
	}
	if _, used := r.activityID[a.ActivityId]; used {
		return bad(enumspb.WORKFLOW_TASK_FAILED_CAUSE_SCHEDULE_ACTIVITY_DUPLICATE_ID, "invalid history builder state for action: add-activitytask-scheduled-event, ActivityID: %s", a.ActivityId)
	}
	e := x.event(c, enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED)
	e.Attributes = &historypb.HistoryEvent_ActivityTaskScheduledEventAttributes{ActivityTaskScheduledEventAttributes: plan.event(x.completedID)}
	act := plan.activity(r, e.EventId)
	r.onUndo(func() { r.removeActivity(act) })
	r.activities.put(act.ScheduledId, act)
	r.inputs.put(act.ScheduledId, &runpb.ActivityInput{Input: encodePayloads(a.Input), Header: encode(a.Header)})
	r.indexActivity(act)
	r.touchNew(rowActivity, act.ScheduledId)
	r.touchNew(rowInput, act.ScheduledId)
	if a.RequestEagerExecution && x.completion.Eager {
		r.startAttempt(act, Starter{Identity: x.completion.Identity, RequestID: r.tx.env.NewID()})
		x.eager = append(x.eager, act.ScheduledId)
	} else {
		act.Dispatched = true
		r.add(r.activityDispatch(act))
	}
	r.watch(watchActivity, act.ScheduledId)
	return nil
}

// activityPlan is a command's attributes with everything filled in.
type activityPlan struct {
	a                *commandpb.ScheduleActivityTaskCommandAttributes
	toClose, toStart time.Duration
	run, heartbeat   time.Duration
	retry            *commonpb.RetryPolicy
	queue            *taskqueuepb.TaskQueue
}

// planActivity checks the attributes in the peer's order and fills in defaults; text says what is wrong.
func (r *Run) planActivity(a *commandpb.ScheduleActivityTaskCommandAttributes) (*activityPlan, string) {
	l := r.tx.env.Limits
	p := &activityPlan{a: a, retry: validate.FilledRetryPolicy(a.RetryPolicy)}
	if text := activityNames(l, a); text != "" {
		return nil, text
	}
	if f := validate.RetryPolicy(p.retry); f != nil {
		return nil, f.Message
	}
	if f := validate.Priority(a.Priority); f != nil {
		return nil, "invalid priorities: " + f.Message
	}
	if text := p.timeouts(time.Duration(r.S.RunTimeout)); text != "" {
		return nil, text
	}
	p.queue = &taskqueuepb.TaskQueue{Name: a.TaskQueue.GetName(), Kind: enumspb.TASK_QUEUE_KIND_NORMAL}
	return p, ""
}

// timeouts cuts and fills in the four timeouts.
func (p *activityPlan) timeouts(runTimeout time.Duration) string {
	a := p.a
	for _, d := range []struct {
		v    *durationpb.Duration
		name string
	}{{a.ScheduleToCloseTimeout, "ScheduleToCloseTimeout"}, {a.ScheduleToStartTimeout, "ScheduleToStartTimeout"}, {a.StartToCloseTimeout, "StartToCloseTimeout"}, {a.HeartbeatTimeout, "HeartbeatTimeout"}} {
		if f := validate.Duration(d.v); f != nil {
			return "invalid " + d.name + ": " + f.Message
		}
	}
	p.toClose, p.toStart = validate.Capped(a.ScheduleToCloseTimeout), validate.Capped(a.ScheduleToStartTimeout)
	p.run, p.heartbeat = validate.Capped(a.StartToCloseTimeout), validate.Capped(a.HeartbeatTimeout)
	switch {
	case p.toClose > 0:
		p.toStart = orCut(p.toStart, p.toClose)
		p.run = orCut(p.run, p.toClose)
	case p.run > 0:
		p.toClose = runTimeout
		if p.toStart == 0 {
			p.toStart = runTimeout
		}
	default:
		return "a valid StartToCloseTimeout or ScheduleToCloseTimeout must be set on the activity. ActivityId=" + a.ActivityId + " ActivityType=" + a.ActivityType.GetName()
	}
	if runTimeout > 0 {
		p.toClose, p.toStart = min(p.toClose, runTimeout), min(p.toStart, runTimeout)
		p.run, p.heartbeat = min(p.run, runTimeout), min(p.heartbeat, runTimeout)
	}
	p.heartbeat = min(p.heartbeat, p.run)
	return ""
}

// orCut is d, or the limit if d is unset or above it.
func orCut(d, limit time.Duration) time.Duration {
	if d == 0 || d > limit {
		return limit
	}
	return d
}

func (p *activityPlan) event(completedID int64) *historypb.ActivityTaskScheduledEventAttributes {
	return &historypb.ActivityTaskScheduledEventAttributes{
		ActivityId: p.a.ActivityId, ActivityType: p.a.ActivityType, TaskQueue: p.queue, Header: p.a.Header, Input: p.a.Input,
		ScheduleToCloseTimeout: durationpb.New(p.toClose), ScheduleToStartTimeout: durationpb.New(p.toStart),
		StartToCloseTimeout: durationpb.New(p.run), HeartbeatTimeout: durationpb.New(p.heartbeat),
		WorkflowTaskCompletedEventId: completedID, RetryPolicy: p.retry, UseWorkflowBuildId: p.a.UseWorkflowBuildId, Priority: p.a.Priority,
	}
}

func (p *activityPlan) activity(r *Run, id int64) *runpb.Activity {
	a := &runpb.Activity{
		ScheduledId: id, ActivityId: p.a.ActivityId, Type: p.a.ActivityType.GetName(), Queue: p.queue.Name,
		ScheduleToClose: int64(p.toClose), ScheduleToStart: int64(p.toStart), StartToClose: int64(p.run), Heartbeat: int64(p.heartbeat),
		Retry: retryOf(p.retry), Attempt: 1, FirstScheduledTime: r.tx.env.Now, ScheduledTime: r.tx.env.Now, Stamp: r.stamp(),
	}
	if p.a.Priority != nil {
		a.Priority = encode(p.a.Priority)
	}
	return a
}

// mergePriority lays the parts that are set over those of the workflow.
func mergePriority(base, over *commonpb.Priority) *commonpb.Priority {
	if base == nil {
		return over
	}
	if over == nil {
		return base
	}
	m := &commonpb.Priority{PriorityKey: base.PriorityKey, FairnessKey: base.FairnessKey, FairnessWeight: base.FairnessWeight}
	if over.PriorityKey != 0 {
		m.PriorityKey = over.PriorityKey
	}
	if over.FairnessKey != "" {
		m.FairnessKey = over.FairnessKey
	}
	if over.FairnessWeight != 0 {
		m.FairnessWeight = over.FairnessWeight
	}
	return m
}

func (r *Run) priority() *commonpb.Priority {
	if len(r.S.Priority) == 0 {
		return nil
	}
	return decode(r.S.Priority, &commonpb.Priority{})
}

// ActivityPriority is the activity's own priority over that of the workflow.
func (r *Run) ActivityPriority(a *runpb.Activity) *commonpb.Priority {
	if len(a.Priority) == 0 {
		return r.priority()
	}
	return mergePriority(r.priority(), decode(a.Priority, &commonpb.Priority{}))
}

func (r *Run) activityDispatch(a *runpb.Activity) Dispatch {
	return Dispatch{Kind: port.ActivityTask, Queue: port.QueueKey{NamespaceID: r.S.NamespaceId, Name: a.Queue, Type: port.ActivityQueue},
		ID: a.ScheduledId, Attempt: a.Attempt, Stamp: a.Stamp, Priority: queuePriority(r.ActivityPriority(a)), Time: a.ScheduledTime}
}

func (r *Run) withdrawActivity(a *runpb.Activity) {
	if a.Dispatched {
		a.Dispatched = false
		r.drop(r.activityDispatch(a))
	}
}

func (r *Run) removeActivity(a *runpb.Activity) {
	r.activities.remove(a.ScheduledId)
	r.inputs.remove(a.ScheduledId)
	if r.activityID[a.ActivityId] == a.ScheduledId {
		delete(r.activityID, a.ActivityId)
	}
	r.touch(rowActivity, a.ScheduledId)
	r.touch(rowInput, a.ScheduledId)
}

// Activity looks a pending activity up.
func (r *Run) Activity(scheduledID int64) (*runpb.Activity, bool) {
	return r.activities.get(scheduledID)
}

// ActivityInput is the input and header of a pending activity.
func (r *Run) ActivityInput(scheduledID int64) *runpb.ActivityInput {
	in, _ := r.inputs.get(scheduledID)
	return in
}

// ActivityByID looks a pending activity up by its id.
func (r *Run) ActivityByID(id string) (*runpb.Activity, bool) {
	n, ok := r.activityID[id]
	if !ok {
		return nil, false
	}
	return r.activities.get(n)
}

func (x *commander) cancelActivity(c *commandpb.Command) *badCommand {
	const cause = enumspb.WORKFLOW_TASK_FAILED_CAUSE_BAD_REQUEST_CANCEL_ACTIVITY_ATTRIBUTES
	r := x.run
	a := c.GetRequestCancelActivityTaskCommandAttributes()
	switch {
	case a == nil:
		return bad(cause, "RequestCancelActivityTaskCommandAttributes is not set on RequestCancelActivityTaskCommand.")
	case a.ScheduledEventId <= 0:
		return bad(cause, "ScheduledEventId is not set on RequestCancelActivityTaskCommand.")
	}
	act, pending := r.activities.get(a.ScheduledEventId)
	if pending && act.CancelRequested || !pending && !r.endBuffered(a.ScheduledEventId) {
		return bad(cause, "invalid history builder state for action: add-activitytask-cancel-requested-event, ScheduledEventID: %d", a.ScheduledEventId)
	}
	e := x.event(c, enumspb.EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED)
	e.Attributes = &historypb.HistoryEvent_ActivityTaskCancelRequestedEventAttributes{ActivityTaskCancelRequestedEventAttributes: &historypb.ActivityTaskCancelRequestedEventAttributes{
		ScheduledEventId: a.ScheduledEventId, WorkflowTaskCompletedEventId: x.completedID,
	}}
	if !pending {
		return nil // it ended while the worker was busy; its end is buffered
	}
	r.onUndo(func() { act.CancelRequested, act.CancelRequestedId = false, 0 })
	act.CancelRequested, act.CancelRequestedId = true, e.EventId
	r.touch(rowActivity, act.ScheduledId)
	if act.StartedTime == 0 {
		x.cancelUnstarted(act)
	}
	return nil
}

// cancelUnstarted ends an activity that no worker holds at once.
func (x *commander) cancelUnstarted(a *runpb.Activity) {
	r := x.run
	in, _ := r.inputs.get(a.ScheduledId)
	dispatched, buffer := a.Dispatched, r.buffer
	r.onUndo(func() {
		a.Dispatched, r.buffer = dispatched, buffer
		r.activities.put(a.ScheduledId, a)
		r.inputs.put(a.ScheduledId, in)
		r.indexActivity(a)
	})
	details := textPayload("ACTIVITY_ID_NOT_STARTED")
	r.canceledActivity(a, details, x.completion.Identity)
	x.own = append(x.own, r.buffer[len(buffer):]...)
}

// endBuffered reports whether the end of an activity waits in the buffer.
func (r *Run) endBuffered(scheduledID int64) bool {
	for _, e := range r.buffer {
		if ends(e) && activityOf(e) == scheduledID {
			return true
		}
	}
	return false
}

// activityOf is the scheduled event id of an activity's last event, or 0.
func activityOf(e *historypb.HistoryEvent) int64 {
	switch {
	case e.GetActivityTaskCompletedEventAttributes() != nil:
		return e.GetActivityTaskCompletedEventAttributes().ScheduledEventId
	case e.GetActivityTaskFailedEventAttributes() != nil:
		return e.GetActivityTaskFailedEventAttributes().ScheduledEventId
	case e.GetActivityTaskTimedOutEventAttributes() != nil:
		return e.GetActivityTaskTimedOutEventAttributes().ScheduledEventId
	case e.GetActivityTaskCanceledEventAttributes() != nil:
		return e.GetActivityTaskCanceledEventAttributes().ScheduledEventId
	}
	return 0
}

func activityNames(l *validate.Limits, a *commandpb.ScheduleActivityTaskCommandAttributes) string {
	switch {
	case a.TaskQueue == nil:
		return "taskQueue is not set"
	case a.ActivityId == "":
		return "activityId is not set"
	case a.ActivityType.GetName() == "":
		return "activityType is not set"
	case len(a.ActivityId) > l.ID:
		return lengthText("activityId", len(a.ActivityId), l.ID)
	case len(a.ActivityType.GetName()) > l.ID:
		return lengthText("activityType", len(a.ActivityType.GetName()), l.ID)
	}
	if f := validate.QueueName(l, a.TaskQueue.Name); f != nil {
		return f.Message
	}
	return ""
}
