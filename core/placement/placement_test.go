package placement

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"perdure/core/port"
	"perdure/core/store"
)

func view(nodes ...port.NodeID) *port.Members {
	m := &port.Members{}
	for _, n := range nodes {
		m.All = append(m.All, port.Member{Node: n, Roles: port.AllRoles, QueueParts: 4})
	}
	slices.SortFunc(m.All, func(a, b port.Member) int { return int(a.Node) - int(b.Node) })
	return m
}

var (
	normal   = port.QueueKey{NamespaceID: "n", Name: "orders", Type: port.WorkflowQueue}
	activity = port.QueueKey{NamespaceID: "n", Name: "orders", Type: port.ActivityQueue}
	sticky   = port.QueueKey{NamespaceID: "n", Name: "host:1234", Type: port.WorkflowQueue, Normal: "orders"}
)

// Nodes of other versions must find the same owner: the values are pinned.
func TestPlacesArePinned(t *testing.T) {
	for _, c := range []struct {
		name  string
		queue port.QueueKey
		parts int
		want  uint32
	}{
		{"one part", normal, 1, 0},
		{"workflow", normal, 1000, 996},
		{"sticky with its normal queue", sticky, 1000, 996},
		{"activity", activity, 1000, 921},
	} {
		at, ok := Queue(nil, 7, c.parts, c.queue)
		if want := (port.Address{Node: 7, Role: port.RoleQueues, Index: c.want}); !ok || at != want {
			t.Errorf("%s: %v, want %v", c.name, at, want)
		}
	}
	three := view(1, 2, 3)
	var shards []port.NodeID
	for s := range store.ShardID(12) {
		n, _ := Shard(three, 1, s)
		shards = append(shards, n)
	}
	if want := []port.NodeID{2, 3, 2, 2, 1, 1, 3, 2, 3, 2, 1, 3}; !slices.Equal(shards, want) {
		t.Errorf("shards 0 to 11 are at %v, want %v", shards, want)
	}
	var queues []port.NodeID
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		at, _ := Queue(three, 1, 0, port.QueueKey{NamespaceID: "n", Name: name, Type: port.WorkflowQueue})
		queues = append(queues, at.Node)
	}
	if want := []port.NodeID{2, 2, 2, 2, 1, 2}; !slices.Equal(queues, want) {
		t.Errorf("queues are at %v, want %v", queues, want)
	}
}

func TestPlacingAllocatesNothing(t *testing.T) {
	m := view(1, 2, 3)
	if n := testing.AllocsPerRun(100, func() { Queue(m, 1, 4, sticky); Queue(nil, 1, 4, sticky); Shard(m, 1, 9) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestOnlyNodesWithTheRoleOwn(t *testing.T) {
	m := view(1, 2, 3)
	m.All[0].Roles, m.All[1].Roles, m.All[2].Roles = port.KeepsHistory, port.Matches, port.ServesFrontend
	for s := range store.ShardID(50) {
		if n, ok := Shard(m, 3, s); !ok || n != 1 {
			t.Fatalf("shard %d is at node %d", s, n)
		}
	}
	if at, ok := Queue(m, 3, 4, normal); !ok || at.Node != 2 {
		t.Fatalf("the queue is at %v", at)
	}
	m.All = m.All[2:]
	if _, ok := Shard(m, 3, 1); ok {
		t.Error("a frontend got a shard")
	}
	if _, ok := Queue(m, 3, 4, normal); ok {
		t.Error("a frontend got a queue")
	}
}

func drawView(rt *rapid.T) *port.Members {
	return view(rapid.SliceOfNDistinct(rapid.Map(rapid.Uint32Range(1, 1<<32-1), func(n uint32) port.NodeID { return port.NodeID(n) }), 1, 12, rapid.ID).Draw(rt, "nodes")...)
}

// Equal views agree, whoever looks: agreement needs no word.
func TestEqualViewsAgree(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		a := drawView(rt)
		b := view()
		b.All = slices.Clone(a.All)
		s := store.ShardID(rapid.Uint32().Draw(rt, "shard"))
		n, ok := Shard(a, 1, s)
		if other, _ := Shard(b, 2, s); !ok || n != other || a.Find(n) == nil {
			rt.Fatalf("shard %d: node %d and node %d", s, n, other)
		}
	})
}

// When a node leaves only its things move, and when it comes back only they return.
func TestMovementIsMinimal(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		all := drawView(rt)
		gone := rapid.SampledFrom(all.All).Draw(rt, "gone").Node
		rest := &port.Members{All: slices.DeleteFunc(slices.Clone(all.All), func(x port.Member) bool { return x.Node == gone })}
		if len(rest.All) == 0 {
			return
		}
		q := port.QueueKey{NamespaceID: "n", Name: rapid.String().Draw(rt, "queue"), Type: port.ActivityQueue}
		for s := range store.ShardID(64) {
			before, _ := Shard(all, 1, s)
			after, _ := Shard(rest, 1, s)
			if before != after && before != gone {
				rt.Fatalf("shard %d moved from node %d to %d when node %d left", s, before, after, gone)
			}
		}
		before, _ := Queue(all, 1, 1, q)
		after, _ := Queue(rest, 1, 1, q)
		if before != after && before.Node != gone {
			rt.Fatalf("queue %q moved from %v to %v when node %d left", q.Name, before, after, gone)
		}
		if sticky, _ := Queue(all, 1, 1, port.QueueKey{NamespaceID: "n", Name: "s", Type: port.ActivityQueue, Normal: q.Name}); q.Name != "" && sticky != before {
			rt.Fatalf("the sticky queue of %q is at %v, not at %v", q.Name, sticky, before)
		}
	})
}

// The share of each node is the mean, but for chance: five deviations of a fair draw.
func TestSharesAreEven(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		const things = 4096
		m := drawView(rt)
		shards, queues := map[port.NodeID]int{}, map[port.NodeID]int{}
		for i := range things {
			n, _ := Shard(m, 1, store.ShardID(i))
			shards[n]++
			at, _ := Queue(m, 1, 1, port.QueueKey{NamespaceID: "n", Name: string(rune('a'+i%26)) + string(rune(i+1000)), Type: port.WorkflowQueue})
			queues[at.Node]++
		}
		p := 1 / float64(len(m.All))
		slack := 5 * math.Sqrt(things*p*(1-p))
		for _, x := range m.All {
			for what, n := range map[string]int{"shards": shards[x.Node], "queues": queues[x.Node]} {
				if math.Abs(float64(n)-things*p) > slack {
					rt.Fatalf("node %d of %d has %d of %d %s", x.Node, len(m.All), n, things, what)
				}
			}
		}
	})
}
