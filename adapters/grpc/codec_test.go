package grpc

import (
	"bytes"
	"fmt"
	"testing"

	workflow "go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"perdure/core/port"
)

// slow is the obvious way to encode an answer.
func slow(t testing.TB, a *port.Answer) []byte {
	t.Helper()
	b, err := proto.Marshal(a.Message)
	if err != nil {
		t.Fatal(err)
	}
	if a.Field != 0 {
		b = protowire.AppendTag(b, a.Field, protowire.BytesType)
		b = protowire.AppendBytes(b, bytes.Join(a.Fragments, nil))
	}
	if a.Inner != nil {
		b = protowire.AppendTag(b, a.InnerField, protowire.BytesType)
		b = protowire.AppendBytes(b, slow(t, a.Inner))
	}
	return b
}

func TestAnswersEncodeAsTheObviousWayDoes(t *testing.T) {
	message := func(n int) proto.Message {
		return &workflow.StartWorkflowExecutionResponse{RunId: string(bytes.Repeat([]byte("r"), n))}
	}
	for _, small := range []int{0, 5, 900, 20_000} {
		for _, large := range []int{0, 1, 2000, 100_000} {
			for _, fragments := range [][][]byte{nil, {make([]byte, large)}, {make([]byte, large), nil, make([]byte, 3)}} {
				inner := &port.Answer{Message: message(small), Field: 200, Fragments: fragments}
				nested := &port.Answer{Message: message(3), Inner: inner, InnerField: 17}
				for _, a := range []*port.Answer{inner, nested, {Message: message(small)}, {Field: 3, Fragments: fragments},
					{Message: message(large), Field: 3, Fragments: fragments, Inner: nested, InnerField: 2047}} {
					got, err := codec{}.Marshal(a)
					if err != nil {
						t.Fatal(err)
					}
					if !bytes.Equal(got.Materialize(), slow(t, a)) {
						t.Fatalf("%d %d %d: wrong bytes", small, large, len(fragments))
					}
					got.Free()
				}
			}
		}
	}
}

func TestLargeFragmentsAreNotCopied(t *testing.T) {
	f := bytes.Repeat([]byte("f"), copyBelow)
	got, err := codec{}.Marshal(&port.Answer{Message: &workflow.StartWorkflowExecutionResponse{RunId: "r"}, Field: 9, Fragments: [][]byte{f}})
	if err != nil || len(got) != 2 || &got[1].ReadOnlyData()[0] != &f[0] {
		t.Fatalf("%d buffers, %v", len(got), err)
	}
}

func TestOnlyMessagesAreEncoded(t *testing.T) {
	if _, err := (codec{}).Marshal("text"); err == nil {
		t.Error("encoded a string")
	}
	if err := (codec{}).Unmarshal(nil, "text"); err == nil {
		t.Error("decoded into a string")
	}
}

func BenchmarkMarshal(b *testing.B) {
	for _, size := range []int{300, 3000, 100_000} {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			a := &port.Answer{Message: &workflow.PollWorkflowTaskQueueResponse{TaskToken: make([]byte, 80)}, Field: 7, Fragments: [][]byte{make([]byte, size/2), make([]byte, size/2)}}
			b.ReportAllocs()
			for b.Loop() {
				out, err := codec{}.Marshal(a)
				if err != nil {
					b.Fatal(err)
				}
				out.Free()
			}
		})
	}
}
