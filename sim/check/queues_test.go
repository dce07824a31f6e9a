package check

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"perdure/core/port"
	"perdure/core/registry/registrypb"
	"perdure/core/store"
)

func TestQueueOrder(t *testing.T) {
	self, shard := port.Address{Node: 1, Role: port.RoleQueues}, port.ShardAddress(1, 1)
	queue := port.QueueKey{Name: "queue", Type: port.WorkflowQueue}
	task := func(key string) port.Task {
		return port.Task{Shard: shard, Queue: queue, Kind: port.WorkflowTask, Key: key}
	}
	takes := func(key string) []port.Effect {
		return []port.Effect{port.Send{To: shard, In: port.Taken{Task: task(key)}}}
	}
	list := port.Backlog{Shard: shard, Queue: queue, Tasks: []port.Task{task("b"), task("d")}}
	for _, x := range []struct {
		name  string
		wrong bool
		steps func(q *Queues)
	}{
		{"oldest first", false, func(q *Queues) {
			q.Stepped(1, self, list, takes("b"))
			q.Stepped(1, self, port.Alarmed{}, takes("d"))
		}},
		{"newest first", true, func(q *Queues) { q.Stepped(1, self, list, takes("d")) }},
		{"an offered one overtakes", false, func(q *Queues) {
			q.Stepped(1, self, list, nil)
			q.Stepped(1, self, port.Offer{Task: task("c")}, takes("c"))
		}},
		{"an offered one is kept and overtakes", true, func(q *Queues) {
			q.Stepped(1, self, list, nil)
			q.Stepped(1, self, port.Offer{Task: task("c")}, nil)
			q.Stepped(1, self, port.Alarmed{}, takes("c"))
		}},
		{"the older one was withdrawn", false, func(q *Queues) {
			q.Stepped(1, self, list, nil)
			q.Stepped(1, self, port.Withdrawn{Task: task("b")}, nil)
			q.Stepped(1, self, port.Alarmed{}, takes("d"))
		}},
		{"after a new subscription", false, func(q *Queues) {
			q.Stepped(1, self, list, []port.Effect{port.Send{To: shard, In: port.Subscribe{From: self, Queue: queue}}})
			q.Stepped(1, self, port.Alarmed{}, takes("d"))
		}},
		{"after asking for the rest", false, func(q *Queues) {
			q.Stepped(1, self, list, []port.Effect{port.Send{To: shard, In: port.Pull{From: self, Queue: queue, After: "a"}}})
			q.Stepped(1, self, port.Alarmed{}, takes("d"))
		}},
		{"an offered one is forgotten", true, func(q *Queues) {
			q.Stepped(1, self, port.Offer{Task: task("a")}, nil)
			q.Stepped(1, self, port.Backlog{Shard: shard, Queue: queue, After: "b", Tasks: []port.Task{task("c")}}, takes("c"))
		}},
		{"an offered one was gone when the rest was listed", false, func(q *Queues) {
			q.Stepped(1, self, port.Offer{Task: task("c")}, nil)
			q.Stepped(1, self, port.Backlog{Shard: shard, Queue: queue, After: "b", Tasks: []port.Task{task("d")}}, takes("d"))
		}},
		{"one that a displaced owner offered", false, func(q *Queues) {
			q.Stepped(1, self, port.Backlog{Shard: shard, Queue: queue, Epoch: 2}, nil)
			q.Stepped(1, self, port.Offer{Task: task("a"), Epoch: 1}, nil)
			q.Stepped(1, self, port.Backlog{Shard: shard, Queue: queue, Epoch: 2, After: "b", Tasks: []port.Task{task("c")}}, takes("c"))
		}},
		{"another life", false, func(q *Queues) {
			q.Stepped(1, self, list, nil)
			q.Stepped(2, self, port.Alarmed{}, takes("d"))
		}},
	} {
		var found *Breach
		x.steps(NewQueues(func(b *Breach) { found = b }))
		if x.wrong {
			broke(t, found, QueueOrder, "before an older one")
		} else if found != nil {
			t.Errorf("%s: %v", x.name, found)
		}
	}
}

func TestGivenOnce(t *testing.T) {
	l := newForge(t).ledger
	for _, attempt := range []int32{1, 2} {
		if b := l.Given(forgedRun, "a1", 5, attempt, "one"); b != nil {
			t.Error(b)
		}
	}
	broke(t, l.Given(forgedRun, "a1", 5, 2, "two"), GivenOnce, "after one had")
}

func TestLevelKnownByAll(t *testing.T) {
	f := newForge(t)
	put := func(key string, row proto.Message) *Breach {
		f.found = nil
		b, _ := marshal(row)
		f.ledger.put(0, 1, &store.Row{Key: store.Key{Table: store.Metadata, Partition: "registry", Key: key}, Value: b}, time.Time{})
		if len(f.found) == 0 {
			return nil
		}
		return f.found[0]
	}
	for _, b := range []*Breach{
		put("cluster", &registrypb.Cluster{Format: 1}), put("namespace/id", &registrypb.Namespace{Id: "id", Name: "n", Format: 1}),
		put("cluster", &registrypb.Cluster{Format: 2, Level: 2}), put("layout", &registrypb.Layout{Format: 2, Generation: 7}), f.ledger.LevelReached(2),
	} {
		if b != nil {
			t.Error(b)
		}
	}
	broke(t, put("layout", &registrypb.Layout{Format: 3, Generation: 7}), LevelKnownByAll, `row "layout" was written in format 3`)
	broke(t, put("cluster", &registrypb.Cluster{Format: 1, Level: 1}), LevelKnownByAll, "went back")
	broke(t, f.ledger.LevelReached(2), LevelKnownByAll, "still at 1")
}

// An owner of the registry raises the level while a member that is up knows less.
func TestLevelIsNotRaisedOverAMember(t *testing.T) {
	for _, c := range []struct {
		name  string
		knows port.Level // of node 2
		want  string
	}{{"newer", 2, ""}, {"down", 0, ""}, {"older", 1, "node 2, which is a member and up, knows 1"}} {
		var found *Breach
		levels := NewLevels(func(n port.NodeID) port.Level {
			if n == 2 {
				return c.knows
			}
			return 2
		}, func(b *Breach) { found = b })
		level := port.Level(1)
		at := port.Address{Node: 1, Role: port.RoleRegistry}
		step := func(in port.Input) { levels.stepped(1, at, level, in) }
		step(&port.Members{All: []port.Member{{Node: 1}, {Node: 2}}})
		step(port.Alarmed{})
		level = 2
		step(port.Alarmed{})
		if c.want == "" && found != nil {
			t.Errorf("%s: %v", c.name, found)
		}
		if c.want != "" {
			broke(t, found, LevelKnownByAll, c.want)
		}
	}
}

func TestPublishedIsDurable(t *testing.T) {
	l := newForge(t).ledger
	snapshot := func(description string) *port.Snapshot {
		n := &port.Namespace{ID: "id", Name: "name", Description: description, Retention: time.Hour}
		return &port.Snapshot{ByID: map[string]*port.Namespace{"id": n}}
	}
	broke(t, l.Published(snapshot("first")), PublishedIsDurable, "not durable")
	row, _ := marshal(&registrypb.Namespace{Id: "id", Name: "name", Description: "first", Retention: int64(time.Hour)})
	key := store.Key{Table: store.Metadata, Partition: "registry", Key: "namespace/id"}
	l.put(0, 1, &store.Row{Key: key, Value: row}, time.Time{})
	if b := l.Published(snapshot("first")); b != nil {
		t.Error(b)
	}
	broke(t, l.Published(snapshot("second")), PublishedIsDurable, "second")
	row, _ = marshal(&registrypb.Namespace{Id: "id", Name: "name", Description: "second", Retention: int64(time.Hour)})
	l.put(0, 2, &store.Row{Key: key, Value: row}, time.Time{})
	if b := l.Published(snapshot("first")); b != nil { // by a node that hears late of the change
		t.Error(b)
	}
	at := l.changed + staleness
	l.now = func() time.Duration { return at }
	if b := l.Known(snapshot("old")); b != nil {
		t.Error(b)
	}
	at++
	broke(t, l.Known(snapshot("old")), PublishedIsDurable, "does not know it")
	broke(t, l.Known(snapshot("first")), PublishedIsDurable, "does not know it")
	if b := l.Known(snapshot("second")); b != nil {
		t.Error(b)
	}
}
