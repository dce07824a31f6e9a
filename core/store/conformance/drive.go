package conformance

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"perdure/core/store"
)

// tb is what *testing.T and *rapid.T share here.
type tb interface {
	Helper()
	Fatalf(format string, args ...any)
}

// drive calls the subject and fails the test where the answer is not the expected one.
type drive struct {
	t tb
	Subject
	nonce store.Nonce
}

// owner is one owner of one shard: its fence and its next numbers.
type owner struct {
	d      *drive
	fence  store.Fence
	last   store.Seq
	number uint64
}

func (d *drive) create(id store.ShardID) {
	d.t.Helper()
	d.expect(d.Store.Create(id, store.Strips{From: 0, To: 16}, 0), nil, "Create(%d)", id)
}

// own creates and opens a shard.
func (d *drive) own(id store.ShardID) *owner {
	d.t.Helper()
	d.create(id)
	o, _ := d.open(id, 0)
	return o
}

// open opens a shard with a nonce of its own.
func (d *drive) open(id store.ShardID, known store.Seq) (*owner, store.Opened) {
	d.t.Helper()
	d.nonce++
	ask := store.Open{Shard: id, Owner: address(d.nonce), Nonce: d.nonce, Known: known}
	opened, err := d.Store.Open(ask)
	d.expect(err, nil, "Open(%d)", id)
	d.wellFormed(opened, known)
	fence := store.Fence{Shard: id, Epoch: opened.Epoch, Nonce: d.nonce}
	return &owner{d: d, fence: fence, last: opened.Last}, opened
}

func address(n store.Nonce) string { return fmt.Sprintf("node-%d:7234", n) }

// wellFormed holds the records of an Open to their order: no gap, up to the last one.
func (d *drive) wellFormed(opened store.Opened, known store.Seq) {
	d.t.Helper()
	next := opened.Last + 1 - store.Seq(len(opened.Records))
	if len(opened.Records) > 0 && next <= known {
		d.t.Fatalf("Open returned record %d although records up to %d are known", next, known)
	}
	for _, e := range opened.Records {
		if e.Seq != next {
			d.t.Fatalf("Open returned record %d where %d was due (last %d)", e.Seq, next, opened.Last)
		}
		next++
	}
}

// record is the ask for the owner's next record.
func (o *owner) record(body []byte) store.Append {
	return store.Append{Fence: o.fence, Seq: o.last + 1, Record: body}
}

// append adds one record and wants it done.
func (o *owner) append(body string) {
	o.d.t.Helper()
	o.d.outcomes([]store.Append{o.record([]byte(body))}, store.Done)
	o.last++
}

func (o *owner) trim(upTo store.Seq) {
	o.d.t.Helper()
	o.d.outcomes([]store.Append{{Fence: o.fence, Trim: upTo}}, store.Done)
}

func (d *drive) outcomes(batch []store.Append, want ...store.Outcome) {
	d.t.Helper()
	if got := d.Store.Append(batch); !slices.Equal(got, want) {
		d.t.Fatalf("Append answered %v, want %v", got, want)
	}
}

// flush writes rows under the owner's next number.
func (o *owner) flush(rows ...store.Row) {
	o.d.t.Helper()
	o.flushAs(o.number+1, nil, rows)
}

func (o *owner) flushAs(number uint64, deleted []store.DeletedPartition, rows []store.Row) {
	o.d.t.Helper()
	o.number = number
	f := o.flushOf(number, deleted, rows)
	o.d.expect(o.d.Store.Flush(f), nil, "Flush number %d", number)
}

func (o *owner) flushOf(number uint64, deleted []store.DeletedPartition, rows []store.Row) store.Flush {
	slices.SortFunc(rows, func(a, b store.Row) int { return compareKeys(a.Key, b.Key) })
	return store.Flush{Fence: o.fence, Number: number, Rows: rows, Deleted: deleted}
}

func compareKeys(a, b store.Key) int {
	if a.Table != b.Table {
		return int(a.Table) - int(b.Table)
	}
	if c := strings.Compare(a.Partition, b.Partition); c != 0 {
		return c
	}
	return strings.Compare(a.Key, b.Key)
}

// put is a row of the owner's epoch.
func (o *owner) put(k store.Key, seq store.Seq, value string) store.Row {
	return store.Row{Key: k, Version: store.MakeVersion(o.fence.Epoch, seq), Value: []byte(value)}
}

// remove deletes a row.
func (o *owner) remove(k store.Key, seq store.Seq) store.Row {
	return store.Row{Key: k, Version: store.MakeVersion(o.fence.Epoch, seq)}
}

// clear deletes a partition.
func (o *owner) clear(p store.Partition, seq store.Seq) []store.DeletedPartition {
	return []store.DeletedPartition{{Partition: p, Version: store.MakeVersion(o.fence.Epoch, seq)}}
}

// get wants one value; nil means that the row must be missing.
func (d *drive) get(k store.Key, want []byte) {
	d.t.Helper()
	rows, err := d.Store.Get([]store.Key{k})
	d.expect(err, nil, "Get(%v)", k)
	if len(rows) != 1 || rows[0].Key != k {
		d.t.Fatalf("Get(%v) answered %d rows, want its own key once", k, len(rows))
	}
	d.sameValue(rows[0].Value, want, fmt.Sprintf("Get(%v)", k))
}

func (d *drive) has(k store.Key, value string) { d.t.Helper(); d.get(k, []byte(value)) }
func (d *drive) lacks(k store.Key)             { d.t.Helper(); d.get(k, nil) }

func (d *drive) sameValue(got, want []byte, what string) {
	d.t.Helper()
	if (got == nil) != (want == nil) || !bytes.Equal(got, want) {
		d.t.Fatalf("%s gave %s, want %s", what, brief(got), brief(want))
	}
}

func brief(b []byte) string {
	switch {
	case b == nil:
		return "no value"
	case len(b) > 40:
		return fmt.Sprintf("%d bytes from %q", len(b), b[:20])
	}
	return fmt.Sprintf("%q", b)
}

// scan wants the keys of one range, in order.
func (d *drive) scan(r store.Range, want ...string) {
	d.t.Helper()
	found, err := d.Store.Scan([]store.Range{r})
	d.expect(err, nil, "Scan(%v)", r)
	if len(found) != 1 {
		d.t.Fatalf("Scan of one range gave %d answers", len(found))
	}
	var keys []string
	for _, row := range found[0] {
		if row.Key.Table != r.Table || row.Key.Partition != r.Partition || row.Value == nil {
			d.t.Fatalf("Scan(%v) gave %v with %s", r, row.Key, brief(row.Value))
		}
		keys = append(keys, row.Key.Key)
	}
	if !slices.Equal(keys, want) {
		d.t.Fatalf("Scan(%v) gave keys %q, want %q", r, keys, want)
	}
}

// expect wants a certain error, found with errors.Is.
func (d *drive) expect(got, want error, format string, args ...any) {
	d.t.Helper()
	if want == nil && got != nil || !errors.Is(got, want) {
		d.t.Fatalf("%s: error is %v, want %v", fmt.Sprintf(format, args...), got, want)
	}
}

func (d *drive) crash() {
	d.t.Helper()
	s, err := d.Crash()
	d.expect(err, nil, "opening after a crash")
	d.Store = s
}

func (d *drive) restart() {
	d.t.Helper()
	s, err := d.Restart()
	d.expect(err, nil, "opening after a close")
	d.Store = s
}

// bodies wants the records of an Open to end with these, and to hold nothing
// newer; a store that trims late may show older ones before them.
func (d *drive) bodies(opened store.Opened, want ...string) {
	d.t.Helper()
	from := len(opened.Records) - len(want)
	if from < 0 {
		d.t.Fatalf("Open returned %d records, want at least %d", len(opened.Records), len(want))
	}
	for i, body := range want {
		d.sameValue(opened.Records[from+i].Record, []byte(body), fmt.Sprintf("record %d", opened.Records[from+i].Seq))
	}
}

// exactly is bodies where nothing was trimmed.
func (d *drive) exactly(opened store.Opened, want ...string) {
	d.t.Helper()
	if len(opened.Records) != len(want) {
		d.t.Fatalf("Open returned %d records, want %d", len(opened.Records), len(want))
	}
	d.bodies(opened, want...)
}

// at is a key of the pending table, for stories that do not care which.
func at(partition, key string) store.Key {
	return store.Key{Table: store.Pending, Partition: partition, Key: key}
}
