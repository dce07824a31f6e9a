package mysql

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"perdure/adapters/store/service"
	"perdure/core/store"
)

// BenchmarkAppend is one record of 2 KiB for each of four shards in an append.
// server-us is the CPU time of the database for it.
func BenchmarkAppend(b *testing.B) {
	for _, kind := range both {
		b.Run(kind, func(b *testing.B) {
			x := subject(b, kind, Options{})
			defer x.Discard()
			const shards = 4
			batch := make([]store.Append, shards)
			for i := range batch {
				batch[i].Fence = owned(b, x.Store, store.ShardID(i+1))
				batch[i].Record = make([]byte, 2<<10)
			}
			before := serverCPU(b, kind)
			n := store.Seq(0)
			for b.Loop() {
				n++
				for i := range batch {
					batch[i].Seq = n
				}
				for _, o := range x.Store.Append(batch) {
					if o != store.Done {
						b.Fatal(o)
					}
				}
			}
			b.ReportMetric(1e6*(serverCPU(b, kind)-before)/float64(n), "server-us/op")
		})
	}
}

// BenchmarkFlush is a flush of 400 runs that are done: three rows in a strip and one of the run's own, each.
func BenchmarkFlush(b *testing.B) {
	for _, kind := range both {
		b.Run(kind, func(b *testing.B) {
			x := subject(b, kind, Options{})
			defer x.Discard()
			f := store.Flush{Fence: owned(b, x.Store, 1)}
			const runs = 400
			before := serverCPU(b, kind)
			for b.Loop() {
				f.Number++
				f.Rows = flushOf(f.Fence.Epoch, int(f.Number), runs)
				if err := x.Store.Flush(f); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(1e6*(serverCPU(b, kind)-before)/float64(f.Number*runs), "server-us/run")
		})
	}
}

func flushOf(epoch store.Epoch, n, runs int) (rows []store.Row) {
	v := store.MakeVersion(epoch, store.Seq(n))
	for i := range runs {
		run, strip := fmt.Sprintf("%08d-%04d-7000-8000-000000000000", n, i), fmt.Sprintf("%03d", i*7919%1024)
		rows = append(rows,
			store.Row{Key: store.Key{Table: store.Executions, Partition: strip, Key: "p" + run}, Version: v, Value: make([]byte, 50)},
			store.Row{Key: store.Key{Table: store.Executions, Partition: strip, Key: "r" + run}, Version: v, Value: make([]byte, 500)},
			store.Row{Key: store.Key{Table: store.Due, Partition: strip, Key: "d" + run}, Version: v, Value: make([]byte, 80)},
			store.Row{Key: store.Key{Table: store.History, Partition: run, Key: "1"}, Version: v, Value: make([]byte, 1500)})
	}
	slices.SortFunc(rows, func(a, b store.Row) int {
		return cmp.Or(cmp.Compare(a.Key.Table, b.Key.Table), strings.Compare(a.Key.Partition, b.Key.Partition), strings.Compare(a.Key.Key, b.Key.Key))
	})
	return rows
}

// serverCPU is the CPU time of the database's processes, in seconds.
func serverCPU(b *testing.B, kind string) (seconds float64) {
	b.Helper()
	pids, err := service.Do(kind, "pids")
	if err != nil {
		b.Fatal(err)
	}
	for _, pid := range strings.Fields(pids) {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%s/stat", pid))
		if err != nil {
			b.Fatal(err)
		}
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')'):]))
		for _, f := range fields[12:14] { // ticks of the process itself, in user mode and in the kernel
			ticks, err := strconv.Atoi(f)
			if err != nil {
				b.Fatal(err)
			}
			seconds += float64(ticks) / 100
		}
	}
	return seconds
}
