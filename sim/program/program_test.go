package program

import (
	"strings"
	"testing"

	commandpb "go.temporal.io/api/command/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
)

// history invents the history of a program whose first turn starts one timer and
// nothing else, up to its second workflow task.
func history(t *testing.T) []*historypb.HistoryEvent {
	t.Helper()
	for seed := uint64(1); seed < 1000; seed++ {
		events := []*historypb.HistoryEvent{
			{EventId: 1, EventType: enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED, Attributes: &historypb.HistoryEvent_WorkflowExecutionStartedEventAttributes{
				WorkflowExecutionStartedEventAttributes: &historypb.WorkflowExecutionStartedEventAttributes{Input: Payloads(Input{ID: "x", Seed: seed})}}},
			{EventId: 2, EventType: enumspb.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED},
			{EventId: 3, EventType: enumspb.EVENT_TYPE_WORKFLOW_TASK_STARTED},
		}
		commands, err := New("wf", "run").Advance(events)
		if err != nil {
			t.Fatal(err)
		}
		if len(commands) != 1 || commands[0].CommandType != enumspb.COMMAND_TYPE_START_TIMER {
			continue
		}
		return append(events,
			&historypb.HistoryEvent{EventId: 4, EventType: enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED},
			timerStarted(5, commands[0].GetStartTimerCommandAttributes()),
			timerFired(6, 5),
			&historypb.HistoryEvent{EventId: 7, EventType: enumspb.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED},
			&historypb.HistoryEvent{EventId: 8, EventType: enumspb.EVENT_TYPE_WORKFLOW_TASK_STARTED})
	}
	t.Fatal("no seed begins with a timer")
	return nil
}

func timerStarted(id int64, c *commandpb.StartTimerCommandAttributes) *historypb.HistoryEvent {
	return &historypb.HistoryEvent{EventId: id, EventType: enumspb.EVENT_TYPE_TIMER_STARTED, Attributes: &historypb.HistoryEvent_TimerStartedEventAttributes{
		TimerStartedEventAttributes: &historypb.TimerStartedEventAttributes{TimerId: c.TimerId, StartToFireTimeout: c.StartToFireTimeout, WorkflowTaskCompletedEventId: id - 1}}}
}

func timerFired(id, started int64) *historypb.HistoryEvent {
	return &historypb.HistoryEvent{EventId: id, EventType: enumspb.EVENT_TYPE_TIMER_FIRED, Attributes: &historypb.HistoryEvent_TimerFiredEventAttributes{
		TimerFiredEventAttributes: &historypb.TimerFiredEventAttributes{StartedEventId: started}}}
}

func TestReplayFits(t *testing.T) {
	whole := New("wf", "run")
	at8, err := whole.Advance(history(t))
	if err != nil {
		t.Fatal(err)
	}
	parts, events := New("wf", "run"), history(t)
	if _, err := parts.Advance(events[:3]); err != nil {
		t.Fatal(err)
	}
	rest, err := parts.Advance(events[3:])
	if err != nil || len(rest) != len(at8) || whole.Started() != 8 || parts.Next() != 9 {
		t.Errorf("in parts: %v, %v; at once: %v", rest, err, at8)
	}
}

func TestForgedHistoriesDoNotFit(t *testing.T) {
	for _, x := range []struct {
		name, want string
		forge      func([]*historypb.HistoryEvent) []*historypb.HistoryEvent
	}{
		{"gap", "event 3 follows event 1", func(h []*historypb.HistoryEvent) []*historypb.HistoryEvent {
			return append(h[:1], h[2:]...)
		}},
		{"another timer", "id", func(h []*historypb.HistoryEvent) []*historypb.HistoryEvent {
			h[4].GetTimerStartedEventAttributes().TimerId = "t77"
			return h
		}},
		{"another time", "time", func(h []*historypb.HistoryEvent) []*historypb.HistoryEvent {
			h[4].GetTimerStartedEventAttributes().StartToFireTimeout = nil
			return h
		}},
		{"command lost", "1 commands, 0 events", func(h []*historypb.HistoryEvent) []*historypb.HistoryEvent {
			h[4] = &historypb.HistoryEvent{EventId: 5, EventType: enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED}
			return h
		}},
		{"fired twice", "second end", func(h []*historypb.HistoryEvent) []*historypb.HistoryEvent {
			h[6] = timerFired(7, 5)
			return h
		}},
		{"nobody's timer fired", "began nothing", func(h []*historypb.HistoryEvent) []*historypb.HistoryEvent {
			h[5] = timerFired(6, 4)
			return h
		}},
	} {
		_, err := New("wf", "run").Advance(x.forge(history(t)))
		if err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: %v", x.name, err)
		}
	}
}
