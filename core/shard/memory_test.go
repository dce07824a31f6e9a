package shard

import (
	"fmt"
	"testing"
	"time"

	"perdure/core/placement"
	"perdure/core/port"
	"perdure/core/store"
)

// A shard uses the part of its node's memory that the shards placed there leave
// it. When that becomes less, what is too much goes, and no task is lost by it.
func TestMemoryIsSharedByShardsOfTheNode(t *testing.T) {
	const nodeBytes, shards, tasks = 2 << 20, 16, 200
	s := newStory(t)
	s.boot(Config{NodeBytes: nodeBytes})
	large := *s.snapshot
	for id := store.ShardID(2); id <= shards; id++ {
		large.Layout = append(large.Layout[:id-1:id-1], port.ShardRange{Shard: id})
	}
	s.post(shardAt, port.Published{Snapshot: &large})
	budget := func(m *port.Members) int {
		here := 0
		for _, r := range large.Layout {
			if n, _ := placement.Shard(m, shardAt.Node, r.Shard); n == shardAt.Node {
				here++
			}
		}
		return nodeBytes / max(here, 1)
	}
	seen := map[int]bool{}
	look := func(m *port.Members) {
		t.Helper()
		each := budget(m)
		seen[each] = true
		held := s.shard.Memory()
		if held.Dispatch.Budget != each/8 || held.Open.Budget != each*3/8 || held.Unflushed.Budget != max(each*3/8, leastUnflushed) || s.shard.due.budget != each/8 {
			t.Errorf("%d bytes for each shard, budgets are %+v", each, held)
		}
		if held.Dispatch.Bytes > held.Dispatch.Budget {
			t.Errorf("%d bytes of tasks are left, %d are allowed", held.Dispatch.Bytes, held.Dispatch.Budget)
		}
	}
	many := &port.Members{All: []port.Member{
		{Node: shardAt.Node, Roles: port.AllRoles, QueueParts: 1}, {Node: 77, Roles: port.KeepsHistory}, {Node: 78, Roles: port.KeepsHistory},
	}}
	s.post(shardAt, many)
	s.settle()
	look(many)
	for i := range tasks {
		s.now += time.Millisecond
		s.start(fmt.Sprintf("w%03d", i), "q", time.Hour)
	}
	alone := &port.Members{All: many.All[:1]}
	s.post(shardAt, alone)
	s.settle()
	look(alone)
	if len(seen) != 2 {
		t.Errorf("the share of a shard is %v, whatever the cluster", seen)
	}
	for i := range tasks {
		if got, want := s.take("q"), fmt.Sprintf("w%03d", i); got != want {
			t.Fatalf("task %d was %q, want %q", i, got, want)
		}
	}
}
