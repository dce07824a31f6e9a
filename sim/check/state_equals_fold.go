package check

import (
	"maps"
	"slices"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"google.golang.org/protobuf/proto"

	"perdure/core/run"
	"perdure/core/run/runpb"
)

// P6 state_equals_fold: the stored state of a run is what its history and its
// buffered events make of it. The fold here is written from the meaning of the
// events alone.

// fold is a run as its events tell it.
type fold struct {
	last      int64
	status    enumspb.WorkflowExecutionStatus
	open      map[int64]opens
	due       map[int64]int64 // of timers: when they fire, Unix ns
	scheduled int64
	started   int64
	signals   int64
	canceled  bool
	ends      map[int64]bool // activities whose cancel was requested
}

func newFold() fold {
	return fold{open: map[int64]opens{}, due: map[int64]int64{}, ends: map[int64]bool{}}
}

// with is the fold with buffered events behind it; they have no ids yet.
func (f *fold) with(buffered []*historypb.HistoryEvent) *fold {
	g := *f
	g.open = maps.Clone(f.open)
	for _, e := range buffered {
		g.applyBuffered(e)
	}
	return &g
}

func (f *fold) apply(e *historypb.HistoryEvent) {
	f.last = e.EventId
	switch e.EventType {
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
		f.status = enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING
	case enumspb.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED:
		f.scheduled = e.EventId
	case enumspb.EVENT_TYPE_WORKFLOW_TASK_STARTED:
		f.started = e.EventId
	case enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED, enumspb.EVENT_TYPE_WORKFLOW_TASK_FAILED, enumspb.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT:
		f.scheduled, f.started = 0, 0
	case enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
		f.open[e.EventId] = opensActivity
	case enumspb.EVENT_TYPE_TIMER_STARTED:
		f.open[e.EventId] = opensTimer
		f.due[e.EventId] = e.EventTime.AsTime().Add(e.GetTimerStartedEventAttributes().StartToFireTimeout.AsDuration()).UnixNano()
	case enumspb.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED:
		f.open[e.EventId] = opensChild
	case enumspb.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED:
		f.open[e.EventId] = opensSignal
	case enumspb.EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED:
		f.open[e.EventId] = opensCancel
	default:
		f.applyBuffered(e)
	}
	if s, ok := closedAs[e.EventType]; ok {
		f.status = s
	}
}

func (f *fold) applyBuffered(e *historypb.HistoryEvent) {
	switch e.EventType {
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED:
		f.signals++
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED:
		f.canceled = true
	}
	if id, kind, _ := ended(e); kind != 0 {
		delete(f.open, id)
	}
}

var closedAs = map[enumspb.EventType]enumspb.WorkflowExecutionStatus{
	enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED:        enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED,
	enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED:           enumspb.WORKFLOW_EXECUTION_STATUS_FAILED,
	enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT:        enumspb.WORKFLOW_EXECUTION_STATUS_TIMED_OUT,
	enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED:         enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED,
	enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED:       enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED,
	enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW: enumspb.WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW,
}

// The kinds of pending rows, by the first byte of their keys (core/run, row.go).
var pendingKinds = map[byte]opens{'a': opensActivity, 't': opensTimer, 'c': opensChild, 's': opensSignal, 'x': opensCancel}

func (r *Run) pendingRows() []run.Row {
	rows := make([]run.Row, 0, len(r.Pending))
	for _, k := range slices.Sorted(maps.Keys(r.Pending)) {
		rows = append(rows, run.Row{Key: k, Value: r.Pending[k]})
	}
	return rows
}

// buffered are the events that wait for their ids, in order.
func buffered(rows []run.Row) (events []*historypb.HistoryEvent) {
	for _, row := range rows {
		if row.Key[0] == 'b' {
			e := &historypb.HistoryEvent{}
			if proto.Unmarshal(row.Value, e) == nil {
				events = append(events, e)
			}
		}
	}
	return events
}

func stateEqualsFold(r *Run) *Breach {
	bad := func(format string, args ...any) *Breach {
		return breach(StateEqualsFold, r.Key.RunID, format, args...)
	}
	rows := r.pendingRows()
	f, s := r.fold.with(buffered(rows)), r.Row
	switch {
	case s.NextEventId != f.last+1:
		return bad("the next event is %d, the history ends at %d", s.NextEventId, f.last)
	case enumspb.WorkflowExecutionStatus(s.Status) != f.status:
		return bad("status %v, the history says %v", enumspb.WorkflowExecutionStatus(s.Status), f.status)
	case s.HistorySize != r.size:
		return bad("history of %d bytes, there are %d", s.HistorySize, r.size)
	case s.Signals != f.signals:
		return bad("%d signals, the history has %d", s.Signals, f.signals)
	}
	if f.status != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
		if s.Task != nil {
			return bad("a closed run has a workflow task")
		}
		return nil
	}
	if s.CancelRequested != f.canceled {
		return bad("cancel requested %t, the history says %t", s.CancelRequested, f.canceled)
	}
	if text := taskFits(s.Task, f); text != "" {
		return bad("%s", text)
	}
	return pendingFits(r, rows, f)
}

func taskFits(t *runpb.WorkflowTask, f *fold) string {
	switch {
	case t == nil && f.scheduled != 0:
		return "no workflow task, the history has one open"
	case t == nil || t.Transient && f.scheduled == 0:
		return ""
	case t.Transient:
		return "a transient workflow task, the history has one open"
	case t.ScheduledId != f.scheduled || t.StartedId != f.started:
		return "a workflow task that is not the one that the history has open"
	}
	return ""
}

func pendingFits(r *Run, rows []run.Row, f *fold) *Breach {
	left := maps.Clone(f.open)
	for _, row := range rows {
		kind := pendingKinds[row.Key[0]]
		if kind == 0 {
			continue
		}
		id := idOf(row.Key)
		if left[id] != kind {
			return breach(StateEqualsFold, r.Key.RunID, "pending row %q of event %d, which the history says is not open", row.Key[:1], id)
		}
		delete(left, id)
		if kind == opensTimer {
			t := &runpb.Timer{}
			if err := proto.Unmarshal(row.Value, t); err != nil || t.FireTime != f.due[id] {
				return breach(StateEqualsFold, r.Key.RunID, "timer %d fires at %v, the history says %v", id, time.Unix(0, t.FireTime), time.Unix(0, f.due[id]))
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(left)) {
		return breach(StateEqualsFold, r.Key.RunID, "event %d is open in the history and has no pending row", id)
	}
	return nil
}

func idOf(key string) (id int64) {
	for _, b := range []byte(strings.TrimPrefix(key, key[:1])) {
		id = id<<8 | int64(b)
	}
	return id
}
