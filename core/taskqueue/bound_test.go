package taskqueue

import (
	"fmt"
	"testing"
	"time"

	"perdure/core/port"
)

// A thousand deadlines at one time are handled in bounded steps, each of which
// asks for the next at once.
func TestExpireIsBounded(t *testing.T) {
	m := New(Config{})
	var out port.Effects
	at := func(d time.Duration) port.Clock { return port.Clock{Wall: storyStart.Add(d), Mono: d} }
	m.Step(at(0), port.Start{}, &out)
	for i := range 1000 {
		q := port.QueueKey{Name: fmt.Sprint(i % 7), Type: port.WorkflowQueue}
		m.Step(at(0), &port.Poll{Call: port.Call{ID: uint64(i)}, Queue: q, Deadline: storyStart.Add(time.Second)}, &out)
	}
	left := 1000
	for steps := 0; left > 0; steps++ {
		out.Reset()
		m.Step(at(time.Second), port.Alarmed{}, &out)
		check(t, m, time.Second)
		for _, e := range out.List {
			if _, ok := e.(port.Reply); ok {
				left--
			}
		}
		if steps > 1000/expirePerStep {
			t.Fatalf("%d polls still wait after %d steps", left, steps)
		}
	}
}

// A queue that works hard keeps no more memory than its windows need.
func TestWindowReusesMemory(t *testing.T) {
	var w window
	for i := range 1000 {
		task := port.Task{ID: int64(i)}
		w.add(&task)
		w.add(&task)
		w.pop()
		if w.len() > 10 {
			w.pop()
		}
	}
	if cap(w.tasks) > 64 {
		t.Fatalf("room for %d tasks to hold %d", cap(w.tasks), w.len())
	}
}

// An alarm is in wall time: when the clock is put back it would ring too late, and
// polls would outlast their callers.
func TestClockPutBackMovesTheAlarm(t *testing.T) {
	m := New(Config{})
	var out port.Effects
	at := func(mono, back time.Duration) port.Clock {
		return port.Clock{Wall: storyStart.Add(mono - back), Mono: mono}
	}
	m.Step(at(0, 0), port.Start{}, &out)
	q := port.QueueKey{Name: "q", Type: port.WorkflowQueue}
	m.Step(at(0, 0), &port.Poll{Call: port.Call{ID: 1}, Queue: q, Deadline: storyStart.Add(5 * time.Second)}, &out)
	out.Reset()
	const back = 2 * time.Minute
	m.Step(at(time.Second, back), port.Gone{Call: port.Call{ID: 7}}, &out)
	alarm, ok := out.List[len(out.List)-1].(port.Alarm)
	if want := storyStart.Add(5*time.Second - back); len(out.List) != 1 || !ok || !alarm.At.Equal(want) {
		t.Fatalf("effects %v, want an alarm at %v", out.List, want)
	}
	out.Reset()
	m.Step(at(2*time.Second, back), port.Gone{Call: port.Call{ID: 7}}, &out)
	if len(out.List) > 0 {
		t.Errorf("effects %v of an alarm that is set well", out.List)
	}
}
