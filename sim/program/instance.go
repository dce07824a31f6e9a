// Package program is workflow code as SDKs run it: programs drawn from a seed,
// executed by replaying their history, with nothing but the history to go by.
// Whatever in a history does not fit the program that it came from is a failure
// of the server: it lost, doubled, reordered or invented an event.
package program

import (
	"fmt"

	commandpb "go.temporal.io/api/command/v1"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
	historypb "go.temporal.io/api/history/v1"
)

// Instance is one run of a program, as far as its history was replayed.
type Instance struct {
	WorkflowID, RunID string
	Input             Input

	// Local says whether a local activity that is under way has been done by now; it is asked in new turns only.
	Local func() bool

	// Heartbeat says that the last turn left a local activity under way: the worker wants another task soon.
	Heartbeat bool

	plan     plan
	run      int // in its chain
	root     node
	next     int64 // event id
	started  int64 // of the last task that was worked on
	pending  []*historypb.HistoryEvent
	turn     []*command      // of the turn under way, or given and not yet confirmed
	waiting  bool            // turn was given, its events have not come
	markers  map[string]bool // local activities that this turn of a replay records
	replay   bool
	number   int
	ops      map[int64]*operation // by event id of their command
	children []*operation
	signals  []string
	seen     []string // signals in all events that came
	taken    int
	canceled bool // a cancel request came
	stopped  bool // and was heeded
	finished bool
	turns    int
}

// New makes an instance that has seen nothing.
func New(workflowID, runID string) *Instance {
	return &Instance{WorkflowID: workflowID, RunID: runID, next: 1, ops: map[int64]*operation{}}
}

// Started is the started event of the last task that was worked on: what the
// server must call the previous one when it sends the rest of the history alone.
func (x *Instance) Started() int64 { return x.started }

// Next is the id of the next event that the instance wants to see.
func (x *Instance) Next() int64 { return x.next }

// Memory is the answer to a query.
func (x *Instance) Memory() Memory {
	return Memory{Run: x.RunID, Signals: append([]string(nil), x.seen...), Turns: x.turns}
}

// Advance replays events and, if they end in a started workflow task, works on
// it: the commands are its outcome. The error says what is wrong with the history.
func (x *Instance) Advance(events []*historypb.HistoryEvent) (commands []*commandpb.Command, err error) {
	if err := x.Replay(events); err != nil {
		return nil, err
	}
	if n := len(events); n > 0 && events[n-1].EventType == enumspb.EVENT_TYPE_WORKFLOW_TASK_STARTED {
		if err := x.take(false, nil); err != nil {
			return nil, err
		}
		x.waiting = true
		return x.commands(), nil
	}
	return nil, nil
}

// Replay is Advance without working on a task: for queries, which change nothing.
func (x *Instance) Replay(events []*historypb.HistoryEvent) error {
	for i := 0; i < len(events); {
		e := events[i]
		if e.EventId != x.next {
			return fmt.Errorf("event %d follows event %d", e.EventId, x.next-1)
		}
		if e.EventType == enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED {
			n, err := x.completed(events[i:])
			if err != nil {
				return err
			}
			i += n
			continue
		}
		if x.waiting {
			return fmt.Errorf("event %d: %v where the completion of the task started as event %d was acknowledged", e.EventId, e.EventType, x.started)
		}
		x.next++
		i++
		x.note(e)
		if e.EventType == enumspb.EVENT_TYPE_WORKFLOW_TASK_STARTED {
			x.started = e.EventId
		}
	}
	return nil
}

// note takes an event in; what it means is looked at when its task is worked on.
func (x *Instance) note(e *historypb.HistoryEvent) {
	x.pending = append(x.pending, e)
	if s := e.GetWorkflowExecutionSignaledEventAttributes(); s != nil {
		x.seen = append(x.seen, Text(s.Input))
	}
}

// completed replays a completed task: its own event, and the events of its commands.
func (x *Instance) completed(events []*historypb.HistoryEvent) (int, error) {
	done := events[0]
	n := 1
	for n < len(events) && ofCommand(events[n], done.EventId) {
		n++
	}
	given := events[1:n]
	if x.waiting {
		x.waiting = false
	} else if err := x.take(true, given); err != nil {
		return 0, err
	}
	x.next = done.EventId + int64(n)
	return n, x.match(given)
}

// take works on a task: what has come is looked at, then the program goes on until it blocks.
func (x *Instance) take(replay bool, given []*historypb.HistoryEvent) error {
	x.replay, x.markers, x.turn, x.Heartbeat = replay, map[string]bool{}, nil, false
	for _, e := range given {
		if m := e.GetMarkerRecordedEventAttributes(); m != nil && m.MarkerName == "local-activity" {
			x.markers[Text(m.Details["id"])] = true
		}
	}
	for _, e := range x.pending {
		if err := x.apply(e); err != nil {
			return fmt.Errorf("event %d: %w", e.EventId, err)
		}
	}
	x.pending = nil
	if x.root == nil {
		return fmt.Errorf("the first task came without the first event")
	}
	x.turns++
	x.walk()
	return nil
}

// walk goes on with the program and ends the run when it is done.
func (x *Instance) walk() {
	if x.finished {
		return
	}
	if x.canceled && x.plan.onCancel && !x.stopped {
		x.stopped = true
		x.root.cancel(x)
		x.give(&commandpb.Command{CommandType: enumspb.COMMAND_TYPE_CANCEL_WORKFLOW_EXECUTION, Attributes: &commandpb.Command_CancelWorkflowExecutionCommandAttributes{
			CancelWorkflowExecutionCommandAttributes: &commandpb.CancelWorkflowExecutionCommandAttributes{Details: Payloads(x.RunID + "/canceled")}}}, nil)
		x.finished = true
		return
	}
	if x.root.step(x) {
		x.finish()
	}
}

func (x *Instance) finish() {
	x.finished = true
	result := Payloads(x.RunID + "/end")
	switch x.plan.end {
	case completes:
		x.give(&commandpb.Command{CommandType: enumspb.COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION, Attributes: &commandpb.Command_CompleteWorkflowExecutionCommandAttributes{
			CompleteWorkflowExecutionCommandAttributes: &commandpb.CompleteWorkflowExecutionCommandAttributes{Result: result}}}, nil)
	case fails:
		x.give(&commandpb.Command{CommandType: enumspb.COMMAND_TYPE_FAIL_WORKFLOW_EXECUTION, Attributes: &commandpb.Command_FailWorkflowExecutionCommandAttributes{
			FailWorkflowExecutionCommandAttributes: &commandpb.FailWorkflowExecutionCommandAttributes{Failure: &failurepb.Failure{
				Message: x.RunID + "/end", FailureInfo: &failurepb.Failure_ApplicationFailureInfo{ApplicationFailureInfo: &failurepb.ApplicationFailureInfo{Type: "drawn"}}}}}}, nil)
	case continues:
		in := x.Input
		in.Left--
		in.ID = x.RunID + "/next"
		x.give(&commandpb.Command{CommandType: enumspb.COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION, Attributes: &commandpb.Command_ContinueAsNewWorkflowExecutionCommandAttributes{
			ContinueAsNewWorkflowExecutionCommandAttributes: &commandpb.ContinueAsNewWorkflowExecutionCommandAttributes{
				WorkflowType: &commonpb.WorkflowType{Name: "program"}, Input: Payloads(in), Initiator: enumspb.CONTINUE_AS_NEW_INITIATOR_WORKFLOW}}}, nil)
	case cancels:
		x.give(&commandpb.Command{CommandType: enumspb.COMMAND_TYPE_CANCEL_WORKFLOW_EXECUTION, Attributes: &commandpb.Command_CancelWorkflowExecutionCommandAttributes{
			CancelWorkflowExecutionCommandAttributes: &commandpb.CancelWorkflowExecutionCommandAttributes{Details: result}}}, nil)
	}
}

// give adds a command to the turn.
func (x *Instance) give(c *commandpb.Command, op *operation) *command {
	given := &command{c, op}
	x.turn = append(x.turn, given)
	return given
}

// takeBack removes the command of an operation that was not sent yet.
func (x *Instance) takeBack(o *operation) bool {
	for i, c := range x.turn {
		if c.op == o {
			x.turn = append(x.turn[:i], x.turn[i+1:]...)
			return true
		}
	}
	return false
}

// localDone says whether a local activity is done in this turn: the history knows, or the worker.
func (x *Instance) localDone(id string) bool {
	done := x.markers[id]
	if !x.replay {
		done = x.Local == nil || x.Local()
	}
	x.Heartbeat = x.Heartbeat || !done
	return done
}

func (x *Instance) runningChild() *operation {
	for _, o := range x.children {
		if o.run != "" && !o.closed {
			return o
		}
	}
	return nil
}

func (x *Instance) commands() []*commandpb.Command {
	out := make([]*commandpb.Command, len(x.turn))
	for i, c := range x.turn {
		out[i] = c.c
	}
	return out
}
