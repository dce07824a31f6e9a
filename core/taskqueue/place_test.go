package taskqueue

import (
	"testing"
	"time"

	"perdure/core/placement"
	"perdure/core/port"
	"perdure/core/store"
)

// moveWorld is one machine of node 1 in a cluster with one shard, and a queue with a waiting poll.
type moveWorld struct {
	t     *testing.T
	m     *Queues
	now   time.Duration
	out   port.Effects
	queue port.QueueKey
}

func clusterOf(nodes ...port.NodeID) *port.Members {
	v := &port.Members{}
	for _, n := range nodes {
		v.All = append(v.All, port.Member{Node: n, Roles: port.AllRoles, QueueParts: 1})
	}
	return v
}

const movingShard = store.ShardID(3)

func newMoveWorld(t *testing.T) *moveWorld {
	w := &moveWorld{t: t, m: New(Config{Self: port.Address{Node: 1, Role: port.RoleQueues}, Members: clusterOf()}), queue: port.QueueKey{Name: "q", Type: port.ActivityQueue}}
	w.step(port.Start{})
	w.step(clusterOf(1))
	w.step(port.Published{Snapshot: &port.Snapshot{Layout: []port.ShardRange{{Shard: movingShard}}}})
	return w
}

func (w *moveWorld) clock() port.Clock {
	return port.Clock{Wall: time.Unix(1000, 0).Add(w.now), Mono: w.now}
}

// step returns what the machine wants done, alarms left out.
func (w *moveWorld) step(in port.Input) []port.Effect {
	w.out.Reset()
	w.m.Step(w.clock(), in, &w.out)
	var kept []port.Effect
	for _, e := range w.out.List {
		if _, alarm := e.(port.Alarm); !alarm {
			kept = append(kept, e)
		}
	}
	return kept
}

func (w *moveWorld) poll(id uint64) []port.Effect {
	return w.step(&port.Poll{Call: port.Call{Node: 1, ID: id}, Queue: w.queue, Deadline: w.clock().Wall.Add(time.Minute)})
}

func (w *moveWorld) task(n port.NodeID, key string) port.Task {
	return port.Task{Shard: port.ShardAddress(n, movingShard), Queue: w.queue, Kind: port.ActivityTask, Key: key}
}

// subscribed wants exactly one subscription, at a node.
func (w *moveWorld) subscribed(got []port.Effect, n port.NodeID) {
	w.t.Helper()
	count := 0
	for _, e := range got {
		if s, ok := e.(port.Send); ok {
			if _, ok := s.In.(port.Subscribe); ok && s.To == port.ShardAddress(n, movingShard) {
				count++
			} else if ok {
				w.t.Errorf("subscribed at %v", s.To)
			}
		}
	}
	if count != 1 {
		w.t.Errorf("%d subscriptions at node %d: %v", count, n, got)
	}
}

func TestQueueFollowsAShardThatMoves(t *testing.T) {
	w := newMoveWorld(t)
	w.subscribed(w.poll(1), 1)
	w.subscribed(w.step(port.Elsewhere{Shard: port.ShardAddress(1, movingShard), To: 2}), 2)
	if got := w.step(port.Elsewhere{Shard: port.ShardAddress(1, movingShard), To: 3}); len(got) > 0 {
		t.Errorf("followed twice: %v", got)
	}
	if got := w.step(port.Elsewhere{Shard: port.ShardAddress(2, movingShard), To: 1}); len(got) > 0 {
		t.Errorf("sent to and fro at once: %v", got)
	}
	w.now += lookAgain
	w.subscribed(w.step(port.Alarmed{}), 2)
}

// A shard speaks up where it is now; what an owner of the past says counts no more.
func TestQueueBelievesTheNewestOwner(t *testing.T) {
	w := newMoveWorld(t)
	w.poll(1)
	got := w.step(port.Offer{Task: w.task(2, "a"), Epoch: 7, Announce: true})
	w.subscribed(got, 2)
	taken := false
	for _, e := range got {
		if s, ok := e.(port.Send); ok {
			if x, ok := s.In.(port.Taken); ok {
				taken = x.From == w.m.cfg.Self && s.To.Node == 2
			}
		}
	}
	if !taken {
		t.Errorf("the task was not taken: %v", got)
	}
	w.poll(2)
	if got := w.step(port.Offer{Task: w.task(1, "b"), Epoch: 6}); len(got) > 0 {
		t.Errorf("a displaced owner was believed: %v", got)
	}
	if got := w.step(port.Backlog{Shard: port.ShardAddress(1, movingShard), Queue: w.queue, Tasks: []port.Task{w.task(1, "b")}, Epoch: 6}); len(got) > 0 {
		t.Errorf("a displaced owner was believed: %v", got)
	}
}

func TestShardOfANodeThatLeftIsLookedForWhereItIsPlaced(t *testing.T) {
	w := newMoveWorld(t)
	w.poll(1)
	w.step(port.Elsewhere{Shard: port.ShardAddress(1, movingShard), To: 2})
	w.step(clusterOf(1, 2))
	w.subscribed(w.step(clusterOf(1)), 1)
}

func TestQueueThatMovesSendsItsPollsAndQueriesOn(t *testing.T) {
	w := newMoveWorld(t)
	both := clusterOf(1, 2)
	for i := 0; ; i++ { // a queue that both nodes place at node 2
		w.queue.Name = "q" + string(rune('a'+i))
		if at, _ := placement.Queue(both, 1, 1, w.queue); at.Node == 2 {
			break
		}
	}
	w.poll(1)
	query := w.task(1, "")
	query.Kind, query.Queue.Name = port.QueryTask, w.queue.Name
	w.poll(2)
	w.step(port.Gone{Call: port.Call{Node: 1, ID: 1}})
	w.step(port.Gone{Call: port.Call{Node: 1, ID: 2}})
	w.step(port.Offer{Task: query})
	got := w.step(both)
	declined := false
	for _, e := range got {
		if s, ok := e.(port.Send); ok {
			d, ok := s.In.(port.Declined)
			declined = declined || ok && d.Moved && !d.Dead
		}
	}
	if !declined {
		t.Errorf("the query was not given back: %v", got)
	}
	reply, ok := w.poll(3)[0].(port.Reply)
	if !ok || reply.Refusal == nil || reply.Refusal.Moved == nil || reply.Refusal.Moved.To != 2 {
		t.Errorf("a poll for another node's queue: %+v", reply)
	}
	w.step(clusterOf(1))
	w.poll(4)
	moved := false
	for _, e := range w.step(both) {
		if r, ok := e.(port.Reply); ok {
			moved = r.Call.ID == 4 && r.Refusal != nil && r.Refusal.Moved != nil && r.Refusal.Moved.To == 2
		}
	}
	if !moved {
		t.Error("a waiting poll was not sent on")
	}
}

// A frontend that hears nothing sends its poll again; it waits once.
func TestPollThatIsSentAgainWaitsOnce(t *testing.T) {
	w := newMoveWorld(t)
	w.poll(1)
	w.poll(1)
	answers := 0
	w.now += time.Minute
	for range 3 {
		for _, e := range w.step(port.Alarmed{}) {
			if _, ok := e.(port.Reply); ok {
				answers++
			}
		}
	}
	if answers != 1 {
		t.Errorf("%d answers", answers)
	}
}

// The record of a task that was offered waits for an answer, also at a shard that this machine does not know, or knows to have another owner.
func TestOffersOfUnknownOwnersAreAnswered(t *testing.T) {
	w := newMoveWorld(t)
	w.step(port.Offer{Task: w.task(2, "a"), Epoch: 9})
	stranger := w.task(1, "b")
	stranger.Shard.Index++
	for _, o := range []port.Offer{{Task: stranger, Epoch: 1, Expect: true}, {Task: w.task(1, "c"), Epoch: 8, Expect: true}} {
		got := w.step(o)
		if len(got) != 1 {
			t.Fatalf("%v is answered by %v", o.Task.Key, got)
		}
		sent, _ := got[0].(port.Send)
		if d, ok := sent.In.(port.Declined); !ok || d.Dead || d.Task.Key != o.Task.Key || sent.To != o.Task.Shard {
			t.Errorf("%v is answered by %v", o.Task.Key, got[0])
		}
	}
}
