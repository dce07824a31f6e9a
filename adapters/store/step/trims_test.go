package step

import (
	"testing"

	"perdure/core/store"
)

func TestTrimsAreRepeatedUntilTheyAreKnownToBeDone(t *testing.T) {
	var trims Trims
	f := store.Fence{Shard: 1, Epoch: 2, Nonce: 3}
	other := store.Fence{Shard: 1, Epoch: 3, Nonce: 4}
	at := func(f store.Fence, trim store.Seq) store.Append { return store.Append{Fence: f, Seq: 9, Trim: trim} }
	note := func(a store.Append, o store.Outcome) { trims.Note([]store.Append{a}, []store.Outcome{o}) }
	moved := func(a store.Append, want bool) {
		t.Helper()
		if trims.Moved(a) != want {
			t.Errorf("trim %d of %v moved: %v", a.Trim, a.Fence, !want)
		}
	}
	moved(at(f, 0), false)
	moved(at(f, 5), true)
	note(at(f, 5), store.Unknown)
	moved(at(f, 5), true)
	note(at(f, 5), store.Done)
	moved(at(f, 5), false)
	moved(at(f, 6), true)
	moved(at(other, 5), true)
	note(at(f, 4), store.Done) // an earlier one, answered late
	moved(at(f, 5), false)
	note(at(f, 6), store.Fenced)
	moved(at(f, 5), true)
}
