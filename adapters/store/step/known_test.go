package step

import (
	"testing"

	"perdure/core/store"
)

var (
	f     = store.Fence{Shard: 1, Epoch: 2, Nonce: 3}
	other = store.Fence{Shard: 1, Epoch: 3, Nonce: 4}
)

func (k *Known) noteOne(a store.Append, o store.Outcome) {
	k.Note([]store.Append{a}, []store.Outcome{o})
}

func TestTrimsAreRepeatedUntilTheyAreKnownToBeDone(t *testing.T) {
	var known Known
	at := func(f store.Fence, trim store.Seq) store.Append { return store.Append{Fence: f, Seq: 9, Trim: trim} }
	moved := func(a store.Append, want bool) {
		t.Helper()
		if known.Moved(a) != want {
			t.Errorf("trim %d of %v moved: %v", a.Trim, a.Fence, !want)
		}
	}
	moved(at(f, 0), false)
	moved(at(f, 5), true)
	known.noteOne(at(f, 5), store.Unknown)
	moved(at(f, 5), true)
	known.noteOne(at(f, 5), store.Done)
	moved(at(f, 5), false)
	moved(at(f, 6), true)
	moved(at(other, 5), true)
	known.noteOne(at(f, 4), store.Done) // an earlier one, answered late
	moved(at(f, 5), false)
	known.noteOne(at(f, 6), store.Fenced)
	moved(at(f, 5), true)
}

func TestOnlyARecordOfTheSameOwnerIsFollowed(t *testing.T) {
	var known Known
	at := func(f store.Fence, seq store.Seq) store.Append {
		return store.Append{Fence: f, Seq: seq, Record: []byte("r")}
	}
	follows := func(want bool, batch ...store.Append) {
		t.Helper()
		if known.Follows(batch) != want {
			t.Errorf("%v follow: %v", batch, !want)
		}
	}
	follows(false, at(f, 1)) // the first one of an owner is compared with the journal, whatever its number is
	known.noteOne(at(f, 1), store.Unknown)
	follows(false, at(f, 2))
	known.noteOne(at(f, 1), store.Done)
	follows(true, at(f, 2))
	follows(false, at(f, 1))
	follows(false, at(f, 3))
	follows(false, at(other, 2))
	follows(false, at(f, 2), at(other, 2))
	known.noteOne(store.Append{Fence: f, Seq: 7, Trim: 1}, store.Done) // only a trim: its number says nothing
	follows(true, at(f, 2))
	follows(false, store.Append{Fence: f, Seq: 2, Trim: 1})
	known.noteOne(at(f, 2), store.Fenced)
	follows(false, at(f, 2))
}
