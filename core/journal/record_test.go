package journal

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"
	"google.golang.org/protobuf/encoding/protowire"

	"perdure/core/store"
)

func sample() Record {
	key := func(k string) store.Key { return store.Key{Table: store.Pending, Partition: "p\x00\xff", Key: k} }
	return Record{
		Format:  Format,
		Time:    time.Unix(1, 2).UTC(),
		Deleted: []store.Partition{{Table: store.History, Partition: "tree"}, {Table: store.Due}},
		Rows:    []store.Row{{Key: key("a"), Value: []byte("value")}, {Key: key("")}, {Key: key("b"), Value: []byte{}}},
	}
}

func TestRecordRoundTrip(t *testing.T) {
	want := sample()
	got, err := DecodeRecord(EncodeRecord(want))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v, %v, want %+v", got, err, want)
	}
	unknown := protowire.AppendTag(EncodeRecord(want), 77, protowire.BytesType)
	unknown = protowire.AppendString(unknown, "of a newer build")
	if got, err := DecodeRecord(unknown); err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("unknown field: got %+v, %v", got, err)
	}
}

func TestRecordRefused(t *testing.T) {
	head := appendHead(nil, Format, time.Unix(1, 0))
	message := func(field protowire.Number, fields ...[]byte) []byte {
		b := protowire.AppendTag(bytes.Clone(head), field, protowire.BytesType)
		return protowire.AppendBytes(b, bytes.Join(fields, nil))
	}
	table, key, value := []byte{1 << 3, 4}, []byte{3<<3 | 2, 1, 'k'}, []byte{4<<3 | 2, 1, 'v'}
	if _, err := DecodeRecord(message(fieldPut, table, key, value)); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"empty":                nil,
		"no time":              {1 << 3, 1},
		"no format":            head[2:],
		"format 3":             append([]byte{1 << 3, 3}, head[2:]...),
		"packed in format 1":   append(bytes.Clone(head), 6<<3|2, 1, 0),
		"rows in format 2":     append([]byte{1 << 3, 2}, message(fieldPut, table, key, value)[2:]...),
		"format of wrong type": append([]byte{1<<3 | 2, 0}, head[2:]...),
		"cut":                  EncodeRecord(sample())[:20],
		"put without value":    message(fieldPut, table, key),
		"put without key":      message(fieldPut, table, value),
		"put without table":    message(fieldPut, key, value),
		"delete with value":    message(fieldDelete, table, key, value),
		"partition with key":   message(fieldPartition, table, key),
		"unknown table":        message(fieldDelete, []byte{1 << 3, 99}, key),
		"key too long":         message(fieldDelete, table, protowire.AppendBytes([]byte{3<<3 | 2}, make([]byte, store.MaxKey+1))),
		"row cut":              message(fieldDelete, table, []byte{3<<3 | 2, 5}),
	} {
		if _, err := DecodeRecord(b); !errors.Is(err, ErrRecord) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// long repeats itself, as records do.
func long() Record {
	r := sample()
	for i := range 200 {
		r.Rows = append(r.Rows, store.Row{Key: store.Key{Table: store.History, Partition: "a run's id", Key: string(rune('a' + i))}, Value: []byte("some events of a run")})
	}
	return r
}

func TestPackedRecordIsTheSameAndShorter(t *testing.T) {
	want := long()
	raw := EncodeRecord(want)
	var buffer []byte
	for range 3 { // the buffer of one serves the next
		b := packed(buffer, raw, want.Time)
		if b == nil || len(b) > len(raw)/4 {
			t.Fatalf("%d bytes were packed into %d", len(raw), len(b))
		}
		want.Format = PackedFormat
		if got, err := DecodeRecord(b); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v, %v, want %+v", got, err, want)
		}
		if buffer != nil && &b[0] != &buffer[:1][0] {
			t.Fatal("a buffer with room was not used")
		}
		buffer = b
	}
	if b := packed(nil, EncodeRecord(sample()), want.Time); b != nil {
		t.Fatalf("what has nothing to gain was packed: %q", b)
	}
}

func TestDamagedPackedRecordIsRefused(t *testing.T) {
	whole := packed(nil, EncodeRecord(long()), time.Unix(1, 2))
	for n := range len(whole) {
		if _, err := DecodeRecord(whole[:n]); !errors.Is(err, ErrRecord) {
			t.Fatalf("cut after %d bytes of %d: %v", n, len(whole), err)
		}
	}
	head := appendHead(nil, PackedFormat, time.Unix(1, 2))
	for name, block := range map[string][]byte{
		"claims 4 GiB":      {0xff, 0xff, 0xff, 0xff, 0x0f, 0},
		"no block":          {},
		"a field of others": s2.Encode(nil, []byte{1 << 3, 1}),
		"half a row":        s2.Encode(nil, []byte{3<<3 | 2, 9}),
	} {
		b := protowire.AppendTag(bytes.Clone(head), fieldPacked, protowire.BytesType)
		if _, err := DecodeRecord(protowire.AppendBytes(b, block)); !errors.Is(err, ErrRecord) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzDecodeRecord: garbage is refused, what is accepted survives another round.
func FuzzDecodeRecord(f *testing.F) {
	f.Add(EncodeRecord(sample()))
	f.Add(packed(nil, EncodeRecord(long()), time.Unix(1, 2)))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := DecodeRecord(b)
		if err != nil {
			if !errors.Is(err, ErrRecord) {
				t.Fatal(err)
			}
			return
		}
		r.Format = Format
		again, err := DecodeRecord(EncodeRecord(r))
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Fatalf("%+v became %+v, %v", r, again, err)
		}
	})
}
