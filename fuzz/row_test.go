// Package fuzz holds native fuzz targets for what is read from disk and from the
// network by exported decoders; those that need to look inside a package stand
// beside it. No bytes make a decoder panic, and what is accepted and encoded
// again is read the same way: a new owner and an old one agree about every row.
//
// "make fuzz" runs every target for some seconds, "make fuzz FUZZTIME=1h PKG=./fuzz" for longer.
package fuzz

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"google.golang.org/protobuf/proto"

	"perdure/core/history"
	"perdure/core/run"
	"perdure/core/run/runpb"
)

func encode(f testing.TB, m proto.Message) []byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		f.Fatal(err)
	}
	return b
}

// FuzzHistoryRow: a row that is accepted has whole events under consecutive ids,
// and its batches make the same row again.
func FuzzHistoryRow(f *testing.F) {
	batch := history.Encode([]*historypb.HistoryEvent{
		{EventId: 1, EventType: enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED},
		{EventId: 2, EventType: enumspb.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED},
	})
	next := history.Encode([]*historypb.HistoryEvent{{EventId: 3, EventType: enumspb.EVENT_TYPE_WORKFLOW_TASK_STARTED}})
	f.Add(history.EncodeRow(batch))
	f.Add(append(history.EncodeRow(batch), history.EncodeRow(next)...))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, row []byte) {
		batches, err := history.DecodeRow(row)
		if err != nil {
			return
		}
		var again []byte
		for _, b := range batches {
			look(t, b)
			again = append(again, history.EncodeRow(b)...)
		}
		same, err := history.DecodeRow(again)
		if err != nil || len(same) != len(batches) {
			t.Fatalf("%d batches became %d, %v", len(batches), len(same), err)
		}
		for i, b := range batches {
			if b.First != same[i].First || b.Last != same[i].Last || !bytes.Equal(b.Events, same[i].Events) {
				t.Fatalf("batch %+v became %+v", b, same[i])
			}
		}
	})
}

// look reads an accepted batch in every way there is.
func look(t *testing.T, b history.Batch) {
	if events, err := b.Decode(); err == nil && int64(len(events)) != b.Last-b.First+1 {
		t.Fatalf("batch %d..%d has %d events", b.First, b.Last, len(events))
	}
	_, _ = b.Event(b.First)
	_, _ = b.Event(b.Last)
	if _, err := b.Event(b.Last + 1); err == nil {
		t.Fatalf("batch %d..%d has event %d", b.First, b.Last, b.Last+1)
	}
	if tail := b.Tail(b.Last); tail.First != b.Last || tail.Last != b.Last {
		t.Fatalf("the tail of %d..%d is %d..%d", b.First, b.Last, tail.First, tail.Last)
	}
}

// FuzzRunRow: rows either make a run or are refused. The run knows its deadline
// and what it owes, and its row read again makes the same run.
func FuzzRunRow(f *testing.F) {
	f.Add(encode(f, &runpb.Run{
		Format: run.Format, NamespaceId: "n", WorkflowId: "w", RunId: "r", Status: int32(enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING), NextEventId: 3,
		RunExpiry: 9, Task: &runpb.WorkflowTask{ScheduledId: 2, Attempt: 1, Sticky: true, StickyTimeout: 5}, Retry: &runpb.Retry{Initial: 1, Coefficient: 2},
	}), "t\x00\x00\x00\x00\x00\x00\x00\x05", encode(f, &runpb.Timer{TimerId: "t", StartedId: 5, FireTime: 7}))
	f.Add(encode(f, &runpb.Run{Format: run.Format, Status: int32(enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED), ParentWorkflowId: "p"}),
		"c\x00\x00\x00\x00\x00\x00\x00\x05", encode(f, &runpb.Child{InitiatedId: 5, WorkflowId: "c"}))
	f.Add([]byte{}, "", []byte{})
	f.Fuzz(func(t *testing.T, row []byte, key string, value []byte) {
		r, err := run.NewFromRows(row, []run.Row{{Key: key, Value: value}})
		if err != nil {
			return
		}
		again, err := proto.MarshalOptions{Deterministic: true}.Marshal(r.S)
		if err != nil {
			t.Fatal(err)
		}
		same, err := run.NewFromRows(again, []run.Row{{Key: key, Value: value}})
		if err != nil || !proto.Equal(same.S, r.S) && !hasNaN(r.S) {
			t.Fatalf("%v became %v, %v", r.S, same.S, err)
		}
		if r.Deadline() != same.Deadline() || r.Owes() != same.Owes() || r.Size() != same.Size()+2*(len(row)-len(again)) {
			t.Fatalf("deadline %d and %d, owes %v and %v, size %d and %d", r.Deadline(), same.Deadline(), r.Owes(), same.Owes(), r.Size(), same.Size())
		}
	})
}

// hasNaN: a number that is not one does not equal itself.
func hasNaN(s *runpb.Run) bool { c := s.GetRetry().GetCoefficient(); return c != c }

// FuzzPendingRow: any key and value are a row of a known kind or refused, and an
// activity and its input are refused without each other.
func FuzzPendingRow(f *testing.F) {
	id := "\x00\x00\x00\x00\x00\x00\x00\x05"
	for kind, m := range map[string]proto.Message{
		"a" + id: &runpb.Activity{ScheduledId: 5, ActivityId: "1", Attempt: 1}, "i" + id: &runpb.ActivityInput{Input: []byte("x")},
		"t" + id: &runpb.Timer{StartedId: 5, TimerId: "t"}, "c" + id: &runpb.Child{InitiatedId: 5}, "s" + id: &runpb.External{InitiatedId: 5},
		"x" + id: &runpb.External{InitiatedId: 5}, "p" + id: &runpb.ParentClose{InitiatedId: 5}, "rkey": &runpb.RequestID{Id: "key"},
		"b" + id: &historypb.HistoryEvent{EventType: enumspb.EVENT_TYPE_TIMER_FIRED},
	} {
		f.Add(kind, encode(f, m))
	}
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		row := run.Row{Key: key, Value: value}
		_, alone := run.NewFromRows(nil, []run.Row{row})
		other, paired := otherHalf(t, row)
		if !paired {
			return
		}
		if alone == nil {
			t.Fatalf("%q was read without %q", key, other.Key)
		}
		if _, err := run.NewFromRows(nil, []run.Row{row, other}); err != nil {
			t.Fatalf("%q and %q: %v", key, other.Key, err)
		}
	})
}

// otherHalf is the input of an activity's row, or the activity of an input's.
func otherHalf(t *testing.T, row run.Row) (run.Row, bool) {
	switch {
	case strings.HasPrefix(row.Key, "a"):
		var a runpb.Activity
		if proto.Unmarshal(row.Value, &a) != nil {
			return run.Row{}, false
		}
		return run.Row{Key: "i" + string(binary.BigEndian.AppendUint64(nil, uint64(a.ScheduledId)))}, true
	case strings.HasPrefix(row.Key, "i") && len(row.Key) == 9 && proto.Unmarshal(row.Value, &runpb.ActivityInput{}) == nil:
		id := int64(binary.BigEndian.Uint64([]byte(row.Key[1:])))
		return run.Row{Key: "a" + row.Key[1:], Value: encode(t, &runpb.Activity{ScheduledId: id})}, true
	}
	return run.Row{}, false
}
