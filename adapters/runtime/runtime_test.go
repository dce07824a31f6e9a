package runtime

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"perdure/core/node"
	"perdure/core/port"
	"perdure/core/store"
)

// step is a machine made of a function.
type step func(now port.Clock, in port.Input, out *port.Effects)

func (s step) Step(now port.Clock, in port.Input, out *port.Effects) { s(now, in, out) }

func shard(i int) port.Address {
	return port.Address{Node: 1, Role: port.RoleShard, Index: uint32(i)}
}

var queues = port.Address{Node: 1, Role: port.RoleQueues}

func quietLog() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func start(t testing.TB, c Config, machines map[port.Address]port.Machine) *Runtime {
	t.Helper()
	c.Node, c.Log = 1, quietLog()
	r := New(c)
	for a, m := range machines {
		r.Add(a, m)
	}
	r.Start()
	t.Cleanup(r.Stop)
	return r
}

// echo answers every request with its own refusal text.
func echo(_ port.Clock, in port.Input, out *port.Effects) {
	if q, ok := in.(*port.Request); ok {
		out.Add(port.Reply{Call: q.Call, Refusal: port.Invalid("%v", q.Body)})
	}
}

func call(t testing.TB, r *Runtime, to port.Address, body any) string {
	t.Helper()
	w := r.Begin()
	defer w.End()
	_, refusal, err := w.Do(t.Context(), to, &port.Request{Call: w.Call(), Body: body})
	if err != nil {
		t.Fatal(err)
	}
	return refusal.Message
}

func TestCallIsAnswered(t *testing.T) {
	r := start(t, Config{}, map[port.Address]port.Machine{shard(1): step(echo)})
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 1000 {
				if got, want := call(t, r, shard(1), g*1000+i), port.Invalid("%d", g*1000+i).Message; got != want {
					t.Errorf("got the reply %q of somebody else, want %q", got, want)
				}
			}
		})
	}
	all.Wait()
	if got := call(t, r, queues, ""); !strings.Contains(got, "not served by this node") {
		t.Fatalf("unknown machine: %q", got)
	}
}

func TestStartComesFirstAlsoForLateMachines(t *testing.T) {
	first := make(chan port.Input, 2)
	note := func() step {
		var once sync.Once
		return func(_ port.Clock, in port.Input, out *port.Effects) { once.Do(func() { first <- in }) }
	}
	r := start(t, Config{}, map[port.Address]port.Machine{shard(1): note()})
	r.Add(shard(denseLimit+1), note())
	for range 2 {
		if in := <-first; in != (port.Start{}) {
			t.Fatalf("first input is %T", in)
		}
	}
}

// ringMachine passes a token on; it notes every gap in the order of one sender.
type ringMachine struct {
	next    port.Address
	stepped atomic.Int32 // guards against two steppers at once
	last    map[port.Address]int64
	left    *atomic.Int64
	done    chan struct{}
	wrong   *atomic.Int64
	sent    int64
}

func (m *ringMachine) Step(_ port.Clock, in port.Input, out *port.Effects) {
	if m.stepped.Add(1) != 1 {
		m.wrong.Add(1)
	}
	defer m.stepped.Add(-1)
	p, ok := in.(port.Pull)
	if !ok {
		return
	}
	if n := int64(p.Max); n != m.last[p.From]+1 {
		m.wrong.Add(1)
	}
	m.last[p.From] = int64(p.Max)
	if m.left.Add(-1) == 0 {
		close(m.done)
	}
	m.sent++
	out.Send(m.next, port.Pull{From: port.Address{Node: 1, Role: port.RoleShard, Index: m.next.Index + 100}, Max: int(m.sent)})
}

// TestRingKeepsOrderAndLosesNothing runs many tokens around a ring, started by many
// goroutines: each machine sees its predecessor's numbers without a gap, and the
// tokens never stop.
func TestRingKeepsOrderAndLosesNothing(t *testing.T) {
	const machines, tokens, hops = 5, 64, 200_000
	var left, wrong atomic.Int64
	left.Store(hops)
	done := make(chan struct{})
	ring := map[port.Address]port.Machine{}
	for i := range machines {
		ring[shard(i)] = &ringMachine{next: shard((i + 1) % machines), last: map[port.Address]int64{}, left: &left, done: done, wrong: &wrong}
	}
	r := start(t, Config{Steps: 7}, ring)
	for i := range tokens {
		go r.Post(shard(i%machines), port.Pull{From: port.Address{Index: uint32(1000 + i)}, Max: 1})
	}
	<-done
	if wrong.Load() != 0 {
		t.Fatalf("%d times out of order or stepped twice at once", wrong.Load())
	}
}

// TestOrderOfOneCaller posts numbers from several goroutines; each one's numbers arrive in order.
func TestOrderOfOneCaller(t *testing.T) {
	const senders, each = 8, 20_000
	last := map[string]int{}
	total, done := 0, make(chan struct{})
	m := step(func(_ port.Clock, in port.Input, out *port.Effects) {
		p, ok := in.(port.Pull)
		if !ok {
			return
		}
		if p.Max != last[p.After]+1 {
			t.Errorf("sender %s: %d after %d", p.After, p.Max, last[p.After])
		}
		last[p.After] = p.Max
		if total++; total == senders*each {
			close(done)
		}
	})
	r := start(t, Config{Steps: 3}, map[port.Address]port.Machine{shard(1): m})
	for s := range senders {
		go func() {
			for i := range each {
				r.Post(shard(1), port.Pull{After: string(rune('a' + s)), Max: i + 1})
			}
		}()
	}
	<-done
}

// keeper keeps calls open until told otherwise and records who went.
type keeper struct {
	calls       []port.Call
	waiting     chan port.Call
	gone        chan port.Call
	undelivered chan port.Reply
}

func newKeeper() *keeper {
	return &keeper{waiting: make(chan port.Call, 64), gone: make(chan port.Call, 64), undelivered: make(chan port.Reply, 64)}
}

func (k *keeper) Step(_ port.Clock, in port.Input, out *port.Effects) {
	switch in := in.(type) {
	case *port.Request:
		k.calls = append(k.calls, in.Call)
		k.waiting <- in.Call
	case port.Gone:
		k.gone <- in.Call
	case port.Declined: // answer everybody
		for _, c := range k.calls {
			var token any
			if !in.Dead {
				token = "token"
			}
			out.Add(port.Reply{Call: c, Body: &port.Answer{}, Token: token})
		}
		k.calls = nil
	case port.Undelivered:
		k.undelivered <- in.Reply
	}
}

func TestGoneAndUndelivered(t *testing.T) {
	k := newKeeper()
	r := start(t, Config{}, map[port.Address]port.Machine{shard(1): k})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		w := r.Begin()
		defer w.End()
		_, _, err := w.Do(ctx, shard(1), &port.Request{Call: w.Call()})
		ended <- err
	}()
	c := <-k.waiting
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Fatalf("err = %v", err)
	}
	if g := <-k.gone; g != c {
		t.Fatalf("gone %v, want %v", g, c)
	}
	r.Post(shard(1), port.Declined{})
	if u := <-k.undelivered; u.Call != c || u.Token != "token" {
		t.Fatalf("undelivered %v", u)
	}
	// Without a token nobody is told.
	k.calls = []port.Call{c}
	r.Post(shard(1), port.Declined{Dead: true})
	if len(k.undelivered) != 0 {
		t.Fatal("a reply without a token came back")
	}
}

func TestReplyThatCouldNotBeWrittenComesBack(t *testing.T) {
	k := newKeeper()
	r := start(t, Config{}, map[port.Address]port.Machine{shard(1): k})
	go func() {
		<-k.waiting
		r.Post(shard(1), port.Declined{})
	}()
	w := r.Begin()
	if _, _, err := w.Do(t.Context(), shard(1), &port.Request{Call: w.Call()}); err != nil {
		t.Fatal(err)
	}
	c := w.Call()
	w.Undelivered()
	w.End()
	if u := <-k.undelivered; u.Call != c {
		t.Fatalf("undelivered %v, want %v", u.Call, c)
	}
}

// TestRepliesRaceWithCancels checks that each call ends in exactly one way:
// answered, or gone with its reply undelivered.
func TestRepliesRaceWithCancels(t *testing.T) {
	const callers, each = 8, 2000
	var undelivered atomic.Int64
	m := step(func(_ port.Clock, in port.Input, out *port.Effects) {
		switch in := in.(type) {
		case *port.Request:
			out.Send(queues, port.Gone{Call: in.Call})
		case port.Undelivered:
			undelivered.Add(1)
		}
	})
	answerer := step(func(_ port.Clock, in port.Input, out *port.Effects) {
		switch in := in.(type) {
		case port.Gone:
			out.Add(port.Reply{Call: in.Call, Body: &port.Answer{}, Token: 1})
		case port.Undelivered:
			undelivered.Add(1)
		}
	})
	r := start(t, Config{Steps: 1}, map[port.Address]port.Machine{shard(1): m, queues: answerer})
	var answered atomic.Int64
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for range each {
				ctx, cancel := context.WithCancel(t.Context())
				go cancel()
				w := r.Begin()
				if _, _, err := w.Do(ctx, shard(1), &port.Request{Call: w.Call()}); err == nil {
					answered.Add(1)
				}
				w.End()
			}
		})
	}
	all.Wait()
	if err := r.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := answered.Load() + undelivered.Load(); got != callers*each {
		t.Fatalf("%d answered + %d undelivered of %d", answered.Load(), undelivered.Load(), callers*each)
	}
}

func TestRequestsAreBoundedMessagesAreNot(t *testing.T) {
	enter, leave := make(chan struct{}), make(chan struct{})
	var once sync.Once
	var messages atomic.Int64
	m := step(func(now port.Clock, in port.Input, out *port.Effects) {
		switch in.(type) {
		case port.Pull:
			messages.Add(1)
		case *port.Request:
			once.Do(func() { close(enter); <-leave })
			echo(now, in, out)
		}
	})
	r := start(t, Config{Requests: 2}, map[port.Address]port.Machine{shard(1): m})
	var all sync.WaitGroup
	all.Go(func() { call(t, r, shard(1), "blocks") })
	<-enter
	for range 2 {
		w := r.Begin()
		if mine, refused := r.machines.Load().find(shard(1)).postRequest(&port.Request{Call: w.Call(), Body: "x"}, 2); mine || refused {
			t.Fatal("refused below the bound")
		}
		all.Go(func() { _ = w.wait(t.Context()); w.End() })
	}
	if got := call(t, r, shard(1), "x"); !strings.Contains(got, "too many requests") {
		t.Fatalf("got %q", got)
	}
	for range 100 {
		r.Post(shard(1), port.Pull{})
	}
	close(leave)
	all.Wait()
	if err := r.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if messages.Load() != 100 {
		t.Fatalf("%d of 100 messages", messages.Load())
	}
}

// TestEndlessWorkStarvesNobody hands two machines to the only worker: one that
// is part of an endless chain of messages, and one that answers the call.
func TestEndlessWorkStarvesNobody(t *testing.T) {
	pass := func(to ...port.Address) step {
		return func(_ port.Clock, in port.Input, out *port.Effects) {
			switch in := in.(type) {
			case *port.Request:
				for _, a := range to {
					out.Send(a, port.Gone{Call: in.Call})
				}
			case port.Gone:
				out.Send(to[0], in)
			}
		}
	}
	answer := step(func(_ port.Clock, in port.Input, out *port.Effects) {
		if g, ok := in.(port.Gone); ok {
			out.Add(port.Reply{Call: g.Call, Refusal: port.Invalid("answered")})
		}
	})
	r := start(t, Config{Steps: 1, Workers: 1}, map[port.Address]port.Machine{
		shard(1): pass(shard(2), shard(4)), shard(2): pass(shard(3)), shard(3): pass(shard(2)), shard(4): answer,
	})
	if got := call(t, r, shard(1), nil); got != "answered" {
		t.Fatal(got)
	}
}

func TestAlarmRingsInItsTime(t *testing.T) {
	rang := make(chan time.Time, 1)
	var at time.Time
	m := step(func(now port.Clock, in port.Input, out *port.Effects) {
		switch in.(type) {
		case port.Start:
			out.Add(port.Alarm{At: now.Wall.Add(time.Hour)})
			out.Add(port.Alarm{At: now.Wall.Add(time.Millisecond)}) // earlier than the armed one
			at = now.Wall.Add(20 * time.Millisecond)
			out.Add(port.Alarm{At: at}) // later: rings once, at the later time
		case port.Alarmed:
			if now.Wall.Before(at) {
				t.Errorf("alarm at %v rang at %v", at, now.Wall)
			}
			rang <- now.Wall
		}
	})
	start(t, Config{}, map[port.Address]port.Machine{shard(1): m})
	<-rang
}

func TestAlarmTakenBackDoesNotRing(t *testing.T) {
	second := make(chan struct{})
	quiet := step(func(now port.Clock, in port.Input, out *port.Effects) {
		switch in.(type) {
		case port.Start:
			out.Add(port.Alarm{At: now.Wall.Add(5 * time.Millisecond)})
			out.Add(port.Alarm{})
		case port.Alarmed:
			t.Error("an alarm that was taken back rang")
		}
	})
	other := step(func(now port.Clock, in port.Input, out *port.Effects) {
		switch in.(type) {
		case port.Start:
			out.Add(port.Alarm{At: now.Wall.Add(20 * time.Millisecond)})
		case port.Alarmed:
			close(second)
		}
	})
	start(t, Config{}, map[port.Address]port.Machine{shard(1): quiet, shard(2): other})
	<-second
}

func TestAlarmArithmetic(t *testing.T) {
	t0 := time.Unix(1000, 0)
	a := alarm{ring: func() {}}
	a.set(t0.Add(3*time.Hour), t0)
	if got := a.armed.Sub(t0); got != maxWait {
		t.Fatalf("armed for %v, want %v", got, maxWait)
	}
	if a.due(t0.Add(maxWait)) {
		t.Fatal("rang three hours early")
	}
	if !a.due(t0.Add(3 * time.Hour)) {
		t.Fatal("did not ring")
	}
	if a.due(t0.Add(4 * time.Hour)) {
		t.Fatal("rang twice")
	}
	a.timer.Stop()
}

// fake is a store whose appends and reads wait to be let through.
type fake struct {
	store.Store
	appends chan []store.Append
	let     chan struct{}
	flush   chan struct{}
	at      atomic.Int32
}

func (f *fake) Append(b []store.Append) []store.Outcome {
	if f.at.Add(1) != 1 {
		panic("two appends at once")
	}
	f.appends <- b
	<-f.let
	f.at.Add(-1)
	return make([]store.Outcome, len(b))
}
func (f *fake) Flush(store.Flush) error                   { <-f.flush; return store.ErrFenced }
func (f *fake) Get(keys []store.Key) ([]store.Row, error) { return make([]store.Row, len(keys)), nil }
func (f *fake) Scan(rs []store.Range) ([][]store.Row, error) {
	return make([][]store.Row, len(rs)), nil
}

func TestStoreCallsCompleteAtTheirMachine(t *testing.T) {
	f := &fake{appends: make(chan []store.Append, 8), let: make(chan struct{}, 8), flush: make(chan struct{})}
	done := make(chan *port.Completed, 8)
	m := step(func(_ port.Clock, in port.Input, out *port.Effects) {
		switch in := in.(type) {
		case port.Start:
			out.Add(port.FlushStore{Tag: 1}) // stays under way until the end
			out.Add(port.AppendStore{Tag: 2, Batch: make([]store.Append, 1)})
			out.Add(port.AppendStore{Tag: 3, Batch: make([]store.Append, 2)})
			out.Add(port.ReadStore{Tag: 4, Keys: make([]store.Key, 3), Ranges: make([]store.Range, 2)})
		case *port.Completed:
			done <- in
			if in.Tag == 2 {
				out.Add(port.AppendStore{Tag: 5, Batch: make([]store.Append, 5)})
			}
		}
	})
	r := start(t, Config{Store: f}, map[port.Address]port.Machine{shard(1): m})
	if c := <-done; c.Tag != 4 || len(c.Rows) != 3 || len(c.Scans) != 2 {
		t.Fatalf("read: %+v", c)
	}
	for _, want := range []struct{ tag, size int }{{2, 1}, {3, 2}, {5, 5}} {
		if b := <-f.appends; len(b) != want.size {
			t.Fatalf("append of %d, want %d", len(b), want.size)
		}
		f.let <- struct{}{}
		if c := <-done; int(c.Tag) != want.tag || len(c.Outcomes) != want.size {
			t.Fatalf("append: %+v", c)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Drain(ctx); err == nil {
		t.Fatal("drained while a flush was under way")
	}
	close(f.flush)
	if c := <-done; c.Tag != 1 || !errors.Is(c.Err, store.ErrFenced) {
		t.Fatalf("flush: %+v", c)
	}
	if err := r.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestPublishReachesEverybody(t *testing.T) {
	got := make(chan *port.Snapshot, 2)
	listen := step(func(_ port.Clock, in port.Input, out *port.Effects) {
		if p, ok := in.(port.Published); ok {
			got <- p.Snapshot
		}
	})
	s := &port.Snapshot{Version: 7}
	speak := step(func(now port.Clock, in port.Input, out *port.Effects) {
		if in == (port.Start{}) {
			out.Add(port.Publish{Snapshot: s})
		}
		listen(now, in, out)
	})
	r := start(t, Config{}, map[port.Address]port.Machine{shard(1): listen, {Node: 1, Role: port.RoleRegistry}: speak})
	<-r.Ready()
	if r.Snapshot() != s || <-got != s || <-got != s {
		t.Fatal("snapshot not published")
	}
}

// Machines that a snapshot brings along are started, and hear of it first of all.
func TestSnapshotBringsMachines(t *testing.T) {
	s := &port.Snapshot{Version: 7}
	got := make(chan port.Input, 3)
	listen := step(func(_ port.Clock, in port.Input, _ *port.Effects) { got <- in })
	speak := step(func(_ port.Clock, in port.Input, out *port.Effects) {
		if in == (port.Start{}) {
			out.Add(port.Publish{Snapshot: s})
			out.Send(shard(9), port.Drain{})
		}
	})
	grow := func(x *port.Snapshot) []node.Machine {
		if x != s {
			t.Errorf("grows for %v", x)
		}
		return []node.Machine{{Address: shard(9), Machine: listen}}
	}
	start(t, Config{Machines: grow}, map[port.Address]port.Machine{{Node: 1, Role: port.RoleRegistry}: speak})
	for _, want := range []port.Input{port.Start{}, port.Published{Snapshot: s}, port.Drain{}} {
		if in := <-got; in != want {
			t.Errorf("%T instead of %T", in, want)
		}
	}
}

func TestStopRefusesWhoWaits(t *testing.T) {
	k := newKeeper()
	r := New(Config{Node: 1, Log: quietLog()})
	r.Add(shard(1), k)
	r.Start()
	refused := make(chan *port.Refusal)
	go func() {
		w := r.Begin()
		defer w.End()
		_, refusal, _ := w.Do(t.Context(), shard(1), &port.Request{Call: w.Call()})
		refused <- refusal
	}()
	<-k.waiting
	r.Stop()
	if f := <-refused; f == nil || f.Code != port.Unavailable {
		t.Fatalf("got %v", f)
	}
	w := r.Begin()
	defer w.End()
	if _, f, _ := w.Do(t.Context(), shard(1), &port.Request{Call: w.Call()}); f == nil || f.Code != port.Unavailable {
		t.Fatalf("after Stop: %v", f)
	}
}

func TestBrokenInvariantEndsTheProcess(t *testing.T) {
	if os.Getenv("PERDURE_TEST_CRASH") != "" {
		r := New(Config{Node: 1})
		r.Add(shard(3), step(func(port.Clock, port.Input, *port.Effects) { panic("two and two is five") }))
		r.Start()
		select {}
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestBrokenInvariantEndsTheProcess$")
	cmd.Env = append(os.Environ(), "PERDURE_TEST_CRASH=1")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 2 {
		t.Fatalf("exit %v, want status 2\n%s", err, out)
	}
	for _, want := range []string{"broke an invariant", "shard 3", "port.Start", "two and two is five", "runtime_test.go"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("last words lack %q:\n%s", want, out)
		}
	}
}

// hopper passes one token around until the bench is over.
type hopper struct {
	next port.Address
	left int
	in   port.Input
	done chan struct{}
}

func (h *hopper) Step(_ port.Clock, in port.Input, out *port.Effects) {
	if _, ok := in.(port.Pull); !ok {
		return
	}
	if h.left--; h.left < 0 {
		close(h.done)
		return
	}
	out.Send(h.next, h.in)
}

func BenchmarkHop(b *testing.B) {
	done := make(chan struct{})
	in := port.Pull{}
	machines := map[port.Address]port.Machine{}
	for i := range 2 {
		machines[shard(i)] = &hopper{next: shard(1 - i), left: b.N / 2, in: in, done: done}
	}
	r := start(b, Config{}, machines)
	b.ReportAllocs()
	b.ResetTimer()
	r.Post(shard(0), in)
	<-done
}

func BenchmarkCallReplyInline(b *testing.B) {
	r := start(b, Config{}, map[port.Address]port.Machine{shard(1): step(echoNothing)})
	benchCalls(b, r)
}

func echoNothing(_ port.Clock, in port.Input, out *port.Effects) {
	if q, ok := in.(*port.Request); ok {
		out.Add(port.Reply{Call: q.Call})
	}
}

func benchCalls(b *testing.B, r *Runtime) {
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			w := r.Begin()
			if _, _, err := w.Do(b.Context(), shard(1), &port.Request{Call: w.Call()}); err != nil {
				b.Error(err)
			}
			w.End()
		}
	})
}

// BenchmarkCallReplyAppended answers each call after an append that costs nothing: the
// way through a store goroutine and back to a sleeping caller.
func BenchmarkCallReplyAppended(b *testing.B) {
	var waiting, appending []port.Call
	ask := func(out *port.Effects) {
		if len(appending) == 0 && len(waiting) > 0 {
			waiting, appending = appending, waiting
			out.Add(port.AppendStore{})
		}
	}
	m := step(func(_ port.Clock, in port.Input, out *port.Effects) {
		switch in := in.(type) {
		case *port.Request:
			waiting = append(waiting, in.Call)
		case *port.Completed:
			for _, c := range appending {
				out.Add(port.Reply{Call: c})
			}
			appending = appending[:0]
		}
		ask(out)
	})
	benchCalls(b, start(b, Config{Store: instant{}}, map[port.Address]port.Machine{shard(1): m}))
}

type instant struct{ store.Store }

func (instant) Append([]store.Append) []store.Outcome { return nil }
