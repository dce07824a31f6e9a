package conformance

import (
	"errors"
	"fmt"

	"perdure/core/store"
)

// What a flush may show while it is under way, and what may come of it when its owner
// is displaced meanwhile.

var besideStories = []story{
	{"a_flush_in_steps_shows_in_its_order", showsInOrder},
	{"a_flush_under_way_spares_what_a_successor_wrote", meetsSuccessor},
}

// manyRows is more than any store writes at once.
const manyRows = 10_000

func (o *owner) many(value string) (rows []store.Row, first, middle, last store.Key) {
	for i := range manyRows {
		rows = append(rows, o.put(at("p", fmt.Sprintf("%05d", i)), 2, value))
	}
	return rows, rows[0].Key, rows[manyRows/2].Key, rows[manyRows-1].Key
}

// showsInOrder: whoever sees a row of a flush sees all that stands before it in the flush, deleted
// partitions first. Stores whose appends are apart flush by partition, in no order.
func showsInOrder(d *drive) {
	o, gone := d.own(1), at("gone", "k")
	o.flush(o.put(gone, 1, "v"))
	rows, first, middle, last := o.many("v")
	f := o.flushOf(2, o.clear(store.Partition{Table: store.Pending, Partition: "gone"}, 2), rows)
	there := func(k store.Key) bool {
		rows, err := d.Store.Get([]store.Key{k})
		d.expect(err, nil, "Get(%v)", k)
		return rows[0].Value != nil
	}
	var err error
	d.Beside(func() { err = d.Store.Flush(f) }, func() {
		sawLast, sawMiddle := there(last), there(middle)
		switch {
		case d.Store.Apart():
		case sawLast && !sawMiddle, sawMiddle && !there(first):
			d.t.Fatalf("a row of a flush was there before one that stands earlier in it")
		case sawMiddle && there(gone):
			d.t.Fatalf("a row of a flush was there before the flush had deleted its partitions")
		}
	})
	d.expect(err, nil, "Flush")
	for _, k := range []store.Key{first, middle, last} {
		d.has(k, "v")
	}
	d.lacks(gone)
}

// meetsSuccessor: nothing that an owner wrote before or while it is displaced stands in the
// way of its successor, however much of it is under way.
func meetsSuccessor(d *drive) {
	old := d.own(1)
	rows, first, middle, last := old.many("old")
	var err error
	displaced := false
	d.Beside(func() { err = d.Store.Flush(old.flushOf(1, nil, rows)) }, func() {
		if displaced {
			return
		}
		displaced = true
		now, _ := d.open(1, 0)
		now.flush(now.put(first, 3, "new"), now.remove(middle, 3), now.put(last, 3, "new"))
	})
	if err != nil && !errors.Is(err, store.ErrFenced) {
		d.t.Fatalf("a flush whose owner was displaced meanwhile ended with %v", err)
	}
	d.has(first, "new")
	d.lacks(middle)
	d.has(last, "new")
}
