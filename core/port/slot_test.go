package port

import (
	"fmt"
	"strings"
	"testing"
)

// The numbers are in every stored key: if this test fails, the code is wrong.
func TestSlotIsPinned(t *testing.T) {
	const ns = "32049b68-7872-4094-8e63-d0dd59896a83"
	for _, x := range []struct {
		ns, id string
		want   uint16
	}{
		{"", "", 10032},
		{ns, "", 13040},
		{ns, "a", 10919},
		{ns, "order-1", 13478},
		{ns, strings.Repeat("x", 1000), 15955},
		{"00000000-0000-0000-0000-000000000000", "a", 11937},
	} {
		if got := Slot(x.ns, x.id); got != x.want {
			t.Errorf("Slot(%q, %.20q) = %d, want %d", x.ns, x.id, got, x.want)
		}
	}
}

func TestSlotSpreads(t *testing.T) {
	seen := map[uint16]int{}
	for i := range 4 * Slots {
		slot := Slot("32049b68-7872-4094-8e63-d0dd59896a83", fmt.Sprint("order-", i))
		if slot >= Slots {
			t.Fatalf("slot %d", slot)
		}
		seen[slot]++
	}
	if len(seen) < Slots*9/10 {
		t.Fatalf("%d of %d slots used", len(seen), Slots)
	}
}

func TestSlotDoesNotAllocate(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { Slot("32049b68-7872-4094-8e63-d0dd59896a83", "order-1") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
