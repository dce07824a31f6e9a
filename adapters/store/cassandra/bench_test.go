package cassandra

import (
	"fmt"
	"sync"
	"testing"

	"perdure/core/store"
)

// BenchmarkAppend is a record of 4 KiB a shard, each shard in a lane of its own.
func BenchmarkAppend(b *testing.B) {
	for _, lanes := range []int{1, 4, 16} {
		b.Run(fmt.Sprintf("lanes=%d", lanes), func(b *testing.B) {
			s := mustOpen(b, fresh(ready(b)))
			record := make([]byte, 4<<10)
			var wg sync.WaitGroup
			for i := range lanes {
				id := store.ShardID(i)
				if err := s.Create(id, store.Strips{}, 0); err != nil {
					b.Fatal(err)
				}
				o, err := s.Open(store.Open{Shard: id, Nonce: 1})
				if err != nil {
					b.Fatal(err)
				}
				f := store.Fence{Shard: id, Epoch: o.Epoch, Nonce: 1}
				wg.Go(func() {
					for n := range b.N / lanes {
						seq := store.Seq(n + 1)
						if out := s.Append([]store.Append{{Fence: f, Seq: seq, Trim: seq - min(seq, 8), Record: record}}); out[0] != store.Done {
							b.Error(out)
							return
						}
					}
				})
			}
			wg.Wait()
		})
	}
}

// BenchmarkFlush is a flush of 400 runs that are done: three rows in a strip and two of the run's own, each.
func BenchmarkFlush(b *testing.B) {
	s := mustOpen(b, fresh(ready(b)))
	if err := s.Create(1, store.Strips{}, 0); err != nil {
		b.Fatal(err)
	}
	o, err := s.Open(store.Open{Shard: 1, Nonce: 1})
	if err != nil {
		b.Fatal(err)
	}
	f := store.Flush{Fence: store.Fence{Shard: 1, Epoch: o.Epoch, Nonce: 1}}
	const runs = 400
	for n := 0; b.Loop(); n++ {
		f.Number++
		f.Rows = f.Rows[:0]
		v := store.MakeVersion(o.Epoch, store.Seq(n+1))
		for i := range runs {
			run, strip := fmt.Sprintf("%08d-%04d-4000-8000-000000000000", n, i), fmt.Sprintf("%03d", i*7919%1024)
			f.Rows = append(f.Rows,
				store.Row{Key: store.Key{Table: store.Executions, Partition: strip, Key: "p" + run}, Version: v, Value: make([]byte, 100)},
				store.Row{Key: store.Key{Table: store.Executions, Partition: strip, Key: "r" + run}, Version: v, Value: make([]byte, 500)},
				store.Row{Key: store.Key{Table: store.Due, Partition: strip, Key: "d" + run}, Version: v, Value: make([]byte, 100)},
				store.Row{Key: store.Key{Table: store.History, Partition: run, Key: "1"}, Version: v, Value: make([]byte, 1500)})
		}
		if err := s.Flush(f); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*runs), "us/run")
}

// BenchmarkScanBehindDeletes looks for the first rows of a strip behind what was deleted there within gc_grace_seconds.
func BenchmarkScanBehindDeletes(b *testing.B) {
	for _, deleted := range []int{0, 10_000, 50_000, 99_000} {
		b.Run(fmt.Sprintf("deleted=%d", deleted), func(b *testing.B) {
			s := mustOpen(b, fresh(ready(b)))
			rows := make([]store.Row, deleted+1)
			for i := range rows {
				rows[i] = store.Row{Key: store.Key{Table: store.Due, Partition: "s", Key: fmt.Sprintf("q%08d", i)}, Version: 1}
			}
			rows[deleted].Value = []byte("task")
			if err := s.Write(rows); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				found, err := s.Scan([]store.Range{{Table: store.Due, Partition: "s", From: "q", To: "r", Limit: 32}})
				if err != nil || len(found[0]) != 1 {
					b.Fatal(found, err)
				}
			}
		})
	}
}
