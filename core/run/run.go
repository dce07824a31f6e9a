// Package run is one workflow execution: its state and every transition of it.
// A transition is a method that takes an Env, decides, and leaves its effects
// in Changes; nothing here knows of shards, stores or callers.
//
// Fault model: a transition happens in memory at once and becomes durable with
// the rows of its Changes, all or none. If it is lost, the run is loaded anew
// from its rows; soft state (queries, caches) is then gone.
package run

import (
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"google.golang.org/protobuf/proto"

	"perdure/core/history"
	"perdure/core/port"
	"perdure/core/run/runpb"
	"perdure/core/validate"
)

// Format is the newest row format this code reads and writes.
const Format = 1

// Env is what a transition is given from outside.
type Env struct {
	Now       int64         // Unix ns; never goes back for one run
	NewRunID  func() string // UUIDv7
	NewID     func() string // UUIDv4, for request ids
	Rand      func() uint64
	Namespace *port.Namespace
	Lookup    func(name string) *port.Namespace // nil if unknown
	Limits    *validate.Limits
	// Movable reports whether the run's row in due can be moved for free: it is in no table yet.
	Movable func(at int64) bool
}

// Run is one workflow execution in memory.
type Run struct {
	S *runpb.Run

	activities table[*runpb.Activity] // by scheduled event id
	inputs     table[*runpb.ActivityInput]
	activityID map[string]int64

	timers  table[*runpb.Timer] // by started event id
	timerID map[string]int64

	children table[*runpb.Child]       // by initiated event id
	signals  table[*runpb.External]    // by initiated event id
	cancels  table[*runpb.External]    // by initiated event id
	closes   table[*runpb.ParentClose] // by initiated event id; owed after the close
	requests map[string]*runpb.RequestID

	buffer   []*historypb.HistoryEvent // events that wait for the running workflow task
	buffered int64                     // number of the next buffer row
	size     int                       // bytes of the buffer

	memo       *commonpb.Memo             // upserted, whole; nil: as in the Started event
	attributes *commonpb.SearchAttributes // the same

	heavy     map[int64]int // bytes of activities that hold much (limits.go)
	heavySize int           // of all of them
	fields    int           // bytes of memo and attributes

	// Start is the first event, decoded when it was needed; the shard hands it
	// to LoadStart if the run was loaded without it.
	started    *historypb.WorkflowExecutionStartedEventAttributes
	startLinks []*commonpb.Link // of the same event

	latest *build // that completed a workflow task, if known

	owed      []owed
	deadlines deadlines
	stored    []byte // the run row as last encoded: what a thrown-away transition goes back to

	tx *tx
}

// NewFromRows builds a run from its row and its pending rows (key -> value).
func NewFromRows(row []byte, pending []Row) (*Run, error) {
	r := &Run{S: &runpb.Run{}}
	if err := proto.Unmarshal(row, r.S); err != nil {
		return nil, corrupt("run row", err)
	}
	if r.S.Format > Format {
		return nil, tooNew("run row", r.S.Format)
	}
	r.stored = row
	for _, p := range pending {
		if err := r.loadRow(p); err != nil {
			return nil, err
		}
	}
	if err := r.whole(); err != nil {
		return nil, err
	}
	r.rebuildDeadlines()
	r.weighAll()
	return r, nil
}

// Closed reports whether the run has ended.
func (r *Run) Closed() bool {
	return r.Status() != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING
}

// Status of the run.
func (r *Run) Status() enumspb.WorkflowExecutionStatus {
	return enumspb.WorkflowExecutionStatus(r.S.Status)
}

// Key names the run.
func (r *Run) Key() port.RunKey {
	return port.RunKey{NamespaceID: r.S.NamespaceId, WorkflowID: r.S.WorkflowId, RunID: r.S.RunId}
}

// LastEvent is the id of the last event in the history.
func (r *Run) LastEvent() int64 { return r.S.NextEventId - 1 }

// Execution names the run as the API does.
func (r *Run) Execution() *commonpb.WorkflowExecution {
	return &commonpb.WorkflowExecution{WorkflowId: r.S.WorkflowId, RunId: r.S.RunId}
}

// LoadStart gives the run its first event.
func (r *Run) LoadStart(b history.Batch) error {
	e, err := b.Event(1)
	if err != nil {
		return err
	}
	r.started, r.startLinks = e.GetWorkflowExecutionStartedEventAttributes(), e.Links
	return nil
}

// Size estimates the bytes the run holds in memory.
func (r *Run) Size() int {
	n := 1500 + len(r.stored)*2 + r.size
	n += (r.activities.len() + r.children.len() + r.signals.len() + r.cancels.len()) * 600
	n += (r.timers.len() + len(r.requests)) * 250
	for _, id := range r.inputs.order {
		if in, ok := r.inputs.get(id); ok {
			n += len(in.Input) + len(in.Header)
		}
	}
	if r.started != nil {
		n += int(r.S.StartEventSize) * 2
	}
	return n
}
