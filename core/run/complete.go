package run

import (
	"fmt"
	"time"

	commandpb "go.temporal.io/api/command/v1"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
	historypb "go.temporal.io/api/history/v1"
	sdkpb "go.temporal.io/api/sdk/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"google.golang.org/protobuf/proto"

	"perdure/core/port"
	"perdure/core/run/runpb"
)

// Completion is a worker's answer to a workflow task.
type Completion struct {
	Identity       string
	Commands       []*commandpb.Command
	Sticky         *taskqueuepb.StickyExecutionAttributes
	ReturnNew      bool // answer with the next task, if there is one
	ForceNew       bool // the worker wants another task (heartbeat of a local activity)
	BinaryChecksum string
	Version        *commonpb.WorkerVersionStamp // of an unversioned worker
	Deployment     string                       // name; the same
	SDK            *sdkpb.WorkflowTaskCompletedMetadata
	Metering       *commonpb.MeteringMetadata
	Messages       int // update messages that came along
	Eager          bool
}

// Heartbeat reports whether the completion only asks for another task, because local activities run.
func (c *Completion) Heartbeat() bool { return c.ForceNew && len(c.Commands) == 0 && c.Messages == 0 }

// Completed is what became of it. Refusal and Changes may both be set: a bad
// command is recorded and refused.
type Completed struct {
	Changes *Changes
	Refusal *port.Refusal
	NewTask bool    // the next task was started for the same worker
	Eager   []int64 // activities started for the same worker
}

// heartbeatLimit ends a row of completions that carry nothing.
const heartbeatLimit = 30 * time.Minute

// CompleteTask records a completed workflow task and carries out its commands.
func (r *Run) CompleteTask(env *Env, k *port.Token, c *Completion) Completed {
	if !r.holdsTask(k) {
		return Completed{Refusal: taskGone()}
	}
	if f := checkOrder(c.Commands); f != nil {
		return Completed{Refusal: f}
	}
	if r.heartbeatExpired(env, c) {
		r.begin(env)
		r.timeoutTask(enumspb.TIMEOUT_TYPE_START_TO_CLOSE)
		return Completed{Changes: r.commit(), Refusal: port.Missing("workflow task heartbeat timeout")}
	}
	t := r.begin(env)
	t.undoable = true
	before := r.S.Task
	completed := r.completedEvent(c)
	bad, eager := r.runCommands(c, completed.EventId)
	if bad != nil {
		return r.commandsFailed(env, before, c, bad)
	}
	t.undoable = false
	return r.finishCompletion(c, before, eager)
}

func (r *Run) heartbeatExpired(env *Env, c *Completion) bool {
	return c.Heartbeat() && env.Now-r.S.Task.OriginalScheduledTime >= int64(heartbeatLimit)
}

// completedEvent writes the events of the task, those of a transient one included.
func (r *Run) completedEvent(c *Completion) *historypb.HistoryEvent {
	s := r.S
	task := s.Task
	if task.Transient {
		task.ScheduledId = r.scheduledEvent(task).EventId
		task.StartedId = r.startedEvent(task).EventId
		r.endBatch()
	}
	e := r.event(enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED)
	e.Attributes = &historypb.HistoryEvent_WorkflowTaskCompletedEventAttributes{WorkflowTaskCompletedEventAttributes: &historypb.WorkflowTaskCompletedEventAttributes{
		ScheduledEventId: task.ScheduledId, StartedEventId: task.StartedId, Identity: c.Identity, BinaryChecksum: c.BinaryChecksum,
		WorkerVersion: c.Version, WorkerDeploymentName: c.Deployment, SdkMetadata: c.SDK, MeteringMetadata: c.Metering, //nolint:staticcheck // SDKs read it
	}}
	s.PreviousStartedId, s.LastCompletedId = task.StartedId, e.EventId
	s.Task, s.TaskAttempt, s.CloseRefused = nil, 1, false
	s.TaskProblems, s.Problems = 0, nil
	if !s.FirstTaskDone {
		s.FirstTaskDone, s.FirstCompletedId = true, e.EventId
	}
	r.completedBy(build{c.Version.GetBuildId(), c.BinaryChecksum}, e.EventId)
	r.setSticky(c)
	return e
}

func (r *Run) setSticky(c *Completion) {
	if q := c.Sticky.GetWorkerTaskQueue().GetName(); q != "" {
		r.S.StickyQueue = q
		r.S.StickyTimeout = c.Sticky.GetScheduleToStartTimeout().AsDuration().Nanoseconds()
		return
	}
	r.clearSticky()
}

// runCommands carries out the commands in order until one is bad.
func (r *Run) runCommands(c *Completion, completedID int64) (*badCommand, []int64) {
	x := &commander{run: r, completedID: completedID, completion: c}
	limit := r.tx.env.Limits.Transaction
	size := r.buffersSize()
	from := 0
	for _, cmd := range c.Commands {
		if closes(cmd.CommandType) && size+proto.Size(cmd) > limit { // a close cannot be taken back
			return transactionTooLarge(size+proto.Size(cmd), limit), nil
		}
		if bad := x.command(cmd); bad != nil {
			return bad, nil
		}
		for _, e := range r.tx.events[from:] {
			size += proto.Size(e)
		}
		from = len(r.tx.events)
		if size > limit && !r.Closed() {
			return transactionTooLarge(size, limit), nil
		}
	}
	return nil, x.eager
}

// transactionTooLarge: what one completion writes has a limit. Other transitions stay
// below it by the limits of one payload and of the buffer.
func transactionTooLarge(size, limit int) *badCommand {
	return &badCommand{oversize: fmt.Sprintf("transaction size of %d bytes exceeds limit of %d bytes", size, limit)}
}

// finishCompletion decides on the next workflow task.
func (r *Run) finishCompletion(c *Completion, before *runpb.WorkflowTask, eager []int64) Completed {
	t := r.tx
	out := Completed{Eager: eager}
	if !r.Closed() {
		if r.bufferWakes(nil) {
			t.want = true
		}
		heartbeat := c.ForceNew
		if heartbeat {
			t.force = true
		}
		r.settle()
		if r.S.Task != nil && heartbeat && !t.want && len(c.Commands) == 0 {
			r.S.Task.OriginalScheduledTime = before.OriginalScheduledTime
		}
		if r.S.Task != nil && c.ReturnNew && r.S.Task.StartedId == 0 {
			r.drop(r.taskDispatch())
			r.startTask(Starter{Identity: c.Identity, RequestID: "request-from-RespondWorkflowTaskCompleted"})
			out.NewTask = true
		}
	}
	out.Changes = r.commit()
	if out.Changes.Oversize != "" {
		out.NewTask, out.Eager = false, nil // the run has ended: there is nothing to work on
	}
	return out
}

// badCommand says why the completion is refused. Terminate: the run ends with it.
type badCommand struct {
	cause     enumspb.WorkflowTaskFailedCause
	message   string
	terminate bool
	refusal   *port.Refusal // instead of all that: goes back as it is, nothing is written
	oversize  string        // instead of all that: the run ends, with this as details
}

func bad(cause enumspb.WorkflowTaskFailedCause, format string, args ...any) *badCommand {
	return &badCommand{cause: cause, message: fmt.Sprintf(format, args...)}
}

func tooLarge(cause enumspb.WorkflowTaskFailedCause, what string) *badCommand {
	return &badCommand{cause: cause, message: what + " exceeds size limit.", terminate: true}
}

func (b *badCommand) text() string {
	name := b.cause.String()
	if b.message == "" {
		return name
	}
	return name + ": " + b.message
}

// commandsFailed throws the commands away and records the failure instead.
func (r *Run) commandsFailed(env *Env, before *runpb.WorkflowTask, c *Completion, b *badCommand) Completed {
	r.abort()
	if b.refusal != nil {
		return Completed{Refusal: b.refusal}
	}
	if b.oversize != "" {
		r.begin(env)
		r.forceCloseTask(nil, serverIdentity)
		r.terminate("Transaction size exceeds limit.", textPayload(b.oversize), serverIdentity, nil)
		return Completed{Changes: r.commit(), Refusal: port.Invalid("%s", b.oversize)}
	}
	unhandled := b.cause == enumspb.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND
	out := Completed{Refusal: port.Invalid("%s", b.text())}
	if r.S.Task.Attempt > 1 && !unhandled {
		return out
	}
	r.begin(env)
	f := &failurepb.Failure{Message: b.text(), FailureInfo: &failurepb.Failure_ServerFailureInfo{ServerFailureInfo: &failurepb.ServerFailureInfo{}}}
	r.failTask(b.cause, f, c.Identity, c.BinaryChecksum)
	if b.terminate {
		r.flush()
		r.terminate(b.text(), nil, serverIdentity, nil)
	}
	r.commitInto(&out, unhandled)
	return out
}

func (r *Run) commitInto(out *Completed, unhandled bool) {
	if unhandled {
		r.tx.want = true
	}
	out.Changes = r.commitAfter(func() {
		if unhandled && r.S.Task != nil {
			r.S.CloseRefused = true // while the next task runs, signals must not pile up before the close
		}
	})
}

// commitAfter settles first, so that f sees the workflow task that follows.
func (r *Run) commitAfter(f func()) *Changes {
	if !r.Closed() {
		r.settle()
	}
	f()
	return r.commit()
}

func checkOrder(cmds []*commandpb.Command) *port.Refusal {
	for i, c := range cmds {
		if closes(c.GetCommandType()) && i != len(cmds)-1 {
			return port.Invalid("invalid command sequence: [%v], command %s must be the last command.", commandNames(cmds), c.GetCommandType())
		}
	}
	return nil
}

func commandNames(cmds []*commandpb.Command) string {
	out := ""
	for i, c := range cmds {
		if i > 0 {
			out += ", "
		}
		out += c.GetCommandType().String()
	}
	return out
}

func closes(t enumspb.CommandType) bool {
	switch t {
	case enumspb.COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION, enumspb.COMMAND_TYPE_FAIL_WORKFLOW_EXECUTION,
		enumspb.COMMAND_TYPE_CANCEL_WORKFLOW_EXECUTION, enumspb.COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION:
		return true
	}
	return false
}
