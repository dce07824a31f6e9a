package check

import (
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
	historypb "go.temporal.io/api/history/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"perdure/core/port"
	"perdure/core/registry/registrypb"
	"perdure/core/run/runpb"
	"perdure/core/store"
	"perdure/sim/program"
)

func TestOneOwnerCommits(t *testing.T) {
	l := newForge(t).ledger
	commit := func(epoch store.Epoch, nonce store.Nonce) *Breach {
		return l.committed(store.Fence{Shard: 1, Epoch: epoch, Nonce: nonce})
	}
	for _, b := range []*Breach{commit(3, 7), commit(3, 7), commit(5, 8)} {
		if b != nil {
			t.Error(b)
		}
	}
	broke(t, commit(4, 9), OneOwnerCommits, "epoch 4 became durable after one of epoch 5")
	broke(t, commit(5, 9), OneOwnerCommits, "two owners")
}

func TestOneLayoutServes(t *testing.T) {
	l := newForge(t).ledger
	writes := func(shard store.ShardID, epoch store.Epoch, partition string) *Breach {
		return l.writes(store.Fence{Shard: shard, Epoch: epoch}, store.Partition{Table: store.Due, Partition: partition})
	}
	for _, b := range []*Breach{writes(1, 7, "x"), writes(1, 8, "x"), writes(2, 3, "y"), writes(3, 9, "x"), writes(3, 9, "y"), writes(2, 5, "z")} {
		if b != nil {
			t.Error(b)
		}
	}
	broke(t, writes(1, 20, "x"), OneLayoutServes, "written by shard 1 after shard 3")
	broke(t, writes(5, 9, "x"), OneLayoutServes, "in epoch 9 after shard 3 wrote in epoch 9")
}

func TestChangesOfTheLayoutEndAndAreKnown(t *testing.T) {
	l := newForge(t).ledger
	now := time.Duration(0)
	l.now = func() time.Duration { return now }
	put := func(key string, row proto.Message) {
		b := []byte(nil)
		if row != nil {
			b, _ = marshal(row)
		}
		l.put(0, 1, &store.Row{Key: store.Key{Table: store.Metadata, Partition: "registry", Key: key}, Value: b}, time.Time{})
	}
	put("layout", &registrypb.Layout{Generation: 2, Shards: []*registrypb.Layout_Shard{{Id: 3, To: 1024}}})
	put("change", &registrypb.Change{})
	known := func(generation uint64, shard store.ShardID) *Breach {
		return l.LayoutKnown(&port.Snapshot{LayoutID: generation, Layout: []port.ShardRange{{Shard: shard, Strips: store.Strips{To: 1024}}}})
	}
	for _, b := range []*Breach{known(1, 1), l.LayoutSettled()} {
		if b != nil {
			t.Error(b)
		}
	}
	now += settling + time.Second
	broke(t, known(1, 3), OneLayoutServes, "knows layout 1")
	broke(t, known(2, 1), OneLayoutServes, "knows layout 2")
	broke(t, l.LayoutSettled(), OneLayoutServes, "under way")
	if b := known(2, 3); b != nil {
		t.Error(b)
	}
	put("change", nil)
	if b := l.LayoutSettled(); b != nil {
		t.Error(b)
	}
}

func TestAsksBeforeDisplacing(t *testing.T) {
	open := func(known store.Seq) []port.Effect {
		return []port.Effect{port.Alarm{}, port.OpenStore{Open: store.Open{Shard: 7, Known: known}}}
	}
	for _, b := range []*Breach{Displaces(port.Alarmed{}, open(0)), Displaces(&port.Completed{Owner: true}, open(3)), Displaces(port.Alarmed{}, nil)} {
		if b != nil {
			t.Error(b)
		}
	}
	broke(t, Displaces(port.Appended{}, open(3)), AsksBeforeDisplacing, "shard 7")
	broke(t, Displaces(&port.Completed{}, open(3)), AsksBeforeDisplacing, "shard 7")
}

func TestRetriesAsAsked(t *testing.T) {
	const second = int64(time.Second)
	retry := &runpb.Retry{Initial: second, Coefficient: 2, Maximum: 10 * second, Attempts: 3}
	timedOut := func(kind enumspb.TimeoutType) []byte {
		b, _ := marshal(&failurepb.Failure{FailureInfo: &failurepb.Failure_TimeoutFailureInfo{TimeoutFailureInfo: &failurepb.TimeoutFailureInfo{TimeoutType: kind}}})
		return b
	}
	for _, x := range []struct {
		want        string
		before, now *runpb.Activity
	}{
		{"", &runpb.Activity{Attempt: 1, StartedTime: 10 * second}, &runpb.Activity{Attempt: 2, LastAttemptCompleteTime: 20 * second, ScheduledTime: 21 * second}},
		{"", &runpb.Activity{Attempt: 2, StartedTime: 10 * second}, &runpb.Activity{Attempt: 3, LastAttemptCompleteTime: 20 * second, ScheduledTime: 22 * second}},
		{"too short", &runpb.Activity{Attempt: 2, StartedTime: 10 * second}, &runpb.Activity{Attempt: 3, LastAttemptCompleteTime: 20 * second, ScheduledTime: 21 * second}},
		{"allows 3", &runpb.Activity{Attempt: 3}, &runpb.Activity{Attempt: 4, ScheduledTime: 99 * second}},
		{"before its backoff ended", &runpb.Activity{Attempt: 2, ScheduledTime: 30 * second}, &runpb.Activity{Attempt: 2, ScheduledTime: 30 * second, StartedTime: 29 * second}},
		{"", &runpb.Activity{Attempt: 1, StartedTime: 10 * second, StartToClose: 5 * second}, &runpb.Activity{Attempt: 2, ScheduledTime: 16 * second, LastFailure: timedOut(enumspb.TIMEOUT_TYPE_START_TO_CLOSE)}},
		{"timed out 999", &runpb.Activity{Attempt: 1, StartedTime: 10 * second, StartToClose: 5 * second}, &runpb.Activity{Attempt: 2, ScheduledTime: 15 * second, LastFailure: timedOut(enumspb.TIMEOUT_TYPE_START_TO_CLOSE)}},
		{"timed out 1.999", &runpb.Activity{Attempt: 1, StartedTime: 10 * second, HeartbeatTime: 13 * second, Heartbeat: 4 * second}, &runpb.Activity{Attempt: 2, ScheduledTime: 16 * second, LastFailure: timedOut(enumspb.TIMEOUT_TYPE_HEARTBEAT)}},
	} {
		x.before.Retry, x.now.Retry = retry, retry
		before, _ := marshal(x.before)
		now, _ := marshal(x.now)
		b := (&Run{}).retriesAsAsked(before, now)
		if x.want == "" && b != nil {
			t.Error(b)
		} else if x.want != "" {
			broke(t, b, RetriesAsAsked, x.want)
		}
	}
}

// invented is a run with a given first event, in the ledger.
func invented(l *Ledger, id string, a *historypb.WorkflowExecutionStartedEventAttributes, more ...*historypb.HistoryEvent) *Run {
	a.WorkflowId, a.OriginalExecutionRunId = forgedWork, id
	first := event(1, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED, 0)
	first.Attributes = &historypb.HistoryEvent_WorkflowExecutionStartedEventAttributes{WorkflowExecutionStartedEventAttributes: a}
	r := l.run(id)
	r.Row, r.workflow = &runpb.Run{NamespaceId: "ns", FirstRunId: a.FirstExecutionRunId}, forgedWork
	r.Events = append([]*historypb.HistoryEvent{first}, more...)
	for _, e := range more {
		r.order.closed = r.order.closed || closes(e.EventType)
	}
	return r
}

func TestChainIDs(t *testing.T) {
	end := event(2, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED, time.Second)
	end.Attributes = &historypb.HistoryEvent_WorkflowExecutionFailedEventAttributes{WorkflowExecutionFailedEventAttributes: &historypb.WorkflowExecutionFailedEventAttributes{NewExecutionRunId: "two"}}
	retry := &commonpb.RetryPolicy{InitialInterval: durationpb.New(time.Second), BackoffCoefficient: 2, MaximumAttempts: 2}
	parent := &commonpb.WorkflowExecution{WorkflowId: "parent", RunId: "run"}
	for _, x := range []struct {
		want string
		edit func(*historypb.WorkflowExecutionStartedEventAttributes)
	}{
		{"", func(*historypb.WorkflowExecutionStartedEventAttributes) {}},
		{"not closed", func(a *historypb.WorkflowExecutionStartedEventAttributes) { a.ContinuedExecutionRunId = "zero" }},
		{"begins with one", func(a *historypb.WorkflowExecutionStartedEventAttributes) { a.FirstExecutionRunId = "two" }},
		{"as the first", func(a *historypb.WorkflowExecutionStartedEventAttributes) { a.ContinuedExecutionRunId = "" }},
		{"the parent of the chain", func(a *historypb.WorkflowExecutionStartedEventAttributes) { a.ParentWorkflowExecution = nil }},
		{"the root of the chain", func(a *historypb.WorkflowExecutionStartedEventAttributes) { a.RootWorkflowExecution = parent }},
		{"the chain ends at", func(a *historypb.WorkflowExecutionStartedEventAttributes) {
			a.WorkflowExecutionExpirationTime = stamp(begun)
		}},
		{"attempt 3 follows attempt 1", func(a *historypb.WorkflowExecutionStartedEventAttributes) { a.Attempt = 3 }},
		{"the policy wants", func(a *historypb.WorkflowExecutionStartedEventAttributes) {
			a.FirstWorkflowTaskBackoff = durationpb.New(time.Second / 2)
		}},
	} {
		l := newForge(t).ledger
		invented(l, "one", &historypb.WorkflowExecutionStartedEventAttributes{FirstExecutionRunId: "one", Attempt: 1, RetryPolicy: retry, ParentWorkflowExecution: parent}, end)
		a := &historypb.WorkflowExecutionStartedEventAttributes{
			FirstExecutionRunId: "one", ContinuedExecutionRunId: "one", Attempt: 2, Initiator: enumspb.CONTINUE_AS_NEW_INITIATOR_RETRY,
			FirstWorkflowTaskBackoff: durationpb.New(time.Second), ParentWorkflowExecution: parent,
		}
		x.edit(a)
		b := l.chained(invented(l, "two", a))
		if x.want == "" && b != nil {
			t.Error(b)
		} else if x.want != "" {
			broke(t, b, ChainIDs, x.want)
		}
	}
	l := newForge(t).ledger
	first := func(id string, more ...*historypb.HistoryEvent) *Run {
		return invented(l, id, &historypb.WorkflowExecutionStartedEventAttributes{FirstExecutionRunId: id}, more...)
	}
	if b := l.chained(first("one")); b != nil {
		t.Error(b)
	}
	broke(t, l.chained(first("two")), ChainIDs, "run one of workflow wf-1 is open too")
	broke(t, l.followed(first("three", &historypb.HistoryEvent{EventType: end.EventType, Attributes: &historypb.HistoryEvent_WorkflowExecutionFailedEventAttributes{
		WorkflowExecutionFailedEventAttributes: &historypb.WorkflowExecutionFailedEventAttributes{NewExecutionRunId: "four"}}})), ChainIDs, "not durable")
}

func TestOutcomeAfterDurable(t *testing.T) {
	to := &commonpb.WorkflowExecution{WorkflowId: forgedWork}
	// told: a workflow that sent something records what became of it.
	told := func(f *forge, sent, outcome *historypb.HistoryEvent) *forge {
		sender := invented(f.ledger, "sender", &historypb.WorkflowExecutionStartedEventAttributes{FirstExecutionRunId: "sender"}, sent)
		f.ledger.arrives(sender, outcome)
		f.ledger.judgeArrivals()
		return f
	}
	asks := event(2, enumspb.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED, 0)
	asks.Attributes = &historypb.HistoryEvent_SignalExternalWorkflowExecutionInitiatedEventAttributes{SignalExternalWorkflowExecutionInitiatedEventAttributes: &historypb.SignalExternalWorkflowExecutionInitiatedEventAttributes{
		WorkflowExecution: to, Input: program.Payloads("signal-1")}}
	done := event(3, enumspb.EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_SIGNALED, 0)
	done.Attributes = &historypb.HistoryEvent_ExternalWorkflowExecutionSignaledEventAttributes{ExternalWorkflowExecutionSignaledEventAttributes: &historypb.ExternalWorkflowExecutionSignaledEventAttributes{InitiatedEventId: 2, WorkflowExecution: to}}
	told(newForge(t).start().signal("signal-2"), asks, done).broke(OutcomeAfterDurable, "signal signal-1 of workflow wf-1 is not durable")
	there := newForge(t).start().signal("signal-1")
	told(there, asks, done).clean()
	waits, _ := marshal(there.ledger.Run(forgedRun).event(3))
	buffers := newForge(t).start()
	buffers.ledger.Run(forgedRun).Pending["b1"] = waits
	told(buffers, asks, done).clean()

	asks = event(2, enumspb.EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED, 0)
	asks.Attributes = &historypb.HistoryEvent_RequestCancelExternalWorkflowExecutionInitiatedEventAttributes{RequestCancelExternalWorkflowExecutionInitiatedEventAttributes: &historypb.RequestCancelExternalWorkflowExecutionInitiatedEventAttributes{WorkflowExecution: to}}
	done = event(3, enumspb.EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED, 0)
	done.Attributes = &historypb.HistoryEvent_ExternalWorkflowExecutionCancelRequestedEventAttributes{ExternalWorkflowExecutionCancelRequestedEventAttributes: &historypb.ExternalWorkflowExecutionCancelRequestedEventAttributes{InitiatedEventId: 2, WorkflowExecution: to}}
	told(newForge(t).start(), asks, done).broke(OutcomeAfterDurable, "no cancel request of workflow wf-1")
	there = newForge(t).start()
	receiver := there.ledger.Run(forgedRun)
	receiver.Events = append(receiver.Events, event(3, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED, 0))
	told(there, asks, done).clean()
}

func TestParentChildAgree(t *testing.T) {
	l := newForge(t).ledger
	initiated := event(5, enumspb.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED, 0)
	initiated.Attributes = &historypb.HistoryEvent_StartChildWorkflowExecutionInitiatedEventAttributes{StartChildWorkflowExecutionInitiatedEventAttributes: &historypb.StartChildWorkflowExecutionInitiatedEventAttributes{
		WorkflowId: "child", ParentClosePolicy: enumspb.PARENT_CLOSE_POLICY_TERMINATE}}
	parent := invented(l, "parent", &historypb.WorkflowExecutionStartedEventAttributes{FirstExecutionRunId: "parent"}, initiated)
	parent.order.open, parent.order.starts = map[int64]opens{5: opensChild}, map[int64]int64{5: 6}
	broke(t, l.leaves(parent), ParentChildAgree, "owes nothing to child")
	policy, _ := marshal(&runpb.ParentClose{NamespaceId: "ns", WorkflowId: forgedWork, RunId: "child", Policy: int32(enumspb.PARENT_CLOSE_POLICY_TERMINATE)})
	parent.Pending[pendingKey(pendingClose, 5)] = policy
	if b := l.leaves(parent); b != nil {
		t.Error(b)
	}

	started := event(6, enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED, 0)
	started.Attributes = &historypb.HistoryEvent_ChildWorkflowExecutionStartedEventAttributes{ChildWorkflowExecutionStartedEventAttributes: &historypb.ChildWorkflowExecutionStartedEventAttributes{
		InitiatedEventId: 5, WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: forgedWork, RunId: "child"}}}
	broke(t, l.agrees(parent, started), ParentChildAgree, "is not durable")
	of := &commonpb.WorkflowExecution{WorkflowId: "wf", RunId: "parent"}
	child := invented(l, "child", &historypb.WorkflowExecutionStartedEventAttributes{FirstExecutionRunId: "child", ParentWorkflowExecution: of, ParentInitiatedEventId: 4})
	broke(t, l.agrees(parent, started), ParentChildAgree, "says that its parent is wf/parent, event 4")
	child.event(1).GetWorkflowExecutionStartedEventAttributes().ParentInitiatedEventId = 5
	if b := l.agrees(parent, started); b != nil {
		t.Error(b)
	}

	begins := event(2, enumspb.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED, 0)
	child.event(1).GetWorkflowExecutionStartedEventAttributes().ParentWorkflowExecution.RunId = "parent"
	if b := l.waitsForParent(child, begins); b != nil {
		t.Error(b)
	}
	delete(parent.order.starts, 5)
	broke(t, l.waitsForParent(child, begins), ParentChildAgree, "before its parent parent has recorded")
	startedNow, _ := marshal(started)
	parent.Pending["b1"] = startedNow
	if b := l.waitsForParent(child, begins); b != nil {
		t.Error(b)
	}
	parent.order.starts[5] = 6

	done := event(7, enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED, 0)
	done.Attributes = &historypb.HistoryEvent_ChildWorkflowExecutionCompletedEventAttributes{ChildWorkflowExecutionCompletedEventAttributes: &historypb.ChildWorkflowExecutionCompletedEventAttributes{
		InitiatedEventId: 5, StartedEventId: 6, WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: forgedWork, RunId: "child"}}}
	broke(t, l.agrees(parent, done), ParentChildAgree, "is not closed")
	l.open["ns/"+forgedWork] = child
	broke(t, l.quit(parent, policy), ParentChildAgree, "quit of terminating it")
	child.order.closed = true
	broke(t, l.agrees(parent, done), ParentChildAgree, "ended as")
	if b := l.quit(parent, policy); b != nil {
		t.Error(b)
	}
}

func TestLinearizable(t *testing.T) {
	f := newForge(t)
	start := &workflowservice.StartWorkflowExecutionRequest{WorkflowId: forgedWork}
	where := &commonpb.WorkflowExecution{WorkflowId: forgedWork}
	describe, terminate := &workflowservice.DescribeWorkflowExecutionRequest{Execution: where}, &workflowservice.TerminateWorkflowExecutionRequest{WorkflowExecution: where}
	before, missing := f.ledger.Before(start), port.Missing("no")
	refusal := port.AlreadyStarted("it runs", "request", forgedRun, forgedRun)
	broke(t, f.ledger.Linear(before, start, nil, refusal), Linearizable, "for the sake of run "+forgedRun)
	f.start()
	for _, b := range []*Breach{f.ledger.Linear(before, start, nil, refusal), f.ledger.Linear(before, describe, nil, missing), f.ledger.Linear(before, terminate, nil, missing)} {
		if b != nil {
			t.Error(b)
		}
	}
	open := f.ledger.Before(describe)
	broke(t, f.ledger.Linear(open, describe, nil, missing), Linearizable, "not found")
	broke(t, f.ledger.Linear(open, terminate, nil, missing), Linearizable, "not found, or closed")
	described := func(run string, status enumspb.WorkflowExecutionStatus) *workflowservice.DescribeWorkflowExecutionResponse {
		return &workflowservice.DescribeWorkflowExecutionResponse{WorkflowExecutionInfo: &workflowpb.WorkflowExecutionInfo{Execution: &commonpb.WorkflowExecution{RunId: run}, Status: status}}
	}
	closed := described(forgedRun, enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED)
	broke(t, f.ledger.Linear(open, describe, closed, nil), Linearizable, "a run that is Terminated")
	broke(t, f.ledger.Linear(open, describe, described("another", enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING), nil), Linearizable, "another")
	f.terminate()
	if b := f.ledger.Linear(open, describe, closed, nil); b != nil {
		t.Error(b)
	}
	after := f.ledger.Before(start)
	broke(t, f.ledger.Linear(after, start, &workflowservice.StartWorkflowExecutionResponse{RunId: forgedRun}, nil), Linearizable, "answered with the open run")
}
