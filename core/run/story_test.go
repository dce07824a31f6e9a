package run

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	commandpb "go.temporal.io/api/command/v1"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
	historypb "go.temporal.io/api/history/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"perdure/core/port"
	"perdure/core/validate"
)

// Stories: the life of a run told in testdata/*, in virtual time. A story that is
// to change is rewritten by "go test ./core/run -run Stories -rewrite" and read as a diff.

type story struct {
	*world
	t      *testing.T
	k      *kept // the run at hand
	tokens map[string]*port.Token
	out    strings.Builder
}

func TestStories(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		if strings.Contains(path, "rapid") {
			return // what a failing property left behind
		}
		s := &story{t: t}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string { return s.do(t, d) })
	})
}

// do carries out one command of a story:
//
//	story name                   a new world
//	start [field=value]...       of WorkflowExecutionStarted; delay=, request=, signal=, key=, parent=wf/run, eager, again
//	poll [as=token] [worker=]    start the waiting workflow task
//	complete [sticky=q:5s] [new] [force] [token=] [eager] and a command a line
//	fail-task [cause=] [failure=] [token=]
//	undelivered [token=]         the task's worker has gone
//	sticky-lost, reset-sticky    no poller on the sticky queue; the API call
//	poll-activity id [worker=] [as=]
//	complete-activity, fail-activity, canceled-activity, heartbeat id [by-id] [result=] [failure=] [details=] [token=]
//	undelivered-activity id
//	signal name [input=] [key=] [now] [times=]   now: as SignalWithStart does
//	cancel, terminate, attach    the API calls
//	advance d                    time passes; the run is woken at each deadline on the way
//	late d                       time passes; the run is woken once, at the end
//	owed                         ask for the messages that are due
//	outcome start|signal|cancel|left|confirmed|parent|waits id [cause=] [run=] [of=] [moved] [not-found]
//	                             of: the run that the message named, as recorded if not given
//	parent-recorded              the parent has recorded this run as its child
//	child-closed id status [result=] [failure=] [run=]
//	limit Name=n, flushed        settings; flushed: rows in due are in the tables, and are shown
//	run n                        go on with that run of the chain
//	reload                       build the run anew from its rows
//	describe, history            show
func (s *story) do(t *testing.T, d *datadriven.TestData) string {
	s.t = t
	s.out.Reset()
	if d.Cmd == "story" {
		*s = story{world: newWorld(), t: t, tokens: map[string]*port.Token{}}
		return ""
	}
	a := &arguments{}
	for _, x := range d.CmdArgs {
		word := x.Key
		if len(x.Vals) > 0 {
			word += "=" + strings.Join(x.Vals, ",")
		}
		a.words = append(a.words, word)
	}
	f := s.commands()[d.Cmd]
	if f == nil {
		t.Fatalf("%s: no command %s", d.Pos, d.Cmd)
	}
	if err := f(a, d.Input); err != nil {
		t.Fatalf("%s: %s: %v", d.Pos, d.Cmd, err)
	}
	if len(a.words) > 0 {
		t.Fatalf("%s: %s does not know %q", d.Pos, d.Cmd, a.words)
	}
	return s.out.String()
}

func (s *story) commands() map[string]func(*arguments, string) error {
	return map[string]func(*arguments, string) error{
		"start": s.start, "poll": s.poll, "complete": s.complete, "fail-task": s.failTask, "undelivered": s.undelivered,
		"sticky-lost": s.stickyLost, "reset-sticky": s.resetSticky,
		"poll-activity": s.pollActivity, "complete-activity": s.completeActivity, "fail-activity": s.failActivity,
		"canceled-activity": s.canceledActivity, "heartbeat": s.heartbeat, "undelivered-activity": s.undeliveredActivity,
		"signal": s.signal, "cancel": s.cancel, "terminate": s.terminate, "attach": s.attach,
		"advance": s.advance, "late": s.late, "owed": s.askOwed, "outcome": s.outcome, "parent-recorded": s.parentRecorded, "child-closed": s.childClosed,
		"limit": s.limit, "flushed": s.settings, "run": s.goOn, "reload": s.reloadRun,
		"describe": s.describe, "history": s.history,
	}
}

// arguments are the words behind a command; taking one removes it.
type arguments struct{ words []string }

// first takes the first word.
func (a *arguments) first() string {
	if len(a.words) == 0 {
		return ""
	}
	w := a.words[0]
	a.words = a.words[1:]
	return w
}

// flag takes a word that stands alone.
func (a *arguments) flag(name string) bool {
	i := slices.Index(a.words, name)
	if i < 0 {
		return false
	}
	a.words = slices.Delete(a.words, i, i+1)
	return true
}

// value takes name=value.
func (a *arguments) value(name string) (string, bool) {
	for i, w := range a.words {
		if v, ok := strings.CutPrefix(w, name+"="); ok {
			a.words = slices.Delete(a.words, i, i+1)
			return v, true
		}
	}
	return "", false
}

func (a *arguments) or(name, otherwise string) string {
	if v, ok := a.value(name); ok {
		return v
	}
	return otherwise
}

func (a *arguments) payloads(name string) *commonpb.Payloads {
	if v, ok := a.value(name); ok {
		return payloads(v)
	}
	return nil
}

func (a *arguments) failure(name string) (*failurepb.Failure, error) {
	v, ok := a.value(name)
	if !ok {
		return nil, nil
	}
	f, err := failure(v)
	if err != nil {
		return nil, err
	}
	return f.(*failurepb.Failure), nil
}

func (a *arguments) rest() []string {
	w := a.words
	a.words = nil
	return w
}

func (a *arguments) duration(name string) (time.Duration, error) {
	v, ok := a.value(name)
	if !ok {
		return 0, nil
	}
	return time.ParseDuration(v)
}

// tell writes a line of the story's answer.
func (s *story) tell(format string, args ...any) {
	fmt.Fprintf(&s.out, format+"\n", args...)
}

// changed applies what a transition did, and tells it.
func (s *story) changed(c *Changes, refused *port.Refusal) error {
	if refused != nil {
		s.tell("refused: %s", showRefusal(refused))
	}
	if c == nil {
		if refused == nil {
			s.tell("nothing happened")
		}
		return nil
	}
	k, n := s.k, len(s.runs)
	if err := s.apply(k, c); err != nil {
		s.tell("%s", s.out.String())
		return fmt.Errorf("%w\n%s", err, s.out.String())
	}
	s.tellChanges(k, c)
	if len(s.runs) > n && c.Next != nil {
		s.tell("then run %d, %s", len(s.runs), c.Next.S.RunId)
		s.k = s.runs[len(s.runs)-1]
		s.tellChanges(s.k, c.NextRun)
	}
	return nil
}

func showRefusal(f *port.Refusal) string {
	text := f.Message
	if len(text) > 400 {
		text = short(text)
	}
	return fmt.Sprintf("code %d, %s", f.Code, text)
}

func (s *story) tellChanges(k *kept, c *Changes) {
	for i, b := range c.Batches {
		if i > 0 {
			s.tell("--")
		}
		events, err := b.Decode()
		if err != nil {
			s.t.Fatal(err)
		}
		s.tellEvents(events)
	}
	for _, d := range c.Dropped {
		s.tell("- %s", showTask(d))
	}
	for _, d := range c.Added {
		s.tell("+ %s", showTask(d))
	}
	s.tellRows(c)
	if n := len(k.run.buffer); n > 0 {
		s.tell("buffered: %s", s.bufferNames(k.run))
	}
	if c.Closed {
		s.tell("closed: %s", k.run.Status())
	}
	if c.Oversize != "" {
		s.tell("oversize: %s", c.Oversize)
	}
	s.tellMessages(k)
	s.tell("deadline %s", s.deadline(k.run))
	if got := k.due; s.flushed && got != k.run.Deadline() { // else when it moves is a matter of cost
		s.tell("due row %s", since(got))
	}
}

// tellEvents shows events; many alike become one line.
func (s *story) tellEvents(events []*historypb.HistoryEvent) {
	const most = 4
	alike, before := 0, ""
	for _, e := range events {
		line := showEvent(e, s.now)
		_, text, _ := strings.Cut(line, " ")
		if text == before {
			alike++
		} else {
			if alike >= most {
				s.tell("... %d more like it", alike-most+1)
			}
			alike, before = 0, text
		}
		if alike < most {
			s.tell("%s", line)
		}
	}
	if alike >= most {
		s.tell("... %d more like it", alike-most+1)
	}
}

func (s *story) deadline(r *Run) string {
	if at := r.Deadline(); at != 0 {
		return since(at)
	}
	return "none"
}

func showTask(d Dispatch) string {
	kind := "workflow task"
	if d.Kind == port.ActivityTask {
		kind = "activity"
	}
	q := d.Queue.Name
	if d.Queue.Sticky() {
		q += "(sticky)"
	}
	text := fmt.Sprintf("%s %d in %s, attempt %d", kind, d.ID, q, d.Attempt)
	if d.Priority != 3 {
		text += fmt.Sprintf(", priority %d", d.Priority)
	}
	return text
}

func (s *story) tellRows(c *Changes) {
	last := map[string]bool{} // key -> put
	for _, p := range c.Pending {
		last[p.Key] = p.Value != nil
	}
	var rows []string
	for _, key := range slices.Sorted(maps.Keys(last)) {
		sign := "-"
		if last[key] {
			sign = "+"
		}
		rows = append(rows, sign+keyName(key))
	}
	switch {
	case len(rows) > 12:
		s.tell("rows %s ... %d in all", strings.Join(rows[:3], " "), len(rows))
	case len(rows) > 0:
		s.tell("rows %s", strings.Join(rows, " "))
	}
}

func (s *story) bufferNames(r *Run) string {
	if len(r.buffer) > 12 {
		return fmt.Sprintf("%d events", len(r.buffer))
	}
	var names []string
	for _, e := range r.buffer {
		names = append(names, e.EventType.String())
	}
	return strings.Join(names, " ")
}

// tellMessages sends what the run owes, as a shard does after every transition.
func (s *story) tellMessages(k *kept) {
	for _, m := range k.run.Owed(s.env(), k.lastBatch) {
		s.tell("> %s %d to %s%s", messageName(m.Kind), m.ID, m.To.WorkflowID, messageBody(m))
	}
}

func messageName(k port.MessageKind) string {
	return [...]string{port.StartChild: "start-child", port.SignalExternal: "signal", port.CancelExternal: "cancel",
		port.ParentClosed: "parent-closed", port.ChildStarted: "child-started", port.ChildClosed: "child-closed",
		port.ChildWaits: "child-waits"}[k]
}

func messageBody(m *port.Message) string {
	to := ""
	if m.To.RunID != "" {
		to = "/" + m.To.RunID
	}
	switch b := m.Body.(type) {
	case *StartChildBody:
		return to + " as " + b.RunID + ", parent " + showMessage(b.Parent.ProtoReflect()) + ", root " + showMessage(b.Root.ProtoReflect())
	case *SignalBody:
		if b.Signal == nil {
			return ": which run to signal" + onlyChild(b.ChildOnly)
		}
		return to + " " + b.Signal.Name + onlyChild(b.ChildOnly) + ", key " + m.Key
	case *CancelBody:
		if b.Cancel == nil {
			return ": which run to cancel" + onlyChild(b.ChildOnly)
		}
		return to + " " + strconv.Quote(b.Cancel.Reason) + onlyChild(b.ChildOnly)
	case *ParentClosedBody:
		return to + " of chain " + b.FirstRunID + ": " + b.Policy.String()
	case *ChildClosedBody:
		return to + " of chain " + b.FirstRunID + ": " + b.Status.String() + " " + b.Execution.RunId
	}
	return to
}

func onlyChild(yes bool) string {
	if yes {
		return ", child only"
	}
	return ""
}

// Beginning.

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

func (s *story) signal(a *arguments, _ string) error {
	sig := &Signal{Name: a.first(), Input: a.payloads("input"), Identity: "client", Key: a.or("key", "")}
	sig.RequestID = sig.Key
	now := a.flag("now")
	n, err := strconv.Atoi(a.or("times", "1"))
	if err != nil {
		return err
	}
	for i := range n {
		if i < n-1 {
			s.out.Reset()
		}
		give := s.k.run.Signal
		if now {
			give = s.k.run.SignalNow
		}
		c, refused := give(s.env(), sig)
		if err := s.changed(c, refused); err != nil {
			return err
		}
		if i < n-1 {
			s.out.Reset()
		}
	}
	return nil
}

func (s *story) cancel(a *arguments, _ string) error {
	return s.changed(s.k.run.RequestCancel(s.env(), &Cancel{Reason: a.or("reason", ""), Identity: "client"}), nil)
}

func (s *story) terminate(a *arguments, _ string) error {
	c, refused := s.k.run.Terminate(s.env(), a.or("reason", "enough"), a.payloads("details"), "client", nil)
	return s.changed(c, refused)
}

func (s *story) attach(a *arguments, _ string) error {
	return s.changed(s.k.run.Attach(s.env(), a.first(), nil, nil), nil)
}

// Time.

func (s *story) advance(a *arguments, _ string) error {
	d, err := time.ParseDuration(a.first())
	if err != nil {
		return err
	}
	end := s.now + d.Nanoseconds()
	for n := 0; ; n++ {
		if n > 10_000 {
			return fmt.Errorf("time does not pass")
		}
		at := s.k.run.Deadline()
		if at == 0 || at > end || s.k.run.Closed() && !s.k.run.Owes() {
			break
		}
		s.now = max(s.now, at)
		s.tell("at %s", since(s.now))
		if err := s.wake(); err != nil {
			return err
		}
	}
	s.now = end
	return nil
}

func (s *story) late(a *arguments, _ string) error {
	d, err := time.ParseDuration(a.first())
	if err != nil {
		return err
	}
	s.now += d.Nanoseconds()
	return s.wake()
}

// wake gives the run the time, as a shard does.
func (s *story) wake() error {
	c := s.k.run.Fire(s.env())
	if c != nil {
		return s.changed(c, nil)
	}
	s.tellMessages(s.k)
	if at := s.k.run.Deadline(); at > s.now && s.k.due != 0 && s.k.due <= s.now && !s.k.run.Owes() {
		return s.changed(s.k.run.Rearm(s.env()), nil)
	}
	return nil
}

// Between runs.

func (s *story) askOwed(*arguments, string) error {
	s.tellMessages(s.k)
	return nil
}

func (s *story) outcome(a *arguments, _ string) error {
	kind, ok := map[string]port.MessageKind{"start": port.StartChild, "signal": port.SignalExternal, "cancel": port.CancelExternal,
		"left": port.ParentClosed, "confirmed": port.ChildStarted, "parent": port.ChildClosed, "waits": port.ChildWaits}[a.first()]
	if !ok {
		return fmt.Errorf("no such message")
	}
	id, err := strconv.ParseInt(a.first(), 10, 64)
	if err != nil {
		return err
	}
	cause, err := strconv.ParseInt(a.or("cause", "0"), 10, 32)
	if err != nil {
		return err
	}
	res := &Result{Cause: int32(cause), RunID: a.or("run", ""), Of: a.or("of", meant(s.k.run, kind, id)), Moved: a.flag("moved"), NotFound: a.flag("not-found")}
	return s.changed(s.k.run.Outcome(s.env(), &port.Outcome{Kind: kind, ID: id, Body: res}), nil)
}

// meant is the run to which a signal or cancel goes, as far as it is known.
func meant(r *Run, kind port.MessageKind, id int64) string {
	x, _ := r.signals.get(id)
	if kind == port.CancelExternal {
		x, _ = r.cancels.get(id)
	}
	return x.GetRunId()
}

func (s *story) parentRecorded(*arguments, string) error {
	return s.changed(s.k.run.ParentRecorded(s.env()), nil)
}

func (s *story) childClosed(a *arguments, _ string) error {
	id, err := strconv.ParseInt(a.first(), 10, 64)
	if err != nil {
		return err
	}
	status, err := enum(enumspb.WorkflowExecutionStatus(0).Descriptor(), a.first())
	if err != nil {
		return err
	}
	f, err := a.failure("failure")
	if err != nil {
		return err
	}
	first, last := "", ""
	if c, ok := s.k.run.children.get(id); ok {
		first, last = c.RunId, c.RunId
	}
	last = a.or("run", last)
	e := closeEvent(enumspb.WorkflowExecutionStatus(status), a.payloads("result"), f)
	return s.changed(s.k.run.ChildClosed(s.env(), id, &ChildClosedBody{
		FirstRunID: a.or("first", first), Execution: execution("child", last), Type: "C", Status: enumspb.WorkflowExecutionStatus(status), Close: e,
	}), nil)
}

// closeEvent is the last event of a child.
func closeEvent(status enumspb.WorkflowExecutionStatus, result *commonpb.Payloads, f *failurepb.Failure) *historypb.HistoryEvent {
	switch status {
	case enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED:
		return &historypb.HistoryEvent{Attributes: &historypb.HistoryEvent_WorkflowExecutionCompletedEventAttributes{
			WorkflowExecutionCompletedEventAttributes: &historypb.WorkflowExecutionCompletedEventAttributes{Result: result}}}
	case enumspb.WORKFLOW_EXECUTION_STATUS_FAILED:
		return &historypb.HistoryEvent{Attributes: &historypb.HistoryEvent_WorkflowExecutionFailedEventAttributes{
			WorkflowExecutionFailedEventAttributes: &historypb.WorkflowExecutionFailedEventAttributes{Failure: f, RetryState: enumspb.RETRY_STATE_RETRY_POLICY_NOT_SET}}}
	case enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED:
		return &historypb.HistoryEvent{Attributes: &historypb.HistoryEvent_WorkflowExecutionCanceledEventAttributes{
			WorkflowExecutionCanceledEventAttributes: &historypb.WorkflowExecutionCanceledEventAttributes{Details: result}}}
	case enumspb.WORKFLOW_EXECUTION_STATUS_TIMED_OUT:
		return &historypb.HistoryEvent{Attributes: &historypb.HistoryEvent_WorkflowExecutionTimedOutEventAttributes{
			WorkflowExecutionTimedOutEventAttributes: &historypb.WorkflowExecutionTimedOutEventAttributes{RetryState: enumspb.RETRY_STATE_TIMEOUT}}}
	}
	return &historypb.HistoryEvent{Attributes: &historypb.HistoryEvent_WorkflowExecutionTerminatedEventAttributes{
		WorkflowExecutionTerminatedEventAttributes: &historypb.WorkflowExecutionTerminatedEventAttributes{Reason: "enough"}}}
}

// Settings and shows.

func (s *story) limit(a *arguments, _ string) error {
	for _, w := range a.rest() {
		name, value, _ := strings.Cut(w, "=")
		n, err := strconv.Atoi(value)
		if err != nil {
			return err
		}
		l := &s.limits
		switch name {
		case "Blob":
			l.Blob = n
		case "Memo":
			l.Memo = n
		case "HistorySize":
			l.HistorySize = n
		case "HistoryEvents":
			l.HistoryEvents = int64(n)
		case "HistorySuggest":
			l.HistorySuggest = int64(n)
		case "HistorySizeSuggest":
			l.HistorySizeSuggest = n
		case "Pending":
			l.PendingActivities, l.PendingChildren, l.PendingSignals, l.PendingCancels = n, n, n, n
		case "Signals":
			l.Signals = n
		case "BufferedSize":
			l.BufferedSize = n
		case "Transaction":
			l.Transaction = n
		case "State":
			l.State = n
		default:
			return fmt.Errorf("no limit %s", name)
		}
	}
	return nil
}

func (s *story) settings(*arguments, string) error {
	s.flushed = true
	return nil
}

func (s *story) goOn(a *arguments, _ string) error {
	n, err := strconv.Atoi(a.first())
	if err == nil {
		s.k = s.runs[n-1]
		s.tell("%s %s, deadline %s", s.k.run.S.RunId, s.k.run.Status(), s.deadline(s.k.run))
	}
	return err
}

func (s *story) reloadRun(*arguments, string) error {
	r, err := s.k.reload()
	if err != nil {
		return err
	}
	if err := same(s.k.run, r); err != nil {
		return err
	}
	s.k.run = r
	s.tell("%d rows", len(s.k.rows))
	s.tellMessages(s.k)
	return nil
}

func (s *story) describe(*arguments, string) error {
	d := s.k.run.Describe(s.env())
	for _, m := range []proto.Message{d.ExecutionConfig, d.WorkflowExecutionInfo, d.WorkflowExtendedInfo} {
		s.tell("%s:%s", m.ProtoReflect().Descriptor().Name(), fields(m.ProtoReflect()))
	}
	if d.PendingWorkflowTask != nil {
		s.tell("task:%s", fields(d.PendingWorkflowTask.ProtoReflect()))
	}
	for _, p := range d.PendingActivities {
		s.tell("activity:%s", fields(p.ProtoReflect()))
	}
	for _, p := range d.PendingChildren {
		s.tell("child:%s", fields(p.ProtoReflect()))
	}
	return nil
}

func (s *story) history(*arguments, string) error {
	for i, b := range s.k.batches {
		events, err := b.Decode()
		if err != nil {
			return err
		}
		var names []string
		for _, e := range events {
			names = append(names, fmt.Sprintf("%d %s", e.EventId, e.EventType))
		}
		s.tell("batch %d: %s", i+1, strings.Join(names, ", "))
	}
	return nil
}
