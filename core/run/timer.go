package run

import (
	"slices"

	commandpb "go.temporal.io/api/command/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"

	"perdure/core/run/runpb"
	"perdure/core/validate"
)

// User timers: started and canceled by commands, fired by the clock.

func (r *Run) putTimer(t *runpb.Timer) {
	r.timers.put(t.StartedId, t)
	if r.timerID == nil {
		r.timerID = map[string]int64{}
	}
	r.timerID[t.TimerId] = t.StartedId
}

func (r *Run) removeTimer(t *runpb.Timer) {
	r.timers.remove(t.StartedId)
	if r.timerID[t.TimerId] == t.StartedId {
		delete(r.timerID, t.TimerId)
	}
	r.touch(rowTimer, t.StartedId)
}

func (x *commander) startTimer(c *commandpb.Command) *badCommand {
	const cause = enumspb.WORKFLOW_TASK_FAILED_CAUSE_BAD_START_TIMER_ATTRIBUTES
	a := c.GetStartTimerCommandAttributes()
	limit := x.run.tx.env.Limits.ID
	switch {
	case a == nil:
		return bad(cause, "StartTimerCommandAttributes is not set on StartTimerCommand.")
	case a.TimerId == "":
		return bad(cause, "TimerId is not set on StartTimerCommand.")
	case len(a.TimerId) > limit:
		return bad(cause, "TimerId on StartTimerCommand exceeds length limit. TimerId=%s Length=%d Limit=%d", a.TimerId, len(a.TimerId), limit)
	}
	if f := validate.Duration(a.StartToFireTimeout); f != nil {
		return bad(cause, "An invalid StartToFireTimeout is set on StartTimerCommand: %s. TimerId=%s", f.Message, a.TimerId)
	}
	r := x.run
	if _, used := r.timerID[a.TimerId]; used {
		return bad(enumspb.WORKFLOW_TASK_FAILED_CAUSE_START_TIMER_DUPLICATE_ID, "invalid history builder state for action: add-timer-started-event, TimerID: %s", a.TimerId)
	}
	e := x.event(c, enumspb.EVENT_TYPE_TIMER_STARTED)
	e.Attributes = &historypb.HistoryEvent_TimerStartedEventAttributes{TimerStartedEventAttributes: &historypb.TimerStartedEventAttributes{
		TimerId: a.TimerId, StartToFireTimeout: a.StartToFireTimeout, WorkflowTaskCompletedEventId: x.completedID,
	}}
	t := &runpb.Timer{TimerId: a.TimerId, StartedId: e.EventId, FireTime: r.tx.env.Now + validate.Capped(a.StartToFireTimeout).Nanoseconds()}
	r.onUndo(func() { r.removeTimer(t) })
	r.putTimer(t)
	r.touchNew(rowTimer, t.StartedId)
	r.watch(watchTimer, t.StartedId)
	return nil
}

func (x *commander) cancelTimer(c *commandpb.Command) *badCommand {
	const cause = enumspb.WORKFLOW_TASK_FAILED_CAUSE_BAD_CANCEL_TIMER_ATTRIBUTES
	a := c.GetCancelTimerCommandAttributes()
	limit := x.run.tx.env.Limits.ID
	switch {
	case a == nil:
		return bad(cause, "CancelTimerCommandAttributes is not set on CancelTimerCommand.")
	case a.TimerId == "":
		return bad(cause, "TimerId is not set on CancelTimerCommand.")
	case len(a.TimerId) > limit:
		return bad(cause, "TimerId on CancelTimerCommand exceeds length limit. TimerId=%s Length=%d Limit=%d", a.TimerId, len(a.TimerId), limit)
	}
	started, known := x.takeTimer(a.TimerId)
	if !known {
		return bad(cause, "invalid history builder state for action: add-timer-canceled-event, TimerID: %s", a.TimerId)
	}
	e := x.event(c, enumspb.EVENT_TYPE_TIMER_CANCELED)
	e.Attributes = &historypb.HistoryEvent_TimerCanceledEventAttributes{TimerCanceledEventAttributes: &historypb.TimerCanceledEventAttributes{
		TimerId: a.TimerId, StartedEventId: started, WorkflowTaskCompletedEventId: x.completedID, Identity: x.completion.Identity,
	}}
	return nil
}

// takeTimer removes a timer, or its firing if that is still buffered: the worker has not seen it.
func (x *commander) takeTimer(id string) (started int64, known bool) {
	r := x.run
	if n, ok := r.timerID[id]; ok {
		t, _ := r.timers.get(n)
		r.onUndo(func() { r.putTimer(t) })
		r.removeTimer(t)
		return n, true
	}
	for i, e := range r.buffer {
		if f := e.GetTimerFiredEventAttributes(); f != nil && f.TimerId == id {
			before, stored, size := r.buffer, r.buffered, r.size
			r.onUndo(func() { r.buffer, r.buffered, r.size = before, stored, size })
			r.rewriteBuffer(slices.Delete(slices.Clone(r.buffer), i, i+1))
			return f.StartedEventId, true
		}
	}
	return 0, false
}

// rewriteBuffer replaces the buffered events, and so all their rows.
func (r *Run) rewriteBuffer(events []*historypb.HistoryEvent) {
	r.dropBufferRows()
	r.buffer = events
}

func (r *Run) fireTimer(t *runpb.Timer) {
	e := r.newEvent(enumspb.EVENT_TYPE_TIMER_FIRED)
	e.Attributes = &historypb.HistoryEvent_TimerFiredEventAttributes{TimerFiredEventAttributes: &historypb.TimerFiredEventAttributes{TimerId: t.TimerId, StartedEventId: t.StartedId}}
	r.later(e, true)
	r.removeTimer(t)
}
