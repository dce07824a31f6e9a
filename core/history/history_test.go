package history

import (
	"testing"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"perdure/core/store"
)

func drawBatch(t *rapid.T, first int64) Batch {
	n := rapid.IntRange(1, 5).Draw(t, "events")
	var events []*historypb.HistoryEvent
	for i := range n {
		events = append(events, &historypb.HistoryEvent{EventId: first + int64(i), EventType: enumspb.EVENT_TYPE_MARKER_RECORDED,
			Attributes: &historypb.HistoryEvent_MarkerRecordedEventAttributes{MarkerRecordedEventAttributes: &historypb.MarkerRecordedEventAttributes{
				MarkerName: rapid.StringN(0, 300, 2000).Draw(t, "name")}}})
	}
	return Encode(events)
}

// Rows of one batch, however made, read back as the batch; rows that follow each other concatenate.
func TestRowsReadBackAndConcatenate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var row store.Row
		var want []Batch
		next := int64(1)
		for range rapid.IntRange(1, 6).Draw(t, "batches") {
			b := drawBatch(t, next)
			next = b.Last + 1
			want = append(want, b)
			plain := Batch{First: b.First, Last: b.Last, Events: b.Events}
			if string(EncodeRow(b)) != string(EncodeRow(plain)) {
				t.Fatal("the row made with the batch differs from the one made of it")
			}
			add := store.Row{Key: Key("run", b.First), Value: EncodeRow(b)}
			if row.Value == nil {
				row = add
			} else if !Coalesce(&row, add) {
				t.Fatal("small rows do not coalesce")
			}
		}
		got, err := DecodeRow(row.Value)
		if err != nil || len(got) != len(want) {
			t.Fatalf("%d batches, error %v; want %d", len(got), err, len(want))
		}
		var all []byte
		for i := range got {
			if got[i].First != want[i].First || got[i].Last != want[i].Last || string(got[i].Events) != string(want[i].Events) {
				t.Fatalf("batch %d differs", i)
			}
			all = append(all, got[i].Events...)
		}
		var h historypb.History
		if err := proto.Unmarshal(all, &h); err != nil || int64(len(h.Events)) != next-1 {
			t.Fatalf("%d events of the concatenation, error %v; want %d", len(h.Events), err, next-1)
		}
	})
}

func TestTailAndEventFindTheirPlace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := drawBatch(t, rapid.Int64Range(1, 1<<40).Draw(t, "first"))
		id := rapid.Int64Range(b.First, b.Last).Draw(t, "id")
		e, err := b.Event(id)
		if err != nil || e.EventId != id {
			t.Fatalf("event %d: %v, %v", id, e.GetEventId(), err)
		}
		tail := b.Tail(id)
		events, err := tail.Decode()
		if err != nil || tail.First != id || events[0].EventId != id || int64(len(events)) != b.Last-id+1 {
			t.Fatalf("tail from %d begins with %d and has %d events, error %v", id, tail.First, len(events), err)
		}
	})
}
