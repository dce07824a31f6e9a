package durability

import (
	"strings"
	"testing"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
)

// TestCheckerSeesForgedHistories: a check that finds nothing must be one that could.
func TestCheckerSeesForgedHistories(t *testing.T) {
	started := &historypb.HistoryEvent{EventType: enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED, Attributes: &historypb.HistoryEvent_WorkflowExecutionStartedEventAttributes{
		WorkflowExecutionStartedEventAttributes: &historypb.WorkflowExecutionStartedEventAttributes{OriginalExecutionRunId: "run"},
	}}
	signaled := func(what string) *historypb.HistoryEvent {
		return &historypb.HistoryEvent{EventType: enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED, Attributes: &historypb.HistoryEvent_WorkflowExecutionSignaledEventAttributes{
			WorkflowExecutionSignaledEventAttributes: &historypb.WorkflowExecutionSignaledEventAttributes{Input: text(what)},
		}}
	}
	scheduled := &historypb.HistoryEvent{EventType: enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED, Attributes: &historypb.HistoryEvent_ActivityTaskScheduledEventAttributes{
		ActivityTaskScheduledEventAttributes: &historypb.ActivityTaskScheduledEventAttributes{ActivityId: "a"},
	}}
	done := func(result string) *historypb.HistoryEvent { // of the activity whose event is the third
		return &historypb.HistoryEvent{EventType: enumspb.EVENT_TYPE_ACTIVITY_TASK_COMPLETED, Attributes: &historypb.HistoryEvent_ActivityTaskCompletedEventAttributes{
			ActivityTaskCompletedEventAttributes: &historypb.ActivityTaskCompletedEventAttributes{ScheduledEventId: 3, Result: text(result)},
		}}
	}
	completed := &historypb.HistoryEvent{EventType: enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED}
	for _, c := range []struct {
		run    string
		events []*historypb.HistoryEvent
		want   string
	}{
		{"run", []*historypb.HistoryEvent{started, signaled("s"), scheduled, done("r"), completed}, ""},
		{"run", []*historypb.HistoryEvent{started, signaled("s"), scheduled, signaled("perhaps"), done("r"), completed}, ""},
		{"other", []*historypb.HistoryEvent{started, signaled("s"), scheduled, done("r"), completed}, "start of w, \"start other\", was acknowledged, and is in no history"},
		{"run", []*historypb.HistoryEvent{started, completed, scheduled, done("r"), completed}, "signal, \"signal w s\", was acknowledged, and is in no history"},
		{"run", []*historypb.HistoryEvent{started, signaled("s"), scheduled, signaled("s"), done("r"), completed}, "\"signal w s\" is in event 2 of run w and in event 4"},
		{"run", []*historypb.HistoryEvent{started, signaled("s"), scheduled, signaled("strange"), done("r"), completed}, "never sent"},
		{"run", []*historypb.HistoryEvent{started, signaled("s"), scheduled, done("x"), completed}, "result of activity a of w, \"r\", was acknowledged, and is in no history"},
		{"run", []*historypb.HistoryEvent{started, signaled("s"), scheduled, done("r"), done("r"), completed}, "\"r\" is in event 4 of run w and in event 5"},
		{"run", []*historypb.HistoryEvent{started, signaled("s"), scheduled, done("r"), done("another"), completed}, "activity a has 2 results"},
		{"run", []*historypb.HistoryEvent{started, signaled("s"), scheduled, done("r")}, "its last event is"},
	} {
		for i, e := range c.events {
			c.events[i] = &historypb.HistoryEvent{EventId: int64(i + 1), EventType: e.EventType, Attributes: e.Attributes}
		}
		l := newLedger()
		l.noteStart("w", c.run)
		l.noteSignal("w", "s", true)
		l.noteSignal("w", "perhaps", false)
		l.noteResult("w", "a", "r")
		var found []string
		if err := l.compare("w", c.events); err != nil {
			found = append(found, err.Error())
		}
		got := strings.Join(append(found, l.effects.Lost()...), "\n")
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}
