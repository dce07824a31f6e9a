// Package conformance holds every store to the contract of core/store. Each
// implementation, the simulated one included, runs it from a test of its own:
//
//	conformance.Run(t, func(t testing.TB) conformance.Subject { ... })
//
// The suite steps one call at a time, but for a few that look at what a long flush does
// meanwhile. That calls may run side by side is else for the implementation's own
// tests, under the race detector.
//
// A store that one process holds alone (Exclusive) may keep less: nobody needs
// its Confirm, and a second process is turned away instead of fenced. It is
// still held to the truth of Confirm and of every fence between owners inside
// the process: a stale owner of a shard may live next to its successor.
//
// Not required of any store: versions of rows that were read; refusing what the
// caller must not send (unsorted rows, a flush whose versions go back, two
// appends of one shard in a batch); dropping trimmed records at once.
package conformance

import (
	"testing"

	"perdure/core/store"
)

// Subject is one empty database under test.
type Subject struct {
	Store store.Store
	// Crash ends the store as a kill of its process would, with no call under way,
	// and opens the same data again. (A power cut may undo flushes whose records are
	// still in the journal; what a store does about that is for its own tests.)
	Crash func() (store.Store, error)
	// Restart closes the store in good order and opens the same data again.
	Restart func() (store.Store, error)
	// Join opens the same data once more, as another process would. An exclusive
	// store must refuse.
	Join func() (store.Store, error)
	// Beside runs a call and looks meanwhile, and once more when it has ended: side by
	// side where the store takes that.
	Beside func(call, look func())
	// Discard closes what is open and removes the data.
	Discard func()
}

// Run runs the whole suite; fresh makes one empty database a call.
func Run(t *testing.T, fresh func(t testing.TB) Subject) {
	for _, family := range [][]story{layoutStories, journalStories, fenceStories, rowStories, besideStories, restartStories} {
		for _, s := range family {
			t.Run(s.name, func(t *testing.T) {
				subject := fresh(t)
				defer subject.Discard()
				s.run(&drive{t: t, Subject: subject})
			})
		}
	}
	t.Run("behaves_like_the_model", func(t *testing.T) { followModel(t, fresh) })
}

// story is one rule and the calls that show it.
type story struct {
	name string
	run  func(d *drive)
}
