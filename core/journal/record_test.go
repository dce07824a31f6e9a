package journal

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"perdure/core/store"
)

func sample() Record {
	key := func(k string) store.Key { return store.Key{Table: store.Pending, Partition: "p\x00\xff", Key: k} }
	return Record{
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
	head := appendHead(nil, time.Unix(1, 0))
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
		"format 2":             append([]byte{1 << 3, 2}, head[2:]...),
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

// FuzzDecodeRecord: garbage is refused, what is accepted survives another round.
func FuzzDecodeRecord(f *testing.F) {
	f.Add(EncodeRecord(sample()))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := DecodeRecord(b)
		if err != nil {
			if !errors.Is(err, ErrRecord) {
				t.Fatal(err)
			}
			return
		}
		again, err := DecodeRecord(EncodeRecord(r))
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Fatalf("%+v became %+v, %v", r, again, err)
		}
	})
}
