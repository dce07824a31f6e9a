package program

import (
	"strconv"
	"time"

	commandpb "go.temporal.io/api/command/v1"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"google.golang.org/protobuf/types/known/durationpb"

	"perdure/sim/universe"
)

// plan is what a program does, drawn from its seed.
type plan struct {
	root     node
	end      ending
	onCancel bool // a cancel request ends it
}

// ending is how a run closes by itself.
type ending uint8

const (
	completes ending = iota
	fails
	continues
	cancels
)

// generator draws a program. Left bounds its operations.
type generator struct {
	*universe.Rand
	input Input
	queue string
	left  int
}

func generate(in Input, queue string, run int) plan {
	g := &generator{universe.Stream(in.Seed, uint64(16*in.Left+run)), in, queue, 0}
	g.left = []int{1, 2, 4, 8, 16}[g.IntN(5)]
	if in.Most > 0 {
		g.left = min(g.left, in.Most)
	}
	p := plan{root: g.node(3), onCancel: g.IntN(3) > 0}
	switch x := g.IntN(10); {
	case in.Left > 0 && x < 6:
		p.end = continues
	case in.Cron && run > 0:
		p.end = cancels // else the schedule would never end
	case x == 9 && !in.Cron:
		p.end = fails
	}
	return p
}

func (g *generator) node(depth int) node {
	if depth == 0 || g.left <= 1 || g.IntN(3) == 0 {
		return g.leaf()
	}
	var parts []node
	for range 1 + g.IntN(4) {
		if g.left <= 0 {
			break
		}
		parts = append(parts, g.node(depth-1))
	}
	switch g.IntN(4) {
	case 0:
		return &all{parts: parts}
	case 1:
		if len(parts) > 1 {
			return &race{parts: parts}
		}
	}
	return &sequence{parts: parts}
}

func (g *generator) leaf() node {
	g.left--
	switch x := g.IntN(100); {
	case x < 40:
		return g.activity()
	case x < 58:
		return timer(g.Spread(time.Millisecond, time.Minute))
	case x < 68:
		return g.child()
	case x < 76:
		return &race{parts: []node{&signalWait{}, timer(g.Between(10*time.Millisecond, 20*time.Second))}}
	case x < 83:
		return signalOther(g.target(), g.IntN(2) == 0)
	case x < 86:
		return cancelOther(g.target(), g.IntN(2) == 0)
	case x < 91:
		return marker(false)
	case x < 96:
		return marker(true)
	case x < 98:
		return upsert(g.IntN(1000))
	}
	return memo(g.IntN(1000))
}

// target is a workflow of the clients, now and then one that is not there.
func (g *generator) target() string { return "wf-" + strconv.Itoa(g.IntN(g.input.Pool+1)) }

func (g *generator) activity() node {
	p := Activity{Millis: int(g.Spread(time.Millisecond, 5*time.Second) / time.Millisecond), Heartbeat: g.IntN(4) == 0, ByID: g.IntN(12) == 0}
	if g.IntN(3) == 0 {
		p.Fails = g.IntN(4)
	}
	if g.IntN(8) == 0 {
		p.Hangs = 1 + g.IntN(2)
	}
	p.Final = g.IntN(20) == 0
	a := &commandpb.ScheduleActivityTaskCommandAttributes{
		StartToCloseTimeout: durationpb.New(g.Between(500*time.Millisecond, 10*time.Second)),
		RetryPolicy: &commonpb.RetryPolicy{
			InitialInterval: durationpb.New(g.Between(10*time.Millisecond, 2*time.Second)), BackoffCoefficient: 1 + g.Float64(),
			MaximumInterval: durationpb.New(5 * time.Second), MaximumAttempts: int32(1 + g.IntN(8)),
		},
		RequestEagerExecution: g.IntN(3) == 0,
	}
	if g.IntN(6) == 0 {
		a.RetryPolicy.NonRetryableErrorTypes = []string{"never again", "TemporalTimeout:Heartbeat"}
	}
	if g.IntN(8) == 0 {
		a.Priority = &commonpb.Priority{PriorityKey: int32(1 + g.IntN(5))}
	}
	if p.Heartbeat {
		a.HeartbeatTimeout = durationpb.New(g.Between(time.Second, 5*time.Second))
	}
	if g.IntN(4) == 0 {
		a.ScheduleToCloseTimeout = durationpb.New(g.Between(time.Second, 40*time.Second))
	}
	if g.IntN(6) == 0 {
		a.ScheduleToStartTimeout = durationpb.New(g.Between(100*time.Millisecond, 20*time.Second))
	}
	return activity(g.queue, p, a)
}

func (g *generator) child() node {
	if g.input.Depth == 0 {
		return timer(g.Between(time.Millisecond, time.Second))
	}
	in := Input{Seed: g.Uint64(), Depth: g.input.Depth - 1, Pool: g.input.Pool}
	if g.IntN(5) == 0 {
		in.Left = 1 + g.IntN(2)
	}
	policy := universe.Pick(g.Rand, enumspb.PARENT_CLOSE_POLICY_TERMINATE, enumspb.PARENT_CLOSE_POLICY_ABANDON, enumspb.PARENT_CLOSE_POLICY_REQUEST_CANCEL)
	a := &commandpb.StartChildWorkflowExecutionCommandAttributes{}
	if g.IntN(4) == 0 {
		a.RetryPolicy = &commonpb.RetryPolicy{InitialInterval: durationpb.New(time.Second), BackoffCoefficient: 1, MaximumAttempts: 2}
	}
	if g.IntN(6) == 0 {
		a.WorkflowRunTimeout = durationpb.New(g.Between(time.Second, time.Minute))
	}
	if g.IntN(5) == 0 {
		a.WorkflowIdReusePolicy = universe.Pick(g.Rand, enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE, enumspb.WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING)
	}
	return child(in, policy, g.IntN(4) == 0, a)
}
