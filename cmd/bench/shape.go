package main

import (
	"strconv"
	"time"

	commandpb "go.temporal.io/api/command/v1"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"google.golang.org/protobuf/types/known/durationpb"
)

// shape is what the workflows of a load do.
type shape struct {
	about      string
	activities bool // needs a worker for them
	signals    bool // the client sends n of them
	open       bool // runs stay open: the client does not wait for their end
	unattended bool // there are no workers
	backlog    bool // workers come only after everything was started
	// next tells what the workflow does when it sees so much of its history; done: it completes.
	next func(seen seen, n int) (starts int, done bool)
	// command is what it starts, with a number.
	command func(w *worker, id string) *commandpb.Command
}

// seen counts the events of a history.
type seen struct{ scheduled, completed, signaled, timers, fired int }

var shapes = map[string]shape{
	"chain":  {about: "n activities one after another", activities: true, next: oneByOne, command: (*worker).activity},
	"fanout": {about: "n activities at once", activities: true, next: allAtOnce, command: (*worker).activity},
	"signal": {about: "n signals to one run", signals: true, next: func(s seen, n int) (int, bool) { return 0, s.signaled >= n }},
	"timer": {about: "n timers of 10 ms one after another", command: (*worker).timer, next: func(s seen, n int) (int, bool) {
		return oneByOne(seen{scheduled: s.timers, completed: s.fired}, n)
	}},
	"start": {about: "starts only, without workers", open: true, unattended: true},
	"drain": {about: "chain, but workers come only when everything is started", activities: true, backlog: true, next: oneByOne, command: (*worker).activity},
	"idle":  {about: "runs whose first task is done and that stay open", open: true, next: func(seen, int) (int, bool) { return 0, false }},
}

func oneByOne(s seen, n int) (int, bool) {
	switch {
	case s.completed >= n:
		return 0, true
	case s.scheduled == s.completed:
		return 1, false
	}
	return 0, false
}

func allAtOnce(s seen, n int) (int, bool) {
	if s.scheduled == 0 && n > 0 {
		return n, false
	}
	return 0, s.completed >= n
}

func (s *seen) add(events []*historypb.HistoryEvent) {
	for _, e := range events {
		switch e.EventType {
		case enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
			s.scheduled++
		case enumspb.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
			s.completed++
		case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED:
			s.signaled++
		case enumspb.EVENT_TYPE_TIMER_STARTED:
			s.timers++
		case enumspb.EVENT_TYPE_TIMER_FIRED:
			s.fired++
		}
	}
}

// commands are the worker's answer to a workflow task.
func (w *worker) commands(s seen) (commands []*commandpb.Command, done bool) {
	starts, done := w.shape.next(s, w.N)
	if done {
		return []*commandpb.Command{{CommandType: enumspb.COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION, Attributes: &commandpb.Command_CompleteWorkflowExecutionCommandAttributes{
			CompleteWorkflowExecutionCommandAttributes: &commandpb.CompleteWorkflowExecutionCommandAttributes{Result: w.data}}}}, true
	}
	for i := range starts {
		commands = append(commands, w.shape.command(w, strconv.Itoa(s.scheduled+s.timers+i)))
	}
	return commands, false
}

func (w *worker) activity(id string) *commandpb.Command {
	return &commandpb.Command{CommandType: enumspb.COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK, Attributes: &commandpb.Command_ScheduleActivityTaskCommandAttributes{
		ScheduleActivityTaskCommandAttributes: &commandpb.ScheduleActivityTaskCommandAttributes{
			ActivityId: id, ActivityType: &commonpb.ActivityType{Name: "bench"}, TaskQueue: w.queue(), Input: w.data, StartToCloseTimeout: durationpb.New(time.Minute)}}}
}

func (w *worker) timer(id string) *commandpb.Command {
	return &commandpb.Command{CommandType: enumspb.COMMAND_TYPE_START_TIMER, Attributes: &commandpb.Command_StartTimerCommandAttributes{
		StartTimerCommandAttributes: &commandpb.StartTimerCommandAttributes{TimerId: id, StartToFireTimeout: durationpb.New(10 * time.Millisecond)}}}
}

func (l *load) queue() *taskqueuepb.TaskQueue {
	return &taskqueuepb.TaskQueue{Name: l.queueName, Kind: enumspb.TASK_QUEUE_KIND_NORMAL}
}
