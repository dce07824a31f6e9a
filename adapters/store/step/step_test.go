package step

import (
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"perdure/core/store"
)

// Every row is put once, in order, after the partitions are gone, in steps that keep their bounds.
func TestStepsHoldTheWholeFlushInOrder(t *testing.T) {
	value := make([]byte, 5<<20)
	rapid.Check(t, func(t *rapid.T) {
		f := store.Flush{Number: 1}
		for i, size := range rapid.SliceOfN(rapid.SampledFrom([]int{0, 100, maxBytes / 3, maxBytes - rowOverhead, len(value)}), 0, 20).Draw(t, "sizes") {
			f.Rows = append(f.Rows, store.Row{Key: store.Key{Table: store.Due, Partition: "p", Key: fmt.Sprintf("%06d", i)}, Value: value[:size]})
		}
		for range rapid.SampledFrom([]int{0, 0, MaxRows - 1, 2*MaxRows + 1}).Draw(t, "small rows") {
			f.Rows = append(f.Rows, store.Row{Key: store.Key{Table: store.Due, Partition: "q", Key: fmt.Sprintf("%06d", len(f.Rows))}})
		}
		if rapid.Bool().Draw(t, "deletes") {
			f.Deleted = []store.DeletedPartition{{Partition: store.Partition{Table: store.Due, Partition: "another"}, Version: 1}}
		}
		steps, put := 0, 0
		err := Flush(f, func(number int, deleted []store.DeletedPartition, rows []store.Row) error {
			steps++
			if number != steps || (deleted != nil) != (number == 1 && f.Deleted != nil) || deleted != nil && rows != nil {
				t.Fatalf("step %d is numbered %d, with %d partitions and %d rows", steps, number, len(deleted), len(rows))
			}
			bytes := 0
			for _, r := range rows {
				if r.Key != f.Rows[put].Key {
					t.Fatalf("row %q where %q was due", r.Key.Key, f.Rows[put].Key.Key)
				}
				bytes += len(r.Value)
				put++
			}
			if len(rows) > MaxRows || bytes > maxBytes && len(rows) > 1 {
				t.Fatalf("a step of %d rows with %d bytes", len(rows), bytes)
			}
			return nil
		})
		if err != nil || put != len(f.Rows) || steps == 0 {
			t.Fatalf("%d of %d rows in %d steps, %v", put, len(f.Rows), steps, err)
		}
	})
}

func TestAStepThatFailsIsTheLast(t *testing.T) {
	broken := errors.New("broken")
	f := store.Flush{Rows: make([]store.Row, 2*MaxRows)}
	f.Deleted = []store.DeletedPartition{{Partition: store.Partition{Table: store.Due, Partition: "another"}}}
	for last := 1; last <= 3; last++ {
		calls := 0
		err := Flush(f, func(number int, _ []store.DeletedPartition, _ []store.Row) error {
			if calls++; number == last {
				return broken
			}
			return nil
		})
		if err != broken || calls != last {
			t.Errorf("step %d failed: %d steps, %v", last, calls, err)
		}
	}
}

func TestWhyNot(t *testing.T) {
	f := store.Flush{Number: 7}
	for _, c := range []struct {
		at   Fence
		step int
		want error
	}{
		{Fence{Owned: true, Number: 7, Step: 2}, 2, nil}, // done before
		{Fence{Owned: true, Number: 7, Step: 3}, 2, nil},
		{Fence{Owned: true, Number: 7, Step: 1}, 3, ErrBehind}, // the step between is missing
		{Fence{Owned: true, Number: 8, Step: 1}, 1, ErrBehind},
		{Fence{Owned: true, Number: 6, Step: 9}, 2, ErrBehind},
		{Fence{Number: 7, Step: 2}, 2, store.ErrFenced},
		{Fence{Retired: true}, 1, store.ErrRetired},
		{Fence{Retired: true, Owned: true, Number: 7, Step: 1}, 1, store.ErrRetired},
	} {
		if got := c.at.WhyNot(f, c.step); got != c.want {
			t.Errorf("step %d at %+v: %v, want %v", c.step, c.at, got, c.want)
		}
	}
}
