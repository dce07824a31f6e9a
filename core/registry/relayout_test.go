package registry

import (
	"testing"

	"pgregory.net/rapid"

	"perdure/core/port"
	"perdure/core/registry/registrypb"
)

// Whatever layouts follow each other: each has every strip once, ids are never used
// again, and a shard stays if, and only if, its strips stay as they were.
func TestLayoutsFollowEachOther(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		shards := rapid.OneOf(rapid.IntRange(1, 12), rapid.IntRange(port.Strips-12, port.Strips))
		layout := even(shards.Draw(rt, "shards"))
		used := map[uint32]bool{}
		for range 4 {
			for _, s := range layout.Shards {
				used[s.Id] = true
			}
			next := resized(layout, shards.Draw(rt, "shards"))
			if next.Generation != layout.Generation+1 {
				rt.Fatalf("layout %d follows layout %d", next.Generation, layout.Generation)
			}
			from := uint32(0)
			for _, s := range next.Shards {
				if s.From != from || s.To <= s.From {
					rt.Fatalf("shard %d has strips %d to %d, the one before ends at %d", s.Id, s.From, s.To, from)
				}
				from = s.To
				if stayed := same(layout, s); stayed != has(layout, s.Id) || !stayed && used[s.Id] {
					rt.Fatalf("shard %d of strips %d to %d: used before %v, stays %v", s.Id, s.From, s.To, used[s.Id], stayed)
				}
			}
			if from != port.Strips {
				rt.Fatalf("the strips end at %d", from)
			}
			layout = next
		}
	})
}

// same says that a layout has a shard of these strips.
func same(l *registrypb.Layout, s *registrypb.Layout_Shard) bool {
	for _, x := range l.Shards {
		if x.From == s.From && x.To == s.To {
			return true
		}
	}
	return false
}
