package run

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"

	"perdure/core/history"
	"perdure/core/port"
	"perdure/core/validate"
)

// A world is what stands around runs in tests: time, ids, and for each run what a
// shard would keep of it: its rows, the tasks that wait, its row in due. After
// every transition it checks what must always hold (check_test.go, fold_test.go).

// epoch is when every test begins, in ns.
const epoch = 1_788_998_400_000_000_000 // 2026-09-10T00:00:00Z, a Thursday

type world struct {
	now     int64
	rand    uint64
	ids     int
	limits  validate.Limits
	ns      *port.Namespace
	flushed bool // rows in due are in the tables: moving one is not free
	runs    []*kept
}

// kept is one run and everything of it that would be stored.
type kept struct {
	run     *Run
	row     []byte
	rows    map[string][]byte
	written map[string]bool // keys that ever had a row
	batches []history.Batch
	waiting map[Dispatch]bool
	due     int64 // time of its row in due
}

func newWorld() *world {
	return &world{
		now: epoch, limits: validate.Defaults(),
		ns: &port.Namespace{ID: "ns-id", Name: "ns", Retention: 24 * time.Hour, SearchAttributes: map[string]enumspb.IndexedValueType{
			"Word": enumspb.INDEXED_VALUE_TYPE_KEYWORD, "Number": enumspb.INDEXED_VALUE_TYPE_INT,
		}},
	}
}

func (w *world) env() *Env {
	return &Env{
		Now: w.now, Rand: w.draw, Namespace: w.ns, Limits: &w.limits,
		NewRunID: func() string { return w.id("run") }, NewID: func() string { return w.id("id") },
		Lookup: func(name string) *port.Namespace {
			if name == "other" {
				return &port.Namespace{ID: "other-id", Name: "other"}
			}
			return nil
		},
		Movable: func(int64) bool { return !w.flushed },
	}
}

// draw is a generator whose numbers a story can be sure of.
func (w *world) draw() uint64 {
	w.rand += 0x9e3779b97f4a7c15
	z := w.rand
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

func (w *world) id(kind string) string {
	w.ids++
	return fmt.Sprintf("%s-%d", kind, w.ids)
}

// adopt takes in a run that was just made.
func (w *world) adopt(r *Run, c *Changes) (*kept, error) {
	k := &kept{run: r, rows: map[string][]byte{}, written: map[string]bool{}, waiting: map[Dispatch]bool{}}
	w.runs = append(w.runs, k)
	if !c.First {
		return k, fmt.Errorf("the first transition of a run does not say so")
	}
	return k, w.apply(k, c)
}

// apply stores the changes as a shard does and checks everything.
func (w *world) apply(k *kept, c *Changes) error {
	if c == nil {
		return nil
	}
	if err := k.store(c); err != nil {
		return err
	}
	if c.Next != nil {
		if _, err := w.adopt(c.Next, c.NextRun); err != nil {
			return fmt.Errorf("successor: %w", err)
		}
	}
	return w.check(k)
}

func (k *kept) store(c *Changes) error {
	if c.Row == nil {
		return fmt.Errorf("changes without a run row")
	}
	k.row = c.Row
	for _, p := range c.Pending {
		if p.Fresh && k.written[p.Key] {
			return fmt.Errorf("row %s is called fresh but was written before", keyName(p.Key))
		}
		if p.Value == nil {
			delete(k.rows, p.Key)
			continue
		}
		k.rows[p.Key], k.written[p.Key] = p.Value, true
	}
	k.batches = append(k.batches, c.Batches...)
	for _, d := range c.Dropped {
		if !k.waiting[d] {
			return fmt.Errorf("dropped task %+v does not wait", d)
		}
		delete(k.waiting, d)
	}
	for _, d := range c.Added {
		if k.waiting[d] {
			return fmt.Errorf("added task %+v waits already", d)
		}
		k.waiting[d] = true
	}
	if c.DueGone != 0 && c.DueGone != k.due {
		return fmt.Errorf("due row %d is to be deleted, there is %d", c.DueGone, k.due)
	}
	if c.DueGone != 0 || c.Due != 0 {
		if c.DueGone == 0 && k.due != 0 {
			return fmt.Errorf("due row %d is put beside %d", c.Due, k.due)
		}
		k.due = c.Due
	}
	return nil
}

// pending lists the rows as a scan of the store gives them: by key.
func (k *kept) pending() []Row {
	var rows []Row
	for _, key := range slices.Sorted(maps.Keys(k.rows)) {
		rows = append(rows, Row{Key: key, Value: k.rows[key]})
	}
	return rows
}

// reload builds the run anew, from its rows alone.
func (k *kept) reload() (*Run, error) {
	r, err := NewFromRows(k.row, k.pending())
	if err != nil {
		return nil, err
	}
	return r, r.LoadStart(k.batches[0])
}

func (k *kept) lastBatch() (history.Batch, bool) { return k.batches[len(k.batches)-1], true }

// events decodes the whole history from its rows, coalesced as a flush would.
func (k *kept) events() ([]*historypb.HistoryEvent, []int64, error) {
	var row []byte
	for _, b := range k.batches {
		row = append(row, history.EncodeRow(b)...)
	}
	batches, err := history.DecodeRow(row)
	if err != nil {
		return nil, nil, err
	}
	var events []*historypb.HistoryEvent
	var ends []int64
	for i, b := range batches {
		if b.First != k.batches[i].First || b.Last != k.batches[i].Last || !bytes.Equal(b.Events, k.batches[i].Events) {
			return nil, nil, fmt.Errorf("batch %d..%d changed in its row", b.First, b.Last)
		}
		es, err := b.Decode()
		if err != nil {
			return nil, nil, err
		}
		one, err := b.Event(b.Last)
		if err != nil || one.EventId != b.Last {
			return nil, nil, fmt.Errorf("last event of batch %d..%d: %v, %v", b.First, b.Last, one.GetEventId(), err)
		}
		events, ends = append(events, es...), append(ends, b.Last)
	}
	return events, ends, nil
}

// keyName shows the key of a pending row: its kind and its id.
func keyName(key string) string {
	if len(key) == 9 && key[0] != rowRequest {
		var id int64
		for _, c := range []byte(key[1:]) {
			id = id<<8 | int64(c)
		}
		return fmt.Sprintf("%c%d", key[0], id)
	}
	return strings.ToValidUTF8(key, "?")
}
