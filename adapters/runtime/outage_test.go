package runtime

import (
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"perdure/core/port"
	"perdure/core/store"
)

// dead is a store that fails until it is healed.
type dead struct {
	store.Store
	healed atomic.Bool
}

func (d *dead) Open(store.Open) (store.Opened, error) {
	if d.healed.Load() {
		return store.Opened{}, store.ErrFenced
	}
	return store.Opened{}, errors.New("no space left")
}

func (d *dead) Confirm(fences []store.Fence) ([]bool, error) {
	return make([]bool, len(fences)), errors.New("no space left")
}

func (d *dead) Append(b []store.Append) []store.Outcome { return make([]store.Outcome, len(b)) }

// lines collects what is logged.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// A machine that tries to open its shard without end, and answers nobody.
func TestOutageIsToldOnceRefusesCallersAndEnds(t *testing.T) {
	d, logged := &dead{}, &lines{}
	tries := 0
	m := step(func(_ port.Clock, in port.Input, out *port.Effects) {
		switch in := in.(type) {
		case port.Start:
			out.Add(port.AppendStore{Tag: 1, Batch: make([]store.Append, 1)})
		case *port.Completed:
			if tries++; in.Tag == 1 || in.Err != nil && !errors.Is(in.Err, store.ErrFenced) {
				out.Add(port.OpenStore{Tag: 2})
			}
		}
	})
	r := New(Config{Store: d, Node: 1, Log: slog.New(slog.NewTextHandler(logged, nil)), OutageNotice: 20 * time.Millisecond, OutageRefuse: 40 * time.Millisecond})
	r.Add(shard(1), m)
	told := make(chan bool, 4)
	r.WatchStore(func(works bool) { told <- works })
	if !<-told {
		t.Fatal("the store is told to fail before it did")
	}
	r.Start()
	defer r.Stop()
	if got := call(t, r, shard(1), "waits, and nobody would answer"); !strings.Contains(got, "database") {
		t.Fatalf("refused with %q", got)
	}
	if got := call(t, r, shard(1), "comes later"); !strings.Contains(got, "database") {
		t.Fatalf("refused with %q", got)
	}
	if <-told {
		t.Fatal("the outage was told as its end")
	}
	d.healed.Store(true)
	if !<-told {
		t.Fatal("the end of the outage was told as an outage")
	}
	if r.outage.closed.Load() {
		t.Fatal("callers are still refused")
	}
	logged.mu.Lock()
	defer logged.mu.Unlock()
	text := logged.text.String()
	if strings.Count(text, "no space left") != 1 || strings.Count(text, "again") != 1 || strings.Count(text, "\n") != 2 {
		t.Fatalf("the log is\n%s", text)
	}
}

// An append says nothing of why it failed. The question that follows it does, if it fails too.
func TestReasonOfAnOutageIsTold(t *testing.T) {
	for _, c := range []struct {
		asks bool
		want string
	}{{true, "no space left"}, {false, "not answered"}} {
		logged := &lines{}
		m := step(func(_ port.Clock, in port.Input, out *port.Effects) {
			if _, started := in.(port.Start); started {
				out.Add(port.AppendStore{Tag: 1, Batch: make([]store.Append, 1)})
			} else if done, is := in.(*port.Completed); is && done.Tag == 1 && c.asks {
				out.Add(port.ConfirmStore{Tag: 2})
			}
		})
		r := New(Config{Store: &dead{}, Node: 1, Log: slog.New(slog.NewTextHandler(logged, nil)), OutageNotice: time.Second, OutageRefuse: time.Hour})
		r.Add(shard(1), m)
		told := make(chan bool, 4)
		r.WatchStore(func(works bool) { told <- works })
		r.Start()
		for <-told {
		}
		r.Stop()
		logged.mu.Lock()
		if text := logged.text.String(); !strings.Contains(text, c.want) {
			t.Errorf("asks %v: the log is %s", c.asks, text)
		}
		logged.mu.Unlock()
	}
}

// Of several errors the newest is told, and one of a change rather than one of a read.
func TestNewestReasonOfAnOutageIsTold(t *testing.T) {
	cut, full, readOnly := errors.New("connection cut"), errors.New("too many connections"), errors.New("read-only")
	for _, c := range []struct {
		hear func(o *outage)
		want string
	}{
		{func(o *outage) { o.explain(cut); o.explain(full) }, "too many connections"},
		{func(o *outage) { o.explain(cut); o.failed(readOnly); o.explain(full) }, "read-only"},
		{func(o *outage) { o.failed(cut); o.failed(nil); o.failed(readOnly) }, "read-only"},
	} {
		logged := &lines{}
		o := outage{notice: time.Hour, refuse: 2 * time.Hour, log: slog.New(slog.NewTextHandler(logged, nil))}
		o.failed(nil)
		c.hear(&o)
		o.tell()
		o.stop()
		if text := logged.text.String(); !strings.Contains(text, c.want) {
			t.Errorf("want %q, the log is %s", c.want, text)
		}
	}
}

// A database that takes everything but appends, as one with a full disk may, takes no
// changes. Once no append fails any more it is over, also if there is none.
func TestOutageOfAppendsAlone(t *testing.T) {
	unknown, done := []store.Outcome{store.Unknown}, []store.Outcome{store.Done}
	logged := &lines{}
	o := outage{notice: time.Hour, refuse: 2 * time.Hour, log: slog.New(slog.NewTextHandler(logged, nil))}
	defer o.stop()
	o.appended(unknown)
	o.worked()
	o.tell()
	for range 3 {
		o.appended(unknown)
		o.worked()
	}
	o.pending.Add(1)
	o.calmed()
	if text := logged.text.String(); !o.troubled.Load() || strings.Count(text, "\n") != 1 {
		t.Fatalf("appends fail, and the log is\n%s", text)
	}
	o.pending.Add(-1)
	o.worked()
	o.calmed()
	if text := logged.text.String(); o.troubled.Load() || strings.Count(text, "again") != 1 {
		t.Fatalf("nothing fails any more, and the log is\n%s", text)
	}
	o.appended(unknown)
	o.tell()
	o.worked()
	o.appended(done)
	if text := logged.text.String(); o.troubled.Load() || strings.Count(text, "again") != 2 {
		t.Fatalf("appends work, and the log is\n%s", text)
	}
}
