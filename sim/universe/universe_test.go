package universe

import (
	"slices"
	"testing"
	"time"
)

func TestThingsHappenInOrder(t *testing.T) {
	u := New(1, nil)
	var got []int
	r := u.Rand("order")
	for i := range 200 {
		u.At(time.Duration(r.IntN(50)), func() { got = append(got, int(u.Now())*1000+i) })
	}
	u.At(20, func() { u.At(10, func() { got = append(got, 20*1000+999) }) }) // never in the past
	for u.Next() {
	}
	if !slices.IsSorted(got) || len(got) != 201 {
		t.Errorf("%d things, in order: %t", len(got), slices.IsSorted(got))
	}
}

func TestStreamsAreApart(t *testing.T) {
	a, b := New(7, nil).Rand("a"), New(7, nil).Rand("a")
	other, seed := New(7, nil).Rand("b"), New(8, nil).Rand("a")
	x := a.Uint64()
	if b.Uint64() != x || other.Uint64() == x || seed.Uint64() == x {
		t.Error("a stream follows from seed and label")
	}
	for range 1000 {
		if d := a.Spread(time.Microsecond, time.Second); d < time.Microsecond || d > time.Second {
			t.Fatal(d)
		}
	}
	if id := a.UUID(); len(id) != 36 || id[14] != '4' {
		t.Error(id)
	}
}

func TestHashSeesBordersAndOrder(t *testing.T) {
	sum := func(parts ...string) uint64 {
		u := New(1, nil)
		for _, p := range parts {
			u.Text(p)
		}
		return u.Sum()
	}
	if sum("ab", "c") == sum("a", "bc") || sum("a", "b") == sum("b", "a") {
		t.Error("the hash does not tell what it should")
	}
}
