package durability

import (
	"errors"
	"fmt"
	"sync"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
)

// check compares the ledger with what the server has, once the load has ended.
func (l *load) check() {
	l.t.Helper()
	ledger := l.ledger
	for _, what := range ledger.twice {
		l.t.Errorf("acknowledged twice: %s", what)
	}
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
	for id := range ledger.started {
		ids <- id
	}
	close(ids)
	all.Wait()
	sent := 0
	for _, s := range ledger.sent {
		sent += len(s)
	}
	l.t.Logf("%d workflows and %d signals looked for", len(ledger.started), sent)
}

// compare says what a history lacks or has too much of.
func (l *ledger) compare(id string, events []*historypb.HistoryEvent) error {
	var wrong []error
	add := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }
	signaled, results := map[string]int{}, map[string][]string{}
	activity := map[int64]string{}
	for i, e := range events {
		if e.EventId != int64(i+1) {
			add("event %d has the id %d", i+1, e.EventId)
		}
		switch a := e; e.EventType {
		case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
			if got := a.GetWorkflowExecutionStartedEventAttributes().OriginalExecutionRunId; got != l.started[id] {
				add("run %s was acknowledged, run %s is there", l.started[id], got)
			}
		case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED:
			signaled[textOf(a.GetWorkflowExecutionSignaledEventAttributes().Input)]++
		case enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
			activity[e.EventId] = a.GetActivityTaskScheduledEventAttributes().ActivityId
		case enumspb.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
			c := a.GetActivityTaskCompletedEventAttributes()
			results[activity[c.ScheduledEventId]] = append(results[activity[c.ScheduledEventId]], textOf(c.Result))
		}
	}
	if last := events[len(events)-1].EventType; last != enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED {
		add("its last event is %s", last)
	}
	for what, acknowledged := range l.sent[id] {
		if n := signaled[what]; n > 1 || acknowledged && n != 1 {
			add("signal %s is there %d times, acknowledged: %v", what, n, acknowledged)
		}
		delete(signaled, what)
	}
	for what := range signaled {
		add("signal %s was never sent", what)
	}
	for name, got := range results {
		if len(got) != 1 {
			add("activity %s has the results %v", name, got)
		}
	}
	for name, want := range l.results[id] {
		if got := results[name]; len(got) != 1 || got[0] != want {
			add("activity %s: %q was acknowledged, %v is there", name, want, got)
		}
	}
	return errors.Join(wrong...)
}
