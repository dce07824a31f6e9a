package runtime

import (
	"sync"

	"perdure/core/port"
)

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
		p.r.outage.changed(j.e, done.Err)
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
