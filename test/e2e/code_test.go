package e2e

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// What workflow code can do besides calling others.
var codeCases = []testCase{
	{"code_side_effects", codeSideEffects},
	{"code_versions", codeVersions},
	{"code_upserts", codeUpserts},
	{"code_selects_timers", codeSelectsTimers},
	{"code_timers_of_all_sizes", codeTimersOfAllSizes},
	{"code_awaits", codeAwaits},
	{"code_channels_and_locks", codeChannelsAndLocks},
	{"code_many_timers", codeManyTimers},
}

// codeSideEffects: what was random before the kill is the same after it.
func codeSideEffects(s *scene) {
	s.work(flows{"effects": func(ctx workflow.Context) (bool, error) {
		var a, b, c int64
		if err := workflow.SideEffect(ctx, func(workflow.Context) any { return rand.Int64N(1 << 50) }).Get(&a); err != nil {
			return false, err
		}
		mutable := func() (n int64, err error) {
			err = workflow.MutableSideEffect(ctx, "m", func(workflow.Context) any { return rand.Int64N(1 << 50) }, func(a, b any) bool { return true }).Get(&n)
			return n, err
		}
		b, err := mutable()
		if err != nil {
			return false, err
		}
		stream := workflow.GetRandomStream(ctx, "stream").Uint64()
		if err := workflow.ExecuteActivity(withActivity(ctx), "remember", a, b, stream).Get(ctx, nil); err != nil {
			return false, err
		}
		workflow.GetSignalChannel(ctx, "go").Receive(ctx, nil)
		if c, err = mutable(); err != nil {
			return false, err
		}
		var same bool
		err = workflow.ExecuteActivity(withActivity(ctx), "compare", a, c, stream).Get(ctx, &same)
		return same, err
	}}, remembering())
	run := s.start("effects")
	s.await(run, enumspb.EVENT_TYPE_ACTIVITY_TASK_COMPLETED)
	s.halfway()
	s.signal(run, "go", nil)
	s.check(result[bool](s, run), "what was random changed")
}

// remembering are activities that keep three numbers and compare others with them.
func remembering() acts {
	type three struct {
		a, b   int64
		stream uint64
	}
	kept := make(chan three, 16)
	return acts{
		"remember": func(_ context.Context, a, b int64, stream uint64) error { kept <- three{a, b, stream}; return nil },
		"compare": func(_ context.Context, a, b int64, stream uint64) (bool, error) {
			first := <-kept
			kept <- first // for another attempt
			return first == three{a, b, stream}, nil
		},
	}
}

// codeVersions changes the code under a run: it keeps its version, a new run has the new one.
func codeVersions(s *scene) {
	first := s.work(flows{"versioned": waitForSignal}, nil)
	old := s.start("versioned")
	s.started(old)
	first.Stop()
	s.halfway()
	s.work(flows{"versioned": func(ctx workflow.Context) (int, error) {
		v := workflow.GetVersion(ctx, "change", workflow.DefaultVersion, 1)
		_, err := waitForSignal(ctx)
		return int(v), err
	}}, nil)
	s.signal(old, "go", "end")
	s.same(result[int](s, old), int(workflow.DefaultVersion))
	fresh := s.start("versioned")
	s.signal(fresh, "go", "end")
	s.same(result[int](s, fresh), 1)
	d, err := s.client.DescribeWorkflow(s.ctx, fresh.GetID(), fresh.GetRunID())
	s.must(err)
	changes, _ := d.TypedSearchAttributes.GetKeywordList(temporal.NewSearchAttributeKeyKeywordList("TemporalChangeVersion"))
	s.same(changes, []string{"change-1"})
}

func codeUpserts(s *scene) {
	word, count := temporal.NewSearchAttributeKeyKeyword("Word"), temporal.NewSearchAttributeKeyInt64("Count")
	s.work(flows{"upserts": func(ctx workflow.Context) error {
		if err := workflow.UpsertTypedSearchAttributes(ctx, word.ValueSet("one"), count.ValueSet(1)); err != nil {
			return err
		}
		if err := workflow.UpsertMemo(ctx, map[string]any{"a": "first", "b": "second"}); err != nil {
			return err
		}
		workflow.GetSignalChannel(ctx, "go").Receive(ctx, nil)
		if err := workflow.UpsertTypedSearchAttributes(ctx, word.ValueUnset(), count.ValueSet(2)); err != nil {
			return err
		}
		return workflow.UpsertMemo(ctx, map[string]any{"a": "third", "b": nil})
	}}, nil)
	run := s.start("upserts")
	s.await(run, enumspb.EVENT_TYPE_WORKFLOW_PROPERTIES_MODIFIED)
	s.started(run)
	look := func() (w string, n int64, memo string, fields int) {
		d, err := s.client.DescribeWorkflow(s.ctx, run.GetID(), "")
		s.must(err)
		w, _ = d.TypedSearchAttributes.GetKeyword(word)
		n, _ = d.TypedSearchAttributes.GetInt64(count)
		s.must(fromPayload(d.Memo.Fields["a"], &memo))
		return w, n, memo, len(d.Memo.Fields)
	}
	w, n, memo, fields := look()
	s.same([]any{w, n, memo, fields}, []any{"one", int64(1), "first", 2})
	s.halfway()
	s.signal(run, "go", nil)
	s.must(run.Get(s.ctx, nil))
	w, n, memo, fields = look()
	s.same([]any{w, n, memo, fields}, []any{"", int64(2), "third", 1})
}

func codeSelectsTimers(s *scene) {
	s.work(flows{"select": func(ctx workflow.Context) (order []string, err error) {
		timers, cancel := workflow.WithCancel(ctx)
		in := workflow.NewSelector(ctx)
		on := func(name string) func(workflow.Future) {
			return func(f workflow.Future) {
				if f.Get(ctx, nil) == nil {
					order = append(order, name)
				} else {
					order = append(order, name+" canceled")
				}
			}
		}
		in.AddFuture(workflow.NewTimer(timers, 10*time.Millisecond), on("short"))
		in.AddFuture(workflow.NewTimerWithOptions(timers, time.Hour, workflow.TimerOptions{Summary: "long"}), on("long"))
		in.AddReceive(workflow.GetSignalChannel(ctx, "go"), func(c workflow.ReceiveChannel, _ bool) {
			c.Receive(ctx, nil)
			order = append(order, "signal")
			cancel()
		})
		for range 3 {
			in.Select(ctx)
		}
		return order, nil
	}}, nil)
	run := s.start("select")
	s.await(run, enumspb.EVENT_TYPE_TIMER_FIRED)
	s.halfway()
	s.signal(run, "go", nil)
	s.same(result[[]string](s, run), []string{"short", "signal", "long canceled"})
}

// codeTimersOfAllSizes: no timer is early, in the times that the workflow sees.
func codeTimersOfAllSizes(s *scene) {
	s.work(flows{"timers": func(ctx workflow.Context) error {
		for _, d := range []time.Duration{time.Millisecond, 10 * time.Millisecond, 100 * time.Millisecond, 1500 * time.Millisecond, 0} {
			began := workflow.Now(ctx)
			if err := workflow.Sleep(ctx, d); err != nil {
				return err
			}
			if took := workflow.Now(ctx).Sub(began); took < d {
				return errors.New("a timer was early")
			}
		}
		return nil
	}}, nil)
	run := s.start("timers")
	s.await(run, enumspb.EVENT_TYPE_TIMER_FIRED)
	s.halfway()
	s.must(run.Get(s.ctx, nil))
	due := map[int64]time.Time{}
	for _, e := range s.history(run.GetID(), "") {
		if a := e.GetTimerStartedEventAttributes(); a != nil {
			due[e.EventId] = e.EventTime.AsTime().Add(a.StartToFireTimeout.AsDuration())
		}
		if a := e.GetTimerFiredEventAttributes(); a != nil {
			s.check(!e.EventTime.AsTime().Before(due[a.StartedEventId]), "timer %s fired early", a.TimerId)
		}
	}
	s.same(len(due), 4)
}

func codeAwaits(s *scene) {
	s.work(flows{"await": func(ctx workflow.Context) ([]bool, error) {
		never, err := workflow.AwaitWithTimeout(ctx, 10*time.Millisecond, func() bool { return false })
		if err != nil {
			return nil, err
		}
		told := false
		workflow.Go(ctx, func(ctx workflow.Context) {
			workflow.GetSignalChannel(ctx, "go").Receive(ctx, nil)
			told = true
		})
		in, err := workflow.AwaitWithTimeout(ctx, time.Hour, func() bool { return told })
		if err != nil {
			return nil, err
		}
		return []bool{never, in}, workflow.Await(ctx, func() bool { return told })
	}}, nil)
	run := s.start("await")
	s.await(run, enumspb.EVENT_TYPE_TIMER_FIRED)
	s.halfway()
	s.signal(run, "go", nil)
	s.same(result[[]bool](s, run), []bool{false, true})
}

func codeChannelsAndLocks(s *scene) {
	s.work(flows{"threads": func(ctx workflow.Context) (int, error) {
		lock, all, numbers, sum := workflow.NewMutex(ctx), workflow.NewWaitGroup(ctx), workflow.NewBufferedChannel(ctx, 3), 0
		for i := range 10 {
			all.Add(1)
			workflow.Go(ctx, func(ctx workflow.Context) {
				defer all.Done()
				if lock.Lock(ctx) != nil || workflow.Sleep(ctx, time.Duration(i)*time.Millisecond) != nil {
					return
				}
				lock.Unlock()
				numbers.Send(ctx, i)
			})
		}
		workflow.Go(ctx, func(ctx workflow.Context) {
			for range 10 {
				var n int
				numbers.Receive(ctx, &n)
				sum += n
			}
		})
		all.Wait(ctx)
		workflow.GetSignalChannel(ctx, "go").Receive(ctx, nil)
		return sum, workflow.Await(ctx, func() bool { return sum == 45 })
	}}, nil)
	run := s.start("threads")
	s.await(run, enumspb.EVENT_TYPE_TIMER_FIRED)
	s.halfway()
	s.signal(run, "go", nil)
	s.same(result[int](s, run), 45)
}

func codeManyTimers(s *scene) {
	const many = 150
	s.work(flows{"timers": func(ctx workflow.Context) (fired int, err error) {
		in := workflow.NewSelector(ctx)
		for i := range many {
			in.AddFuture(workflow.NewTimer(ctx, time.Duration(1+i*7%100*10)*time.Millisecond), func(f workflow.Future) {
				if f.Get(ctx, nil) == nil {
					fired++
				}
			})
		}
		for range many {
			in.Select(ctx)
		}
		return fired, nil
	}}, nil)
	run := s.start("timers")
	s.await(run, enumspb.EVENT_TYPE_TIMER_FIRED)
	s.halfway()
	s.same(result[int](s, run), many)
	s.same(count(s.history(run.GetID(), ""), enumspb.EVENT_TYPE_TIMER_FIRED), many)
}
