package check

import (
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"perdure/core/journal"
	"perdure/core/port"
	"perdure/core/run"
	"perdure/core/run/runpb"
	"perdure/core/store"
	"perdure/sim/program"
)

func stamp(t time.Time) *timestamppb.Timestamp { return timestamppb.New(t) }

func TestTrueStoriesAreClean(t *testing.T) {
	newForge(t).start().signal("signal-1").terminate().clean()
}

func TestEffectsOnce(t *testing.T) {
	f := newForge(t).start().signal("signal-1").clean()
	c, _ := f.run.Signal(f.env(), signalOf("signal-1", "another request"))
	f.record(c)
	f.broke(EffectsOnce, "signal-1")

	f = newForge(t).start()
	f.ledger.effects.Acknowledge(signalPayload("nobody has it"), "signal")
	broke(t, f.ledger.AcknowledgedOnce(), EffectsOnce, "is in no history")
}

func TestReplyAfterDurable(t *testing.T) {
	f := newForge(t).start().clean()
	answered := func(req, res any) *Breach {
		return f.ledger.Answered(req.(message), res.(message), &port.Token{Run: port.RunKey{RunID: forgedRun}, ScheduledID: 2, StartedID: 3})
	}
	start := &workflowservice.StartWorkflowExecutionRequest{WorkflowId: forgedWork, Input: program.Payloads(program.Input{ID: "start-1"})}
	if b := answered(start, &workflowservice.StartWorkflowExecutionResponse{RunId: forgedRun, Started: true}); b != nil {
		t.Error(b)
	}
	broke(t, answered(start, &workflowservice.StartWorkflowExecutionResponse{RunId: "another", Started: true}), ReplyAfterDurable, "not durable")
	start.Input = program.Payloads(program.Input{ID: "start-2"})
	broke(t, answered(start, &workflowservice.StartWorkflowExecutionResponse{RunId: forgedRun, Started: true}), ReplyAfterDurable, "not in the history")
	where := &commonpb.WorkflowExecution{WorkflowId: forgedWork, RunId: forgedRun}
	broke(t, answered(&workflowservice.SignalWorkflowExecutionRequest{WorkflowExecution: where, Input: program.Payloads("signal-9")}, &workflowservice.SignalWorkflowExecutionResponse{}), ReplyAfterDurable, "signal-9")
	broke(t, answered(&workflowservice.TerminateWorkflowExecutionRequest{WorkflowExecution: where}, &workflowservice.TerminateWorkflowExecutionResponse{}), ReplyAfterDurable, "is open")
	broke(t, answered(&workflowservice.RequestCancelWorkflowExecutionRequest{WorkflowExecution: where}, &workflowservice.RequestCancelWorkflowExecutionResponse{}), ReplyAfterDurable, "knows of none")
	broke(t, answered(&workflowservice.RespondWorkflowTaskCompletedRequest{}, &workflowservice.RespondWorkflowTaskCompletedResponse{}), ReplyAfterDurable, "started as event 3")
	broke(t, answered(&workflowservice.RespondActivityTaskCompletedRequest{Result: program.Payloads("result-9")}, &workflowservice.RespondActivityTaskCompletedResponse{}), ReplyAfterDurable, "result-9")
}

func TestTimerNeverEarly(t *testing.T) {
	started := event(5, enumspb.EVENT_TYPE_TIMER_STARTED, 0)
	started.Attributes = &historypb.HistoryEvent_TimerStartedEventAttributes{TimerStartedEventAttributes: &historypb.TimerStartedEventAttributes{TimerId: "t", StartToFireTimeout: durationpb.New(time.Minute)}}
	r := &Run{Events: []*historypb.HistoryEvent{nil, nil, nil, nil, started}}
	fired := func(at time.Duration) *historypb.HistoryEvent {
		e := event(6, enumspb.EVENT_TYPE_TIMER_FIRED, at)
		e.Attributes = &historypb.HistoryEvent_TimerFiredEventAttributes{TimerFiredEventAttributes: &historypb.TimerFiredEventAttributes{TimerId: "t", StartedEventId: 5}}
		return e
	}
	if b := timerNeverEarly(r, fired(time.Minute)); b != nil {
		t.Error(b)
	}
	broke(t, timerNeverEarly(r, fired(time.Minute-1)), TimerNeverEarly, "event 6")

	f := newForge(t)
	f.ledger.Settled(begun)
	if b := f.ledger.timerPunctual(r, fired(time.Minute+timerLateness)); b != nil {
		t.Error(b)
	}
	broke(t, f.ledger.timerPunctual(r, fired(time.Minute+timerLateness+1)), TimerNeverLost, "event 6")
}

func TestWorkflowTaskTimesOutEarlyOnlyAfterLongHeartbeats(t *testing.T) {
	task := func(id int64, typ enumspb.EventType, at time.Duration) *historypb.HistoryEvent {
		e := event(id, typ, at)
		switch typ {
		case enumspb.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED:
			e.Attributes = &historypb.HistoryEvent_WorkflowTaskScheduledEventAttributes{WorkflowTaskScheduledEventAttributes: &historypb.WorkflowTaskScheduledEventAttributes{StartToCloseTimeout: durationpb.New(time.Minute)}}
		case enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
			e.Attributes = &historypb.HistoryEvent_WorkflowTaskCompletedEventAttributes{WorkflowTaskCompletedEventAttributes: &historypb.WorkflowTaskCompletedEventAttributes{ScheduledEventId: id - 2, StartedEventId: id - 1}}
		case enumspb.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT:
			e.Attributes = &historypb.HistoryEvent_WorkflowTaskTimedOutEventAttributes{WorkflowTaskTimedOutEventAttributes: &historypb.WorkflowTaskTimedOutEventAttributes{ScheduledEventId: id - 2, StartedEventId: id - 1, TimeoutType: enumspb.TIMEOUT_TYPE_START_TO_CLOSE}}
		}
		return e
	}
	r := &Run{Events: []*historypb.HistoryEvent{
		task(1, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED, 0),
		task(2, enumspb.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED, 0),
		task(3, enumspb.EVENT_TYPE_WORKFLOW_TASK_STARTED, 29*time.Minute),
		task(4, enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED, 29*time.Minute+30*time.Second),
		task(5, enumspb.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED, 29*time.Minute+30*time.Second),
		task(6, enumspb.EVENT_TYPE_WORKFLOW_TASK_STARTED, 29*time.Minute+30*time.Second),
	}}
	if b := timerNeverEarly(r, task(7, enumspb.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT, heartbeatLimit)); b != nil {
		t.Error(b)
	}
	broke(t, timerNeverEarly(r, task(7, enumspb.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT, heartbeatLimit-1)), TimerNeverEarly, "event 7")
}

func TestHistoryWellFormed(t *testing.T) {
	started := func(id, scheduled int64) *historypb.HistoryEvent {
		e := event(id, enumspb.EVENT_TYPE_WORKFLOW_TASK_STARTED, 0)
		e.Attributes = &historypb.HistoryEvent_WorkflowTaskStartedEventAttributes{WorkflowTaskStartedEventAttributes: &historypb.WorkflowTaskStartedEventAttributes{ScheduledEventId: scheduled}}
		return e
	}
	completed := func(id, scheduled, start int64) *historypb.HistoryEvent {
		e := event(id, enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED, 0)
		e.Attributes = &historypb.HistoryEvent_WorkflowTaskCompletedEventAttributes{WorkflowTaskCompletedEventAttributes: &historypb.WorkflowTaskCompletedEventAttributes{ScheduledEventId: scheduled, StartedEventId: start}}
		return e
	}
	timer := func(id, completed int64) *historypb.HistoryEvent {
		e := event(id, enumspb.EVENT_TYPE_TIMER_STARTED, 0)
		e.Attributes = &historypb.HistoryEvent_TimerStartedEventAttributes{TimerStartedEventAttributes: &historypb.TimerStartedEventAttributes{WorkflowTaskCompletedEventId: completed}}
		return e
	}
	fired := func(id, started int64) *historypb.HistoryEvent {
		e := event(id, enumspb.EVENT_TYPE_TIMER_FIRED, 0)
		e.Attributes = &historypb.HistoryEvent_TimerFiredEventAttributes{TimerFiredEventAttributes: &historypb.TimerFiredEventAttributes{StartedEventId: started}}
		return e
	}
	const (
		begin     = enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED
		scheduled = enumspb.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED
		signaled  = enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED
		closed    = enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED
	)
	one, two := event(1, begin, 0), event(2, scheduled, 0)
	for _, x := range []struct {
		name, want string
		events     []*historypb.HistoryEvent
	}{
		{"true", "", []*historypb.HistoryEvent{one, two, started(3, 2), completed(4, 2, 3), timer(5, 4), fired(6, 5), event(7, scheduled, 0), event(8, closed, 0)}},
		{"gap", "expected id 2", []*historypb.HistoryEvent{one, event(3, scheduled, 0)}},
		{"no start", "first event", []*historypb.HistoryEvent{event(1, scheduled, 0)}},
		{"second start", "first event", []*historypb.HistoryEvent{one, event(2, begin, 0)}},
		{"after the close", "follows the close", []*historypb.HistoryEvent{one, event(2, closed, 0), event(3, signaled, 0)}},
		{"two tasks", "another workflow task", []*historypb.HistoryEvent{one, two, event(3, scheduled, 0)}},
		{"event inside a task", "between", []*historypb.HistoryEvent{one, two, started(3, 2), event(4, signaled, 0)}},
		{"another task started", "not waiting", []*historypb.HistoryEvent{one, two, started(3, 1)}},
		{"another task completed", "not open", []*historypb.HistoryEvent{one, two, started(3, 2), completed(4, 2, 2)}},
		{"command without its task", "does not stand behind", []*historypb.HistoryEvent{one, timer(2, 1)}},
		{"command late", "does not stand behind", []*historypb.HistoryEvent{one, two, started(3, 2), completed(4, 2, 3), event(5, signaled, 0), timer(6, 4)}},
		{"fired twice", "not open", []*historypb.HistoryEvent{one, two, started(3, 2), completed(4, 2, 3), timer(5, 4), fired(6, 5), fired(7, 5)}},
		{"time goes back", "before that of", []*historypb.HistoryEvent{event(1, begin, time.Second), event(2, closed, 0)}},
	} {
		var o order
		var b *Breach
		for _, e := range x.events {
			if b = o.check(&Run{}, e); b != nil {
				break
			}
		}
		switch {
		case x.want != "":
			t.Run(x.name, func(t *testing.T) { broke(t, b, HistoryWellFormed, x.want) })
		case b != nil:
			t.Errorf("%s: %v", x.name, b)
		}
	}
}

func TestStateEqualsFold(t *testing.T) {
	for _, x := range []struct {
		want string
		edit func(*runpb.Run)
	}{
		{"next event", func(s *runpb.Run) { s.NextEventId++ }},
		{"status", func(s *runpb.Run) { s.Status = int32(enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED) }},
		{"bytes", func(s *runpb.Run) { s.HistorySize++ }},
		{"signals", func(s *runpb.Run) { s.Signals = 3 }},
		{"cancel requested", func(s *runpb.Run) { s.CancelRequested = true }},
		{"no workflow task", func(s *runpb.Run) { s.Task = nil }},
		{"not the one", func(s *runpb.Run) { s.Task.ScheduledId = 1 }},
	} {
		f := newForge(t)
		f.lie = change(x.edit)
		f.start().broke(StateEqualsFold, x.want)
	}
	f := newForge(t)
	f.lie = without(store.History)
	f.start().broke(StateEqualsFold, "next event")

	f = newForge(t)
	timer, _ := marshal(&runpb.Timer{TimerId: "t", StartedId: 9})
	f.lie = func(rows []store.Row) []store.Row {
		return append(rows, row(store.Pending, forgedRun, "t\x00\x00\x00\x00\x00\x00\x00\x09", timer))
	}
	f.start().broke(StateEqualsFold, "not open")
}

func TestDueEqualsIndex(t *testing.T) {
	f := newForge(t)
	f.lie = without(store.Due)
	f.start().broke(DueEqualsIndex, "no row for task 2")

	f = newForge(t).start().clean()
	f.lie = func(rows []store.Row) []store.Row {
		return append(rows, row(store.Due, "strip", "q1-99", dueValue(&f.first.Added[0])), row(store.Due, "strip", dispatchKey(&f.first.Added[0]), nil))
	}
	f.signal("signal-1").clean() // the same task under another key
	f.lie = func(rows []store.Row) []store.Row {
		twice := f.first.Added[0]
		twice.Stamp = 55
		return append(rows, row(store.Due, "strip", "q1-55", dueValue(&twice)))
	}
	f.signal("signal-2").broke(DueEqualsIndex, "does not wait")

	f = newForge(t).start()
	f.lie = func(rows []store.Row) []store.Row {
		return append(rows, row(store.Due, "strip", deadlineKey(5), dueValue(nil)))
	}
	f.signal("signal-1").broke(DueEqualsIndex, "a deadline row")

	f = newForge(t).start()
	f.lie = func(rows []store.Row) (kept []store.Row) {
		for _, r := range change(func(s *runpb.Run) { s.DeadlineRow = 0 })(rows) {
			if r.Key.Table != store.Due || r.Key.Key[0] != 'd' {
				kept = append(kept, r)
			}
		}
		return kept
	}
	f.terminate().broke(DueEqualsIndex, "must be woken")
}

func TestStartsNow(t *testing.T) {
	f := newForge(t).start()
	f.ledger.floor = begun.Add(time.Second)
	started := func(at time.Time) *Breach {
		return f.ledger.startsNow(f.ledger.Run(forgedRun), &runpb.WorkflowTask{}, &runpb.WorkflowTask{ScheduledId: 2, StartedId: 3, Nonce: 1, StartedTime: at.UnixNano()})
	}
	if b := started(begun.Add(time.Second)); b != nil {
		t.Error(b)
	}
	broke(t, started(begun), TimerNeverEarly, "starts 1s before")
}

func TestDueByRows(t *testing.T) {
	const second = int64(time.Second)
	activity := func(a *runpb.Activity) map[string][]byte {
		b, _ := marshal(a)
		return map[string][]byte{pendingKey('a', 5): b}
	}
	timer, _ := marshal(&runpb.Timer{FireTime: 7 * second})
	for _, x := range []struct {
		want int64
		run  Run
	}{
		{0, Run{Row: &runpb.Run{}}},
		{9, Run{Row: &runpb.Run{RetentionTime: 9 * second}, closed: true}},
		{4, Run{Row: &runpb.Run{RunExpiry: 8 * second, FirstTaskTime: 4 * second}}},
		{5, Run{Row: &runpb.Run{Task: &runpb.WorkflowTask{StartedId: 3, StartedTime: 3 * second, Timeout: 2 * second}}}},
		{6, Run{Row: &runpb.Run{Task: &runpb.WorkflowTask{ScheduledTime: 3 * second, Sticky: true, StickyTimeout: 3 * second}}}},
		{7, Run{Row: &runpb.Run{}, Pending: map[string][]byte{pendingKey('t', 5): timer}}},
		{6, Run{Row: &runpb.Run{}, Pending: activity(&runpb.Activity{StartedTime: second, StartToClose: 9 * second, Heartbeat: 2 * second, HeartbeatTime: 4 * second})}},
		{8, Run{Row: &runpb.Run{}, Pending: activity(&runpb.Activity{ScheduledTime: 8 * second, ScheduleToStart: 9 * second})}},
		{3, Run{Row: &runpb.Run{}, Pending: activity(&runpb.Activity{ScheduledTime: 8 * second, FirstScheduledTime: second, ScheduleToClose: 2 * second})}},
	} {
		if got := x.run.dueByRows(); got != x.want*second {
			t.Errorf("due at %v, want %d s: %v", time.Duration(got), x.want, x.run.Row)
		}
	}
}

func TestNoSilentStall(t *testing.T) {
	f := newForge(t).start().clean()
	if b := f.ledger.Stalled(begun.Add(taskSlack)); b != nil {
		t.Error(b)
	}
	broke(t, f.ledger.Stalled(begun.Add(taskSlack+1)), BacklogDrains, "waits since")
	f.terminate()
	if b := f.ledger.Stalled(begun.Add(time.Hour)); b != nil {
		t.Error(b)
	}
	broke(t, f.ledger.Stalled(begun.Add(time.Hour+2*dueSlack)), NoSilentStall, "had to be woken")
	if n, _ := f.ledger.Unfinished(); n != 0 {
		t.Errorf("%d unfinished", n)
	}
	if n, _ := f.ledger.Left(); n != 1 {
		t.Errorf("%d left", n)
	}
	child := newForge(t).startAs(func(s *run.Spec) {
		s.ParentNamespaceID, s.Started.ParentInitiatedEventId = "ns", 5
		s.Started.ParentWorkflowExecution = &commonpb.WorkflowExecution{WorkflowId: "parent", RunId: "parent-run"}
	}).terminate()
	if n, _ := child.ledger.Unfinished(); n != 1 {
		t.Errorf("a closed child that has not told its parent: %d unfinished", n)
	}
}

func TestQuerySeesSignals(t *testing.T) {
	f := newForge(t).start().signal("signal-1").signal("signal-2")
	f.ledger.effects.Acknowledge(signalPayload("signal-1"), "signal")
	asked := f.ledger.SignalsOf(forgedRun)
	if len(asked) != 1 || asked[0] != "signal-1" {
		t.Errorf("acknowledged: %v", asked)
	}
	if b := Queried(asked, program.Memory{Signals: []string{"signal-2", "signal-1"}}); b != nil {
		t.Error(b)
	}
	broke(t, Queried(asked, program.Memory{Signals: []string{"signal-2"}}), QuerySeesSignals, "signal-1")
}

func TestRetentionOnlyWhenDue(t *testing.T) {
	remove := func(f *forge) *forge {
		f.append(journal.Record{Time: f.now, Rows: []store.Row{row(store.Executions, "strip", "r"+forgedRun, nil)}})
		return f
	}
	remove(newForge(t).start()).broke(RetentionOnlyWhenDue, "an open run")
	remove(newForge(t).start().terminate()).broke(RetentionOnlyWhenDue, "its retention ends")
	f := newForge(t).start().terminate()
	f.now = f.now.Add(time.Hour)
	remove(f).clean()
	broke(t, f.ledger.NothingLeft(), RetentionOnlyWhenDue, "is left")
	f.store.Put([]store.Row{row(store.Pending, forgedRun, "left", []byte("x"))}, nil)
	f.ledger.part(store.Partition{Table: store.Pending, Partition: forgedRun})
	broke(t, f.ledger.TablesEmpty(), RetentionOnlyWhenDue, "left in its table")
}

func TestReadsAreCurrent(t *testing.T) {
	f := newForge(t).start()
	req := &workflowservice.DescribeWorkflowExecutionRequest{Execution: &commonpb.WorkflowExecution{WorkflowId: forgedWork, RunId: forgedRun}}
	described := func(events int64) *workflowservice.DescribeWorkflowExecutionResponse {
		return &workflowservice.DescribeWorkflowExecutionResponse{WorkflowExecutionInfo: &workflowpb.WorkflowExecutionInfo{HistoryLength: events}}
	}
	seen := f.ledger.Before(req)
	if b := Current(seen, req, described(2), nil); b != nil {
		t.Error(b)
	}
	broke(t, Current(seen, req, described(1), nil), ReadsAreCurrent, "1 events, there were 2")
	broke(t, Current(seen, req, nil, port.Missing("no such run")), ReadsAreCurrent, "is open")
	history := &workflowservice.GetWorkflowExecutionHistoryRequest{Execution: req.Execution}
	broke(t, Current(seen, history, &workflowservice.GetWorkflowExecutionHistoryResponse{}, nil), ReadsAreCurrent, "0 events and no more")
	f.terminate()
	if b := Current(seen, req, nil, port.Missing("closed")); b != nil {
		t.Error(b)
	}
}

func TestAnsweredByItsHolder(t *testing.T) {
	f := newForge(t).start()
	r := f.ledger.Run(forgedRun)
	r.noteStart(start{2, false, 1}, 11)
	r.noteStart(start{2, false, 1}, 12)
	held := func(nonce uint64) *Breach {
		return f.ledger.heldBy(&port.Token{Run: port.RunKey{RunID: forgedRun}, ScheduledID: 2, StartedID: 3, Attempt: 1, Nonce: nonce})
	}
	if b := held(12); b != nil {
		t.Error(b)
	}
	broke(t, held(11), AnsweredByItsHolder, "1 others")
	broke(t, held(99), AnsweredByItsHolder, "while somebody else held it")
	r.noteStart(start{2, false, 1}, nobody)
	if b := held(99); b != nil {
		t.Error(b)
	}
	broke(t, held(12), AnsweredByItsHolder, "1 others")
	r.noteStart(start{5, true, 1}, 21)
	r.noteStart(start{5, true, 2}, 22)
	broke(t, f.ledger.heldBy(&port.Token{Run: port.RunKey{RunID: forgedRun}, ScheduledID: 5, Attempt: 1, Nonce: 21}), AnsweredByItsHolder, "attempt 2 had begun")
}

func TestNoPanic(t *testing.T) {
	if b := Refused(&workflowservice.QueryWorkflowRequest{}, port.Missing("no")); b != nil {
		t.Error(b)
	}
	broke(t, Refused(&workflowservice.QueryWorkflowRequest{}, port.Refuse(port.Internal, "set aside")), NoPanic, "set aside")
}

func TestTrimOnlyFlushed(t *testing.T) {
	f := newForge(t).start().clean()
	f.ledger.Trimmed(1, 1)
	f.broke(TrimOnlyFlushed, "is not in the table")

	f = newForge(t).start()
	f.store.Put(f.rows(f.first), nil)
	f.ledger.Trimmed(1, 1)
	f.clean().ledger.Trimmed(1, 2)
	f.broke(TrimOnlyFlushed, "it ends at 1")

	f = newForge(t)
	f.seq = 4
	f.append(journal.Record{Time: begun})
	f.broke(TrimOnlyFlushed, "follows record 0")
}

func TestShownIsDurable(t *testing.T) {
	f := newForge(t).start()
	encoded := f.ledger.Run(forgedRun).Encoded
	if b := f.ledger.ShownDurable(forgedRun, encoded, 1, 9); b != nil {
		t.Error(b)
	}
	broke(t, f.ledger.ShownDurable(forgedRun, append(encoded, encoded[1]), 1, 9), ShownIsDurable, "ends at 2")
	broke(t, f.ledger.ShownDurable(forgedRun, encoded[1:], 1, 9), ShownIsDurable, "another one")
	broke(t, f.ledger.ShownDurable("another", encoded, 1, 9), ShownIsDurable, "a run that is not durable")
}
