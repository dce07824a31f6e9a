package shard

import (
	"testing"
	"time"

	"perdure/core/port"
	"perdure/core/store"
)

// The index is read from the low mark on, not from where its deleted rows begin, and everything due is still found.
func TestDeadlinesAreReadFromTheLowMark(t *testing.T) {
	s := newStory(t)
	s.boot(Config{})
	s.start("a", "q", 10*time.Second)
	s.advance(5 * time.Minute) // it has timed out
	s.start("b", "q", time.Hour)
	s.start("c", "q", 10*time.Minute)
	s.advance(2 * time.Minute)
	s.signal("b") // takes the mark along
	s.advance(time.Minute)
	s.boot(Config{})
	if at := time.Duration(deadlineTime(s.dueFrom) - storyStart.UnixNano()); at < 5*time.Minute || at > 7*time.Minute {
		t.Errorf("the index is read from %v on", at)
	}
	s.advance(10 * time.Minute)
	if s.timedOut("b") || !s.timedOut("c") {
		t.Errorf("b has timed out: %v, c: %v", s.timedOut("b"), s.timedOut("c"))
	}
	s.advance(3 * time.Hour)
	for _, id := range []string{"a", "b", "c"} {
		if left := s.rowsOf(id); len(left) != 0 {
			t.Errorf("of %s there is still %v", id, left)
		}
	}
}

// A shard whose clock is known to be the only one in its strips asks for no other.
func TestOneClockIsRead(t *testing.T) {
	s := newStory(t)
	s.boot(Config{})
	if s.keys != port.Strips {
		t.Errorf("a new shard asked for %d clocks, an earlier layout may have left %d", s.keys, port.Strips)
	}
	s.start("a", "q", time.Hour)
	s.advance(time.Minute)
	s.keys = 0
	s.boot(Config{})
	if s.keys != 1 {
		t.Errorf("the next owner asked for %d clocks", s.keys)
	}
}

// W5: the mark makes way for a deadline below it.
func TestLowMarkMakesWay(t *testing.T) {
	s := newStory(t)
	s.boot(Config{})
	s.start("a", "q", 10*time.Hour)
	s.shard.low.mark = storyStart.Add(5 * time.Hour).UnixNano()
	s.signal("a")
	s.start("b", "q", time.Minute)
	s.advance(10 * time.Second)
	s.boot(Config{})
	s.advance(2 * time.Minute)
	if !s.timedOut("b") {
		t.Error("b has not timed out")
	}
}

// A layout leaves a clock in each strip. The lowest mark of them counts, and the next owner's own takes their place.
func TestMarksOfAnEarlierLayout(t *testing.T) {
	const other = 7
	s := newStory(t)
	s.boot(Config{})
	s.start("b", "q", time.Hour)
	s.shard.low.mark = storyStart.Add(30 * time.Minute).UnixNano()
	s.shard.leaveTime()
	s.signal("b")
	s.advance(time.Minute)
	lower := Shard{low: low{mark: storyStart.Add(10 * time.Minute).UnixNano()}}
	s.store.Overwrite([]store.Row{{Key: clockKey(other), Value: lower.encodeClock(0)}}, nil)
	s.boot(Config{})
	if at := time.Duration(deadlineTime(s.dueFrom) - storyStart.UnixNano()); at != 10*time.Minute {
		t.Errorf("the index is read from %v on", at)
	}
	s.signal("b")
	s.advance(time.Minute)
	for strip := range uint16(port.Strips) {
		rows, _ := s.store.Get([]store.Key{clockKey(strip)})
		if there := rows[0].Value != nil; there != (strip == 0) {
			t.Fatalf("strip %d has a clock: %v", strip, there)
		}
	}
	s.boot(Config{})
	s.advance(2 * time.Hour)
	if !s.timedOut("b") {
		t.Error("b has not timed out")
	}
}
