package proxy

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
)

// A database that answers every message with itself, and the way to it.
type echo struct {
	t        *testing.T
	proxy    *Proxy
	listener net.Listener
	servers  chan net.Conn // its ends of the connections
}

func newEcho(t *testing.T) *echo {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &echo{t: t, proxy: Start(t, l.Addr().String()), listener: l, servers: make(chan net.Conn, 10)}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			e.servers <- c
		}
	}()
	t.Cleanup(func() { l.Close() })
	return e
}

// connect is both ends of a connection.
func (e *echo) connect() (client, server net.Conn) {
	e.t.Helper()
	client, err := net.Dial("tcp", e.proxy.Addr())
	if err != nil {
		e.t.Fatal(err)
	}
	server = <-e.servers
	e.t.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}

func write(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

func reads(t *testing.T, c net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Fatalf("read %q, %v; want %q", got[:n], err, want)
	}
}

// ends wants so much, then the end of the connection.
func ends(t *testing.T, c net.Conn, want string) {
	t.Helper()
	got, err := io.ReadAll(c)
	var cut *net.OpError // a reset counts as an end
	if err != nil && !errors.As(err, &cut) || string(got) != want {
		t.Fatalf("read %q to the end, %v; want %q", got, err, want)
	}
}

// works sends a message each way.
func works(t *testing.T, client, server net.Conn) {
	t.Helper()
	write(t, client, "question")
	reads(t, server, "question")
	write(t, server, "answer")
	reads(t, client, "answer")
}

func TestNothingIsLostOrAddedWithoutAFault(t *testing.T) {
	e := newEcho(t)
	client, server := e.connect()
	works(t, client, server)
	large := bytes.Repeat([]byte("0123456789abcdef"), 100_000)
	go client.Write(large)
	reads(t, server, string(large))
	client.Close()
	ends(t, server, "")
}

func TestACutLetsSoManyBytesThrough(t *testing.T) {
	e := newEcho(t)
	for _, after := range []int64{0, 1, 7, 12} {
		client, server := e.connect()
		works(t, client, server)
		struck := e.proxy.Set(&Fault{After: after})
		write(t, client, "first ")
		if after >= 6 { // counted over messages
			reads(t, server, "first ")
			after -= 6
			write(t, client, "second")
			<-struck
			ends(t, server, "second"[:after])
		} else {
			<-struck
			ends(t, server, "first "[:after])
		}
		ends(t, client, "")
		works(e.fresh())
	}
}

// fresh is a new connection, as works takes it.
func (e *echo) fresh() (*testing.T, net.Conn, net.Conn) {
	client, server := e.connect()
	return e.t, client, server
}

func TestACutAnswerWasGiven(t *testing.T) {
	e := newEcho(t)
	client, server := e.connect()
	struck := e.proxy.Set(&Fault{Answer: true})
	write(t, client, "question")
	reads(t, server, "question")
	write(t, server, "answer")
	<-struck
	ends(t, client, "")
	works(e.fresh())
}

func TestWhatIsHeldGoesOn(t *testing.T) {
	for _, answer := range []bool{false, true} {
		e := newEcho(t)
		client, server := e.connect()
		f := &Fault{After: 3, Answer: answer, Release: make(chan struct{})}
		struck := e.proxy.Set(f)
		write(t, client, "question")
		if answer {
			reads(t, server, "question")
			write(t, server, "answer")
		} else {
			reads(t, server, "que")
		}
		<-struck
		works(e.fresh()) // others pass meanwhile
		close(f.Release)
		if answer {
			reads(t, client, "answer")
		} else {
			reads(t, server, "stion")
		}
		works(t, client, server)
	}
}

// A fault waits for the next connection that sends, and befalls no other.
func TestAFaultBefallsOneConnection(t *testing.T) {
	e := newEcho(t)
	idle, idleServer := e.connect()
	client, server := e.connect()
	struck := e.proxy.Set(&Fault{})
	write(t, client, "x")
	<-struck
	ends(t, server, "")
	works(t, idle, idleServer)
	works(e.fresh())
}

func TestAConnectionToNobodyIsClosed(t *testing.T) {
	e := newEcho(t)
	e.listener.Close()
	client, err := net.Dial("tcp", e.proxy.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ends(t, client, "")
}
