package taskqueue

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"go.temporal.io/api/workflowservice/v1"

	"perdure/core/port"
	"perdure/core/store"
)

// TestStories runs the texts in testdata/stories. A queue is written q (workflow), q/a
// (activity) or s@q (sticky for q); a task by its name, which is also its key; a
// query by a name that begins with "?".
func TestStories(t *testing.T) {
	datadriven.Walk(t, "testdata/stories", func(t *testing.T, path string) {
		s := &story{t: t}
		s.reset(Config{})
		datadriven.RunTest(t, path, s.run)
	})
}

type story struct {
	t     *testing.T
	m     *Queues
	now   time.Duration
	alarm time.Duration // 0: none
	polls map[string]*port.Poll
	out   port.Effects
	text  strings.Builder
}

var storyStart = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func (s *story) reset(cfg Config) {
	cfg.Self = port.Address{Node: 1, Role: port.RoleQueues}
	s.m, s.now, s.alarm, s.polls = New(cfg), 0, 0, map[string]*port.Poll{}
	s.step(port.Start{})
}

func (s *story) run(t *testing.T, d *datadriven.TestData) string {
	s.t = t
	s.text.Reset()
	switch d.Cmd {
	case "new":
		s.reset(Config{Window: intArg(d, "window"), Queries: intArg(d, "queries"), Budget: intArg(d, "budget")})
	case "advance":
		s.advance(durationArg(d, 0))
	case "state":
		s.state()
	default:
		s.step(s.input(d))
	}
	if s.text.Len() == 0 {
		return "nothing\n"
	}
	return s.text.String()
}

func (s *story) input(d *datadriven.TestData) port.Input {
	switch d.Cmd {
	case "layout":
		snap := &port.Snapshot{}
		for _, a := range d.CmdArgs {
			snap.Layout = append(snap.Layout, port.ShardRange{Shard: store.ShardID(number(a.Key))})
		}
		return port.Published{Snapshot: snap}
	case "poll":
		name := d.CmdArgs[0].Key
		wait := time.Minute
		if d.HasArg("wait") {
			wait, _ = time.ParseDuration(strArg(d, "wait"))
		}
		p := &port.Poll{Call: port.Call{Node: 1, ID: uint64(len(s.polls) + 1)}, ID: name, Queue: storyQueue(strArg(d, "queue")), Deadline: storyStart.Add(s.now + wait)}
		s.polls[name] = p
		return p
	case "gone":
		return port.Gone{Call: s.polls[d.CmdArgs[0].Key].Call}
	case "offer":
		return port.Offer{Task: s.task(d, d.CmdArgs[0].Key), Expect: d.HasArg("expect")}
	case "withdrawn":
		return port.Withdrawn{Task: s.task(d, d.CmdArgs[0].Key)}
	case "untaken":
		name := d.CmdArgs[0].Key
		return port.Untaken{Task: s.task(d, name), Poll: s.polls[strArg(d, "poll")]}
	case "backlog":
		b := port.Backlog{Shard: shardArg(d), Queue: storyQueue(strArg(d, "queue")), More: d.HasArg("more")}
		if d.HasArg("after") {
			b.After = strArg(d, "after")
		}
		for _, name := range strings.Fields(d.Input) {
			b.Tasks = append(b.Tasks, s.task(d, name))
		}
		return b
	case "drain":
		return port.Drain{}
	case "shutdown":
		q := storyQueue(strArg(d, "queue"))
		return &port.Request{Call: port.Call{Node: 1, ID: 999}, Namespace: &port.Namespace{ID: q.NamespaceID},
			Body: &workflowservice.ShutdownWorkerRequest{StickyTaskQueue: q.Name, TaskQueue: q.Normal}}
	}
	d.Fatalf(s.t, "unknown command %s", d.Cmd)
	return nil
}

func (s *story) task(d *datadriven.TestData, name string) port.Task {
	q := storyQueue(strArg(d, "queue"))
	t := port.Task{Shard: shardArg(d), Queue: q, Run: port.RunKey{WorkflowID: name}, Kind: port.WorkflowTask, Key: name}
	if q.Type == port.ActivityQueue {
		t.Kind = port.ActivityTask
	}
	if strings.HasPrefix(name, "?") {
		t.Kind, t.Key = port.QueryTask, ""
	}
	return t
}

// advance moves the clock and brings the alarms that fall due.
func (s *story) advance(by time.Duration) {
	end := s.now + by
	for s.alarm > 0 && s.alarm <= end {
		s.now, s.alarm = max(s.now, s.alarm), 0
		s.step(port.Alarmed{})
	}
	s.now = end
}

func (s *story) step(in port.Input) {
	s.out.Reset()
	s.m.Step(port.Clock{Wall: storyStart.Add(s.now), Mono: s.now}, in, &s.out)
	check(s.t, s.m, s.now)
	for _, e := range s.out.List {
		s.print(e)
	}
}

func (s *story) print(e port.Effect) {
	line := func(format string, args ...any) {
		fmt.Fprintf(&s.text, "%v: "+format+"\n", append([]any{s.now}, args...)...)
	}
	switch e := e.(type) {
	case port.Alarm:
		s.alarm = e.At.Sub(storyStart)
		line("alarm at %v", s.alarm)
	case port.Reply:
		line("empty %s (%s)", s.pollOf(e.Call), e.Body.Message.ProtoReflect().Descriptor().Name())
	case port.Send:
		switch in := e.In.(type) {
		case port.Taken:
			line("shard %d: taken %s by %s", e.To.Index, in.Task.Run.WorkflowID, in.Poll.ID)
		case port.Subscribe:
			line("shard %d: subscribe %s until %v", e.To.Index, queueName(in.Queue), in.Until.Sub(storyStart))
		case port.Pull:
			line("shard %d: pull %s after %q max %d", e.To.Index, queueName(in.Queue), in.After, in.Max)
		case port.Declined:
			line("shard %d: declined %s dead=%v", e.To.Index, in.Task.Run.WorkflowID, in.Dead)
		default:
			line("unexpected %T", in)
		}
	default:
		line("unexpected %T", e)
	}
}

func (s *story) pollOf(c port.Call) string {
	for name, p := range s.polls {
		if p.Call == c {
			return name
		}
	}
	return "?"
}

// state prints what the machine holds, by the names of the queues.
func (s *story) state() {
	var names []string
	text := map[string]string{}
	for key, q := range s.m.queues {
		name := queueName(key)
		names = append(names, name)
		text[name] = queueText(q)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&s.text, "%s:%s\n", name, text[name])
	}
	fmt.Fprintf(&s.text, "timers %d, calls %d, kept %v\n", len(s.m.timers), len(s.m.calls), s.m.bytes > 0)
}

func queueText(q *queue) string {
	var b strings.Builder
	for _, l := range []*line{&q.again, &q.fresh} {
		for w := l.first; w != nil; w = w.next {
			fmt.Fprintf(&b, " %s", w.poll.ID)
		}
	}
	for _, t := range q.queries.live() {
		fmt.Fprintf(&b, " %s", t.Run.WorkflowID)
	}
	for _, s := range q.sources {
		var keys []string
		for _, t := range s.window.live() {
			keys = append(keys, t.Key)
		}
		fmt.Fprintf(&b, " shard %d %v", s.shard.Index, keys)
		if s.more {
			fmt.Fprintf(&b, " more after %q", s.after)
		}
		if s.asking {
			b.WriteString(" asking")
		}
	}
	return b.String()
}

func storyQueue(name string) port.QueueKey {
	q := port.QueueKey{NamespaceID: "ns", Type: port.WorkflowQueue}
	if base, ok := strings.CutSuffix(name, "/a"); ok {
		name, q.Type = base, port.ActivityQueue
	}
	q.Name, q.Normal, _ = strings.Cut(name, "@")
	return q
}

func queueName(q port.QueueKey) string {
	name := q.Name
	if q.Sticky() {
		name += "@" + q.Normal
	}
	if q.Type == port.ActivityQueue {
		name += "/a"
	}
	return name
}

func shardArg(d *datadriven.TestData) port.Address {
	return port.ShardAddress(1, store.ShardID(intArg(d, "shard")))
}

func strArg(d *datadriven.TestData, key string) string {
	for _, a := range d.CmdArgs {
		if a.Key == key && len(a.Vals) == 1 {
			return a.Vals[0]
		}
	}
	return ""
}

func intArg(d *datadriven.TestData, key string) int { return number("0" + strArg(d, key)) }

func number(s string) int {
	n := 0
	for _, c := range s {
		n = n*10 + int(c-'0')
	}
	return n
}

func durationArg(d *datadriven.TestData, i int) time.Duration {
	v, err := time.ParseDuration(d.CmdArgs[i].Key)
	if err != nil {
		d.Fatalf(nil, "%v", err)
	}
	return v
}
