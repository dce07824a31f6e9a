package journal

import (
	"fmt"
	"time"

	"github.com/klauspost/compress/s2"
	"google.golang.org/protobuf/encoding/protowire"
)

// Records repeat themselves: ids of runs, names of workflows and queues, the rows
// that several tasks of one run change. Compressed they have a third to a fifth of
// their size, which databases pay for in logs, network and copies.

const (
	packedHead = headSize + 1 + 4 // head, and tag and length of the field packed
	packMost   = 64 << 20         // a larger record stays as it is, so that none that claims to be larger is unpacked
)

// packed is a record with the same content as raw, or nil if that would not be
// shorter. It uses buffer if that has room.
func packed(buffer, raw []byte, at time.Time) []byte {
	body := raw[headSize:]
	if len(body) > packMost {
		return nil
	}
	if need := packedHead + s2.MaxEncodedLen(len(body)); cap(buffer) < need {
		buffer = make([]byte, 0, need)
	}
	block := s2.Encode(buffer[packedHead:cap(buffer)], body)
	if packedHead+len(block) >= len(raw) {
		return nil
	}
	b := appendHead(buffer[:0], PackedFormat, at)
	b = protowire.AppendTag(b, fieldPacked, protowire.BytesType)
	for shift := range 4 { // a varint of a fixed size, for the block is in its place already
		digit := byte(len(block)>>(7*shift)) & 0x7f
		if shift < 3 {
			digit |= 0x80
		}
		b = append(b, digit)
	}
	return b[:packedHead+len(block)]
}

// unpack reads the rows of the field packed.
func (r *Record) unpack(block []byte) error {
	size, err := s2.DecodedLen(block)
	if err != nil || size > packMost {
		return fmt.Errorf("%w: %d bytes are packed, %v", ErrRecord, size, err)
	}
	body, err := s2.Decode(nil, block)
	if err != nil {
		return fmt.Errorf("%w: %v", ErrRecord, err)
	}
	return fields(body, func(num protowire.Number, v field) error {
		if num < fieldPut || num > fieldPartition || v.typ != protowire.BytesType {
			return fmt.Errorf("%w: packed field %d has wire type %d", ErrRecord, num, v.typ)
		}
		return r.decodeRow(num, v.bytes)
	})
}
