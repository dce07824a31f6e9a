package node

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Whatever the network does to the messages of some lives of a node, those that are
// delivered of each life are a part of what was sent, in order.
func TestLinkDeliversOnceAndInOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var wire []Stamp
		for life := range uint64(rapid.IntRange(1, 3).Draw(rt, "lives")) {
			out := Outgoing{Life: life + 7}
			for range rapid.IntRange(0, 8).Draw(rt, "messages") {
				s := out.Next()
				wire = append(wire, s)
				if rapid.Bool().Draw(rt, "twice") {
					wire = append(wire, s)
				}
			}
		}
		if rapid.Bool().Draw(rt, "overtaking") {
			wire = rapid.Permutation(wire).Draw(rt, "order")
		}
		var in Incoming
		delivered := map[uint64][]uint64{}
		for _, s := range wire {
			if in.Accept(s) {
				delivered[s.Life] = append(delivered[s.Life], s.Seq)
			}
		}
		for life, seqs := range delivered {
			if !slices.IsSorted(seqs) || len(slices.Compact(slices.Clone(seqs))) != len(seqs) {
				rt.Fatalf("life %d: delivered %v", life, seqs)
			}
		}
	})
}

func TestLinkDeliversAllOfAGoodNetwork(t *testing.T) {
	var in Incoming
	for life := range uint64(10) {
		out := Outgoing{Life: life}
		for n := range 3 {
			if !in.Accept(out.Next()) {
				t.Fatalf("message %d of life %d was dropped", n+1, life)
			}
		}
	}
}
