package durability

import (
	"errors"
	"fmt"
	"sync"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"

	"perdure/sim/check/effect"
)

// check compares the ledger with what the server has, once the load has ended.
func (l *load) check() {
	l.t.Helper()
	ledger := l.ledger
	ids := make(chan string)
	var all sync.WaitGroup
	for range drivers {
		all.Go(func() {
			for id := range ids {
				events, err := history(l.t.Context(), l.api, id)
				if err == nil {
					err = ledger.compare(id, events)
				}
				if err != nil {
					l.t.Errorf("%s: %v", id, err)
				}
			}
		})
	}
	for _, id := range ledger.started {
		ids <- id
	}
	close(ids)
	all.Wait()
	for _, what := range ledger.effects.Lost() {
		l.t.Error(what)
	}
	l.t.Logf("%d workflows and %d signals looked for", len(ledger.started), len(ledger.sent))
}

// compare says what is wrong with a history, and notes the effects in it. What it lacks is lost at the end.
func (l *ledger) compare(id string, events []*historypb.HistoryEvent) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var wrong []error
	add := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }
	found := func(name string, e *historypb.HistoryEvent) {
		at := effect.Place{Run: id, Event: e.EventId}
		if was, twice := l.effects.Found(name, at); twice {
			add("%s", effect.Twice(name, was, at))
		}
	}
	activity, ended := map[int64]string{}, map[string]int{}
	for i, e := range events {
		if e.EventId != int64(i+1) {
			add("event %d has the id %d", i+1, e.EventId)
		}
		switch e.EventType {
		case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
			found(startOf(e.GetWorkflowExecutionStartedEventAttributes().OriginalExecutionRunId), e)
		case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED:
			name := signalTo(id, textOf(e.GetWorkflowExecutionSignaledEventAttributes().Input))
			if found(name, e); !l.sent[name] {
				add("%s was never sent", name)
			}
		case enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
			activity[e.EventId] = e.GetActivityTaskScheduledEventAttributes().ActivityId
		case enumspb.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
			a := e.GetActivityTaskCompletedEventAttributes()
			found(resultOf(textOf(a.Result)), e)
			name := activity[a.ScheduledEventId]
			if ended[name]++; ended[name] > 1 {
				add("activity %s has %d results", name, ended[name])
			}
		}
	}
	if last := events[len(events)-1].EventType; last != enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED {
		add("its last event is %s", last)
	}
	return errors.Join(wrong...)
}
