package effect

import (
	"slices"
	"testing"
)

func TestLedger(t *testing.T) {
	l := NewLedger()
	first, second := Place{"run", 3}, Place{"run", 5}
	if l.Acknowledge("signal a", "signal") || !l.Acknowledge("signal a", "signal") || l.Acknowledge("signal b", "signal") {
		t.Error("being told for the first time and again are not told apart")
	}
	want := []string{`signal, "signal a", was acknowledged, and is in no history`, `signal, "signal b", was acknowledged, and is in no history`}
	if lost := l.Lost(); !slices.Equal(lost, want) {
		t.Errorf("lost %q, want %q", lost, want)
	}
	if _, twice := l.Found("signal a", first); twice {
		t.Error("found once, called twice")
	}
	if _, twice := l.Found("signal nobody was told of", first); twice {
		t.Error("found once, called twice")
	}
	if was, twice := l.Found("signal a", second); !twice || was != first {
		t.Errorf("found twice: %v, first at %v", twice, was)
	}
	if at, there := l.Place("signal a"); !there || at != first {
		t.Errorf("stands at %v, %v", at, there)
	}
	if lost := l.Lost(); !slices.Equal(lost, want[1:]) {
		t.Errorf("lost %q, want %q", lost, want[1:])
	}
	if got := Twice("signal a", first, second); got != `"signal a" is in event 3 of run run and in event 5 of run run` {
		t.Error(got)
	}
	if !l.Acknowledged("signal b") || l.Acknowledged("signal c") {
		t.Error("not the effects that callers were told of")
	}
}
