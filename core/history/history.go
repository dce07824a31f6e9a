// Package history holds the events of one run as encoded bytes: each event is
// encoded once, batches of events concatenate into a valid History message,
// and rows concatenate into longer rows.
package history

import (
	"encoding/binary"
	"fmt"

	historypb "go.temporal.io/api/history/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"perdure/core/store"
)

// Batch is the events of one transaction. Events holds them as repeated field 1
// of temporal.api.history.v1.History, so batches concatenate.
type Batch struct {
	First, Last int64 // event ids
	Events      []byte
	row         []byte // the row value that ends with Events, if the batch was made here
}

const (
	eventsField = 1 // History.events

	rowBatches = 1 // of a row: repeated
	rowFormat  = 15
	format     = 1

	batchFirst, batchLast, batchEvents = 1, 2, 3

	// MaxRow is the size up to which adjacent batches share a row.
	MaxRow = 64 << 10
)

// AppendEvent encodes one event behind others of its batch.
func AppendEvent(dst []byte, e *historypb.HistoryEvent) []byte {
	opts := proto.MarshalOptions{UseCachedSize: true, Deterministic: !ordered(e)} //ordered: a map of one entry has one order
	n := proto.Size(e)
	dst = protowire.AppendTag(dst, eventsField, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(n))
	dst, err := opts.MarshalAppend(dst, e)
	if err != nil {
		panic(fmt.Sprintf("history: event %d cannot be encoded: %v", e.EventId, err))
	}
	return dst
}

// Encode makes a batch of events; their ids must be consecutive.
func Encode(events []*historypb.HistoryEvent) Batch {
	if len(events) == 0 {
		panic("history: empty batch")
	}
	b := Batch{First: events[0].EventId, Last: events[len(events)-1].EventId}
	if b.Last-b.First+1 != int64(len(events)) {
		panic("history: event ids of a batch have gaps")
	}
	buf := make([]byte, rowHead, rowHead+160*len(events))
	for _, e := range events {
		buf = AppendEvent(buf, e)
	}
	b.Events = buf[rowHead:len(buf):len(buf)]
	var room [rowHead]byte
	head := appendRowHead(room[:0], b)
	copy(buf[rowHead-len(head):], head)
	b.row = buf[rowHead-len(head) : len(buf) : len(buf)]
	return b
}

// Decode gives the events of a batch.
func (b Batch) Decode() ([]*historypb.HistoryEvent, error) {
	var h historypb.History
	if err := proto.Unmarshal(b.Events, &h); err != nil {
		return nil, fmt.Errorf("history: batch %d..%d: %w", b.First, b.Last, err)
	}
	return h.Events, nil
}

// Event gives one event of a batch, decoding no other.
func (b Batch) Event(id int64) (*historypb.HistoryEvent, error) {
	rest := b.Events
	for i := b.First; len(rest) > 0; i++ {
		_, _, n := protowire.ConsumeTag(rest)
		if n < 0 {
			return nil, protowire.ParseError(n)
		}
		v, m := protowire.ConsumeBytes(rest[n:])
		if m < 0 {
			return nil, protowire.ParseError(m)
		}
		if i == id {
			e := &historypb.HistoryEvent{}
			return e, proto.Unmarshal(v, e)
		}
		rest = rest[n+m:]
	}
	return nil, fmt.Errorf("history: no event %d in batch %d..%d", id, b.First, b.Last)
}

// Tail is the batch without the events before from.
func (b Batch) Tail(from int64) Batch {
	rest := b.Events
	i := b.First
	for ; i < from && len(rest) > 0; i++ {
		rest = rest[fieldLen(rest):]
	}
	return Batch{First: i, Last: b.Last, Events: rest}
}

func fieldLen(b []byte) int {
	_, _, n := protowire.ConsumeTag(b)
	if n < 0 {
		panic("history: broken batch")
	}
	_, m := protowire.ConsumeBytes(b[n:])
	if m < 0 {
		panic("history: broken batch")
	}
	return n + m
}

// Key is the row key of the batch that begins with event first.
func Key(runID string, first int64) store.Key {
	return store.Key{Table: store.History, Partition: runID, Key: EventKey(first)}
}

// EventKey orders rows by event id.
func EventKey(id int64) string {
	var k [8]byte
	binary.BigEndian.PutUint64(k[:], uint64(id))
	return string(k[:])
}

// rowHead is room for all that stands before the events in a row of one batch.
const rowHead = 48

// EncodeRow is the row value of one batch. Values concatenate into the row of several batches.
func EncodeRow(b Batch) []byte {
	if b.row != nil {
		return b.row
	}
	return append(appendRowHead(make([]byte, 0, rowHead+len(b.Events)), b), b.Events...)
}

func appendRowHead(dst []byte, b Batch) []byte {
	n := 1 + protowire.SizeVarint(uint64(b.First)) + 1 + protowire.SizeVarint(uint64(b.Last)) + 1 + protowire.SizeBytes(len(b.Events))
	dst = protowire.AppendVarint(protowire.AppendTag(dst, rowFormat, protowire.VarintType), format)
	dst = protowire.AppendVarint(protowire.AppendTag(dst, rowBatches, protowire.BytesType), uint64(n))
	dst = protowire.AppendVarint(protowire.AppendTag(dst, batchFirst, protowire.VarintType), uint64(b.First))
	dst = protowire.AppendVarint(protowire.AppendTag(dst, batchLast, protowire.VarintType), uint64(b.Last))
	dst = protowire.AppendTag(dst, batchEvents, protowire.BytesType)
	return protowire.AppendVarint(dst, uint64(len(b.Events)))
}

// DecodeRow gives the batches of a row; their Events share its memory.
func DecodeRow(v []byte) ([]Batch, error) {
	var out []Batch
	for len(v) > 0 {
		num, typ, n := protowire.ConsumeTag(v)
		if n < 0 {
			return nil, fmt.Errorf("history row: %w", protowire.ParseError(n))
		}
		v = v[n:]
		switch {
		case num == rowFormat && typ == protowire.VarintType:
			f, m := protowire.ConsumeVarint(v)
			if m < 0 {
				return nil, fmt.Errorf("history row: %w", protowire.ParseError(m))
			}
			if f > format {
				return nil, fmt.Errorf("history row has format %d, this server reads up to %d: upgrade it", f, format)
			}
			v = v[m:]
		case num == rowBatches && typ == protowire.BytesType:
			inner, m := protowire.ConsumeBytes(v)
			if m < 0 {
				return nil, fmt.Errorf("history row: %w", protowire.ParseError(m))
			}
			b, err := decodeBatch(inner)
			if err != nil {
				return nil, err
			}
			out = append(out, b)
			v = v[m:]
		default:
			m := protowire.ConsumeFieldValue(num, typ, v)
			if m < 0 {
				return nil, fmt.Errorf("history row: %w", protowire.ParseError(m))
			}
			v = v[m:]
		}
	}
	return out, nil
}

func decodeBatch(v []byte) (b Batch, err error) {
	for len(v) > 0 {
		num, typ, n := protowire.ConsumeTag(v)
		if n < 0 {
			return b, fmt.Errorf("history batch: %w", protowire.ParseError(n))
		}
		v = v[n:]
		m := protowire.ConsumeFieldValue(num, typ, v)
		if m < 0 {
			return b, fmt.Errorf("history batch: %w", protowire.ParseError(m))
		}
		switch {
		case num == batchFirst && typ == protowire.VarintType:
			x, _ := protowire.ConsumeVarint(v)
			b.First = int64(x)
		case num == batchLast && typ == protowire.VarintType:
			x, _ := protowire.ConsumeVarint(v)
			b.Last = int64(x)
		case num == batchEvents && typ == protowire.BytesType:
			b.Events, _ = protowire.ConsumeBytes(v)
		}
		v = v[m:]
	}
	return b, b.check()
}

// check holds what other code relies on: as many whole events as ids.
func (b Batch) check() error {
	rest := b.Events
	var n int64
	for len(rest) > 0 {
		num, typ, t := protowire.ConsumeTag(rest)
		if t < 0 || num != eventsField || typ != protowire.BytesType {
			return fmt.Errorf("history batch %d..%d: broken event", b.First, b.Last)
		}
		_, m := protowire.ConsumeBytes(rest[t:])
		if m < 0 {
			return fmt.Errorf("history batch %d..%d: %w", b.First, b.Last, protowire.ParseError(m))
		}
		rest = rest[t+m:]
		n++
	}
	if b.First < 1 || n == 0 || b.Last-b.First+1 != n {
		return fmt.Errorf("history batch %d..%d holds %d events", b.First, b.Last, n)
	}
	return nil
}

// Coalesce appends next to prev if both are history rows of one run and the
// result stays within MaxRow. The borders of batches are kept inside. It may
// append to the memory of prev.
func Coalesce(prev *store.Row, next store.Row) bool {
	if prev.Key.Table != store.History || prev.Key.Partition != next.Key.Partition ||
		prev.Value == nil || next.Value == nil || len(prev.Value)+len(next.Value) > MaxRow {
		return false
	}
	prev.Value = append(prev.Value, next.Value...)
	prev.Version = max(prev.Version, next.Version)
	return true
}
