package shard

import (
	"testing"

	"perdure/core/port"
)

// FuzzDecodeDue: garbage is refused, what is accepted survives another round.
func FuzzDecodeDue(f *testing.F) {
	k := port.RunKey{NamespaceID: "n", WorkflowID: "w", RunID: "r"}
	f.Add(encodeDeadline(k))
	f.Add(encodeDispatch(&port.Task{
		Run: k, Kind: port.WorkflowTask, ID: 2, Attempt: 1, Stamp: 3, Key: "key",
		Queue: port.QueueKey{NamespaceID: "n", Name: "q", Normal: "m", Type: port.WorkflowQueue},
	}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, row []byte) {
		task, err := DecodeDue(row)
		if err != nil {
			return
		}
		again, err := DecodeDue(encodeDispatch(&task))
		if err != nil || again != task {
			t.Fatalf("%+v became %+v, %v", task, again, err)
		}
	})
}

// FuzzDecodeClock: any bytes are a time or refused.
func FuzzDecodeClock(f *testing.F) {
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, row []byte) {
		at, err := decodeClock(row)
		if again, sameErr := decodeClock(row); at != again || (err == nil) != (sameErr == nil) {
			t.Fatalf("%d, %v and %d, %v", at, err, again, sameErr)
		}
	})
}
