// Package proxy is for tests: it stands between a store and its database, and
// cuts or holds a connection in the middle of what it carries.
package proxy

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// Proxy forwards every connection to one address.
type Proxy struct {
	listener net.Listener
	to       string

	mu      sync.Mutex
	fault   *Fault
	stalled chan struct{} // nil, or closed when the stall ends
}

// Fault befalls the first connection that sends something after it was set, and no other.
type Fault struct {
	After   int64         // bytes that still go to the database; what is beyond does not
	Release chan struct{} // what is held goes on when it is closed; nil: the connection is cut instead
	Answer  bool          // it is what comes back that is cut or held, from its first byte; After does not count

	once   sync.Once
	struck chan struct{} // closed when it has happened
	taken  bool
	over   atomic.Bool // what was held went on
}

// Start listens until the test ends.
func Start(t testing.TB, to string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{listener: l, to: to}
	t.Cleanup(func() { l.Close() })
	go p.accept()
	return p
}

// Addr is where the proxy listens.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Set makes a fault happen next. The channel is closed when it has happened.
func (p *Proxy) Set(f *Fault) (struck <-chan struct{}) {
	f.struck = make(chan struct{})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = f
	return f.struck
}

// Stall holds all connections, those to come too: they stay open, and nothing
// passes. release lets everything that was held go on, in order; it may be repeated.
func (p *Proxy) Stall() (release func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	over := make(chan struct{})
	p.stalled = over
	return sync.OnceFunc(func() {
		p.mu.Lock()
		p.stalled = nil
		p.mu.Unlock()
		close(over)
	})
}

// pass waits for the end of a stall.
func (p *Proxy) pass() {
	p.mu.Lock()
	stalled := p.stalled
	p.mu.Unlock()
	if stalled != nil {
		<-stalled
	}
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.to)
		if err != nil {
			client.Close()
			continue
		}
		l := &link{proxy: p, client: client, server: server}
		go l.up()
		go l.down()
	}
}

// link is one connection and the fault that befell it, if any.
type link struct {
	proxy          *Proxy
	client, server net.Conn
	mu             sync.Mutex
	fault          *Fault
}

func (l *link) close() {
	l.client.Close()
	l.server.Close()
}

// take claims the fault for this link.
func (l *link) take() *Fault {
	l.proxy.mu.Lock()
	defer l.proxy.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fault != nil && l.fault.over.Load() {
		l.fault = nil
	}
	if f := l.proxy.fault; l.fault == nil && f != nil && !f.taken {
		f.taken = true
		l.fault, l.proxy.fault = f, nil
	}
	return l.fault
}

func (l *link) up() {
	defer l.close()
	b := make([]byte, 32<<10)
	for {
		n, err := l.client.Read(b)
		if err != nil {
			return
		}
		some := b[:n]
		if f := l.take(); f != nil && !f.Answer {
			if int64(len(some)) < f.After {
				f.After -= int64(len(some))
			} else {
				if _, err := l.server.Write(some[:f.After]); err != nil {
					return
				}
				some, f.After = some[f.After:], 0
				if !f.strike() {
					return
				}
			}
		}
		l.proxy.pass()
		if _, err := l.server.Write(some); err != nil {
			return
		}
	}
}

func (l *link) down() {
	defer l.close()
	b := make([]byte, 32<<10)
	for {
		n, err := l.server.Read(b)
		if err != nil {
			return
		}
		l.mu.Lock()
		f := l.fault
		l.mu.Unlock()
		if f != nil && f.Answer && !f.over.Load() && !f.strike() {
			return
		}
		l.proxy.pass()
		if _, err := l.client.Write(b[:n]); err != nil {
			return
		}
	}
}

// strike tells that the fault happens, waits if it holds, and says whether to go on.
func (f *Fault) strike() bool {
	f.once.Do(func() { close(f.struck) })
	if f.Release == nil {
		return false
	}
	<-f.Release
	f.over.Store(true)
	return true
}
