package journal

import (
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"perdure/core/store"
)

// Record is the content of one journal record: post-images of changed rows. On
// replay the partition deletes come first, then the rows in order.
//
// On the wire it is a protobuf message, written by hand because it is written
// for every step of every run:
//
//	message Record {
//	  uint32 format = 1;
//	  sfixed64 time = 2;            // nanoseconds since 1970, of the shard
//	  repeated Row put = 3;
//	  repeated Row delete = 4;      // without value
//	  repeated Row partition = 5;   // deleted; without key and value
//	  bytes packed = 6;             // the three above, compressed; format 2 has nothing else
//	}
//	message Row { uint32 table = 1; bytes partition = 2; bytes key = 3; bytes value = 4; }
type Record struct {
	Format  int // as read: Format or PackedFormat; EncodeRecord writes the former
	Time    time.Time
	Deleted []store.Partition
	Rows    []store.Row // nil Value: deleted; versions are not recorded
}

// The formats of records.
const (
	Format       = 1
	PackedFormat = 2 // from port.PackedLevel on
)

// ErrRecord says that a record cannot be read: damaged, or written by a newer build.
var ErrRecord = errors.New("journal: unreadable record")

const (
	fieldFormat protowire.Number = iota + 1
	fieldTime
	fieldPut
	fieldDelete
	fieldPartition
	fieldPacked
)

const (
	rowTable protowire.Number = iota + 1
	rowPartition
	rowKey
	rowValue
)

// headSize bounds what appendHead writes.
const headSize = 2 + 9

func appendHead(b []byte, format uint64, at time.Time) []byte {
	b = protowire.AppendTag(b, fieldFormat, protowire.VarintType)
	b = protowire.AppendVarint(b, format)
	b = protowire.AppendTag(b, fieldTime, protowire.Fixed64Type)
	return protowire.AppendFixed64(b, uint64(at.UnixNano()))
}

func appendDeletedPartition(b []byte, p store.Partition) []byte {
	b = protowire.AppendTag(b, fieldPartition, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(2+1+protowire.SizeBytes(len(p.Partition))))
	return appendPartition(b, p)
}

func appendRow(b []byte, p store.Partition, key string, value []byte) []byte {
	field, size := fieldDelete, 2+1+protowire.SizeBytes(len(p.Partition))+1+protowire.SizeBytes(len(key))
	if value != nil {
		field, size = fieldPut, size+1+protowire.SizeBytes(len(value))
	}
	b = protowire.AppendTag(b, field, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(size))
	b = appendPartition(b, p)
	b = protowire.AppendTag(b, rowKey, protowire.BytesType)
	b = protowire.AppendString(b, key)
	if value != nil {
		b = protowire.AppendTag(b, rowValue, protowire.BytesType)
		b = protowire.AppendBytes(b, value)
	}
	return b
}

// appendPartition writes the fields table and partition; a table number is one byte.
func appendPartition(b []byte, p store.Partition) []byte {
	b = protowire.AppendTag(b, rowTable, protowire.VarintType)
	b = protowire.AppendVarint(b, uint64(p.Table))
	b = protowire.AppendTag(b, rowPartition, protowire.BytesType)
	return protowire.AppendString(b, p.Partition)
}

// EncodeRecord is the inverse of DecodeRecord.
func EncodeRecord(r Record) []byte {
	b := appendHead(nil, Format, r.Time)
	for _, p := range r.Deleted {
		b = appendDeletedPartition(b, p)
	}
	for _, row := range r.Rows {
		b = appendRow(b, store.Partition{Table: row.Key.Table, Partition: row.Key.Partition}, row.Key.Key, row.Value)
	}
	return b
}

// DecodeRecord reads a record. Values share memory with b. Unknown fields are
// skipped; an unknown format, a row without table or key, and anything else
// that EncodeRecord would not write is ErrRecord.
func DecodeRecord(b []byte) (Record, error) {
	var r Record
	timed, whole := false, false
	err := fields(b, func(num protowire.Number, v field) error {
		switch {
		case num == fieldFormat && v.typ == protowire.VarintType:
			if v.number != Format && v.number != PackedFormat {
				return fmt.Errorf("%w: format %d, this build reads up to %d: upgrade the node", ErrRecord, v.number, PackedFormat)
			}
			r.Format, whole = int(v.number), v.number == Format
		case num == fieldTime && v.typ == protowire.Fixed64Type:
			r.Time, timed = time.Unix(0, int64(v.number)).UTC(), true
		case num == fieldPacked && v.typ == protowire.BytesType && r.Format == PackedFormat:
			whole = true
			return r.unpack(v.bytes)
		case num >= fieldPut && num <= fieldPartition && v.typ == protowire.BytesType && r.Format == Format:
			return r.decodeRow(num, v.bytes)
		case num <= fieldPacked:
			return fmt.Errorf("%w: field %d has wire type %d", ErrRecord, num, v.typ)
		}
		return nil
	})
	if err == nil && (!timed || !whole) {
		err = fmt.Errorf("%w: no format, no time or no rows where they should be", ErrRecord)
	}
	if err != nil {
		return Record{}, err
	}
	return r, nil
}

func (r *Record) decodeRow(kind protowire.Number, b []byte) error {
	var row store.Row
	keyed := false
	err := fields(b, func(num protowire.Number, v field) error {
		switch {
		case num == rowTable && v.typ == protowire.VarintType && v.number < 1<<8:
			row.Key.Table = store.Table(v.number)
		case num == rowPartition && v.typ == protowire.BytesType:
			row.Key.Partition = string(v.bytes)
		case num == rowKey && v.typ == protowire.BytesType && len(v.bytes) <= store.MaxKey:
			row.Key.Key, keyed = string(v.bytes), true
		case num == rowValue && v.typ == protowire.BytesType:
			row.Value = v.bytes
		case num <= rowValue:
			return fmt.Errorf("%w: row field %d has wire type %d or is out of range", ErrRecord, num, v.typ)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if row.Key.Table.String() == "unknown" {
		return fmt.Errorf("%w: no table %d", ErrRecord, row.Key.Table)
	}
	if keyed != (kind != fieldPartition) || (row.Value != nil) != (kind == fieldPut) {
		return fmt.Errorf("%w: row fields do not fit field %d", ErrRecord, kind)
	}
	if kind == fieldPartition {
		r.Deleted = append(r.Deleted, store.Partition{Table: row.Key.Table, Partition: row.Key.Partition})
	} else {
		r.Rows = append(r.Rows, row)
	}
	return nil
}

// field is the value of one field on the wire. bytes is never nil for BytesType.
type field struct {
	typ    protowire.Type
	number uint64
	bytes  []byte
}

// fields calls visit for each field of a message.
func fields(b []byte, visit func(protowire.Number, field) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return fmt.Errorf("%w: %v", ErrRecord, protowire.ParseError(n))
		}
		b = b[n:]
		v := field{typ: typ}
		switch typ {
		case protowire.VarintType:
			v.number, n = protowire.ConsumeVarint(b)
		case protowire.Fixed64Type:
			v.number, n = protowire.ConsumeFixed64(b)
		case protowire.BytesType:
			v.bytes, n = protowire.ConsumeBytes(b)
			v.bytes = v.bytes[:len(v.bytes):len(v.bytes)]
		default:
			n = protowire.ConsumeFieldValue(num, typ, b)
		}
		if n < 0 {
			return fmt.Errorf("%w: %v", ErrRecord, protowire.ParseError(n))
		}
		b = b[n:]
		if err := visit(num, v); err != nil {
			return err
		}
	}
	return nil
}
