package run

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	commandpb "go.temporal.io/api/command/v1"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	sdkpb "go.temporal.io/api/sdk/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"google.golang.org/protobuf/types/known/durationpb"

	"perdure/core/port"
	"perdure/core/validate"
)

func (s *story) start(a *arguments, _ string) error {
	spec := Spec{WorkflowID: a.or("workflow", "wf"), RunID: s.id("run"), RequestID: a.or("request", "start")}
	var err error
	if spec.Backoff, err = a.duration("delay"); err != nil {
		return err
	}
	if parent, ok := a.value("parent"); ok {
		id, run, _ := strings.Cut(parent, "/")
		return s.startAsChild(a, id, run)
	}
	if name, ok := a.value("signal"); ok {
		spec.Signal = &Signal{Name: name, Identity: "client", Key: a.or("key", "")}
	}
	if a.flag("eager") {
		spec.Eager = &Starter{Identity: "client", RequestID: spec.RequestID}
	}
	spec.Started = &historypb.WorkflowExecutionStartedEventAttributes{
		WorkflowType: &commonpb.WorkflowType{Name: "T"}, TaskQueue: normalQueue("q"), WorkflowTaskTimeout: durationpb.New(10 * time.Second),
	}
	if err := set(spec.Started, a.rest()); err != nil {
		return err
	}
	if p := spec.Started.RetryPolicy; p != nil {
		spec.Started.RetryPolicy = validate.FilledRetryPolicy(p) // as the frontend does
	}
	if c := spec.Started.CronSchedule; c != "" {
		spec.Backoff, spec.Started.Initiator = CronBackoff(s.env(), c), enumspb.CONTINUE_AS_NEW_INITIATOR_CRON_SCHEDULE
	}
	return s.begin(spec)
}

func (s *story) begin(spec Spec) error {
	r, c := New(s.env(), spec)
	k, err := s.adopt(r, c)
	if err != nil {
		return err
	}
	s.k = k
	s.tell("run %d, %s", len(s.runs), r.S.RunId)
	s.tellChanges(k, c)
	if spec.Eager != nil && r.taskRuns() {
		s.tokens["task"] = r.Token()
	}
	return nil
}

// startAsChild starts a run as the message of a parent does.
func (s *story) startAsChild(a *arguments, id, run string) error {
	parent := execution(id, run)
	i := &historypb.StartChildWorkflowExecutionInitiatedEventAttributes{
		WorkflowId: "wf", WorkflowType: &commonpb.WorkflowType{Name: "T"}, TaskQueue: normalQueue("q"), WorkflowTaskTimeout: durationpb.New(10 * time.Second),
	}
	if err := set(i, a.rest()); err != nil {
		return err
	}
	return s.begin(ChildSpec(s.env(), &StartChildBody{Initiated: i, InitiatedID: 5, RunID: s.id("run"), RequestID: "child", Parent: parent, Root: parent, ParentNamespaceID: "ns-id", ParentNamespace: "ns"}))
}

// Workflow tasks.

func (s *story) waitingTask() (Dispatch, bool) {
	for d := range s.k.waiting {
		if d.Kind == port.WorkflowTask {
			return d, true
		}
	}
	return Dispatch{}, false
}

func (s *story) poll(a *arguments, _ string) error {
	name, worker := a.or("as", "task"), a.or("worker", "worker")
	d, ok := s.waitingTask()
	if !ok {
		s.tell("no task")
		return nil
	}
	c, ok := s.k.run.StartTask(s.env(), d.Stamp, Starter{Identity: worker, RequestID: "poll"})
	if !ok && c == nil {
		return fmt.Errorf("the waiting task %+v could not be started", d)
	}
	if err := s.changed(c, nil); err != nil || !ok {
		return err
	}
	s.tellTask(name)
	return nil
}

// tellTask shows what the worker gets and keeps its token.
func (s *story) tellTask(name string) {
	r := s.k.run
	t := r.S.Task
	s.tokens[name] = r.Token()
	s.tell("task %d, %d: attempt %d, previous %d", t.ScheduledId, t.StartedId, t.Attempt, r.S.PreviousStartedId)
	for _, e := range r.TransientEvents(true) {
		s.tell("transient %s", showEvent(e, s.now))
	}
}

func (s *story) token(a *arguments, otherwise string) (*port.Token, error) {
	name := a.or("token", otherwise)
	k := s.tokens[name]
	if k == nil {
		return nil, fmt.Errorf("no token %s", name)
	}
	return k, nil
}

func (s *story) complete(a *arguments, input string) error {
	k, err := s.token(a, "task")
	if err != nil {
		return err
	}
	c := &Completion{Identity: a.or("worker", "worker"), ReturnNew: a.flag("new"), ForceNew: a.flag("force"), Eager: a.flag("eager")}
	if v, ok := a.value("build"); ok {
		c.Version = &commonpb.WorkerVersionStamp{BuildId: v}
	}
	c.BinaryChecksum, _ = a.value("checksum")
	c.Deployment, _ = a.value("deployment")
	if v, ok := a.value("sticky"); ok {
		q, timeout, _ := strings.Cut(v, ":")
		d, err := time.ParseDuration(timeout)
		if err != nil {
			return err
		}
		c.Sticky = &taskqueuepb.StickyExecutionAttributes{WorkerTaskQueue: &taskqueuepb.TaskQueue{Name: q}, ScheduleToStartTimeout: durationpb.New(d)}
	}
	if c.Commands, err = parseCommands(input); err != nil {
		return err
	}
	done := s.k.run.CompleteTask(s.env(), k, c)
	k2 := s.k
	if err := s.changed(done.Changes, done.Refusal); err != nil {
		return err
	}
	if done.NewTask {
		s.tell("answered with the next task:")
		s.tellTask("task")
	}
	for _, id := range done.Eager {
		act, _ := k2.run.Activity(id)
		s.tell("answered with activity %d", id)
		s.tokens[act.ActivityId] = k2.run.ActivityToken(act)
	}
	return nil
}

func parseCommands(input string) ([]*commandpb.Command, error) {
	var out []*commandpb.Command
	for _, line := range strings.Split(input, "\n") {
		w := words(line)
		if len(w) == 0 {
			continue
		}
		n := 1
		if times, ok := strings.CutPrefix(w[0], "x"); ok {
			if v, err := strconv.Atoi(times); err == nil {
				n, w = v, w[1:]
			}
		}
		for i := range n {
			c, err := parseCommand(w[0], w[1:], i)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", line, err)
			}
			out = append(out, c)
		}
	}
	return out, nil
}

// commandNamesShort are the names of commands in stories that are not those of their type.
var commandNamesShort = map[string]string{
	"activity": "schedule-activity-task", "cancel-activity": "request-cancel-activity-task", "timer": "start-timer",
	"complete": "complete-workflow-execution", "fail": "fail-workflow-execution", "cancel": "cancel-workflow-execution",
	"continue-as-new": "continue-as-new-workflow-execution", "child": "start-child-workflow-execution",
	"signal-external": "signal-external-workflow-execution", "cancel-external": "request-cancel-external-workflow-execution",
	"marker": "record-marker", "upsert": "upsert-workflow-search-attributes", "memo": "modify-workflow-properties",
	"nexus": "schedule-nexus-operation", "cancel-nexus": "request-cancel-nexus-operation",
}

// parseCommand: the name of the type and fields of its attributes, or "nil" for
// none; a "#" in a value is the number of the repetition.
func parseCommand(name string, args []string, n int) (*commandpb.Command, error) {
	c := &commandpb.Command{}
	if long := commandNamesShort[name]; long != "" {
		name = long
	}
	kind, err := enum(c.CommandType.Descriptor(), strings.ToUpper(strings.ReplaceAll(name, "-", "_")))
	if err != nil {
		return nil, err
	}
	c.CommandType = enumspb.CommandType(kind)
	args = describeCommand(c, args)
	if slices.Equal(args, []string{"nil"}) {
		return c, nil
	}
	fs := c.ProtoReflect().Descriptor().Fields()
	f := fs.ByName("") // of the attributes: named like the type
	for i := range fs.Len() {
		if string(fs.Get(i).Name()) == strings.ReplaceAll(name, "-", "_")+"_command_attributes" {
			f = fs.Get(i)
		}
	}
	if f == nil {
		return nil, fmt.Errorf("no attributes for %s", name)
	}
	m := c.ProtoReflect().Mutable(f).Message().Interface()
	var own []string
	for _, a := range args {
		own = append(own, strings.ReplaceAll(a, "#", strconv.Itoa(n)))
	}
	return c, set(m, own)
}

// describeCommand takes out the words that are about any command: summary=S and group=ID.
func describeCommand(c *commandpb.Command, args []string) (rest []string) {
	for _, a := range args {
		if v, ok := strings.CutPrefix(a, "summary="); ok {
			c.UserMetadata = &sdkpb.UserMetadata{Summary: textPayload(v).Payloads[0]}
		} else if v, ok := strings.CutPrefix(a, "group="); ok {
			label := &sdkpb.EventGroupMarker_Label{Id: v, Label: textPayload(v).Payloads[0]}
			c.EventGroupMarkers = append(c.EventGroupMarkers, &sdkpb.EventGroupMarker{Variant: &sdkpb.EventGroupMarker_Label_{Label: label}})
		} else {
			rest = append(rest, a)
		}
	}
	return rest
}

func (s *story) failTask(a *arguments, _ string) error {
	k, err := s.token(a, "task")
	if err != nil {
		return err
	}
	cause, err := enum(enumspb.WorkflowTaskFailedCause(0).Descriptor(), a.or("cause", "WORKFLOW_WORKER_UNHANDLED_FAILURE"))
	if err != nil {
		return err
	}
	f, err := a.failure("failure")
	if err != nil {
		return err
	}
	c, refused := s.k.run.FailTask(s.env(), k, enumspb.WorkflowTaskFailedCause(cause), f, "worker", "")
	return s.changed(c, refused)
}

func (s *story) undelivered(a *arguments, _ string) error {
	k, err := s.token(a, "task")
	if err != nil {
		return err
	}
	c, _ := s.k.run.TaskUndelivered(s.env(), k)
	return s.changed(c, nil)
}

func (s *story) stickyLost(*arguments, string) error {
	d, _ := s.waitingTask()
	c, _ := s.k.run.StickyLost(s.env(), d.Stamp)
	return s.changed(c, nil)
}

func (s *story) resetSticky(*arguments, string) error {
	return s.changed(s.k.run.ResetSticky(s.env()), nil)
}

// Activities.

func (s *story) pollActivity(a *arguments, _ string) error {
	id, worker := a.first(), a.or("worker", "worker")
	name := a.or("as", id)
	act, ok := s.k.run.ActivityByID(id)
	if !ok {
		s.tell("no activity")
		return nil
	}
	c, ok := s.k.run.StartActivity(s.env(), act.ScheduledId, act.Stamp, Starter{Identity: worker, RequestID: "poll"})
	if !ok && c == nil {
		s.tell("it does not wait")
		return nil
	}
	if err := s.changed(c, nil); err != nil || !ok {
		return err
	}
	s.tokens[name] = s.k.run.ActivityToken(act)
	s.tell("activity %d: attempt %d, details %s", act.ScheduledId, act.Attempt, showAll(decode(act.HeartbeatDetails, &commonpb.Payloads{}).Payloads))
	return nil
}

// activity finds the token an answer comes with.
func (s *story) activity(a *arguments) (k *port.Token, byID bool, err error) {
	id := a.first()
	if !a.flag("by-id") {
		k, err = s.token(a, id)
		return k, false, err
	}
	k, refused := s.k.run.TokenByID(id)
	if refused != nil {
		s.tell("refused: %s", showRefusal(refused))
	}
	return k, true, nil
}

func (s *story) completeActivity(a *arguments, _ string) error {
	k, byID, err := s.activity(a)
	result := a.payloads("result")
	if err != nil || k == nil {
		return err
	}
	c, refused := s.k.run.CompleteActivity(s.env(), k, result, "worker", byID)
	return s.changed(c, refused)
}

func (s *story) failActivity(a *arguments, _ string) error {
	k, _, err := s.activity(a)
	if err != nil || k == nil {
		return err
	}
	f, err := a.failure("failure")
	if err != nil {
		return err
	}
	c, refused := s.k.run.FailActivity(s.env(), k, f, a.payloads("details"), "worker")
	return s.changed(c, refused)
}

func (s *story) canceledActivity(a *arguments, _ string) error {
	k, _, err := s.activity(a)
	details := a.payloads("details")
	if err != nil || k == nil {
		return err
	}
	c, refused := s.k.run.CancelActivityTask(s.env(), k, details, "worker")
	return s.changed(c, refused)
}

func (s *story) heartbeat(a *arguments, _ string) error {
	k, _, err := s.activity(a)
	details := a.payloads("details")
	if err != nil || k == nil {
		return err
	}
	c, cancel, refused := s.k.run.Heartbeat(s.env(), k, details)
	if cancel {
		s.tell("answered: cancel requested")
	}
	return s.changed(c, refused)
}

func (s *story) undeliveredActivity(a *arguments, _ string) error {
	k, _, err := s.activity(a)
	if err != nil || k == nil {
		return err
	}
	c, _ := s.k.run.ActivityUndelivered(s.env(), k)
	return s.changed(c, nil)
}

// Requests of clients.
