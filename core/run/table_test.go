package run

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// A table is a map whose ids are listed in order, however many came and went.
func TestTableIsAnOrderedMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var table table[int]
		twin := map[int64]int{}
		for i := range rapid.IntRange(0, 200).Draw(t, "steps") {
			id := rapid.Int64Range(1, 60).Draw(t, "id")
			if rapid.IntRange(0, 2).Draw(t, "put") > 0 {
				table.put(id, i)
				twin[id] = i
			} else {
				table.remove(id)
				delete(twin, id)
			}
			if got, want := table.ids(), slices.Sorted(maps.Keys(twin)); !slices.Equal(got, want) {
				t.Fatalf("ids %v, want %v", got, want)
			}
			got, ok := table.get(id)
			if want, known := twin[id]; got != want || ok != known || table.len() != len(twin) {
				t.Fatalf("%d: %d, %v, want %d, %v", id, got, ok, want, known)
			}
		}
	})
}
