package taskqueue

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"perdure/core/port"
	"perdure/core/store"
)

// The model: shards that hold tasks and validate what is handed out, polls that
// come and go, and links that are FIFO in each direction and slow at will.

// TestNothingLostOrStalled is the promise of the package: every task finds a poll
// if there is one, no poll gets lost, no task is given to two polls.
func TestNothingLostOrStalled(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		t.Repeat(map[string]func(*rapid.T){
			"":         w.checkStep,
			"task":     w.newTasks,
			"bulk":     w.newTasks,
			"query":    w.newQuery,
			"poll":     func(t *rapid.T) { w.newPoll(t, w.drawQueue(t), w.drawWait(t)) },
			"polls":    func(t *rapid.T) { w.newPoll(t, w.drawQueue(t), w.drawWait(t)) },
			"gone":     w.gonePoll,
			"toShard":  w.deliverToShard,
			"toQueues": w.deliverToQueues,
			"load":     w.loadOne,
			"vanish":   w.vanish,
			"advance":  w.drawAdvance,
			"jump":     w.jumpClock,
			"lose":     w.lose,
			"layout":   w.changeLayout,
			"settle":   w.settleAndCheck,
		})
		w.finish(t)
	})
}

type world struct {
	m       *Queues
	now     time.Duration
	jump    time.Duration // of the wall clock
	alarm   time.Duration // 0: none
	shards  []*modelShard // those of the layout, and retired ones until their messages are gone
	polls   []*modelPoll
	count   int  // of tasks and shards ever made
	picky   bool // shards offer only to subscribers
	lossy   bool // messages may be lost
	lost    bool // one was, since the last renewal
	out     port.Effects
	version uint64
}

type modelShard struct {
	addr    port.Address
	retired bool
	tasks   []port.Task // untaken, by key
	queries []port.Task // open
	expects map[string]bool
	subs    map[port.QueueKey]time.Duration
	in, out []port.Input
	loading []port.Taken // while rows are read the task is still listed
}

type modelPoll struct {
	poll  *port.Poll
	state string // "open", "empty", "gone" or the key of its task
}

var modelQueues = []port.QueueKey{
	{NamespaceID: "n", Name: "q", Type: port.WorkflowQueue},
	{NamespaceID: "n", Name: "q", Type: port.ActivityQueue},
	{NamespaceID: "n", Name: "s", Type: port.WorkflowQueue, Normal: "q"},
}

func newWorld(t *rapid.T) *world {
	w := &world{
		m: New(Config{
			Window:  rapid.IntRange(1, 4).Draw(t, "window"),
			Queries: rapid.IntRange(1, 3).Draw(t, "queries"),
			Budget:  rapid.SampledFrom([]int{1, 1000, 64 << 20}).Draw(t, "budget"),
		}),
		picky: rapid.Bool().Draw(t, "picky"),
		lossy: rapid.Bool().Draw(t, "lossy"),
	}
	w.step(t, port.Start{})
	for range rapid.IntRange(1, 3).Draw(t, "shards") {
		w.addShard()
	}
	w.publish(t)
	return w
}

func (w *world) drawQueue(t *rapid.T) port.QueueKey {
	return rapid.SampledFrom(modelQueues).Draw(t, "queue")
}

func (w *world) drawWait(t *rapid.T) time.Duration {
	return time.Duration(rapid.IntRange(1, 60).Draw(t, "wait")) * time.Second
}

// step steps the machine and carries out its effects.
func (w *world) step(t *rapid.T, in port.Input) {
	w.out.Reset()
	wall := storyStart.Add(w.now + w.jump)
	w.m.Step(port.Clock{Wall: wall, Mono: w.now}, in, &w.out)
	check(t, w.m, w.now)
	for _, e := range w.out.List {
		switch e := e.(type) {
		case port.Alarm:
			w.alarm = w.now + max(1, e.At.Sub(wall))
		case port.Reply:
			w.polls[e.Call.ID].answer(t)
		case port.Send:
			s := w.shard(e.To)
			if s == nil {
				t.Fatalf("%T to %v, which is not there", e.In, e.To)
			}
			s.in = append(s.in, e.In)
			if s.retired {
				checkRetired(t, e.In)
			}
		}
	}
}

// checkRetired allows only answers to what a retired shard may have sent before:
// nothing is asked of it, and its list is not used.
func checkRetired(t *rapid.T, in port.Input) {
	switch in.(type) {
	case port.Subscribe, port.Pull:
		t.Fatalf("%T to a shard that is not in the layout", in)
	}
}

func (p *modelPoll) answer(t *rapid.T) {
	switch p.state {
	case "open":
		p.state = "empty"
	case "gone":
	default:
		t.Fatalf("Q4: poll %d is answered empty, but it was %s", p.poll.Call.ID, p.state)
	}
}

func (w *world) shard(a port.Address) *modelShard {
	i := slices.IndexFunc(w.shards, func(s *modelShard) bool { return s.addr == a })
	if i < 0 {
		return nil
	}
	return w.shards[i]
}

func (w *world) addShard() {
	w.count++
	w.shards = append(w.shards, &modelShard{addr: port.ShardAddress(0, store.ShardID(w.count)), expects: map[string]bool{}, subs: map[port.QueueKey]time.Duration{}})
}

func (w *world) live() []*modelShard {
	return slices.DeleteFunc(slices.Clone(w.shards), func(s *modelShard) bool { return s.retired })
}

func (w *world) drawShard(t *rapid.T) *modelShard {
	return rapid.SampledFrom(w.live()).Draw(t, "shard")
}

func (w *world) publish(t *rapid.T) {
	w.version++
	snap := &port.Snapshot{Version: w.version}
	for _, s := range w.live() {
		snap.Layout = append(snap.Layout, port.ShardRange{Shard: store.ShardID(s.addr.Index)})
	}
	w.step(t, port.Published{Snapshot: snap})
}

func (w *world) makeTask(s *modelShard, q port.QueueKey, kind port.TaskKind, priority int) port.Task {
	w.count++
	key := fmt.Sprintf("%d-%06d", priority, w.count)
	return port.Task{Shard: s.addr, Queue: q, Run: port.RunKey{WorkflowID: key}, Kind: kind, ID: int64(w.count), Key: key}
}

func (w *world) newTasks(t *rapid.T) {
	s, q := w.drawShard(t), w.drawQueue(t)
	kind := port.WorkflowTask
	if q.Type == port.ActivityQueue {
		kind = port.ActivityTask
	}
	for range rapid.IntRange(1, 4).Draw(t, "tasks") {
		s.schedule(w, w.makeTask(s, q, kind, rapid.IntRange(1, 9).Draw(t, "priority")))
	}
}

// schedule adds a task and offers it.
func (s *modelShard) schedule(w *world, task port.Task) {
	i, _ := slices.BinarySearchFunc(s.tasks, task.Key, byKey)
	s.tasks = slices.Insert(s.tasks, i, task)
	if w.picky && s.subs[task.Queue] < w.now && !task.Queue.Sticky() {
		return
	}
	expect := task.ID%2 == 0 || task.Queue.Sticky()
	if expect {
		s.expects[task.Key] = true
	}
	s.out = append(s.out, port.Offer{Task: task, Expect: expect})
}

func (w *world) newQuery(t *rapid.T) {
	s := w.drawShard(t)
	q := rapid.SampledFrom([]port.QueueKey{modelQueues[0], modelQueues[2]}).Draw(t, "queue")
	task := w.makeTask(s, q, port.QueryTask, 0)
	s.queries = append(s.queries, task)
	s.out = append(s.out, port.Offer{Task: task})
}

func (w *world) newPoll(t *rapid.T, q port.QueueKey, wait time.Duration) {
	p := &port.Poll{Call: port.Call{ID: uint64(len(w.polls))}, Queue: q, Deadline: storyStart.Add(w.now + w.jump + wait)}
	p.ID = fmt.Sprint(p.Call.ID)
	w.polls = append(w.polls, &modelPoll{poll: p, state: "open"})
	w.step(t, p)
}

func (w *world) gonePoll(t *rapid.T) {
	open := slices.DeleteFunc(slices.Clone(w.polls), func(p *modelPoll) bool { return p.state != "open" })
	if len(open) == 0 {
		t.Skip()
	}
	p := rapid.SampledFrom(open).Draw(t, "poll")
	p.state = "gone"
	w.step(t, port.Gone{Call: p.poll.Call})
}

func (w *world) deliverToShard(t *rapid.T) {
	busy := slices.DeleteFunc(slices.Clone(w.shards), func(s *modelShard) bool { return len(s.in) == 0 })
	if len(busy) == 0 {
		t.Skip()
	}
	s := rapid.SampledFrom(busy).Draw(t, "shard")
	s.receive(t, w, rapid.IntRange(0, 3).Draw(t, "load") == 0)
}

func (w *world) deliverToQueues(t *rapid.T) {
	busy := slices.DeleteFunc(slices.Clone(w.shards), func(s *modelShard) bool { return len(s.out) == 0 })
	if len(busy) == 0 {
		t.Skip()
	}
	s := rapid.SampledFrom(busy).Draw(t, "shard")
	in := s.out[0]
	s.out = s.out[1:]
	w.step(t, in)
}

func (w *world) loadOne(t *rapid.T) {
	for _, s := range w.shards {
		if len(s.loading) > 0 {
			taken := s.loading[0]
			s.loading = s.loading[1:]
			s.take(t, w, taken)
			return
		}
	}
	t.Skip()
}

// receive handles the oldest message at a shard.
func (s *modelShard) receive(t *rapid.T, w *world, load bool) {
	in := s.in[0]
	s.in = s.in[1:]
	switch in := in.(type) {
	case port.Subscribe:
		s.subs[in.Queue] = in.Until.Sub(storyStart) - w.jump
		s.list(in.Queue, "", w.m.cfg.Window)
	case port.Pull:
		s.list(in.Queue, in.After, in.Max)
	case port.Taken:
		delete(s.expects, in.Task.Key)
		if load {
			s.loading = append(s.loading, in)
		} else {
			s.take(t, w, in)
		}
	case port.Declined:
		delete(s.expects, in.Task.Key)
		s.declined(w, in)
	default:
		t.Fatalf("a shard got %T", in)
	}
}

func (s *modelShard) list(q port.QueueKey, after string, most int) {
	b := port.Backlog{Shard: s.addr, Queue: q, After: after}
	for _, task := range s.tasks {
		if task.Queue != q || task.Key <= after {
			continue
		}
		if b.More = len(b.Tasks) == most; b.More {
			break
		}
		b.Tasks = append(b.Tasks, task)
	}
	s.out = append(s.out, b)
}

// take gives a task to a poll if it is still there.
func (s *modelShard) take(t *rapid.T, w *world, in port.Taken) {
	p := w.polls[in.Poll.Call.ID]
	if p.state != "open" && p.state != "gone" {
		t.Fatalf("Q4: poll %d gets task %s, but it was %s", in.Poll.Call.ID, in.Task.Key, p.state)
	}
	list := &s.tasks
	if in.Task.Kind == port.QueryTask {
		list = &s.queries
	}
	i := slices.IndexFunc(*list, func(task port.Task) bool { return task == in.Task })
	if i < 0 || s.retired {
		s.out = append(s.out, port.Untaken{Task: in.Task, Poll: in.Poll})
		return
	}
	if p.state == "gone" { // undelivered: the task is offered again
		s.out = append(s.out, port.Offer{Task: in.Task, Expect: in.Task.Kind != port.QueryTask})
		return
	}
	*list = slices.Delete(*list, i, i+1)
	p.state = in.Task.Key
}

func (s *modelShard) declined(w *world, in port.Declined) {
	same := func(task port.Task) bool { return task == in.Task }
	if in.Task.Kind == port.QueryTask {
		s.queries = slices.DeleteFunc(s.queries, same)
		return
	}
	if i := slices.IndexFunc(s.tasks, same); i >= 0 && in.Dead {
		s.tasks = slices.Delete(s.tasks, i, i+1)
		task := in.Task
		task.Queue.Name, task.Queue.Normal = task.Queue.Normal, ""
		s.schedule(w, task)
	}
}

// vanish ends a task or query by other means, with or without a word.
func (w *world) vanish(t *rapid.T) {
	s := w.drawShard(t)
	if len(s.queries) > 0 {
		s.out = append(s.out, port.Withdrawn{Task: s.queries[0]})
		s.queries = s.queries[1:]
	} else if len(s.tasks) > 0 {
		i := rapid.IntRange(0, len(s.tasks)-1).Draw(t, "task")
		if rapid.Bool().Draw(t, "say") {
			s.out = append(s.out, port.Withdrawn{Task: s.tasks[i]})
		}
		s.tasks = slices.Delete(s.tasks, i, i+1)
	}
}

// lose drops hints and questions of one shard, as when it is opened anew. What
// carries a poll or a query is not lost alone.
func (w *world) lose(t *rapid.T) {
	if !w.lossy {
		t.Skip()
	}
	s := w.drawShard(t)
	clear(s.subs)
	clear(s.expects)
	s.in = slices.DeleteFunc(s.in, mayBeLost)
	s.out = slices.DeleteFunc(s.out, mayBeLost)
	w.lost = true
}

func mayBeLost(in port.Input) bool {
	switch in := in.(type) {
	case port.Subscribe, port.Pull, port.Backlog:
		return true
	case port.Offer:
		return in.Task.Kind != port.QueryTask
	}
	return false
}

func (w *world) changeLayout(t *rapid.T) {
	if len(w.live()) > 1 && rapid.Bool().Draw(t, "retire") {
		s := w.drawShard(t)
		s.retired, s.tasks, s.queries = true, nil, nil
		clear(s.expects)
	} else if len(w.live()) < 4 {
		w.addShard()
	}
	w.publish(t)
}

// drawAdvance passes little time mostly: a renewal repairs much, so it must not come too often.
func (w *world) drawAdvance(t *rapid.T) {
	most := 100
	if rapid.IntRange(0, 7).Draw(t, "far") == 0 {
		most = 15000
	}
	w.advance(t, time.Duration(rapid.IntRange(1, most).Draw(t, "ms"))*time.Millisecond)
}

func (w *world) advance(t *rapid.T, by time.Duration) {
	end := w.now + by
	for w.alarm > 0 && w.alarm <= end {
		w.now, w.alarm = w.alarm, 0
		w.step(t, port.Alarmed{})
	}
	w.now = end
}

// settle delivers everything until nothing is on its way.
func (w *world) settle(t *rapid.T) {
	for n, busy := 0, true; busy; n++ {
		if n > 10000 {
			t.Fatalf("messages go round for ever")
		}
		busy = false
		for _, s := range w.shards {
			for _, taken := range s.loading {
				s.take(t, w, taken)
			}
			s.loading = nil
			if len(s.in) > 0 {
				s.receive(t, w, false)
				busy = true
			}
			if len(s.out) > 0 {
				in := s.out[0]
				s.out = s.out[1:]
				w.step(t, in)
				busy = true
			}
		}
	}
}

// jumpClock moves the wall clock. Until of a Subscribe is in that time, so the
// shards may drop a subscription, as if it were lost.
func (w *world) jumpClock(t *rapid.T) {
	w.jump += time.Duration(rapid.IntRange(-30, 30).Draw(t, "s")) * time.Second
	w.lost = true
}

func (w *world) checkStep(t *rapid.T) { check(t, w.m, w.now) }

// settleAndCheck looks for stalls once nothing is on its way; after a loss the
// next renewal has to make it good.
func (w *world) settleAndCheck(t *rapid.T) {
	w.settle(t)
	if w.lost {
		w.advance(t, renewEvery)
		w.settle(t)
		w.lost = false
	}
	for _, s := range w.live() {
		for _, task := range slices.Concat(s.tasks, s.queries) {
			if p := w.waiting(task.Queue); p != nil {
				t.Fatalf("stall: poll %d waits, shard %d has %s", p.poll.Call.ID, s.addr.Index, task.Key)
			}
		}
		if len(s.expects) > 0 {
			t.Fatalf("offers that expect an answer got none: %v", len(s.expects))
		}
	}
}

func (w *world) waiting(q port.QueueKey) *modelPoll {
	i := slices.IndexFunc(w.polls, func(p *modelPoll) bool { return p.state == "open" && p.poll.Queue == q })
	if i < 0 {
		return nil
	}
	return w.polls[i]
}

// finish brings polls for all that is left, lets the rest end, and looks that
// nothing remains.
func (w *world) finish(t *rapid.T) {
	w.settleAndCheck(t)
	for _, q := range modelQueues {
		for range w.backlog(q) + 1 {
			w.newPoll(t, q, time.Minute)
		}
	}
	w.settleAndCheck(t)
	for _, q := range modelQueues {
		if n := w.backlog(q); n > 0 {
			t.Fatalf("queue %v: %d tasks lost", q, n)
		}
	}
	w.advance(t, time.Hour)
	w.settle(t)
	for _, p := range w.polls {
		if p.state == "open" {
			t.Fatalf("Q4: poll %d never ended", p.poll.Call.ID)
		}
	}
	if len(w.m.queues)+len(w.m.timers)+len(w.m.calls)+w.m.bytes > 0 || w.alarm > 0 {
		t.Fatalf("Q6: something is left: queues %d, timers %d, calls %d, bytes %d, alarm %v", len(w.m.queues), len(w.m.timers), len(w.m.calls), w.m.bytes, w.alarm)
	}
}

func (w *world) backlog(q port.QueueKey) int {
	n := 0
	for _, s := range w.live() {
		for _, task := range slices.Concat(s.tasks, s.queries) {
			if task.Queue == q {
				n++
			}
		}
	}
	return n
}
