package run

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
	historypb "go.temporal.io/api/history/v1"
	"google.golang.org/protobuf/proto"

	"perdure/core/port"
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
