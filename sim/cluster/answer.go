package cluster

import (
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"perdure/core/port"
)

// Decode is the message that a client would read off the wire.
func Decode(a *port.Answer) (proto.Message, error) {
	b, err := appendAnswer(nil, a)
	if err != nil {
		return nil, err
	}
	m := a.Message.ProtoReflect().New().Interface()
	return m, proto.Unmarshal(b, m)
}

func appendAnswer(b []byte, a *port.Answer) ([]byte, error) {
	b, err := proto.MarshalOptions{}.MarshalAppend(b, a.Message)
	if err != nil {
		return nil, err
	}
	if a.Field != 0 {
		n := 0
		for _, f := range a.Fragments {
			n += len(f)
		}
		b = protowire.AppendTag(b, a.Field, protowire.BytesType)
		b = protowire.AppendVarint(b, uint64(n))
		for _, f := range a.Fragments {
			b = append(b, f...)
		}
	}
	if a.Inner != nil {
		inner, err := appendAnswer(nil, a.Inner)
		if err != nil {
			return nil, err
		}
		b = protowire.AppendTag(b, a.InnerField, protowire.BytesType)
		b = protowire.AppendBytes(b, inner)
	}
	return b, nil
}
