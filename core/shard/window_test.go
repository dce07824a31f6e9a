package shard

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	ws "go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/types/known/durationpb"

	"perdure/core/port"
	"perdure/core/store"
	"perdure/core/token"
)

// start starts a workflow on a queue of its own choice.
func (s *story) start(id, queue string, timeout time.Duration) {
	s.post(shardAt, s.request(id, id, "", &ws.StartWorkflowExecutionRequest{
		WorkflowId: id, WorkflowType: &commonpb.WorkflowType{Name: "T"}, TaskQueue: &taskqueuepb.TaskQueue{Name: queue},
		WorkflowTaskTimeout: durationpb.New(10 * time.Second), WorkflowRunTimeout: durationpb.New(timeout), WorkflowExecutionTimeout: durationpb.New(timeout),
	}, 0))
	s.settle()
}

// take polls a queue once and tells whose task it got.
func (s *story) take(queue string) string {
	s.text.Reset()
	call := s.call("poll")
	s.post(queuesAt, &port.Poll{Call: call, ID: fmt.Sprint("poll-", call.ID), Queue: port.QueueKey{NamespaceID: storyNamespace, Name: queue, Type: port.WorkflowQueue},
		Deadline: storyStart.Add(s.now + time.Minute), Body: &ws.PollWorkflowTaskQueueRequest{}})
	s.settle()
	text := s.text.String()
	_, rest, ok := strings.Cut(text, "poll: task of ")
	if !ok {
		s.post(queuesAt, port.Gone{Call: call})
		s.settle()
		return ""
	}
	id, _, _ := strings.Cut(rest, ",")
	return id
}

// A backlog far larger than its memory is handed out whole, in order, each task
// once, also after a restart, while the memory stays within its bounds.
func TestBacklogBeyondMemory(t *testing.T) {
	const tasks, budget = 600, 20_000
	s := newStory(t)
	s.boot(Config{DispatchBytes: budget})
	for i := range tasks {
		s.now += time.Millisecond
		s.start(fmt.Sprintf("w%03d", i), "q", time.Hour)
		s.start(fmt.Sprintf("x%03d", i), fmt.Sprint("q", i), time.Hour)
	}
	if b := s.shard.queues.bytes; b > budget {
		t.Fatalf("%d bytes of tasks in memory, %d allowed", b, budget)
	}
	for i := range tasks {
		if i == tasks/2 {
			s.advance(5 * time.Second) // to the tables
			s.boot(Config{DispatchBytes: budget})
		}
		if got, want := s.take("q"), fmt.Sprintf("w%03d", i); got != want {
			t.Fatalf("task %d was %q, want %q", i, got, want)
		}
		if got, want := s.take(fmt.Sprint("q", i)), fmt.Sprintf("x%03d", i); got != want {
			t.Fatalf("task of queue %d was %q, want %q", i, got, want)
		}
	}
	if got := s.take("q"); got != "" {
		t.Fatalf("one task too many: %s", got)
	}
	s.advance(time.Minute) // the subscriptions end
	s.take("q")
	for k, b := range s.shard.queues.queues { //ordered: any failure will do
		if b.tasks.Len() == 0 && b.window == "" && k.Name != "q" {
			t.Fatalf("queue %s is remembered for nothing", k.Name)
		}
	}
}

// Opening a shard with a large backlog reads a bounded part of it, and lists the
// queues of the rest in the background.
func TestOpenReadsABoundedPartOfTheBacklog(t *testing.T) {
	s := newStory(t)
	s.boot(Config{DispatchBytes: 1 << 20})
	const workflow = "w" // one strip gets all of it
	for i := range 400 {
		run := port.RunKey{NamespaceID: storyNamespace, WorkflowID: workflow, RunID: fmt.Sprintf("00000000-0000-4000-8000-%012d", i)}
		queue := port.QueueKey{NamespaceID: storyNamespace, Name: fmt.Sprintf("q%02d", i%20), Type: port.WorkflowQueue}
		task := port.Task{Queue: queue, Run: run, Kind: port.WorkflowTask, ID: 2, Attempt: 1, Stamp: 1, Key: taskKey(3, int64(i), run.RunID, 2, 1)}
		s.shard.log.Put(dispatchKey(&task), encodeDispatch(&task), true)
	}
	s.start("v", "r", time.Hour) // a record that takes all of it along
	s.advance(5 * time.Second)
	s.reads = 0
	s.boot(Config{DispatchBytes: 1 << 20})
	if most := 3*openRows + 20*listedRows; s.reads > most {
		t.Fatalf("%d rows were read, at most %d are needed", s.reads, most)
	}
	if n := len(s.shard.queues.queues); n != 21 || len(s.shard.queues.unlisted) != 0 {
		t.Fatalf("%d of 21 queues are known, %d strips are not listed", n, len(s.shard.queues.unlisted))
	}
	unknown := s.shard.queues.of(port.QueueKey{NamespaceID: storyNamespace, Name: "q99", Type: port.WorkflowQueue})
	if unknown.window != "" {
		t.Fatal("a queue that has no task would be looked for in the table")
	}
}

// A queue with many tasks in one strip keeps no other queue out of memory when the
// shard is opened, and one read finds its tasks.
func TestOpenBesideALongQueue(t *testing.T) {
	const long, queues = 200, 30
	s := newStory(t)
	s.boot(Config{DispatchBytes: 1 << 20})
	waiting := port.QueueKey{NamespaceID: storyNamespace, Name: "long", Type: port.WorkflowQueue}
	for i := range long {
		run := port.RunKey{NamespaceID: storyNamespace, WorkflowID: "w", RunID: fmt.Sprintf("00000000-0000-4000-8000-%012d", i)}
		task := port.Task{Queue: waiting, Run: run, Kind: port.WorkflowTask, ID: 2, Attempt: 1, Stamp: 1, Key: taskKey(3, int64(i), run.RunID, 2, 1)}
		s.shard.log.Put(dispatchKey(&task), encodeDispatch(&task), true)
	}
	for i := range queues {
		s.start(fmt.Sprint("v", i), fmt.Sprint("queue", i), time.Hour)
	}
	s.advance(5 * time.Second) // to the tables
	s.boot(Config{DispatchBytes: 1 << 20})
	for i := range queues {
		b := s.shard.queues.of(port.QueueKey{NamespaceID: storyNamespace, Name: fmt.Sprint("queue", i), Type: port.WorkflowQueue})
		if b.window != "" || b.tasks.Len() != 1 {
			t.Errorf("of the 1 task of %s memory holds %d, below %q", b.key.Name, b.tasks.Len(), b.window)
		}
	}
	s.post(shardAt, port.Pull{From: queuesAt, Queue: waiting, Max: listMax})
	s.settle()
	if b := s.shard.queues.of(waiting); b.window != "" || b.tasks.Len() != long {
		t.Errorf("of %d tasks %d were read at once, below %q", long, b.tasks.Len(), b.window)
	}
}

// A scan that comes back empty because all its rows were withdrawn since is not complete:
// the tasks behind them are found.
func TestOpenLooksBehindWithdrawnTasks(t *testing.T) {
	const tasks, withdrawn = 400, 300
	s := newStory(t)
	s.boot(Config{DispatchBytes: 1 << 20})
	waiting := make([]port.Task, tasks)
	for i := range waiting {
		run := port.RunKey{NamespaceID: storyNamespace, WorkflowID: "w", RunID: fmt.Sprintf("00000000-0000-4000-8000-%012d", i)}
		queue := port.QueueKey{NamespaceID: storyNamespace, Name: fmt.Sprintf("q%d", 2*i/tasks), Type: port.WorkflowQueue}
		waiting[i] = port.Task{Queue: queue, Run: run, Kind: port.WorkflowTask, ID: 2, Attempt: 1, Stamp: 1, Key: taskKey(3, int64(i), run.RunID, 2, 1)}
		s.shard.log.Put(dispatchKey(&waiting[i]), encodeDispatch(&waiting[i]), true)
	}
	s.start("v", "r", time.Hour) // a record that takes all of it along
	s.advance(5 * time.Second)   // to the tables
	for i := range withdrawn {
		s.shard.log.Delete(dispatchKey(&waiting[i]))
	}
	s.start("x", "r", time.Hour) // to the journal only
	s.boot(Config{DispatchBytes: 1 << 20})
	if n := len(s.shard.queues.unlisted); n != 0 {
		t.Fatalf("%d strips are not listed", n)
	}
	if b := s.shard.queues.queues[waiting[withdrawn].Queue]; b == nil || b.window == "" && b.tasks.Len() != tasks-withdrawn {
		t.Fatalf("the tasks that were not withdrawn are forgotten: %v", b)
	}
}

// However small the memory for deadlines is, each timeout comes in its time.
func TestDeadlinesBeyondMemory(t *testing.T) {
	const workflows, budget = 300, 8_000
	s := newStory(t)
	s.boot(Config{DeadlineBytes: budget})
	r := rand.New(rand.NewPCG(7, 7))
	ends := map[string]time.Duration{}
	for i := range workflows {
		id := fmt.Sprintf("w%03d", i)
		timeout := time.Duration(1+r.IntN(7200)) * time.Second
		ends[id] = s.now + timeout
		s.start(id, "q", timeout)
		s.now += time.Millisecond
	}
	s.advance(5 * time.Second)
	if b := s.shard.due.bytes; b > budget+workflows/60*deadlineCost {
		t.Fatalf("%d bytes of deadlines in memory, %d allowed", b, budget)
	}
	for i := range 150 {
		if i%40 == 20 {
			s.boot(Config{DeadlineBytes: budget})
		}
		s.advance(time.Duration(r.IntN(100)) * time.Second)
		for id, end := range ends { //ordered: each is checked on its own
			if over := s.timedOut(id); over != (s.now >= end) {
				t.Fatalf("at %v, %s, which ends at %v: over is %v", s.now, id, end, over)
			}
		}
	}
}

// timedOut asks for the status of a workflow. One that is gone was closed for an hour.
func (s *story) timedOut(id string) bool {
	s.text.Reset()
	s.post(shardAt, s.request("status", id, "", &ws.DescribeWorkflowExecutionRequest{}, 0))
	s.settle()
	return strings.HasPrefix(s.text.String(), "status: TimedOut") || strings.HasPrefix(s.text.String(), "status: code 5")
}

// Pages of a history of many rows are whole, from both ends and from any place,
// however often the run leaves the memory in between.
func TestPagesOfALongHistory(t *testing.T) {
	s := newStory(t)
	s.boot(Config{FlushAge: time.Second})
	s.start("w", "q", 0)
	r := rand.New(rand.NewPCG(3, 3))
	for range 1200 {
		s.post(shardAt, s.request("signal", "w", "", &ws.SignalWorkflowExecutionRequest{SignalName: "s", Input: payload(strings.Repeat("x", r.IntN(8000)))}, 0))
		if s.settle(); r.IntN(50) == 0 {
			s.advance(2 * time.Second)
		}
	}
	s.advance(2 * time.Second)
	const last = 1202
	forward := s.allPages(t, r, last, false)
	backward := s.allPages(t, r, last, true)
	slices.Reverse(backward)
	if len(forward) != last || !slices.Equal(forward, backward) {
		t.Fatalf("%d events from the beginning, %d from the end, %d are there", len(forward), len(backward), last)
	}
	for i, id := range forward {
		if id != int64(i+1) {
			t.Fatalf("event %d came where %d had to come", id, i+1)
		}
	}
}

// A page that begins anywhere, also inside the last row of the table, is found.
func TestPageFromAnywhere(t *testing.T) {
	s := newStory(t)
	s.boot(Config{FlushAge: time.Second})
	s.start("w", "q", 0)
	const signals = 60
	for i := range signals {
		s.post(shardAt, s.request("signal", "w", "", &ws.SignalWorkflowExecutionRequest{SignalName: "s", Input: payload(strings.Repeat("x", 3000))}, 0))
		if s.settle(); i == signals/2 {
			s.advance(2 * time.Second)
		}
	}
	s.advance(2 * time.Second)
	for from := int64(3); from <= signals+2; from++ {
		s.evict()
		s.text.Reset()
		req := s.request("page", "w", "", &ws.GetWorkflowExecutionHistoryRequest{MaximumPageSize: 1}, 0)
		req.Page = &port.PageToken{RunID: s.runs["w"], NextEventID: from, LastEventID: signals + 2}
		s.post(shardAt, req)
		s.settle()
		if want := fmt.Sprintf("page: events %d-%d", from, from); !strings.HasPrefix(s.text.String(), want) {
			t.Fatalf("%q, want %q", s.text.String(), want)
		}
	}
}

// allPages reads all pages, letting the run go now and then.
func (s *story) allPages(t *testing.T, r *rand.Rand, last int64, reverse bool) (ids []int64) {
	var page *port.PageToken
	for {
		if r.IntN(2) == 0 {
			s.evict()
		}
		var body any = &ws.GetWorkflowExecutionHistoryRequest{MaximumPageSize: int32(1 + r.IntN(12))}
		if reverse {
			body = &ws.GetWorkflowExecutionHistoryReverseRequest{MaximumPageSize: int32(1 + r.IntN(12))}
		}
		s.text.Reset()
		req := s.request("page", "w", "", body, 0)
		req.Page = page
		s.post(shardAt, req)
		s.settle()
		text := s.text.String()
		for _, word := range strings.Fields(strings.TrimSuffix(strings.TrimSpace(text), ", more"))[2:] {
			var from, to int64
			if reverse {
				fmt.Sscan(word, &from)
				ids = append(ids, from)
				continue
			}
			fmt.Sscanf(word, "%d-%d", &from, &to)
			for id := from; id <= to; id++ {
				ids = append(ids, id)
			}
		}
		if !strings.Contains(text, ", more") {
			return ids
		}
		var ok bool
		if page, ok = token.DecodePage(s.pages["page"], reverse); !ok {
			t.Fatal("broken page token")
		}
	}
}

// A page token from outside may name any event: nothing breaks.
func TestForgedPageTokens(t *testing.T) {
	s := newStory(t)
	s.boot(Config{})
	s.start("w", "q", 0)
	for _, next := range []int64{-1 << 63, -5, 0, 1, 2, 3, 4, 1 << 40, 1<<63 - 1} {
		for _, last := range []int64{-1, 0, 1, 2, 1 << 62} {
			for _, running := range []bool{false, true} {
				s.evict()
				forward := s.request("f", "w", "", &ws.GetWorkflowExecutionHistoryRequest{MaximumPageSize: 2}, 0)
				forward.Page = &port.PageToken{RunID: s.runs["w"], NextEventID: next, LastEventID: last, Running: running}
				back := s.request("b", "w", "", &ws.GetWorkflowExecutionHistoryReverseRequest{MaximumPageSize: 2}, 0)
				back.Page = &port.PageToken{RunID: s.runs["w"], NextEventID: next, LastEventID: last, Reverse: true}
				s.text.Reset()
				s.post(shardAt, forward)
				s.post(shardAt, back)
				s.settle()
				if n := strings.Count(s.text.String(), "\n"); n != 2 {
					t.Fatalf("token %d of %d: %d answers", next, last, n)
				}
			}
		}
	}
}

// A history that is read in several parts is whole though the rows of the second
// part were merged into one of the first while the first was under way.
func TestHistoryIsWholeThoughItsRowsAreMergedMeanwhile(t *testing.T) {
	const rows, signals = 8, 24
	s := newStory(t)
	s.boot(Config{HistoryRows: rows})
	s.start("w", "q", time.Hour)
	signal := func(n int) {
		s.post(shardAt, s.request("signal", "w", "", &ws.SignalWorkflowExecutionRequest{SignalName: "s", RequestId: fmt.Sprint(n)}, 0))
		s.settle()
	}
	for n := range signals {
		signal(n)
	}
	s.evict()
	s.slow = func(r port.ReadStore) bool {
		return len(r.Ranges) > 0 && r.Ranges[0].Table == store.History && r.Ranges[0].Limit == rows
	}
	s.post(shardAt, s.request("page", "w", "", &ws.GetWorkflowExecutionHistoryRequest{MaximumPageSize: 2 * signals}, 0))
	s.settle()
	if len(s.late) != 1 {
		t.Fatalf("%d reads of history are under way", len(s.late))
	}
	s.advance(5 * time.Second) // to the tables
	signal(signals)
	s.slow = nil
	s.text.Reset()
	s.inbox = append(s.inbox, s.late...)
	s.settle()
	want := "page: events 1-2"
	for id := 3; id <= signals+3; id++ {
		want += fmt.Sprintf(" %d-%d", id, id)
	}
	if got := strings.TrimSpace(s.text.String()); got != want {
		t.Errorf("%s\n, want\n%s", got, want)
	}
}
