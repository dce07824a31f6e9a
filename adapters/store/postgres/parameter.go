package postgres

import (
	"encoding/binary"

	"perdure/core/store"
)

// Parameters and columns in PostgreSQL's binary form: integers are big-endian,
// an array of one dimension is dimensions, flags, element type, length, lower
// bound, then each element after its length (-1: NULL).

const (
	oidBytea = 17
	oidInt8  = 20
)

type number interface {
	~int | ~int64 | ~uint64 | ~uint32 | ~uint16
}

func int8Param[T number](n T) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }

func readInt8(b []byte) uint64 { return binary.BigEndian.Uint64(b) }

func arrayHead(n, bytes int, oid uint32) []byte {
	b := make([]byte, 0, 20+4*n+bytes)
	if n == 0 {
		return binary.BigEndian.AppendUint32(append(b, 0, 0, 0, 0, 0, 0, 0, 0), oid)
	}
	b = append(b, 0, 0, 0, 1, 0, 0, 0, 1) // one dimension, there may be NULLs
	b = binary.BigEndian.AppendUint32(b, oid)
	b = binary.BigEndian.AppendUint32(b, uint32(n))
	return append(b, 0, 0, 0, 1)
}

// int8Array makes an array of one number of each x.
func int8Array[X any, T number](list []X, of func(*X) T) []byte {
	b := arrayHead(len(list), 8*len(list), oidInt8)
	for i := range list {
		b = append(b, 0, 0, 0, 8)
		b = binary.BigEndian.AppendUint64(b, uint64(of(&list[i])))
	}
	return b
}

// byteaArray makes an array of one element of each x; nil is NULL.
func byteaArray[X any](list []X, of func(*X) []byte) []byte {
	size := 0
	for i := range list {
		size += len(of(&list[i]))
	}
	b := arrayHead(len(list), size, oidBytea)
	for i := range list {
		e := of(&list[i])
		if e == nil {
			b = append(b, 0xff, 0xff, 0xff, 0xff)
			continue
		}
		b = binary.BigEndian.AppendUint32(b, uint32(len(e)))
		b = append(b, e...)
	}
	return b
}

func shardParam(id store.ShardID) []byte { return int8Param(uint64(id)) }

func fenceParams(f store.Fence) [][]byte {
	return [][]byte{shardParam(f.Shard), int8Param(f.Epoch), int8Param(f.Nonce)}
}
