package taskqueue

import (
	"fmt"
	"testing"
	"time"

	"perdure/core/port"
)

// benchMachine is a machine of four shards whose queues are subscribed.
func benchMachine(queues, polls int) (m *Queues, keys []port.QueueKey, all []*port.Poll) {
	m = New(Config{Self: port.Address{Node: 1, Role: port.RoleQueues}})
	var out port.Effects
	now := port.Clock{Wall: storyStart}
	snap := &port.Snapshot{Layout: []port.ShardRange{{Shard: 1}, {Shard: 2}, {Shard: 3}, {Shard: 4}}}
	m.Step(now, port.Start{}, &out)
	m.Step(now, port.Published{Snapshot: snap}, &out)
	for i := range polls {
		key := port.QueueKey{NamespaceID: "6f1c7b0e-6d0a-4a55-9c2e-1d7a0a5d3c11", Name: fmt.Sprintf("queue-%d", i%queues), Type: port.WorkflowQueue}
		p := &port.Poll{Call: port.Call{Node: 1, ID: uint64(i)}, Queue: key, Deadline: storyStart.Add(time.Minute)}
		m.Step(now, p, &out)
		keys, all = append(keys, key), append(all, p)
		out.Reset()
	}
	return m, keys, all
}

func benchTask(q port.QueueKey) port.Task {
	return port.Task{
		Shard: port.Address{Node: 1, Role: port.RoleShard, Index: 1}, Queue: q, Kind: port.WorkflowTask, ID: 2, Key: "3-0000001-workflow-17",
		Run: port.RunKey{NamespaceID: q.NamespaceID, WorkflowID: "workflow-17", RunID: "01990c4e-8f5e-7b43-9d6f-2b8d1f0a9c77"},
	}
}

// BenchmarkOfferTaken is the hot path: a task is offered while a poll waits, the
// poll is given away, and the worker polls again.
func BenchmarkOfferTaken(b *testing.B) {
	for _, size := range []struct{ queues, polls int }{{1, 1}, {1, 100}, {1, 10_000}, {10_000, 10_000}} {
		b.Run(fmt.Sprintf("queues=%d/polls=%d", size.queues, size.polls), func(b *testing.B) {
			m, keys, all := benchMachine(size.queues, size.polls)
			offers := make([]port.Input, len(keys))
			for i, key := range keys {
				offers[i] = port.Offer{Task: benchTask(key), Expect: true}
			}
			var out port.Effects
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				now := port.Clock{Wall: storyStart, Mono: 0}
				m.Step(now, offers[i], &out)
				if len(out.List) != 1 {
					b.Fatalf("%d effects", len(out.List))
				}
				p := out.List[0].(port.Send).In.(port.Taken).Poll
				out.Reset()
				m.Step(now, p, &out)
				if i++; i == len(all) {
					i = 0
				}
			}
		})
	}
}

// BenchmarkBacklog is a busy worker: its poll takes the next task of a listed
// backlog of four shards.
func BenchmarkBacklog(b *testing.B) {
	m, _, all := benchMachine(1, 1)
	now := port.Clock{Wall: storyStart}
	var out port.Effects
	m.Step(now, port.Gone{Call: all[0].Call}, &out)
	lists := make([]port.Input, 4)
	for s := range lists {
		list := port.Backlog{Shard: port.Address{Node: 1, Role: port.RoleShard, Index: uint32(s + 1)}, Queue: all[0].Queue}
		for k := range 100 {
			t := benchTask(all[0].Queue)
			t.Shard, t.Key = list.Shard, fmt.Sprintf("3-%07d-workflow-17", 4*k+s)
			list.Tasks = append(list.Tasks, t)
		}
		lists[s] = list
	}
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		if n%400 == 0 {
			for _, list := range lists {
				m.Step(now, list, &out)
			}
		}
		m.Step(now, all[0], &out)
		if len(out.List) != 1 {
			b.Fatalf("%d effects", len(out.List))
		}
		out.Reset()
	}
}
