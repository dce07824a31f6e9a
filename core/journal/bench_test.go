package journal

import (
	"fmt"
	"testing"
	"time"

	"perdure/core/port"
	"perdure/core/store"
)

// BenchmarkRow is what one changed row costs on its way: put, recorded with 15
// others, acknowledged, flushed with 1,600 others, forgotten. The rows are those
// of small workflows: 6 keys in 3 partitions, one of them large and shared, half
// of them changed twice, a third deleted before they are flushed.
func BenchmarkRow(b *testing.B) {
	names := benchKeys()
	value := make([]byte, 300)
	l, step := benchLog()
	b.ReportAllocs()
	run := 0
	for n := 0; n < b.N; run++ {
		keys := &names[run%len(names)]
		for i, k := range keys {
			l.Put(k, value, true)
			if i%2 == 0 {
				step.append()
				l.Put(k, value, false)
				n++
			}
			if i%3 == 2 {
				l.Delete(k)
				n++
			}
			n++
		}
		step.append()
		if run%160 == 159 {
			step.flush()
		}
	}
}

// BenchmarkLog is a commit of one row and its reply.
func BenchmarkLog(b *testing.B) {
	l, step := benchLog()
	k, value := store.Key{Table: store.Executions, Partition: "p", Key: "run"}, make([]byte, 300)
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		l.Put(k, value, false)
		l.Reply(port.Reply{Call: port.Call{ID: 1}}, l.Seq(), &step.out)
		step.append()
		if n%1000 == 0 {
			step.flush()
		}
	}
}

// benchKeys are as many runs as live between two flushes.
func benchKeys() [][6]store.Key {
	names := make([][6]store.Key, 200)
	for run := range names {
		for i := range names[run] {
			k := store.Key{Table: store.Executions, Partition: fmt.Sprintf("run-%06d", run), Key: fmt.Sprintf("row-%d", i)}
			switch i % 3 {
			case 1:
				k.Table = store.Pending
			case 2:
				k.Table, k.Partition, k.Key = store.Due, "strip", fmt.Sprintf("%016d", run*2654435761%1000003*10+i)
			}
			names[run][i] = k
		}
	}
	return names
}

// benchStep plays the committer and the store.
type benchStep struct {
	l   *Log
	out port.Effects
	now port.Clock
}

func benchLog() (*Log, *benchStep) {
	l := NewLog(LogConfig{Shard: 1, Exclusive: true, FlushBytes: 1 << 40, FlushAge: time.Hour, MaxBytes: 1 << 40, Nonce: func() store.Nonce { return 1 }})
	s := &benchStep{l: l, now: port.Clock{Wall: time.Unix(1e9, 0)}}
	l.Open(s.now, &s.out)
	s.input(&port.Completed{Tag: l.opens.tag, Opened: store.Opened{Epoch: 1}})
	return l, s
}

func (s *benchStep) input(in port.Input) {
	s.out.Reset()
	s.l.Handle(s.now, in, &s.out)
	s.l.End(s.now, &s.out)
}

func (s *benchStep) append() {
	s.l.End(s.now, &s.out)
	s.input(port.TakeRecord{})
	s.input(port.Appended{Seq: s.l.seq, Outcome: store.Done})
}

func (s *benchStep) flush() {
	s.now.Mono += 2 * time.Hour
	s.l.End(s.now, &s.out)
	s.input(&port.Completed{Tag: s.l.flush.tag})
}
