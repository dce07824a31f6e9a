// Package universe is virtual time and virtual chance: one queue of things that
// happen at a time, one loop that lets them happen, random streams by label, and
// a hash over all that was seen. Everything in it follows from the seed.
package universe

import (
	"encoding/binary"
	"time"

	"github.com/cespare/xxhash/v2"
)

// Epoch is the wall time at which every universe begins.
var Epoch = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// Universe is one run of one seed.
type Universe struct {
	Seed  uint64
	now   time.Duration
	seq   uint64
	queue queue
	steps uint64
	hash  xxhash.Digest
	room  [8]byte
	trace func(string)
}

// New makes an empty universe. trace, if set, is told every line of what happens.
func New(seed uint64, trace func(line string)) *Universe {
	u := &Universe{Seed: seed, trace: trace}
	u.hash.Reset()
	u.Number(seed)
	return u
}

// Now is the true time since the beginning.
func (u *Universe) Now() time.Duration { return u.now }

// At lets f happen at a time, never in the past. What is due at the same time
// happens in the order in which it was asked for.
func (u *Universe) At(at time.Duration, f func()) {
	u.seq++
	u.queue.push(event{max(at, u.now), u.seq, f})
}

// After lets f happen later.
func (u *Universe) After(d time.Duration, f func()) { u.At(u.now+d, f) }

// Next lets the next thing happen; false if there is none.
func (u *Universe) Next() bool {
	if len(u.queue) == 0 {
		return false
	}
	e := u.queue.pop()
	u.now = e.at
	e.f()
	return true
}

// Stepped counts one step of a machine.
func (u *Universe) Stepped() { u.steps++ }

// Steps is how many steps machines have made.
func (u *Universe) Steps() uint64 { return u.steps }

// Sum is the hash of everything so far.
func (u *Universe) Sum() uint64 { return u.hash.Sum64() }

// Number puts a number into the hash.
func (u *Universe) Number(n uint64) {
	binary.LittleEndian.PutUint64(u.room[:], n)
	_, _ = u.hash.Write(u.room[:])
}

// Bytes puts bytes into the hash.
func (u *Universe) Bytes(b []byte) {
	u.Number(uint64(len(b)))
	_, _ = u.hash.Write(b)
}

// Text puts a text into the hash.
func (u *Universe) Text(s string) {
	u.Number(uint64(len(s)))
	_, _ = u.hash.WriteString(s)
}

// Tracing says that somebody reads the trace: lines are worth making.
func (u *Universe) Tracing() bool { return u.trace != nil }

// Trace adds a line to the trace. Callers ask Tracing before they make one.
func (u *Universe) Trace(line string) { u.trace(line) }
