package taskqueue

import (
	"testing"

	"perdure/core/port"
)

// Frontends and shards of other versions address the same owner: the values are pinned.
func TestPartOf(t *testing.T) {
	normal := port.QueueKey{NamespaceID: "n", Name: "orders", Type: port.WorkflowQueue}
	activity := normal
	activity.Type = port.ActivityQueue
	sticky := port.QueueKey{NamespaceID: "n", Name: "host:1234", Type: port.WorkflowQueue, Normal: "orders"}
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
		if got := PartOf(c.queue, c.parts); got != c.want {
			t.Errorf("%s: part %d, want %d", c.name, got, c.want)
		}
	}
	if n := testing.AllocsPerRun(100, func() { PartOf(sticky, 4) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
