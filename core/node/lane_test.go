package node_test

import (
	"fmt"
	"testing"

	"perdure/core/node"
	"perdure/core/store"
)

// One append of one shard never comes back. Where each shard has a lane of its
// own the others go on; where all share one they wait for it.
func TestAppendsOfShardsWaitForEachOtherOnlyInOneLane(t *testing.T) {
	for _, apart := range []bool{true, false} {
		b := newBenchOf(t, node.Config{Exclusive: true, Apart: apart})
		var stuck store.ShardID
		b.hold = func(batch []store.Append) bool {
			for _, a := range batch {
				if apart && len(batch) > 1 {
					t.Errorf("an append of %d shards in a lane of one", len(batch))
				}
				if stuck == 0 {
					stuck = a.Fence.Shard
				}
				if a.Fence.Shard == stuck {
					return true
				}
			}
			return false
		}
		answered := 0
		const starts = 40
		for i := range starts {
			if _, ok := b.replies[b.post(startOf(fmt.Sprint("wf-", i), "r"))]; ok {
				answered++
			}
		}
		if apart && (answered < starts/2 || answered == starts) {
			t.Errorf("apart: %d of %d starts answered, want those of three shards of four", answered, starts)
		}
		if !apart && answered > 0 {
			t.Errorf("together: %d starts answered while the only append was under way", answered)
		}
	}
}
