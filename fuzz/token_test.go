package fuzz

import (
	"bytes"
	"testing"

	"github.com/cespare/xxhash/v2"
	"google.golang.org/protobuf/encoding/protowire"

	"perdure/core/port"
	"perdure/core/token"
)

// FuzzPageToken: the sum of a page token is no secret, so any body can come.
func FuzzPageToken(f *testing.F) {
	const sumTail = 5
	seed := token.AppendPage(nil, &port.PageToken{RunID: "8d0a7b42-7d5c-4a57-9a63-27a2cd0c3ffe", NextEventID: 3, LastEventID: 7, Running: true})
	f.Add(seed[:len(seed)-sumTail], false)
	f.Add([]byte{}, true)
	f.Fuzz(func(t *testing.T, body []byte, reverse bool) {
		const pageSum = 15
		b := protowire.AppendTag(bytes.Clone(body), pageSum, protowire.Fixed32Type)
		b = protowire.AppendFixed32(b, uint32(xxhash.Sum64(body)))
		p, ok := token.DecodePage(b, reverse)
		if !ok {
			return
		}
		again, ok := token.DecodePage(token.AppendPage(nil, p), reverse)
		if !ok || *again != *p {
			t.Fatalf("%+v became %+v, %v", p, again, ok)
		}
	})
}

// FuzzTaskToken: only what a key signed is a token; every bit of it counts.
func FuzzTaskToken(f *testing.F) {
	f.Add("n", "w", "r", uint8(1), int64(2), int64(3), int32(1), uint64(9), uint64(0), "", uint16(7), uint8(1))
	f.Add("", "", "", uint8(2), int64(-1), int64(0), int32(-1), uint64(0), uint64(5), "a", uint16(0), uint8(0))
	keys := []port.Key{{ID: 1, Secret: []byte("old")}, {ID: 2, Secret: []byte("new")}}
	f.Fuzz(func(t *testing.T, namespace, workflow, id string, kind uint8, scheduled, started int64, attempt int32, nonce, query uint64, activity string, at uint16, flip uint8) {
		in := port.Token{
			Run: port.RunKey{NamespaceID: namespace, WorkflowID: workflow, RunID: id}, Kind: port.TaskKind(kind), ScheduledID: scheduled, StartedID: started,
			Attempt: max(attempt, 0), Nonce: nonce, Query: query, ActivityID: activity,
		}
		b := token.AppendTask(nil, keys, &in)
		out, ok := token.DecodeTask(keys, b)
		if !ok || *out != in {
			t.Fatalf("%+v became %+v, %v", in, out, ok)
		}
		if flip == 0 {
			return
		}
		b[int(at)%len(b)] ^= flip
		if _, ok := token.DecodeTask(keys, b); ok {
			t.Fatalf("a forged token was accepted: %x", b)
		}
	})
}
