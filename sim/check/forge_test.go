package check

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"perdure/core/history"
	"perdure/core/journal"
	"perdure/core/port"
	"perdure/core/run"
	"perdure/core/run/runpb"
	"perdure/core/store"
	"perdure/core/store/memory"
	"perdure/core/validate"
	"perdure/sim/program"
)

// The tests of the checkers take a true run of the core, tell it to a ledger and
// then lie about it: each promise must be seen to break.

const (
	forgedRun  = "01985b6e-7c9f-7aaa-8d83-5a02c2b6ba55"
	forgedWork = "wf-1"
)

var begun = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// forge is one run, and the ledger that hears of it.
type forge struct {
	t      *testing.T
	ledger *Ledger
	store  *memory.Store
	found  []*Breach
	seq    store.Seq
	now    time.Time
	limits validate.Limits
	run    *run.Run
	first  *run.Changes
	lie    func(rows []store.Row) []store.Row // about the next record
}

func newForge(t *testing.T) *forge {
	f := &forge{t: t, store: memory.New(), now: begun, limits: validate.Defaults()}
	f.ledger = NewLedger(func() time.Duration { return f.now.Sub(begun) }, func(b *Breach) { f.found = append(f.found, b) })
	f.ledger.Tables(f.store)
	f.ledger.Retention = time.Hour
	return f
}

func (f *forge) env() *run.Env {
	id := 0
	newID := func() string { id++; return fmt.Sprintf("01985b6e-7c9f-7aaa-8d83-%012d", id) }
	return &run.Env{
		Now: f.now.UnixNano(), NewRunID: newID, NewID: newID, Rand: func() uint64 { return 7 }, Limits: &f.limits,
		Namespace: &port.Namespace{ID: "ns", Name: "ns", Retention: time.Hour},
		Lookup:    func(string) *port.Namespace { return nil }, Movable: func(int64) bool { return true },
	}
}

// start begins the run and records it.
func (f *forge) start() *forge { return f.startAs(func(*run.Spec) {}) }

func (f *forge) startAs(edit func(*run.Spec)) *forge {
	spec := run.Spec{
		WorkflowID: forgedWork, RunID: forgedRun, RequestID: "request",
		Started: &historypb.WorkflowExecutionStartedEventAttributes{
			WorkflowType: &commonpb.WorkflowType{Name: "program"}, TaskQueue: &taskqueuepb.TaskQueue{Name: "queue"}, Input: program.Payloads(program.Input{ID: "start-1"}),
		},
	}
	edit(&spec)
	f.run, f.first = run.New(f.env(), spec)
	f.record(f.first)
	return f
}

// signal signals it.
func (f *forge) signal(payload string) *forge {
	c, refused := f.run.Signal(f.env(), &run.Signal{Name: "s", Input: program.Payloads(payload), RequestID: payload, Key: payload})
	if refused != nil {
		f.t.Fatal(refused)
	}
	f.record(c)
	return f
}

// terminate ends it.
func (f *forge) terminate() *forge {
	c, refused := f.run.Terminate(f.env(), "reason", nil, "identity", nil)
	if refused != nil {
		f.t.Fatal(refused)
	}
	f.record(c)
	return f
}

// record tells the ledger what a transition changed, or a lie about it.
func (f *forge) record(c *run.Changes) {
	rows := f.rows(c)
	if f.lie != nil {
		rows, f.lie = f.lie(rows), nil
	}
	f.append(journal.Record{Time: f.now, Rows: rows})
}

func (f *forge) append(r journal.Record) {
	f.seq++
	f.ledger.Appended(store.Fence{Shard: 1, Epoch: 1, Nonce: 1}, f.seq, journal.EncodeRecord(r))
}

func row(t store.Table, partition, key string, value []byte) store.Row {
	return store.Row{Key: store.Key{Table: t, Partition: partition, Key: key}, Value: value}
}

func (f *forge) rows(c *run.Changes) (rows []store.Row) {
	rows = append(rows, row(store.Executions, "strip", "r"+forgedRun, c.Row))
	for _, p := range c.Pending {
		rows = append(rows, row(store.Pending, forgedRun, p.Key, p.Value))
	}
	for _, b := range c.Batches {
		rows = append(rows, store.Row{Key: history.Key(forgedRun, b.First), Value: history.EncodeRow(b)})
	}
	if c.DueGone != 0 {
		rows = append(rows, row(store.Due, "strip", deadlineKey(c.DueGone), nil))
	}
	if c.Due != 0 {
		rows = append(rows, row(store.Due, "strip", deadlineKey(c.Due), dueValue(nil)))
	}
	for i := range c.Dropped {
		rows = append(rows, row(store.Due, "strip", dispatchKey(&c.Dropped[i]), nil))
	}
	for i := range c.Added {
		rows = append(rows, row(store.Due, "strip", dispatchKey(&c.Added[i]), dueValue(&c.Added[i])))
	}
	return rows
}

func deadlineKey(at int64) string {
	return "d" + string(binary.BigEndian.AppendUint64(nil, uint64(at))) + forgedRun
}

func dispatchKey(d *run.Dispatch) string { return fmt.Sprintf("q%d-%d", d.Kind, d.Stamp) }

// dueValue is a row in due as core/shard writes it (DecodeDue).
func dueValue(d *run.Dispatch) []byte {
	b := protowire.AppendString(protowire.AppendTag(nil, 3, protowire.BytesType), forgedWork)
	b = protowire.AppendString(protowire.AppendTag(b, 4, protowire.BytesType), forgedRun)
	if d == nil {
		return b
	}
	for i, v := range []uint64{uint64(d.Kind), uint64(d.ID), uint64(d.Attempt), d.Stamp} {
		b = protowire.AppendVarint(protowire.AppendTag(b, protowire.Number(5+i), protowire.VarintType), v)
	}
	return protowire.AppendString(protowire.AppendTag(b, 9, protowire.BytesType), d.Queue.Name)
}

// change lies about the run row.
func change(edit func(*runpb.Run)) func([]store.Row) []store.Row {
	return func(rows []store.Row) []store.Row {
		s := &runpb.Run{}
		if err := proto.Unmarshal(rows[0].Value, s); err != nil {
			panic(err)
		}
		edit(s)
		rows[0].Value, _ = proto.Marshal(s)
		return rows
	}
}

// without leaves out the rows of a table.
func without(t store.Table) func([]store.Row) []store.Row {
	return func(rows []store.Row) (kept []store.Row) {
		for _, r := range rows {
			if r.Key.Table != t {
				kept = append(kept, r)
			}
		}
		return kept
	}
}

// clean demands that nothing was found so far.
func (f *forge) clean() *forge {
	f.t.Helper()
	if len(f.found) > 0 {
		f.t.Fatalf("a true story was called a breach: %v", f.found[0])
	}
	return f
}

// broke demands a breach of a promise whose text says something.
func broke(t *testing.T, b *Breach, p Promise, text string) {
	t.Helper()
	switch {
	case b == nil:
		t.Errorf("%s: the lie was not seen", p)
	case b.Promise != p || !strings.Contains(b.Text, text):
		t.Errorf("the lie was taken for %v, want %s: ... %s ...", b, p, text)
	}
}

func (f *forge) broke(p Promise, text string) {
	f.t.Helper()
	if len(f.found) == 0 {
		broke(f.t, nil, p, text)
		return
	}
	broke(f.t, f.found[0], p, text)
}

// event makes an event of an invented history.
func event(id int64, kind enumspb.EventType, at time.Duration) *historypb.HistoryEvent {
	return &historypb.HistoryEvent{EventId: id, TaskId: id, EventType: kind, EventTime: stamp(begun.Add(at))}
}

type message = proto.Message

func marshal(m proto.Message) ([]byte, error) { return proto.Marshal(m) }

func signalOf(payload, request string) *run.Signal {
	return &run.Signal{Name: "s", Input: program.Payloads(payload), RequestID: request, Key: request}
}
