package taskqueue

import "time"

// timer is one thing to do at a time: end a poll, or look after a queue.
type timer struct {
	at     time.Duration // monotonic
	place  int           // in the heap
	queue  *queue        // one of the two is set
	waiter *waiter
}

// timers is a heap of four children a node, earliest first. The times stand in
// the heap itself: with 10,000 polls a step down reads one cache line.
type timers []timerEntry

type timerEntry struct {
	at    time.Duration
	timer *timer
}

func (h *timers) add(t *timer) {
	*h = append(*h, timerEntry{})
	h.up(len(*h)-1, timerEntry{t.at, t})
}

func (h *timers) remove(t *timer) {
	last := len(*h) - 1
	moved := (*h)[last]
	(*h)[last] = timerEntry{}
	*h = (*h)[:last]
	if t.place != last {
		h.settle(t.place, moved)
	}
}

func (h *timers) move(t *timer, at time.Duration) {
	t.at = at
	h.settle(t.place, timerEntry{at, t})
}

// settle puts e at i or where it belongs above or below.
func (h *timers) settle(i int, e timerEntry) {
	if i > 0 && e.at < (*h)[(i-1)/4].at {
		h.up(i, e)
	} else {
		h.down(i, e)
	}
}

func (h *timers) up(i int, e timerEntry) {
	for i > 0 {
		parent := (i - 1) / 4
		if (*h)[parent].at <= e.at {
			break
		}
		h.put(i, (*h)[parent])
		i = parent
	}
	h.put(i, e)
}

func (h *timers) down(i int, e timerEntry) {
	for {
		first := 4*i + 1
		if first >= len(*h) {
			break
		}
		least := first
		for c := first + 1; c < min(first+4, len(*h)); c++ {
			if (*h)[c].at < (*h)[least].at {
				least = c
			}
		}
		if e.at <= (*h)[least].at {
			break
		}
		h.put(i, (*h)[least])
		i = least
	}
	h.put(i, e)
}

func (h *timers) put(i int, e timerEntry) {
	(*h)[i] = e
	e.timer.place = i
}
