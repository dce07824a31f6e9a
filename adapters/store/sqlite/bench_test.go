package sqlite

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"perdure/core/store"
)

// BenchmarkAppend is one group commit with its trims, flushes aside: the time is
// mostly the disk's, so the processor's is reported too.
func BenchmarkAppend(b *testing.B) {
	for _, c := range []struct{ shards, bytes int }{{4, 5 << 10}, {15, 1 << 10}, {1, 1 << 10}} {
		b.Run(fmt.Sprintf("%dx%dB", c.shards, c.bytes), func(b *testing.B) {
			s := open(b, b.TempDir(), Options{})
			batch := make([]store.Append, c.shards)
			for i := range batch {
				batch[i] = store.Append{Fence: owned(b, s, store.ShardID(i)), Record: noise(c.bytes)}
			}
			spent := processor(b)
			for b.Loop() {
				for i := range batch {
					batch[i].Seq++
					batch[i].Trim = batch[i].Seq - 1
				}
				if got := s.Append(batch); got[0] != store.Done {
					b.Fatal(got)
				}
			}
			b.ReportMetric(spent()/float64(b.N), "cpu-us/op")
		})
	}
}

// BenchmarkFlush writes 8,000 rows a flush, of 300 to 1,200 bytes.
//
// random: keys all over the table, the worst case. runs: the rows of new runs,
// whose ids grow with time. again: rows of the flush before, as for runs that go on.
func BenchmarkFlush(b *testing.B) {
	for _, shape := range []string{"random", "runs", "again"} {
		b.Run(shape, func(b *testing.B) {
			s := open(b, b.TempDir(), Options{})
			f := store.Flush{Fence: owned(b, s, 1)}
			rows := flushRows(shape, 0)
			var cpu float64
			for b.Loop() {
				b.StopTimer()
				f.Number++
				if shape != "again" {
					rows = flushRows(shape, f.Number)
				}
				f.Rows = rows
				b.StartTimer()
				spent := processor(b)
				if err := s.Flush(f); err != nil {
					b.Fatal(err)
				}
				cpu += spent()
			}
			b.ReportMetric(cpu/float64(b.N*len(rows)), "cpu-us/row")
		})
	}
}

func flushRows(shape string, round uint64) []store.Row {
	rows := make([]store.Row, 8000)
	for i := range rows {
		var part [2]byte
		binary.BigEndian.PutUint16(part[:], uint16(rand.IntN(16384)))
		key := make([]byte, 16)
		binary.BigEndian.PutUint64(key, round<<20|uint64(i/4))
		binary.BigEndian.PutUint64(key[8:], uint64(i%4))
		partition := string(part[:])
		if shape != "random" {
			partition = string(key[:8])
		}
		k := store.Key{Table: store.Pending, Partition: partition, Key: string(key)}
		rows[i] = store.Row{Key: k, Value: noise(300 + rand.IntN(900))}
	}
	slices.SortFunc(rows, func(a, b store.Row) int { return strings.Compare(a.Key.Partition+a.Key.Key, b.Key.Partition+b.Key.Key) })
	return rows
}

// BenchmarkCheckpoint is what the keeper adds to a flush of new runs.
func BenchmarkCheckpoint(b *testing.B) {
	s := open(b, b.TempDir(), Options{CheckpointAfter: hour})
	f := store.Flush{Fence: owned(b, s, 1)}
	var cpu float64
	for b.Loop() {
		b.StopTimer()
		f.Number++
		f.Rows = flushRows("runs", f.Number)
		if err := s.Flush(f); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		spent := processor(b)
		if _, err := s.tables.settle(true); err != nil {
			b.Fatal(err)
		}
		cpu += spent()
	}
	b.ReportMetric(cpu/float64(b.N*8000), "cpu-us/row")
}

func BenchmarkGet(b *testing.B) {
	s := open(b, b.TempDir(), Options{})
	rows := flushRows("runs", 1)
	if err := s.Flush(store.Flush{Fence: owned(b, s, 1), Number: 1, Rows: rows}); err != nil {
		b.Fatal(err)
	}
	missing := rows[77].Key
	missing.Key += "missing"
	var sixteen []store.Key
	for i := range 16 {
		sixteen = append(sixteen, rows[i*100].Key)
	}
	get := func(name string, keys ...store.Key) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := s.Get(keys); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	get("missing", missing)
	get("present", rows[77].Key)
	get("16 keys", sixteen...)
	b.Run("scan of 4 rows", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.Scan([]store.Range{{Table: store.Pending, Partition: rows[77].Key.Partition}}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func noise(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	return b
}

// processor measures the process's processor time in microseconds.
func processor(b *testing.B) func() float64 {
	read := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	began := read()
	return func() float64 { return float64((read() - began).Nanoseconds()) / 1e3 }
}
