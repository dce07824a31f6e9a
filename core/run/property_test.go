package run

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	commandpb "go.temporal.io/api/command/v1"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
	historypb "go.temporal.io/api/history/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"google.golang.org/protobuf/types/known/durationpb"
	"pgregory.net/rapid"

	"perdure/core/port"
	"perdure/core/validate"
)

// Any inputs in any order, right ones and wrong ones, keep every promise of
// check_test.go and fold_test.go, for every run of the chain.
func TestAnyInputsKeepThePromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := &play{world: newWorld(), t: t}
		p.drawLimits()
		p.begin()
		t.Repeat(p.actions())
	})
}

// play is a world with hands that do anything.
type play struct {
	*world
	t      *rapid.T
	k      *kept
	tokens []*port.Token // all that were ever given out
}

// drawLimits makes some limits small, so that they are reached.
func (p *play) drawLimits() {
	l := &p.limits
	if p.chance(2) {
		l.PendingActivities, l.PendingChildren, l.PendingSignals, l.PendingCancels = 3, 3, 3, 3
	}
	if p.chance(2) {
		l.BufferedEvents = 4
	}
	if p.chance(4) {
		l.BufferedSize = 300
	}
	if p.chance(4) {
		l.HistoryEvents, l.HistorySuggest = 60, 20
	}
	if p.chance(8) {
		l.HistorySize = 6000
	}
	if p.chance(4) {
		l.Signals = 5
	}
	if p.chance(4) {
		l.Blob, l.Memo = 500, 500
	}
	p.flushed = p.chance(2)
}

// chance is true once in n times.
func (p *play) chance(n int) bool { return rapid.IntRange(0, n-1).Draw(p.t, "chance") == 0 }

func (p *play) pick(what string, from ...string) string {
	return rapid.SampledFrom(from).Draw(p.t, what)
}

func (p *play) seconds(most int) time.Duration {
	return time.Duration(rapid.IntRange(0, most).Draw(p.t, "seconds")) * time.Second
}

func (p *play) begin() {
	a := &historypb.WorkflowExecutionStartedEventAttributes{
		WorkflowType: &commonpb.WorkflowType{Name: "T"}, TaskQueue: normalQueue("q"), WorkflowTaskTimeout: durationpb.New(10 * time.Second),
	}
	fields := p.pick("start", "", "", "run-timeout=60s", "run-timeout=30s execution-timeout=90s retry=1s", "execution-timeout=100s",
		"retry=1s/2/10s/3/Bad", "memo=m:1 search-attributes=Word:w", "retry=2s cron-schedule='* * * * *'", "cron-schedule='* * * * *' run-timeout=70s", "priority=1")
	if err := set(a, words(fields)); err != nil {
		p.t.Fatal(err)
	}
	if a.RetryPolicy != nil {
		a.RetryPolicy = validate.FilledRetryPolicy(a.RetryPolicy)
	}
	spec := Spec{WorkflowID: "wf", RunID: p.id("run"), RequestID: "start", Started: a, Backoff: CronBackoff(p.env(), a.CronSchedule)}
	switch p.pick("kind", "plain", "plain", "plain", "delay", "child", "signal", "eager") {
	case "delay":
		spec.Backoff += p.seconds(20)
	case "child":
		parent := execution("parent", "parent-run")
		a.ParentWorkflowExecution, a.RootWorkflowExecution, a.ParentInitiatedEventId = parent, parent, 5
		spec.AwaitsParent, spec.ParentNamespaceID = true, "ns-id"
	case "signal":
		spec.Signal = &Signal{Name: "s", Key: "k1", RequestID: "k1"}
	case "eager":
		spec.Eager = &Starter{Identity: "client", RequestID: "start"}
	}
	k, err := p.adopt(New(p.env(), spec))
	p.must(err)
	p.k = k
	p.noteToken()
}

func (p *play) must(err error) {
	if err != nil {
		p.t.Fatalf("%v", err)
	}
}

// done applies what a transition did; without one, nothing may have changed.
func (p *play) done(c *Changes) {
	if c == nil {
		p.must(p.check(p.k))
		return
	}
	p.must(p.apply(p.k, c))
}

func (p *play) noteToken() {
	if p.k.run.taskRuns() && !p.k.run.Closed() {
		p.tokens = append(p.tokens, p.k.run.Token())
	}
}

// token is mostly the one of the task that runs, now and then an old one.
func (p *play) token() *port.Token {
	if p.k.run.taskRuns() && !p.chance(8) {
		return p.k.run.Token()
	}
	if len(p.tokens) == 0 {
		return &port.Token{Kind: port.WorkflowTask, ScheduledID: 2, StartedID: 3, Attempt: 1}
	}
	return rapid.SampledFrom(p.tokens).Draw(p.t, "token")
}

func (p *play) actions() map[string]func(*rapid.T) {
	actions := map[string]func(){
		"poll": p.poll, "poll again": p.poll, "complete": p.complete, "complete again": p.complete, "fail task": p.failTask, "task undelivered": p.undelivered,
		"sticky": p.sticky, "start activity": p.startActivity, "start activity again": p.startActivity, "end activity": p.endActivity,
		"heartbeat": p.heartbeat, "signal": p.signal, "cancel": p.cancel, "attach": p.attach, "terminate": p.terminate, "time": p.time, "time again": p.time,
		"outcome": p.outcome, "outcome again": p.outcome, "child closed": p.childClosed, "parent recorded": p.parentRecorded,
		"reload": p.reload, "owed": p.owe, "other run": p.otherRun,
	}
	out := map[string]func(*rapid.T){}
	for name, do := range actions {
		out[name] = func(t *rapid.T) {
			p.t = t
			do()
		}
	}
	return out
}

func (p *play) poll() {
	t := p.k.run.S.Task
	if t == nil {
		return
	}
	waits := !p.k.run.Closed() && (t.StartedId == 0 || t.Reoffered)
	stamp := t.Stamp
	if p.chance(10) {
		stamp, waits = stamp-1, false
	}
	c, ok := p.k.run.StartTask(p.env(), stamp, Starter{Identity: "worker", RequestID: "poll"})
	if waits && c == nil || !waits && ok {
		p.t.Fatalf("a task that waits: %v; it was started: %v", waits, ok)
	}
	p.done(c)
	p.noteToken()
}

// completion draws a worker's answer.
func (p *play) completion() *Completion {
	c := &Completion{Identity: "worker", ReturnNew: p.chance(2), ForceNew: p.chance(4), Eager: p.chance(2)}
	if p.chance(3) {
		c.Sticky = &taskqueuepb.StickyExecutionAttributes{WorkerTaskQueue: &taskqueuepb.TaskQueue{Name: "mine"}, ScheduleToStartTimeout: durationpb.New(5 * time.Second)}
	}
	for range rapid.IntRange(0, 4).Draw(p.t, "commands") {
		c.Commands = append(c.Commands, p.command())
	}
	if p.chance(8) {
		c.Commands = append(c.Commands, p.parse(p.pick("close", "complete result=r", "fail failure=f:F", "fail failure=f:Bad", "cancel", "continue-as-new", "continue-as-new retry=1s input=i backoff-start-interval=3s", "complete nil", "fail failure=@600")))
	}
	return c
}

func (p *play) parse(line string) *commandpb.Command {
	w := words(line)
	c, err := parseCommand(w[0], w[1:], 0)
	if err != nil {
		p.t.Fatal(err)
	}
	return c
}

func (p *play) command() *commandpb.Command {
	id := rapid.IntRange(1, 5).Draw(p.t, "id")
	event := rapid.Int64Range(0, p.k.run.S.NextEventId+3).Draw(p.t, "event")
	if ids := p.k.run.activities.ids(); len(ids) > 0 && p.chance(2) {
		event = ids[0]
	}
	return p.parse(p.pick("command",
		fmt.Sprintf("activity id=%d type=A queue=x start-to-close=9s retry=1s/2/5s/3/Bad", id),
		fmt.Sprintf("activity id=%d type=A queue=x start-to-close=9s schedule-to-close=20s schedule-to-start=4s heartbeat=3s input=i", id),
		fmt.Sprintf("activity id=%d type=A queue=x schedule-to-close=12s retry=1s///1 request-eager-execution priority=1", id),
		fmt.Sprintf("cancel-activity scheduled-event-id=%d", event),
		fmt.Sprintf("cancel-activity scheduled-event-id=%d", event),
		fmt.Sprintf("timer timer-id=%d start-to-fire=%ds", id, id*3),
		fmt.Sprintf("timer timer-id=%d start-to-fire=0s", id),
		fmt.Sprintf("cancel-timer timer-id=%d", id),
		fmt.Sprintf("child workflow-id=c%d type=C parent-close-policy=%d", id, id%4),
		fmt.Sprintf("child workflow-id=c%d type=C parent-close-policy=3", id),
		fmt.Sprintf("signal-external execution=w%d signal-name=s", id),
		fmt.Sprintf("cancel-external workflow-id=w%d", id),
		fmt.Sprintf("marker name=m%d", id),
		fmt.Sprintf("memo upserted-memo=m:%d", id), "memo upserted-memo=m:null", "memo upserted-memo=n:@300",
		"upsert search-attributes=Word:w", "upsert search-attributes=Number:3", "upsert search-attributes=Word:null",
		"marker", "timer", "activity id=9 type=A queue=x", "upsert search-attributes=Nope:1", "child namespace=nowhere workflow-id=c type=C", "marker name=m details=d:@600",
	))
}

// complete answers a task; what a bad command threw away has left no trace.
func (p *play) complete() {
	if !p.k.run.taskRuns() && !p.chance(10) {
		return
	}
	before, err := p.k.reload()
	p.must(err)
	before.owed = slices.Clone(p.k.run.owed) // what was sent, and when, is in no row
	before.sweepDeadlines()
	k, answer := p.token(), p.completion()
	done := p.k.run.CompleteTask(p.env(), k, answer)
	if done.Refusal == nil && done.Changes == nil {
		p.t.Fatal("a completion was neither refused nor recorded")
	}
	if done.Refusal != nil && done.Changes != nil && done.Changes.Oversize == "" {
		p.leavesNoTrace(before, k, answer, &done)
	}
	p.done(done.Changes)
	if done.NewTask {
		if !p.k.run.taskRuns() {
			p.t.Fatal("the worker was promised a task that does not run")
		}
		p.noteToken()
	}
	for _, id := range done.Eager {
		a, ok := p.k.run.Activity(id)
		if !done.Changes.Closed && (!ok || a.StartedTime == 0) {
			p.t.Fatalf("the worker was promised activity %d", id)
		}
	}
}

// leavesNoTrace: the run is as if the worker had reported the failure itself.
func (p *play) leavesNoTrace(before *Run, k *port.Token, answer *Completion, done *Completed) {
	if done.Refusal.Code == port.NotFound { // heartbeat timeout
		return
	}
	cause, f := enumspb.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND, (*failurepb.Failure)(nil)
	for _, b := range done.Changes.Batches {
		events, err := b.Decode()
		p.must(err)
		for _, e := range events {
			if a := e.GetWorkflowTaskFailedEventAttributes(); a != nil {
				cause, f = a.Cause, a.Failure
			}
		}
	}
	if p.k.run.Closed() { // too large a command: the failure is followed by the end
		return
	}
	if _, refused := before.FailTask(p.env(), k, cause, f, answer.Identity, ""); refused != nil {
		p.t.Fatalf("the task could not have failed: %v", refused)
	}
	if cause == enumspb.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND {
		before.S.CloseRefused = before.S.Task != nil
	}
	if err := same(p.k.run, before); err != nil {
		p.t.Fatalf("thrown_away_completion_leaves_no_trace (%s): %v", done.Refusal.Message, err)
	}
}

func (p *play) failTask() {
	if !p.chance(3) {
		return
	}
	cause := enumspb.WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE
	if p.chance(20) {
		cause = enumspb.WORKFLOW_TASK_FAILED_CAUSE_GRPC_MESSAGE_TOO_LARGE
	}
	c, _ := p.k.run.FailTask(p.env(), p.token(), cause, nil, "worker", "")
	p.done(c)
}

func (p *play) undelivered() {
	c, _ := p.k.run.TaskUndelivered(p.env(), p.token())
	p.done(c)
}

func (p *play) sticky() {
	if p.chance(2) && !p.k.run.Closed() {
		p.done(p.k.run.ResetSticky(p.env()))
		return
	}
	if t := p.k.run.S.Task; t != nil {
		c, _ := p.k.run.StickyLost(p.env(), t.Stamp)
		p.done(c)
	}
}

// Activities.

func (p *play) someActivity() (int64, bool) {
	ids := p.k.run.activities.ids()
	if len(ids) == 0 {
		return 0, false
	}
	return rapid.SampledFrom(ids).Draw(p.t, "activity"), true
}

func (p *play) startActivity() {
	id, ok := p.someActivity()
	if !ok {
		return
	}
	a, _ := p.k.run.Activity(id)
	waits := a.Dispatched
	c, ok := p.k.run.StartActivity(p.env(), id, a.Stamp, Starter{Identity: "worker", RequestID: "poll"})
	if waits && c == nil || !waits && ok {
		p.t.Fatalf("an activity that waits: %v; it was started: %v", waits, ok)
	}
	p.done(c)
	if ok {
		p.tokens = append(p.tokens, p.k.run.ActivityToken(a))
	}
}

// activityToken is that of a pending activity, or an old one.
func (p *play) activityToken() *port.Token {
	id, ok := p.someActivity()
	if ok && !p.chance(8) {
		a, _ := p.k.run.Activity(id)
		return p.k.run.ActivityToken(a)
	}
	if len(p.tokens) == 0 {
		return &port.Token{Kind: port.ActivityTask, ScheduledID: 5, Attempt: 1}
	}
	return rapid.SampledFrom(p.tokens).Draw(p.t, "token")
}

func (p *play) endActivity() {
	k, env := p.activityToken(), p.env()
	var c *Changes
	switch p.pick("end", "complete", "complete by id", "fail", "fail", "canceled", "undelivered") {
	case "complete":
		c, _ = p.k.run.CompleteActivity(env, k, payloads("r"), "worker", false)
	case "complete by id":
		c, _ = p.k.run.CompleteActivity(env, k, payloads("r"), "worker", true)
	case "fail":
		f, err := failure(p.pick("failure", "f:F", "f:Bad", "f:F:final", "f:F:delay=7s", "f:F:delay=-5s", "canceled", "activity", "@5000:F"))
		p.must(err)
		c, _ = p.k.run.FailActivity(env, k, f.(*failurepb.Failure), nil, "worker")
	case "canceled":
		c, _ = p.k.run.CancelActivityTask(env, k, nil, "worker")
	case "undelivered":
		c, _ = p.k.run.ActivityUndelivered(env, k)
	}
	p.done(c)
}

func (p *play) heartbeat() {
	var details *commonpb.Payloads
	if p.chance(2) {
		details = payloads("d")
	}
	c, _, _ := p.k.run.Heartbeat(p.env(), p.activityToken(), details)
	p.done(c)
}

// Clients.

func (p *play) signal() {
	key := p.pick("key", "", "", "", "k1", "k2")
	give := p.k.run.Signal
	if p.chance(4) && !p.k.run.Closed() {
		give = p.k.run.SignalNow
	}
	c, _ := give(p.env(), &Signal{Name: "s", Key: key, RequestID: key, Input: payloads(p.pick("input", "i", "@200"))})
	p.done(c)
}

func (p *play) cancel() {
	if p.chance(3) {
		p.done(p.k.run.RequestCancel(p.env(), &Cancel{Identity: "client"}))
	}
}

func (p *play) attach() {
	if p.k.run.Closed() {
		return // the shard attaches to running runs only
	}
	id := p.id("attach")
	if p.chance(3) {
		id = ""
	}
	p.done(p.k.run.Attach(p.env(), id, nil, nil))
}

func (p *play) terminate() {
	if p.chance(10) {
		c, _ := p.k.run.Terminate(p.env(), "enough", nil, "client", nil)
		p.done(c)
	}
}

// time passes: to the next deadline, or past it.
func (p *play) time() {
	if at := p.k.run.Deadline(); at > p.now && at < p.now+int64(time.Hour) && p.chance(2) {
		p.now = at
	} else {
		p.now += p.seconds(15).Nanoseconds()
	}
	c := p.k.run.Fire(p.env())
	p.done(c)
	if at := p.k.run.Deadline(); c == nil && at > p.now && p.k.due != 0 && p.k.due <= p.now {
		p.done(p.k.run.Rearm(p.env()))
	}
	for _, w := range dueTimes(p.k.run) {
		if !p.k.run.Closed() && w <= p.now && !p.k.run.Owes() {
			p.t.Fatalf("something was due at %s, it is %s", since(w), since(p.now))
		}
	}
}

// Other runs.

func (p *play) outcome() {
	r := p.k.run
	kind := rapid.SampledFrom([]port.MessageKind{port.StartChild, port.SignalExternal, port.CancelExternal, port.ParentClosed, port.ChildStarted, port.ChildClosed}).Draw(p.t, "message")
	ids := map[port.MessageKind][]int64{port.StartChild: r.children.ids(), port.SignalExternal: r.signals.ids(), port.CancelExternal: r.cancels.ids(),
		port.ParentClosed: r.closes.ids(), port.ChildStarted: r.children.ids()}[kind]
	id := rapid.Int64Range(0, r.S.NextEventId).Draw(p.t, "id")
	if len(ids) > 0 {
		id = rapid.SampledFrom(ids).Draw(p.t, "id")
	}
	cause := int32(rapid.IntRange(0, 1).Draw(p.t, "cause"))
	res := &Result{Cause: cause, Of: meant(r, kind, id), Moved: rapid.Bool().Draw(p.t, "moved")}
	if rapid.Bool().Draw(p.t, "named") {
		res.RunID = rapid.SampledFrom([]string{"run-a", "run-b"}).Draw(p.t, "run")
	}
	p.done(r.Outcome(p.env(), &port.Outcome{Kind: kind, ID: id, Body: res}))
}

func (p *play) childClosed() {
	ids := p.k.run.children.ids()
	if len(ids) == 0 {
		return
	}
	id := rapid.SampledFrom(ids).Draw(p.t, "child")
	c, _ := p.k.run.children.get(id)
	first := c.RunId
	if p.chance(8) {
		first = "another"
	}
	status := enumspb.WorkflowExecutionStatus(rapid.IntRange(2, 7).Draw(p.t, "status"))
	p.done(p.k.run.ChildClosed(p.env(), id, &ChildClosedBody{
		FirstRunID: first, Execution: execution(c.WorkflowId, c.RunId), Type: "C", Status: status, Close: closeEvent(status, payloads("r"), nil),
	}))
}

func (p *play) parentRecorded() { p.done(p.k.run.ParentRecorded(p.env())) }

// reload puts the run from its rows in the place of the one in memory.
func (p *play) reload() {
	r, err := p.k.reload()
	p.must(err)
	p.k.run = r
	p.owe() // a run that was loaded does not know when it sent last
	p.must(p.check(p.k))
}

// owe sends what is due; a message that was sent is not due again at once.
func (p *play) owe() {
	sent := p.k.run.Owed(p.env(), p.k.lastBatch)
	seen := map[string]bool{}
	for _, m := range sent {
		name := fmt.Sprint(m.Kind, m.ID)
		if seen[name] || m.To.WorkflowID == "" || m.From != p.k.run.Key() {
			p.t.Fatalf("message %+v", m)
		}
		seen[name] = true
	}
	if again := p.k.run.Owed(p.env(), p.k.lastBatch); len(again) > 0 {
		p.t.Fatalf("%d messages were sent twice", len(again))
	}
	p.must(deadlineHolds(p.k))
}

// otherRun goes on with any run of the chain; mostly the last.
func (p *play) otherRun() {
	n := len(p.runs) - 1
	if p.chance(4) {
		n = rapid.IntRange(0, n).Draw(p.t, "run")
	}
	p.k = p.runs[n]
	if !strings.HasPrefix(p.k.run.S.RunId, "run-") {
		p.t.Fatalf("run id %q", p.k.run.S.RunId)
	}
}
