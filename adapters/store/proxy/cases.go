package proxy

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"perdure/core/store"
)

// Cases play what may happen to a connection in the middle of an append and of
// a flush. through opens the store by way of the proxy, with a short time limit;
// beside opens the same data on a way of its own, as another process would.
func Cases(t *testing.T, p *Proxy, through, beside func() (store.Store, error)) {
	victim, err := through()
	if err != nil {
		t.Fatal(err)
	}
	defer victim.Close()
	other, err := beside()
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	body := strings.Repeat("record", 100)
	id := store.ShardID(0)
	next := func(t *testing.T) owner {
		id++
		if err := other.Create(id, store.Strips{}, 0); err != nil {
			t.Fatal(err)
		}
		return take(t, victim, id, 1)
	}
	for _, after := range []int64{0, 1, 100, 500, 700} { // the message of an append has more than 600 bytes
		t.Run(fmt.Sprintf("append cut after %d bytes", after), func(t *testing.T) {
			o := next(t)
			struck := p.Set(&Fault{After: after})
			o.appends(t, body, store.Unknown)
			<-struck
			o.settles(t, body)
		})
	}
	t.Run("append whose answer is cut", func(t *testing.T) {
		o := next(t)
		struck := p.Set(&Fault{Answer: true})
		o.appends(t, body, store.Unknown)
		<-struck
		o.settles(t, body)
	})
	for _, answer := range []bool{false, true} {
		t.Run(fmt.Sprintf("append held, answer %v", answer), func(t *testing.T) {
			o := next(t)
			f := &Fault{After: 300, Answer: answer, Release: make(chan struct{})}
			struck := p.Set(f)
			outcome := make(chan store.Outcome)
			go func() { outcome <- o.append(body) }()
			<-struck
			// The successor waits for nobody, and what it finds is for good.
			successor := take(t, other, o.fence.Shard, 2)
			close(f.Release)
			if got := <-outcome; got == store.Done && successor.last == 0 {
				t.Fatal("an append was done that its successor did not find")
			}
			if last := take(t, other, o.fence.Shard, 3).last; last != successor.last {
				t.Fatalf("the journal had %d records for the successor, then %d", successor.last, last)
			}
		})
	}
	for _, f := range []*Fault{{After: 0}, {After: 50}, {After: 700}, {Answer: true}} {
		t.Run(fmt.Sprintf("flush cut after %d bytes, answer %v", f.After, f.Answer), func(t *testing.T) {
			o := next(t)
			key := store.Key{Table: store.Due, Partition: fmt.Sprint("p", id), Key: "k"}
			flush := store.Flush{Fence: o.fence, Number: 1, Rows: []store.Row{{Key: key, Value: []byte(body)}}}
			struck := p.Set(f)
			err := victim.Flush(flush) // nil: the store sent again what was cut, which a flush allows
			<-struck
			for errors.Is(err, store.ErrUnavailable) { // other connections may be dead as well
				err = victim.Flush(flush)
			}
			if err != nil {
				t.Fatalf("the flush that was cut gave %v", err)
			}
			rows, err := other.Get([]store.Key{key})
			if err != nil || string(rows[0].Value) != body {
				t.Fatalf("the row has %d bytes, %v", len(rows[0].Value), err)
			}
		})
	}
}

// owner is one owner of a shard.
type owner struct {
	s     store.Store
	fence store.Fence
	last  store.Seq
}

// take opens a shard; a connection that died unseen is no reason to give up.
func take(t *testing.T, s store.Store, id store.ShardID, nonce store.Nonce) owner {
	t.Helper()
	for {
		opened, err := s.Open(store.Open{Shard: id, Nonce: nonce})
		if errors.Is(err, store.ErrUnavailable) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		return owner{s, store.Fence{Shard: id, Epoch: opened.Epoch, Nonce: nonce}, opened.Last}
	}
}

func (o owner) append(body string) store.Outcome {
	return o.s.Append([]store.Append{{Fence: o.fence, Seq: o.last + 1, Record: []byte(body)}})[0]
}

func (o owner) appends(t *testing.T, body string, want store.Outcome) {
	t.Helper()
	if got := o.append(body); got != want {
		t.Fatalf("the append is %v, want %v", got, want)
	}
}

// settles opens the shard again, after which the record is there or never will
// be; then it is appended if it is missing, and must be there once.
func (o owner) settles(t *testing.T, body string) {
	t.Helper()
	again := take(t, o.s, o.fence.Shard, 9)
	if again.last == o.last {
		again.appends(t, body, store.Done)
	}
	o.appends(t, body, store.Fenced)
	opened, err := o.s.Open(store.Open{Shard: o.fence.Shard, Nonce: 10})
	if err != nil || opened.Last != 1 || len(opened.Records) != 1 || string(opened.Records[0].Record) != body {
		t.Fatalf("the journal is %d records up to %d, %v", len(opened.Records), opened.Last, err)
	}
}
