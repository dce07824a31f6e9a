package shard

import (
	"fmt"
	"testing"

	"perdure/core/port"
)

// A filter never forgets, also when it has grown, and seldom remembers wrongly.
func TestAbsentNeverForgets(t *testing.T) {
	a := absent{reading: true}
	const ids = 300_000
	for i := range ids {
		a.note(pointerHash(fmt.Sprint("p", i)))
	}
	for i := range ids {
		if !a.has(pointerHash(fmt.Sprint("p", i))) {
			t.Fatalf("id %d was forgotten", i)
		}
	}
	wrong := 0
	for i := range ids {
		if a.has(pointerHash(fmt.Sprint("unused", i))) {
			wrong++
		}
	}
	if wrong > ids/50 {
		t.Errorf("%d of %d unused ids are taken for used ones", wrong, ids)
	}
}

func TestAbsentGivesUpWhenThereAreTooMany(t *testing.T) {
	a := absent{reading: true, ids: absentMost}
	a.note(1)
	if !a.off || a.certainly(port.RunKey{WorkflowID: "w"}) {
		t.Error("a filter that is too small was trusted")
	}
}
