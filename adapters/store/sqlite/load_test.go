package sqlite

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"perdure/core/store"
)

// The load of a busy server whose workflows have one activity each: what
// matters is how the three kinds of calls and the keeper disturb each other, so
// it runs at the pace of the clock. One op is one workflow; its processor time
// is that of the whole process.
const (
	loadRate    = 1000 // workflows a second
	loadShards  = 4
	loadBefore  = 40_000 // workflows that the tables hold already: about 100 MB
	loadAppends = 400    // a second
	loadRecord  = 6300   // bytes; 2.7 records an append
	loadTick    = 5 * time.Millisecond
)

// BenchmarkLoad is to be run with a fixed number of workflows, e.g. -benchtime 10000x.
func BenchmarkLoad(b *testing.B) {
	l := newLoad(b)
	b.ReportMetric(l.cpu(loadKinds{appends: true, gets: true, flushes: true}, b.N), "cpu-us/op")
}

// BenchmarkLoadParts runs one kind of call at a time.
func BenchmarkLoadParts(b *testing.B) {
	for name, kinds := range map[string]loadKinds{"none": {}, "appends": {appends: true}, "flushes": {flushes: true}, "flushes+gets": {flushes: true, gets: true}} {
		b.Run(name, func(b *testing.B) {
			l := newLoad(b)
			b.ReportMetric(l.cpu(kinds, b.N), "cpu-us/op")
		})
	}
}

type loadKinds struct{ appends, gets, flushes bool }

type load struct {
	b      *testing.B
	s      *Store
	shards [loadShards]loadShard
	next   int // number of the next workflow's rows
}

// loadShard is an owner: records up to flushed may be trimmed.
type loadShard struct {
	mu            sync.Mutex
	fence         store.Fence
	last, flushed store.Seq
	number        uint64
}

func newLoad(b *testing.B) *load {
	l := &load{b: b, s: open(b, b.TempDir(), Options{})}
	for i := range l.shards {
		l.shards[i].fence = owned(b, l.s, store.ShardID(i))
	}
	for l.next < loadBefore {
		l.flush(l.next/1000%loadShards, 1000)
	}
	l.tend()
	return l
}

// cpu runs n workflows at their pace and gives microseconds a workflow.
func (l *load) cpu(kinds loadKinds, n int) float64 {
	spent := processor(l.b)
	l.b.ResetTimer()
	var wg sync.WaitGroup
	length := time.Duration(n) * time.Second / loadRate
	if kinds.appends {
		wg.Go(func() { pace(length, time.Second/loadAppends, l.append) })
	}
	if kinds.gets {
		wg.Go(func() { pace(length, time.Second/loadRate, l.get) })
	}
	if kinds.flushes {
		wg.Go(func() {
			pace(length, time.Second/loadShards, func(i int) { l.flush(i%loadShards, loadRate/loadShards) })
		})
	}
	if kinds == (loadKinds{}) {
		pace(length, loadTick, func(int) {})
	}
	wg.Wait()
	l.tend() // so that nobody gains by putting work off
	l.b.StopTimer()
	return spent() / float64(n)
}

func (l *load) tend() {
	if _, err := l.s.tend(true); err != nil {
		l.b.Fatal(err)
	}
}

// pace calls do every interval, a few at once when it is late.
func pace(length, interval time.Duration, do func(i int)) {
	tick := time.NewTicker(max(loadTick, interval))
	defer tick.Stop()
	began, i := time.Now(), 0
	for range tick.C {
		for due := int(time.Since(began) / interval); i < due; i++ {
			do(i)
		}
		if time.Since(began) >= length {
			return
		}
	}
}

func (l *load) append(i int) {
	batch := make([]store.Append, 0, 3)
	for n := range 3 - min(1, i%3/2) {
		sh := &l.shards[(i+n)%loadShards]
		sh.mu.Lock()
		sh.last++
		batch = append(batch, store.Append{Fence: sh.fence, Seq: sh.last, Trim: sh.flushed, Record: loadNoise(loadRecord)})
		sh.mu.Unlock()
	}
	for _, o := range l.s.Append(batch) {
		if o != store.Done {
			l.b.Error("append:", o)
		}
	}
}

func (l *load) get(i int) {
	if rows, err := l.s.Get([]store.Key{loadKey(store.Executions, i%loadShards, fmt.Sprintf("p%036dmissing-%d", 7, i))}); err != nil || rows[0].Value != nil {
		l.b.Error("get:", rows, err)
	}
}

// flush writes the rows of some new workflows, as a shard does about once a second.
func (l *load) flush(shard, workflows int) {
	sh := &l.shards[shard]
	sh.mu.Lock()
	upTo := sh.last
	sh.number++
	f := store.Flush{Fence: sh.fence, Number: sh.number}
	sh.mu.Unlock()
	for range workflows {
		f.Rows = append(f.Rows, loadRows(shard, l.next)...)
		l.next++
	}
	slices.SortFunc(f.Rows, func(a, b store.Row) int {
		return strings.Compare(string(rune(a.Key.Table))+a.Key.Partition+a.Key.Key, string(rune(b.Key.Table))+b.Key.Partition+b.Key.Key)
	})
	if err := l.s.Flush(f); err != nil {
		l.b.Error("flush:", err)
	}
	sh.mu.Lock()
	sh.flushed = upTo
	sh.mu.Unlock()
}

// loadRows are a pointer, the run, its history and when it is to be removed.
func loadRows(shard, n int) []store.Row {
	run := fmt.Sprintf("%08x-0000-7000-8000-%012x", n>>8, rand.Uint64()>>16)
	pointer := loadKey(store.Executions, shard, fmt.Sprintf("p%036dworkflow-%d", 7, n))
	strip := pointer.Partition
	due := fmt.Sprintf("d%08d%s", n, run)
	return []store.Row{
		{Key: pointer, Value: loadNoise(80)},
		{Key: store.Key{Table: store.Executions, Partition: strip, Key: "r" + run}, Value: loadNoise(450)},
		{Key: store.Key{Table: store.History, Partition: run, Key: "\x00\x00\x00\x00\x00\x00\x00\x01"}, Value: loadNoise(1300)},
		{Key: store.Key{Table: store.Due, Partition: strip, Key: due}, Value: loadNoise(30)},
	}
}

// loadKey puts the key into one of the 256 strips of its shard.
func loadKey(t store.Table, shard int, key string) store.Key {
	sum := uint64(14695981039346656037)
	for i := range len(key) {
		sum = (sum ^ uint64(key[i])) * 1099511628211
	}
	return store.Key{Table: t, Partition: string([]byte{byte(shard), byte(sum >> 20)}), Key: key}
}

var loadBytes = noise(1 << 20)

// loadNoise is cheap, so that it does not count.
func loadNoise(n int) []byte {
	from := rand.IntN(len(loadBytes) - n)
	return loadBytes[from : from+n : from+n]
}
