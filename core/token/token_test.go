package token

import (
	"crypto/hmac"
	"crypto/sha256"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"pgregory.net/rapid"

	"perdure/core/port"
)

const (
	namespace = "32049b68-7872-4094-8e63-d0dd59896a83"
	run       = "01985b6e-7c9f-7aaa-8d83-5a02c2b6ba55"
)

var (
	keys  = []port.Key{{ID: 1, Secret: []byte("first secret of thirty-two bytes")}, {ID: 7, Secret: []byte("later secret of thirty-two bytes")}}
	other = []port.Key{{ID: 7, Secret: []byte("other secret of thirty-two bytes")}}
)

func sample() *port.Token {
	return &port.Token{Run: port.RunKey{NamespaceID: namespace, WorkflowID: "order-1", RunID: run}, Kind: port.WorkflowTask, ScheduledID: 2, StartedID: 3, Attempt: 1, Nonce: 0x0123456789abcdef}
}

func TestTaskRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := &port.Token{
			Run:  port.RunKey{NamespaceID: rapid.String().Draw(t, "namespace"), WorkflowID: rapid.String().Draw(t, "workflow"), RunID: rapid.String().Draw(t, "run")},
			Kind: port.TaskKind(rapid.Uint8().Draw(t, "kind")), ScheduledID: rapid.Int64().Draw(t, "scheduled"), StartedID: rapid.Int64().Draw(t, "started"),
			Attempt: rapid.Int32Min(0).Draw(t, "attempt"), Nonce: rapid.Uint64().Draw(t, "nonce"), Query: rapid.Uint64().Draw(t, "query"), ActivityID: rapid.String().Draw(t, "activity"),
		}
		got, ok := DecodeTask(keys, AppendTask(nil, keys, want))
		if !ok || !reflect.DeepEqual(got, want) {
			t.Fatalf("%+v became %+v, %v", want, got, ok)
		}
	})
}

func TestTaskAppendsBehind(t *testing.T) {
	b := AppendTask([]byte("before"), keys, sample())
	if got, ok := DecodeTask(keys, b[len("before"):]); !ok || !reflect.DeepEqual(got, sample()) {
		t.Fatalf("%+v, %v", got, ok)
	}
}

func TestEveryKeyVerifiesTheLastSigns(t *testing.T) {
	old := AppendTask(nil, keys[:1], sample())
	for _, x := range []struct {
		name string
		keys []port.Key
		b    []byte
		want bool
	}{
		{"signed before the key was added", keys, old, true},
		{"signed by the last", keys[1:], AppendTask(nil, keys, sample()), true},
		{"key withdrawn", keys[1:], old, false},
		{"another cluster's key of the same id", other, AppendTask(nil, keys, sample()), false},
		{"no keys", nil, old, false},
	} {
		if _, ok := DecodeTask(x.keys, x.b); ok != x.want {
			t.Errorf("%s: %v, want %v", x.name, ok, x.want)
		}
	}
}

func TestForgedTasksAreRefused(t *testing.T) {
	good := AppendTask(nil, keys, sample())
	for i := range good {
		for bit := range 8 {
			b := append([]byte(nil), good...)
			b[i] ^= 1 << bit
			if _, ok := DecodeTask(keys, b); ok {
				t.Fatalf("bit %d of byte %d turned, accepted", bit, i)
			}
		}
	}
	for n := range good {
		if _, ok := DecodeTask(keys, good[:n]); ok {
			t.Fatalf("cut to %d bytes, accepted", n)
		}
	}
	for _, b := range [][]byte{nil, []byte("nonsense"), append([]byte{0}, good...), append(append([]byte(nil), good...), good...)} {
		if _, ok := DecodeTask(keys, b); ok {
			t.Errorf("%q accepted", b)
		}
	}
}

func TestGarbageDoesNotPanic(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	good, page := AppendTask(nil, keys, sample()), AppendPage(nil, samplePage())
	for range 100_000 {
		b := append([]byte(nil), [][]byte{good, page, nil}[rng.IntN(3)]...)
		for range rng.IntN(4) {
			if at := rng.IntN(len(b) + 1); at == len(b) || rng.IntN(2) == 0 {
				b = append(b[:at:at], append([]byte{byte(rng.Uint32())}, b[at:]...)...)
			} else {
				b[at] = byte(rng.Uint32())
			}
		}
		DecodeTask(keys, b)
		DecodePage(b, false)
		eachField(string(b), func(num protowire.Number, _ uint64, _ string) bool { return true })
	}
}

func TestSignIsHMAC(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for n := range 1200 {
		secret, message := make([]byte, rng.IntN(65)), make([]byte, n)
		for i := range secret {
			secret[i] = byte(rng.Uint32())
		}
		for i := range message {
			message[i] = byte(rng.Uint32())
		}
		h := hmac.New(sha256.New, secret)
		h.Write(message)
		if got := sign(secret, message); string(got[:]) != string(h.Sum(nil)[:macSize]) {
			t.Fatalf("secret of %d, message of %d bytes: %x", len(secret), n, got)
		}
	}
}

func TestTaskAllocations(t *testing.T) {
	room, task := make([]byte, 0, 256), sample()
	if n := testing.AllocsPerRun(100, func() { AppendTask(room, keys, task) }); n != 0 {
		t.Errorf("encoding: %v allocations", n)
	}
	b := AppendTask(nil, keys, task)
	if n := testing.AllocsPerRun(100, func() { DecodeTask(keys, b) }); n > 2 {
		t.Errorf("decoding: %v allocations", n)
	}
}

func samplePage() *port.PageToken {
	return &port.PageToken{RunID: run, NextEventID: 7, LastEventID: 9, Running: true}
}

func TestPageRoundTrip(t *testing.T) {
	for _, want := range []*port.PageToken{samplePage(), {RunID: run, NextEventID: 1}, {RunID: run, NextEventID: 5, LastEventID: 4}, {RunID: run, NextEventID: 3, Reverse: true}} {
		got, ok := DecodePage(AppendPage(nil, want), want.Reverse)
		if !ok || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v became %+v, %v", want, got, ok)
		}
		if _, ok := DecodePage(AppendPage(nil, want), !want.Reverse); ok {
			t.Errorf("%+v accepted in the other direction", want)
		}
	}
}

func TestBadPagesAreRefused(t *testing.T) {
	good := AppendPage(nil, samplePage())
	for n := range good {
		if _, ok := DecodePage(good[:n], false); ok {
			t.Errorf("cut to %d bytes, accepted", n)
		}
	}
	for _, p := range []*port.PageToken{{RunID: "run", NextEventID: 1}, {RunID: run}, {RunID: run, NextEventID: -1}, {RunID: run, NextEventID: 1, LastEventID: -1}, {NextEventID: 1}} {
		if _, ok := DecodePage(AppendPage(nil, p), false); ok {
			t.Errorf("%+v accepted", p)
		}
	}
	if _, ok := DecodePage([]byte(strings.Repeat("nonsense", 9)), false); ok {
		t.Error("nonsense accepted")
	}
}

func BenchmarkAppendTask(b *testing.B) {
	room, task := make([]byte, 0, 256), sample()
	b.ReportAllocs()
	for b.Loop() {
		AppendTask(room, keys, task)
	}
}

func BenchmarkDecodeTask(b *testing.B) {
	token := AppendTask(nil, keys, sample())
	b.ReportAllocs()
	for b.Loop() {
		DecodeTask(keys, token)
	}
}
