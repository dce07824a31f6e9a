package run

import (
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	sdkpb "go.temporal.io/api/sdk/v1"

	"perdure/core/history"
	"perdure/core/port"
	"perdure/core/run/runpb"
)

// What a run owes to other runs. It is a function of the pending rows; only the
// time of the last try is soft. A message is repeated until its outcome is recorded.

type oweKind uint8

const (
	oweChild   oweKind = iota + 1 // start a child
	oweConfirm                    // tell a child that its start was recorded
	oweSignal
	oweCancel
	oweClose  // carry out a parent close policy
	oweParent // tell the parent how this run ended
	oweAsk    // ask the parent whether it recorded the start of this run
)

// resend is how long an outcome may take before the message goes out again.
const resend = 5 * time.Second

// MessageAge is how old a copy of a message may be when it is handled: much
// longer than a resend, much shorter than any retention.
const MessageAge = 10 * time.Minute

type owed struct {
	kind     oweKind
	id       int64
	at       int64 // next try, Unix ns
	repeated bool  // it may have been sent before
}

func (r *Run) owe(k oweKind, id int64) { r.oweAt(k, id, 0) }

func (r *Run) oweAt(k oweKind, id, at int64) {
	r.owed = append(r.owed, owed{kind: k, id: id, at: at})
	r.watch(watchOwed, 0)
}

func (r *Run) paid(k oweKind, id int64) {
	for i, o := range r.owed {
		if o.kind == k && o.id == id {
			r.owed = append(r.owed[:i], r.owed[i+1:]...)
			return
		}
	}
}

// rebuildOwed derives the list from the state. What was sent keeps the time of its
// next try; a run that was just loaded does not know and sends at once.
func (r *Run) rebuildOwed() {
	sent := make(map[owed]int64, len(r.owed))
	for _, o := range r.owed {
		sent[owed{kind: o.kind, id: o.id}] = o.at
	}
	r.listOwed()
	for i, o := range r.owed {
		r.owed[i].at = sent[owed{kind: o.kind, id: o.id}]
	}
}

func (r *Run) listOwed() {
	r.owed = nil
	for _, id := range r.children.ids() {
		c, _ := r.children.get(id)
		if c.StartedId == 0 && !c.Resolved {
			r.owe(oweChild, id)
		}
		if c.ConfirmOwed {
			r.owe(oweConfirm, id)
		}
	}
	for _, id := range r.signals.ids() {
		r.owe(oweSignal, id)
	}
	for _, id := range r.cancels.ids() {
		r.owe(oweCancel, id)
	}
	for _, id := range r.closes.ids() {
		r.owe(oweClose, id)
	}
	if r.owesParent() {
		r.owe(oweParent, 0)
	}
	if r.S.StartUnconfirmed {
		r.owe(oweAsk, 0)
	}
	for i := range r.owed {
		r.owed[i].repeated = true // nobody knows any more
	}
}

func (r *Run) owesParent() bool {
	return r.Closed() && r.S.ParentWorkflowId != "" && r.S.NewRunId == "" && !r.S.ParentTold
}

// Owes reports whether the run must be kept for the sake of others.
func (r *Run) Owes() bool { return len(r.owed) > 0 }

// nextOwed is when the next message must go out; 0: none.
func (r *Run) nextOwed() (at int64, any bool) {
	for i, o := range r.owed {
		if i == 0 || o.at < at {
			at, any = o.at, true
		}
	}
	return at, any
}

// Bodies of messages.
type (
	// StartChildBody asks the receiver to start a run.
	StartChildBody struct {
		Initiated                          *historypb.StartChildWorkflowExecutionInitiatedEventAttributes
		InitiatedID                        int64
		RunID, RequestID                   string
		Parent, Root                       *commonpb.WorkflowExecution
		ParentNamespaceID, ParentNamespace string
		Priority                           *commonpb.Priority
		UserMetadata                       *sdkpb.UserMetadata
	}
	// SignalBody is a signal of another run; without Signal it asks which run would get it.
	SignalBody struct {
		Signal    *Signal
		ChildOnly bool
	}
	// CancelBody is a cancel request of another run; without Cancel it asks which run would get it.
	CancelBody struct {
		Cancel    *Cancel
		ChildOnly bool
	}
	// ParentClosedBody carries out a parent close policy.
	ParentClosedBody struct {
		Policy     enumspb.ParentClosePolicy
		FirstRunID string
		Parent     *commonpb.WorkflowExecution
	}
	// ChildStartedBody says that the parent recorded the start.
	ChildStartedBody struct{}
	// ChildWaitsBody asks the parent whether it recorded the start of the run.
	ChildWaitsBody struct{ FirstRunID string }
	// ChildClosedBody is how a child ended.
	ChildClosedBody struct {
		FirstRunID string
		Execution  *commonpb.WorkflowExecution
		Type       string
		Status     enumspb.WorkflowExecutionStatus
		Close      *historypb.HistoryEvent
	}
)

// Result is the body of an outcome.
type Result struct {
	Cause    int32  // of the failure, in the enum that fits the message; 0: done
	Of       string // the run id that the message named
	RunID    string // to StartChild: the run; to who asks for one: the run to send to
	Moved    bool   // the run that was named is closed and never got it
	NotFound bool   // to ChildWaits: the parent never started it, or is through with it
}

// Owed gives the messages that are due and notes their next try. lastBatch gives
// the batch of the close event, if it is in memory.
func (r *Run) Owed(env *Env, lastBatch func() (history.Batch, bool)) []*port.Message {
	var out []*port.Message
	for i := range r.owed {
		o := &r.owed[i]
		if o.at > env.Now {
			continue
		}
		if m := r.message(env, o, lastBatch); m != nil {
			m.Repeated = o.repeated
			o.at, o.repeated = env.Now+resend.Nanoseconds(), true
			out = append(out, m)
		}
	}
	return out
}

func (r *Run) message(env *Env, o *owed, lastBatch func() (history.Batch, bool)) *port.Message {
	m := &port.Message{From: r.Key(), ID: o.id}
	switch o.kind {
	case oweChild:
		c, _ := r.children.get(o.id)
		m.Kind, m.To = port.StartChild, port.RunKey{NamespaceID: c.NamespaceId, WorkflowID: c.WorkflowId}
		m.Body = r.startChildBody(c)
	case oweConfirm:
		c, _ := r.children.get(o.id)
		m.Kind, m.To, m.Body = port.ChildStarted, port.RunKey{NamespaceID: c.NamespaceId, WorkflowID: c.WorkflowId, RunID: c.RunId}, &ChildStartedBody{}
	case oweSignal:
		x, _ := r.signals.get(o.id)
		m.Kind = port.SignalExternal
		r.signalMessage(m, x)
	case oweCancel:
		x, _ := r.cancels.get(o.id)
		m.Kind = port.CancelExternal
		r.cancelMessage(m, x)
	case oweClose:
		c, _ := r.closes.get(o.id)
		m.Kind, m.To = port.ParentClosed, port.RunKey{NamespaceID: c.NamespaceId, WorkflowID: c.WorkflowId}
		m.Body = &ParentClosedBody{Policy: enumspb.ParentClosePolicy(c.Policy), FirstRunID: c.RunId, Parent: r.Execution()}
	case oweParent:
		return r.closedMessage(m, lastBatch)
	case oweAsk:
		m.Kind, m.ID, m.To, m.Body = port.ChildWaits, r.S.ParentInitiatedId, r.parentKey(), &ChildWaitsBody{FirstRunID: r.S.FirstRunId}
	}
	return m
}

func (r *Run) startChildBody(c *runpb.Child) *StartChildBody {
	root := &commonpb.WorkflowExecution{WorkflowId: r.S.RootWorkflowId, RunId: r.S.RootRunId}
	if r.S.RootWorkflowId == "" {
		root = r.Execution()
	}
	body := &StartChildBody{
		Initiated: decode(c.Initiated, &historypb.StartChildWorkflowExecutionInitiatedEventAttributes{}), InitiatedID: c.InitiatedId,
		RunID: c.RunId, RequestID: "child-" + c.RunId, Parent: r.Execution(), Root: root,
		ParentNamespaceID: r.S.NamespaceId, ParentNamespace: c.Namespace, Priority: r.priority(),
	}
	if len(c.UserMetadata) > 0 {
		body.UserMetadata = decode(c.UserMetadata, &sdkpb.UserMetadata{})
	}
	return body
}

func (r *Run) signalMessage(m *port.Message, x *runpb.External) {
	i := decode(x.Initiated, &historypb.SignalExternalWorkflowExecutionInitiatedEventAttributes{})
	m.To = port.RunKey{NamespaceID: x.NamespaceId, WorkflowID: i.WorkflowExecution.GetWorkflowId(), RunID: x.RunId}
	b := &SignalBody{ChildOnly: i.ChildWorkflowOnly}
	if m.Key, m.Body = x.RequestId, b; x.RunId != "" {
		b.Signal = &Signal{Name: i.SignalName, Input: i.Input, Header: i.Header, Identity: serverIdentity, RequestID: x.RequestId, Key: x.RequestId, External: r.Execution()}
	}
}

func (r *Run) cancelMessage(m *port.Message, x *runpb.External) {
	i := decode(x.Initiated, &historypb.RequestCancelExternalWorkflowExecutionInitiatedEventAttributes{})
	m.To = port.RunKey{NamespaceID: x.NamespaceId, WorkflowID: i.WorkflowExecution.GetWorkflowId(), RunID: x.RunId}
	b := &CancelBody{ChildOnly: i.ChildWorkflowOnly}
	if m.Key, m.Body = x.RequestId, b; x.RunId != "" {
		b.Cancel = &Cancel{Reason: i.Reason, Identity: serverIdentity, RequestID: x.RequestId, External: r.Execution(), InitiatedID: x.InitiatedId}
	}
}

func (r *Run) closedMessage(m *port.Message, lastBatch func() (history.Batch, bool)) *port.Message {
	b, ok := lastBatch()
	if !ok {
		return nil // the shard loads it and asks again
	}
	e, err := b.Event(b.Last)
	if err != nil {
		panic("run: the close event cannot be decoded: " + err.Error())
	}
	m.Kind, m.ID = port.ChildClosed, r.S.ParentInitiatedId
	m.To = r.parentKey()
	m.Body = &ChildClosedBody{FirstRunID: r.S.FirstRunId, Execution: r.Execution(), Type: r.S.WorkflowType, Status: r.Status(), Close: e}
	return m
}

func (r *Run) parentKey() port.RunKey {
	return port.RunKey{NamespaceID: r.S.ParentNamespaceId, WorkflowID: r.S.ParentWorkflowId, RunID: r.S.ParentRunId}
}

func execution(id, run string) *commonpb.WorkflowExecution {
	return &commonpb.WorkflowExecution{WorkflowId: id, RunId: run}
}
