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
