package fold

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

const most = 48

func drawn(t *rapid.T, label string) string {
	return strings.Repeat("k", rapid.SampledFrom([]int{0, 1, most - hashBytes, most - 1, most, most + 1, 99}).Draw(t, label+" length")) +
		rapid.SampledFrom([]string{"", "a", "b", "\xff"}).Draw(t, label+" end")
}

// Stored keys sort as the keys do, except two that are both folded and begin alike.
func TestFoldedKeysKeepWhatTheyCanOfTheOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawn(t, "a"), drawn(t, "b")
		keptA, _ := Key(a, nil, most)
		keptB, _ := Key(b, nil, most)
		if len(keptA) > most || (a == b) != bytes.Equal(keptA, keptB) {
			t.Fatalf("%q is stored as %q, %q as %q", a, keptA, b, keptB)
		}
		if Folded(keptA, most) && Folded(keptB, most) && bytes.Equal(keptA[:most-hashBytes], keptB[:most-hashBytes]) {
			return
		}
		if strings.Compare(a, b) != bytes.Compare(keptA, keptB) {
			t.Fatalf("%q and %q are in another order than %q and %q", a, b, keptA, keptB)
		}
	})
}

func TestLongKeysComeBack(t *testing.T) {
	for _, key := range []string{strings.Repeat("x", most-hashBytes), strings.Repeat("y", 3000)} {
		folded, stored := Key(key, []byte("value"), most)
		got, value, err := Unfold(stored)
		if !Folded(folded, most) || err != nil || got != key || string(value) != "value" {
			t.Errorf("%d bytes came back as %q, %q, %v", len(key), got, value, err)
		}
		if _, deletion := Key(key, nil, most); deletion != nil {
			t.Error("a deletion became a value")
		}
	}
	for _, damaged := range []string{"", "abc", "\x00\x00\x00\x05abcd"} {
		if _, _, err := Unfold([]byte(damaged)); err == nil {
			t.Errorf("%q was taken for the row of a long key", damaged)
		}
	}
}

func TestPartitionsAreTold(t *testing.T) {
	seen := map[string]string{}
	for n := range 3 * MaxPartition {
		p := strings.Repeat("p", n)
		folded := string(Partition(p))
		if other, ok := seen[folded]; ok || len(folded) > MaxPartition {
			t.Fatalf("partitions of %d and %d bytes are stored alike, in %d bytes", n, len(other), len(folded))
		}
		seen[folded] = p
		if again := string(Partition(folded)); n >= MaxPartition-hashBytes && again == folded {
			t.Fatalf("the partition that is named like a folded one is taken for it")
		}
	}
}
