package check

import (
	"fmt"
	"slices"
	"strings"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
)

// Marks count what a run has reached, rare paths above all: a fault that is
// never hit proves nothing.
type Marks struct {
	AckedSignals int
	Retired      int
	Named        map[string]int
}

// Add counts one more of a name.
func (m *Marks) Add(name string) {
	if m.Named == nil {
		m.Named = map[string]int{}
	}
	m.Named[name]++
}

func (m *Marks) event(e *historypb.HistoryEvent) {
	m.Add(strings.TrimPrefix(e.EventType.String(), "EVENT_TYPE_"))
	switch a := e.Attributes.(type) {
	case *historypb.HistoryEvent_WorkflowTaskFailedEventAttributes:
		m.Add("task failed: " + a.WorkflowTaskFailedEventAttributes.Cause.String())
	case *historypb.HistoryEvent_WorkflowTaskTimedOutEventAttributes:
		m.Add("task timed out: " + a.WorkflowTaskTimedOutEventAttributes.TimeoutType.String())
	case *historypb.HistoryEvent_ActivityTaskTimedOutEventAttributes:
		m.Add("activity timed out: " + a.ActivityTaskTimedOutEventAttributes.Failure.GetTimeoutFailureInfo().GetTimeoutType().String())
	case *historypb.HistoryEvent_WorkflowExecutionStartedEventAttributes:
		if i := a.WorkflowExecutionStartedEventAttributes.Initiator; i != enumspb.CONTINUE_AS_NEW_INITIATOR_UNSPECIFIED {
			m.Add("run begun by " + i.String())
		}
	case *historypb.HistoryEvent_WorkflowTaskScheduledEventAttributes:
		if a.WorkflowTaskScheduledEventAttributes.TaskQueue.GetKind() == enumspb.TASK_QUEUE_KIND_STICKY {
			m.Add("sticky task")
		}
	}
}

// Merge adds the counts of another run.
func (m *Marks) Merge(o *Marks) {
	m.AckedSignals += o.AckedSignals
	m.Retired += o.Retired
	if m.Named == nil {
		m.Named = map[string]int{}
	}
	for name, n := range o.Named { //ordered: sums do not depend on the order
		m.Named[name] += n
	}
}

// Lines lists the counts by name.
func (m *Marks) Lines() (lines []string) {
	for name, n := range m.Named { //ordered: sorted below
		lines = append(lines, fmt.Sprintf("%-60s %d", name, n))
	}
	slices.Sort(lines)
	return append(lines, fmt.Sprintf("%-60s %d", "signals acknowledged", m.AckedSignals), fmt.Sprintf("%-60s %d", "runs removed", m.Retired))
}
