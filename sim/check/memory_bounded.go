package check

import (
	"go.temporal.io/api/workflowservice/v1"

	"perdure/core/port"
	"perdure/core/shard"
	"perdure/core/taskqueue"
)

// P30 memory_bounded: what machines hold stays within its budgets, however small
// they are; a shard whose rows are not flushed in time takes no more calls that write.

const (
	// runsInUse may be in memory beyond the budget: those that a step works on, or
	// that are being read.
	runsInUse = 64
	// taskMost is more than one task takes in memory.
	taskMost = 1 << 10
)

// Memory follows the machines of a cluster.
type Memory struct {
	fail func(*Breach)
	full map[machine]bool // shards that served and were above the budget after their last step
}

// machine is one life of a machine.
type machine struct {
	boot uint64
	at   port.Address
}

// NewMemory makes a follower.
func NewMemory(fail func(*Breach)) *Memory { return &Memory{fail, map[machine]bool{}} }

// Stepped is told of each step.
func (m *Memory) Stepped(boot uint64, at port.Address, x port.Machine, in port.Input, out []port.Effect) {
	switch x := x.(type) {
	case *shard.Shard:
		k := machine{boot, at}
		if r, ok := in.(*port.Request); ok && m.full[k] && writes(r.Body) && !pushedBack(r.Call, out) {
			m.fail(breach(MemoryBounded, r.Run.WorkflowID, "shard %d took a %T though what is not flushed is above its budget", at.Index, r.Body))
		}
		held := x.Memory()
		if full := held.Serving && held.Unflushed.Bytes > held.Unflushed.Budget; full != m.full[k] {
			m.full[k] = full
		}
		m.runs(at, "open", held.Open)
		m.runs(at, "closed", held.Closed)
		if d := held.Dispatch; d.Bytes > d.Budget+taskMost {
			m.fail(breach(MemoryBounded, "", "shard %d holds %d bytes of tasks, its budget is %d", at.Index, d.Bytes, d.Budget))
		}
	case *taskqueue.Queues:
		if bytes, budget, windows := x.Memory(); bytes > budget+windows*taskMost {
			m.fail(breach(MemoryBounded, "", "task queues hold %d bytes in %d windows, their budget is %d", bytes, windows, budget))
		}
	}
}

func (m *Memory) runs(at port.Address, what string, h shard.Held) {
	if h.Bytes > h.Budget && h.Items > runsInUse {
		m.fail(breach(MemoryBounded, "", "shard %d holds %d %s runs of %d bytes, its budget is %d", at.Index, h.Items, what, h.Bytes, h.Budget))
	}
}

// writes: the calls of clients that make rows whatever the state of their run.
func writes(body any) bool {
	switch body.(type) {
	case *workflowservice.StartWorkflowExecutionRequest, *workflowservice.SignalWorkflowExecutionRequest, *workflowservice.SignalWithStartWorkflowExecutionRequest,
		*workflowservice.TerminateWorkflowExecutionRequest, *workflowservice.RequestCancelWorkflowExecutionRequest:
		return true
	}
	return false
}

func pushedBack(c port.Call, out []port.Effect) bool {
	for _, e := range out {
		if r, ok := e.(port.Reply); ok && r.Call == c {
			return r.Refusal != nil && r.Refusal.Code == port.Unavailable
		}
	}
	return false
}
