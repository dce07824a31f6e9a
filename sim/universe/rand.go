package universe

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/cespare/xxhash/v2"
)

// Rand is one stream of chance. Each actor has its own, named by a label, so
// that a draw more in one place changes nothing in another.
type Rand struct{ *rand.Rand }

// Rand makes the stream of a label.
func (u *Universe) Rand(label string) *Rand {
	return &Rand{rand.New(rand.NewPCG(u.Seed, xxhash.Sum64String(label)))}
}

// Stream makes a stream from two numbers alone.
func Stream(a, b uint64) *Rand { return &Rand{rand.New(rand.NewPCG(a, b))} }

// Chance is true with probability p.
func (r *Rand) Chance(p float64) bool { return p > 0 && r.Float64() < p }

// Between is from low up to high, all alike.
func (r *Rand) Between(low, high time.Duration) time.Duration {
	if high <= low {
		return low
	}
	return low + time.Duration(r.Int64N(int64(high-low)))
}

// Spread is from low up to high with every order of magnitude alike: mostly short, sometimes long.
func (r *Rand) Spread(low, high time.Duration) time.Duration {
	for high/10 >= low && r.IntN(3) > 0 {
		high /= 10
	}
	return r.Between(low, high)
}

// Pick is one of the list.
func Pick[T any](r *Rand, list ...T) T { return list[r.IntN(len(list))] }

// UUID is a random UUID of version 4.
func (r *Rand) UUID() string {
	a, b := r.Uint64(), r.Uint64()
	return fmt.Sprintf("%08x-%04x-4%03x-%04x-%012x", a>>32, a>>16&0xffff, a&0xfff, 0x8000|b>>48&0x3fff, b&0xffffffffffff)
}
