package runtime

import (
	"fmt"
	"sync"

	"perdure/core/port"
	"perdure/core/store"
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
		outcomes := l.r.config.Store.Append(job.Batch)
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

// pool does store calls of one kind, a bounded number at once: a slow flush
// must not keep reads from going through.
type pool struct {
	r       *Runtime
	limit   int
	mu      sync.Mutex
	wake    *sync.Cond
	jobs    []job
	workers int
	idle    int
	doing   int
	closed  bool
	group   sync.WaitGroup
}

type job struct {
	m *mailbox
	e port.Effect
}

func newPool(r *Runtime, limit int) *pool {
	p := &pool{r: r, limit: limit}
	p.wake = sync.NewCond(&p.mu)
	return p
}

func (p *pool) put(j job) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.jobs = append(p.jobs, j)
	if p.idle < len(p.jobs) && p.workers < p.limit {
		p.workers++
		p.group.Add(1)
		go p.work()
		return
	}
	p.wake.Signal()
}

func (p *pool) work() {
	defer p.group.Done()
	for {
		j, ok := p.get()
		if !ok {
			return
		}
		done := p.r.doStore(j.e)
		mine := j.m.post(done)
		p.completed()
		if mine {
			p.r.stepFrom(j.m)
		}
	}
}

func (p *pool) get() (job, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.jobs) == 0 && !p.closed {
		p.idle++
		p.wake.Wait()
		p.idle--
	}
	if p.closed {
		return job{}, false
	}
	j := p.jobs[0]
	p.jobs[0] = job{}
	if p.jobs = p.jobs[1:]; len(p.jobs) == 0 {
		p.jobs = nil
	}
	p.doing++
	return j, true
}

func (p *pool) completed() {
	p.mu.Lock()
	p.doing--
	p.mu.Unlock()
	p.r.drainer.ended()
}

func (p *pool) quiet() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.jobs) == 0 && p.doing == 0
}

func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.wake.Broadcast()
	p.group.Wait()
}

func (r *Runtime) storeQuiet() bool {
	for _, m := range r.machines.Load().all {
		if !m.lane.quiet() {
			return false
		}
	}
	return r.reads.quiet() && r.writes.quiet() && r.flushes.quiet() && r.controls.quiet()
}

// callStore puts a store effect where its kind is done.
func (r *Runtime) callStore(m *mailbox, e port.Effect) {
	switch e.(type) {
	case port.ReadStore:
		r.reads.put(job{m, e})
	case port.WriteStore:
		r.writes.put(job{m, e})
	case port.FlushStore:
		r.flushes.put(job{m, e})
	case port.OpenStore, port.CreateShard, port.ConfirmStore, port.ReleaseStore:
		r.controls.put(job{m, e})
	default:
		panic(fmt.Sprintf("runtime: effect %T is not known", e))
	}
}

// doStore does one store call. It blocks.
func (r *Runtime) doStore(e port.Effect) *port.Completed {
	s := r.config.Store
	switch e := e.(type) {
	case port.ReadStore:
		return read(s, e)
	case port.WriteStore:
		return &port.Completed{Tag: e.Tag, Err: s.Write(e.Rows)}
	case port.FlushStore:
		return &port.Completed{Tag: e.Tag, Err: s.Flush(e.Flush)}
	case port.OpenStore:
		opened, err := s.Open(e.Open)
		return &port.Completed{Tag: e.Tag, Opened: opened, Err: err}
	case port.CreateShard:
		return &port.Completed{Tag: e.Tag, Err: s.Create(e.Shard, e.Strips, e.Floor)}
	case port.ReleaseStore:
		return &port.Completed{Tag: e.Tag, Err: s.Release(e.Fence)}
	case port.ConfirmStore:
		owners, err := s.Confirm([]store.Fence{e.Fence})
		return &port.Completed{Tag: e.Tag, Err: err, Owner: err == nil && len(owners) == 1 && owners[0]}
	}
	panic(fmt.Sprintf("runtime: effect %T is not known", e))
}

func read(s store.Store, e port.ReadStore) *port.Completed {
	done := &port.Completed{Tag: e.Tag}
	if len(e.Keys) > 0 {
		if done.Rows, done.Err = s.Get(e.Keys); done.Err != nil {
			return done
		}
	}
	if len(e.Ranges) > 0 {
		done.Scans, done.Err = s.Scan(e.Ranges)
	}
	return done
}
