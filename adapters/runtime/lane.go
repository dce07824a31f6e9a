package runtime

import (
	"sync"

	"perdure/core/port"
)

// lane does the appends of one machine, one after another, on a goroutine of
// its own. That goroutine also steps the machines that an append's completion
// wakes, until they have the next append ready: then it goes on appending, and
// the workers step the rest. So between two appends nobody waits for a switch.
type lane struct {
	r      *Runtime
	m      *mailbox
	mu     sync.Mutex
	wake   *sync.Cond
	jobs   []port.AppendStore
	on     bool
	doing  bool
	closed bool
	done   chan struct{}
}

func (l *lane) init(r *Runtime, m *mailbox) {
	l.r, l.m = r, m
	l.wake = sync.NewCond(&l.mu)
	l.done = make(chan struct{})
}

// put adds an append. It reports whether the lane's own goroutine can do it at once.
func (l *lane) put(job port.AppendStore) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.jobs = append(l.jobs, job)
	if !l.on {
		l.on = true
		go l.loop()
	}
	l.wake.Signal()
	return true
}

func (l *lane) loop() {
	defer close(l.done)
	s := new(stepper)
	for {
		job, ok := l.get()
		if !ok {
			return
		}
		l.r.outage.pending.Add(1)
		outcomes := l.r.config.Store.Append(job.Batch)
		l.r.outage.pending.Add(-1)
		l.r.outage.appended(outcomes)
		mine := l.m.post(&port.Completed{Tag: job.Tag, Outcomes: outcomes})
		l.completed()
		if mine {
			s.begin(l.r, l)
			s.push(l.m)
			s.run()
		}
	}
}

func (l *lane) get() (port.AppendStore, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.jobs) == 0 && !l.closed {
		l.wake.Wait()
	}
	if l.closed {
		return port.AppendStore{}, false
	}
	job := l.jobs[0]
	l.jobs[0] = port.AppendStore{}
	if l.jobs = l.jobs[1:]; len(l.jobs) == 0 {
		l.jobs = nil
	}
	l.doing = true
	return job, true
}

// completed follows the post of the completion: in between, Drain must not find everything quiet.
func (l *lane) completed() {
	l.mu.Lock()
	l.doing = false
	l.mu.Unlock()
	l.r.drainer.ended()
}

func (l *lane) quiet() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.jobs) == 0 && !l.doing
}

// close drops what was not begun and waits for the append under way.
func (l *lane) close() {
	l.mu.Lock()
	l.closed = true
	on := l.on
	l.mu.Unlock()
	l.wake.Signal()
	if on {
		<-l.done
	}
}
