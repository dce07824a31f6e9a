package check

import (
	"testing"

	"go.temporal.io/api/workflowservice/v1"

	"perdure/core/port"
	"perdure/core/shard"
)

func TestMemoryBounded(t *testing.T) {
	var found *Breach
	m := NewMemory(func(b *Breach) { found = b })
	at := port.ShardAddress(1, 1)
	for _, x := range []struct {
		want string
		held shard.Held
	}{
		{"", shard.Held{Bytes: 10, Budget: 10, Items: 1000}},
		{"", shard.Held{Bytes: 11, Budget: 10, Items: runsInUse}},
		{"65 open runs of 11 bytes", shard.Held{Bytes: 11, Budget: 10, Items: runsInUse + 1}},
	} {
		found = nil
		m.runs(at, "open", x.held)
		if x.want == "" && found != nil {
			t.Error(found)
		} else if x.want != "" {
			broke(t, found, MemoryBounded, x.want)
		}
	}
	s := shard.New(shard.Config{Self: at, Rand: func() uint64 { return 1 }})
	m.full[machine{1, at}] = true
	call := port.Call{Node: 1, ID: 7}
	start := &port.Request{Call: call, Body: &workflowservice.StartWorkflowExecutionRequest{}}
	busy := []port.Effect{port.Reply{Call: call, Refusal: port.Refuse(port.Unavailable, "full")}}
	found = nil
	m.Stepped(1, at, s, start, busy)
	if found != nil {
		t.Error(found)
	}
	m.full[machine{1, at}] = true
	m.Stepped(1, at, s, start, nil)
	broke(t, found, MemoryBounded, "above its budget")
}
