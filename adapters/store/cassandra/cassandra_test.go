package cassandra

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"perdure/adapters/store/schema"
	"perdure/adapters/store/target"
	"perdure/core/store"
)

// A flush that was on its way for long lands after its owner was displaced and
// its rows were written anew, deleted, and deleted with their partition: the
// version of what is there decides, not the time of the write.
func TestVersionsDecideNotTheOrderOfWrites(t *testing.T) {
	s := mustOpen(t, fresh(ready(t)))
	key := func(partition, name string) store.Key {
		return store.Key{Table: store.Pending, Partition: partition, Key: name}
	}
	row := func(k store.Key, v store.Version, value string) store.Row {
		return store.Row{Key: k, Version: v, Value: []byte(value)}
	}
	early, late := store.MakeVersion(3, 9), store.MakeVersion(4, 1)
	whole := []store.DeletedPartition{{Partition: store.Partition{Table: store.Pending, Partition: "q"}, Version: late}}
	steps := [][]store.Row{
		{row(key("p", "put"), late, "new"), {Key: key("p", "deleted"), Version: late}, row(key("p", "spared"), late, "new")},
		{row(key("p", "put"), early, "old"), row(key("p", "deleted"), early, "old"), {Key: key("p", "spared"), Version: early}, row(key("q", "swept"), early, "old"), row(key("q", "after"), late+1, "new")},
	}
	for range 2 {
		for i, rows := range steps {
			if err := s.write(rows, whole[:1-i]); err != nil {
				t.Fatal(err)
			}
		}
		old := []store.DeletedPartition{{Partition: store.Partition{Table: store.Pending, Partition: "p"}, Version: early}}
		if err := s.write(nil, old); err != nil {
			t.Fatal(err)
		}
	}
	want := map[store.Key]string{key("p", "put"): "new", key("p", "deleted"): "", key("p", "spared"): "new", key("q", "swept"): "", key("q", "after"): "new"}
	for k, value := range want {
		got, err := s.Get([]store.Key{k})
		if err != nil || string(got[0].Value) != value {
			t.Errorf("%v: %q, %v; want %q", k, got[0].Value, err, value)
		}
	}
}

// Versions are timestamps: the first and the last one that there can be must be taken, and be told apart.
func TestVersionsFillTheRangeOfTimestamps(t *testing.T) {
	s := mustOpen(t, fresh(ready(t)))
	if err := s.Create(1, store.Strips{}, maxEpoch-1); err != nil {
		t.Fatal(err)
	}
	f := reopen(t, s, 1)
	k := store.Key{Table: store.History, Partition: "p", Key: "k"}
	last := store.MakeVersion(f.Epoch, 1<<40-1)
	if int64(last) != 1<<63-1 {
		t.Fatalf("the last version is %d", last)
	}
	for i, v := range []store.Version{0, 1, last - 1, last, 5, 0} {
		if err := s.Flush(store.Flush{Fence: f, Number: uint64(i + 1), Rows: []store.Row{{Key: k, Version: v, Value: fmt.Append(nil, v)}}}); err != nil {
			t.Fatalf("version %d: %v", v, err)
		}
	}
	got, err := s.Get([]store.Key{k})
	if err != nil || string(got[0].Value) != fmt.Sprint(uint64(last)) {
		t.Errorf("the row has version %q, %v; want the highest", got[0].Value, err)
	}
	if _, err := s.Open(store.Open{Shard: 1, Nonce: 9}); err == nil || !strings.Contains(err.Error(), "new shard") {
		t.Errorf("Open after the last epoch: %v", err)
	}
	if err := s.Flush(store.Flush{Fence: f, Number: 9, Rows: []store.Row{{Key: k, Version: last}}}); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Get([]store.Key{k}); err != nil || got[0].Value != nil {
		t.Errorf("deleted with the last version: %q, %v", got[0].Value, err)
	}
}

// Many owners fight for a shard while each appends: every record that was
// acknowledged is in the journal once, in order.
func TestOwnersFightForAShard(t *testing.T) {
	opts := fresh(ready(t))
	first := mustOpen(t, opts)
	own(t, first, 1)
	var mu sync.Mutex
	acknowledged := map[string]store.Seq{}
	var wg sync.WaitGroup
	for who := range 4 {
		s := mustOpen(t, opts)
		wg.Go(func() {
			for turn := range 5 {
				n := store.Nonce(nonces.Add(1))
				o, err := s.Open(store.Open{Shard: 1, Nonce: n})
				if err != nil {
					continue // the others are too quick
				}
				f := store.Fence{Shard: 1, Epoch: o.Epoch, Nonce: n}
				for i := range 10 {
					body := fmt.Sprintf("%d of turn %d of %d", i, turn, who)
					seq := o.Last + 1 + store.Seq(i)
					if s.Append([]store.Append{{Fence: f, Seq: seq, Record: []byte(body)}})[0] != store.Done {
						break
					}
					mu.Lock()
					acknowledged[body] = seq
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	o, err := first.Open(store.Open{Shard: 1, Nonce: 1 << 62})
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]store.Seq{}
	for i, e := range o.Records {
		if e.Seq != store.Seq(i+1) || found[string(e.Record)] != 0 {
			t.Fatalf("record %d of the tail is %d, %q", i+1, e.Seq, e.Record)
		}
		found[string(e.Record)] = e.Seq
	}
	for body, seq := range acknowledged {
		if found[body] != seq {
			t.Errorf("acknowledged as record %d: %q, found as %d", seq, body, found[body])
		}
	}
	t.Logf("%d acknowledged, %d in the journal", len(acknowledged), len(found))
}

// A journal that is trimmed as it grows stays as small as what was ever waiting, whatever passes through it.
func TestSlotsAreReused(t *testing.T) {
	opts := fresh(ready(t))
	s := mustOpen(t, opts)
	f := own(t, s, 1)
	for seq := store.Seq(1); seq <= 60; seq++ {
		trim := store.Seq(0)
		if seq > 5 {
			trim = seq - 5
		}
		if seq == 30 { // another process goes on where this one was
			s = mustOpen(t, opts)
		}
		body := bytes.Repeat([]byte{byte(seq)}, int(seq%7)*400<<10) // some in pieces
		if out := s.Append([]store.Append{{Fence: f, Seq: seq, Trim: trim, Record: body}}); out[0] != store.Done {
			t.Fatalf("append %d: %v", seq, out)
		}
	}
	slots, pieces := 0, 0
	if err := s.query("SELECT count(slot) FROM journal WHERE shard = ?", s.shardKey(1)).Scan(&slots); err != nil {
		t.Fatal(err)
	}
	for seq := range 61 {
		n := 0
		if err := s.query("SELECT count(*) FROM piece WHERE shard = ? AND epoch = ? AND seq = ?", s.shardKey(1), int64(f.Epoch), seq).Scan(&n); err != nil {
			t.Fatal(err)
		}
		if n > 0 && seq <= 55 {
			t.Errorf("record %d is trimmed and still has %d pieces", seq, n)
		}
		pieces += n
	}
	if slots != 5 || pieces == 0 {
		t.Errorf("%d slots and %d pieces, want 5 slots and some pieces", slots, pieces)
	}
	o, err := s.Open(store.Open{Shard: 1, Nonce: 77})
	if err != nil || len(o.Records) != 5 {
		t.Fatalf("%d records, %v", len(o.Records), err)
	}
	for _, e := range o.Records {
		if len(e.Record) != int(e.Seq%7)*400<<10 || len(e.Record) > 0 && e.Record[len(e.Record)-1] != byte(e.Seq) {
			t.Errorf("record %d has %d bytes", e.Seq, len(e.Record))
		}
	}
}

// The slots of an owner: whatever is appended and trimmed, no two records share one, and none is left unused beside a new one.
func TestSlots(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		o := &owner{}
		rt.Repeat(map[string]func(*rapid.T){
			"append": func(*rapid.T) { o.add(o.last+1, 0) },
			"trim": func(rt *rapid.T) {
				upTo := store.Seq(rapid.Uint64Range(0, uint64(o.last)+3).Draw(rt, "up to"))
				for _, l := range o.trimTo(upTo) {
					if l.seq > upTo {
						rt.Fatalf("trim to %d dropped %d", upTo, l.seq)
					}
				}
			},
			"": func(rt *rapid.T) {
				used := slices.Clone(o.free)
				for _, l := range o.live {
					used = append(used, l.slot)
				}
				slices.Sort(used)
				for i, slot := range used {
					if slot != i {
						rt.Fatalf("slots %v", used)
					}
				}
				if len(used) != o.size || len(o.live) != int(o.last-o.trim) || !slices.IsSortedFunc(o.free, func(a, b int) int { return b - a }) {
					rt.Fatalf("%+v", o)
				}
			},
		})
	})
}

// A server that starts while another one makes the tables finds a version as soon
// as it finds the table for it.
func TestVersionIsReadWhileTablesAreMade(t *testing.T) {
	opts := ready(t)
	opts.Keyspace = fmt.Sprintf("watched_%d", spaces.Add(1))
	s, err := OpenSchema(opts)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	made := make(chan error, 1)
	go func() { made <- s.Apply() }()
	var tables map[string]bool
	for err == nil && !tables[versionTable] && len(made) == 0 {
		tables, err = s.tables()
	}
	if err == nil {
		_, _, err = s.Versions()
	}
	if err := errors.Join(err, <-made, s.change("DROP KEYSPACE "+s.keyspace)); err != nil {
		t.Error(err)
	}
}

// Servers that start at the same moment on an empty cluster make one keyspace.
func TestSeveralSetUpOneKeyspace(t *testing.T) {
	opts := ready(t)
	opts.Keyspace = fmt.Sprintf("together_%d", spaces.Add(1))
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			s, err := Open(opts)
			if err != nil {
				t.Error(err)
				return
			}
			s.Close()
		})
	}
	wg.Wait()
	s, err := OpenSchema(opts)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	have, want, err := s.Versions()
	if err != nil || have != want {
		t.Errorf("version %d of %d, %v", have, want, err)
	}
	holder, err := s.lock()
	if err != nil {
		t.Fatal(err)
	}
	if mine, strange := s.keepLock(holder), s.keepLock("somebody else"); mine != nil || strange == nil {
		t.Errorf("the lock is kept by its holder: %v, by another one: %v", mine, strange)
	}
	for range 2 { // the second time as if nobody had said that the first one was carried out
		if done, err := s.swap("version", 99, "UPDATE "+s.name(versionTable)+" SET version = 99 WHERE what = 'tables' IF version = ?", want); err != nil || !done {
			t.Fatal(done, err)
		}
	}
	if done, err := s.swap("version", 98, "UPDATE "+s.name(versionTable)+" SET version = 98 WHERE what = 'tables' IF version = ?", want); err != nil || done {
		t.Error("a version that nobody made is there:", done, err)
	}
	if _, err := Open(opts); !errors.Is(err, schema.ErrNewer) {
		t.Errorf("a newer schema: %v", err)
	}
	for _, plan := range []func(schema.Schema) ([]string, error){schema.ForSetup, schema.ForUpdate} {
		if _, err := plan(s); !errors.Is(err, schema.ErrNewer) {
			t.Errorf("a plan for a newer schema: %v", err)
		}
	}
	if err := s.session.Query("DROP KEYSPACE " + opts.Keyspace).Exec(); err != nil {
		t.Fatal(err)
	}
}

func TestFromTarget(t *testing.T) {
	read := func(text string) (Options, error) {
		at, err := target.Parse(text, "")
		if err != nil {
			t.Fatal(err)
		}
		return FromTarget(at)
	}
	o, err := read("cassandra://u:p@a,b:9043/space?replication=2&consistency=local_quorum&datacenter=here&timeout=3s&connections=4&tls=insecure")
	if err != nil || !slices.Equal(o.Hosts, []string{"a", "b:9043"}) || o.Keyspace != "space" || o.User != "u" || o.Password != "p" || o.Replication != 2 ||
		!o.Local || o.Datacenter != "here" || o.Timeout != 3*time.Second || o.Connections != 4 || o.TLS == nil || !o.TLS.InsecureSkipVerify || o.TLS.MinVersion != tls.VersionTLS12 {
		t.Errorf("%+v, %v", o, err)
	}
	for text, want := range map[string]string{
		"cassandra://a/":                              "keyspace is missing",
		"cassandra://a/k?consistency=one":             "quorum, local_quorum",
		"cassandra://a/k?replication=0":               "1 to 9",
		"cassandra://a/k?tls_ca=x":                    "need tls=on",
		"cassandra://a/k?tls=on&tls_ca=/no/such":      "tls_ca",
		"cassandra://a/k?tls=on&tls_cert=/no/such":    "tls_cert",
		"cassandra://a/k?tls=on&tls_ca=target.go":     "PEM",
		"cassandra://a/k?consistency=local_quorum&x=": `no parameter "x"`,
	} {
		if _, err := read(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	if _, err := OpenSchema(Options{Keyspace: "not-a-name"}); err == nil || !strings.Contains(err.Error(), "keyspace") {
		t.Errorf("a bad name: %v", err)
	}
}

// A statement that names no keyspace may be carried out in another one (see statements).
func TestStatementsNameTheirKeyspace(t *testing.T) {
	named := regexp.MustCompile(`^(INSERT INTO|UPDATE|DELETE FROM|SELECT .* FROM) ks\.[a-z]+ `)
	var look func(v reflect.Value)
	look = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Struct:
			for i := range v.NumField() {
				look(v.Field(i))
			}
		case reflect.Slice:
			for i := 1; i < v.Len(); i++ { // there is no table 0
				look(v.Index(i))
			}
		default:
			if !named.MatchString(v.String()) {
				t.Errorf("%q names no keyspace", v)
			}
		}
	}
	look(reflect.ValueOf(*newStatements("ks")))
}
