// Package step cuts flushes for SQL databases into numbered steps, each a
// transaction of its own that takes effect once: owner, number of the flush and
// number of the step are checked under the lock of a row. A step that was done
// before, by this call or by an earlier one that did not hear of it, is passed over.
package step

import (
	"errors"

	"perdure/core/store"
)

// Bounds of one step: some tenths of a second on a slow disk.
const (
	MaxRows  = 4096
	maxBytes = 4 << 20
)

// rowOverhead is about what a row costs besides its value, in bytes.
const rowOverhead = 64

// Flush calls do for each step, numbered from 1. The first one deletes the
// partitions, if there are any, for rows of the same flush may belong to them and
// are to stay; the others put rows. A flush of nothing is one step, so that its
// owner is checked.
func Flush(f store.Flush, do func(number int, deleted []store.DeletedPartition, rows []store.Row) error) error {
	number := 0
	if len(f.Deleted) > 0 {
		number++
		if err := do(number, f.Deleted, nil); err != nil {
			return err
		}
	}
	for rows := f.Spared(); len(rows) > 0 || number == 0; {
		number++
		n := First(rows)
		if err := do(number, nil, rows[:n]); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

// First is how many of the rows one step takes, one at least if there is one.
func First(rows []store.Row) (n int) {
	for bytes := 0; n < len(rows) && n < MaxRows; n++ {
		if bytes += len(rows[n].Value) + rowOverhead; bytes > maxBytes && n > 0 {
			break
		}
	}
	return n
}

// Fence is the row that a step is checked against.
type Fence struct {
	Retired bool
	Owned   bool   // by the owner of the flush
	Number  uint64 // of the flush that was last begun
	Step    int    // of it that was last done
}

// ErrBehind: a flush came after a newer one of the same owner.
var ErrBehind = errors.New("store: a newer flush of this owner was begun")

// WhyNot is the reason why it was not a step's turn; nil if it was done before.
func (at Fence) WhyNot(f store.Flush, number int) error {
	switch {
	case at.Retired:
		return store.ErrRetired
	case !at.Owned:
		return store.ErrFenced
	case at.Number == f.Number && at.Step >= number:
		return nil
	}
	return ErrBehind
}
