package grpc

import (
	"fmt"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"perdure/core/port"
)

// codec is gRPC's protobuf codec, and also encodes *port.Answer: a message
// followed by fields whose bytes were encoded when they were stored.
type codec struct{}

// copyBelow is the size up to which an answer becomes one buffer. Above it fragments
// are not copied but referenced: they are frozen.
const copyBelow = 16 << 10

func (codec) Name() string { return "proto" }

func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	m, ok := v.(proto.Message)
	if !ok {
		return fmt.Errorf("cannot decode into %T", v)
	}
	buf := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer buf.Free()
	return proto.Unmarshal(buf.ReadOnlyData(), m)
}

func (codec) Marshal(v any) (mem.BufferSlice, error) {
	switch v := v.(type) {
	case *port.Answer:
		return marshalAnswer(v)
	case proto.Message:
		return marshalAnswer(&port.Answer{Message: v})
	}
	return nil, fmt.Errorf("cannot encode %T", v)
}

func marshalAnswer(a *port.Answer) (mem.BufferSlice, error) {
	var e encoder
	size := e.measure(a)
	if size > copyBelow && e.fragments > 0 {
		e.reference = true
		size -= e.fragments
	}
	if e.reference || mem.IsBelowBufferPoolingThreshold(size) {
		e.at = make([]byte, 0, size)
		if err := e.append(a); err != nil {
			return nil, err
		}
		e.cut()
		return e.out, nil
	}
	pool := mem.DefaultBufferPool()
	buf := pool.Get(size)
	e.at = (*buf)[:0]
	if err := e.append(a); err != nil {
		pool.Put(buf)
		return nil, err
	}
	*buf = e.at
	return mem.BufferSlice{mem.NewBuffer(buf, pool)}, nil
}

// encoder writes an answer in two passes: sizes, then bytes.
type encoder struct {
	reference bool // fragments are not copied
	fragments int  // bytes of all fragments
	sizes     []int
	at        []byte // what was written since the last fragment
	out       mem.BufferSlice
}

// measure is the encoded size of an answer. It remembers that of each inner answer.
func (e *encoder) measure(a *port.Answer) int {
	size := proto.Size(a.Message)
	if a.Field != 0 {
		n := fragmentsSize(a)
		e.fragments += n
		size += protowire.SizeTag(a.Field) + protowire.SizeBytes(n)
	}
	if a.Inner != nil {
		slot := len(e.sizes)
		e.sizes = append(e.sizes, 0)
		n := e.measure(a.Inner)
		e.sizes[slot] = n
		size += protowire.SizeTag(a.InnerField) + protowire.SizeBytes(n)
	}
	return size
}

func fragmentsSize(a *port.Answer) (n int) {
	for _, f := range a.Fragments {
		n += len(f)
	}
	return n
}

func (e *encoder) append(a *port.Answer) (err error) {
	// The size was taken just now, of a message that nobody changes.
	e.at, err = proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(e.at, a.Message)
	if err != nil {
		return err
	}
	if a.Field != 0 {
		e.at = protowire.AppendTag(e.at, a.Field, protowire.BytesType)
		e.at = protowire.AppendVarint(e.at, uint64(fragmentsSize(a)))
		for _, f := range a.Fragments {
			e.fragment(f)
		}
	}
	if a.Inner != nil {
		e.at = protowire.AppendTag(e.at, a.InnerField, protowire.BytesType)
		e.at = protowire.AppendVarint(e.at, uint64(e.sizes[0]))
		e.sizes = e.sizes[1:]
		return e.append(a.Inner)
	}
	return nil
}

func (e *encoder) fragment(f []byte) {
	if !e.reference {
		e.at = append(e.at, f...)
		return
	}
	e.cut()
	if len(f) > 0 {
		e.out = append(e.out, mem.SliceBuffer(f))
	}
}

// cut ends the buffer that is being written; what follows goes into the rest of its memory.
func (e *encoder) cut() {
	if len(e.at) > 0 {
		e.out = append(e.out, mem.SliceBuffer(e.at[:len(e.at):len(e.at)]))
		e.at = e.at[len(e.at):]
	}
}
