package conformance

import (
	"fmt"
	"slices"
	"strings"

	"perdure/core/store"
)

var rowStories = []story{
	{"rows_come_back", func(d *drive) {
		o := d.own(1)
		var rows []store.Row
		for _, t := range store.Tables() {
			rows = append(rows, o.put(store.Key{Table: t, Partition: "p", Key: "k"}, 1, "in "+t.String()))
		}
		o.flush(rows...)
		for _, t := range store.Tables() {
			d.has(store.Key{Table: t, Partition: "p", Key: "k"}, "in "+t.String())
			d.lacks(store.Key{Table: t, Partition: "p", Key: "other"})
			d.lacks(store.Key{Table: t, Partition: "other", Key: "k"})
		}
	}},
	{"get_answers_each_key_in_order", getInOrder},
	{"nil_deletes_and_empty_does_not", func(d *drive) {
		o, k := d.own(1), at("p", "k")
		o.flush(o.put(k, 1, ""))
		d.has(k, "")
		d.scan(store.Range{Table: store.Pending, Partition: "p"}, "k")
		o.flush(o.remove(k, 2), o.remove(at("p", "never there"), 2))
		d.lacks(k)
		d.scan(store.Range{Table: store.Pending, Partition: "p"})
	}},
	{"rows_are_overwritten_deleted_and_made_again", func(d *drive) {
		o, k := d.own(1), at("p", "k")
		for round := range store.Seq(3) {
			o.flush(o.put(k, 10*round+1, "made"))
			o.flush(o.put(k, 10*round+2, fmt.Sprintf("overwritten %d", round)))
			d.has(k, fmt.Sprintf("overwritten %d", round))
			o.flush(o.remove(k, 10*round+3))
			d.lacks(k)
		}
	}},
	{"rows_pass_from_owner_to_owner", func(d *drive) {
		k := at("p", "k")
		o := d.own(1)
		o.flush(o.put(k, 50, "first owner"))
		o, _ = d.open(1, 0)
		o.flush(o.put(k, 51, "second owner"))
		d.has(k, "second owner")
		o, _ = d.open(1, 0)
		o.flush(o.remove(k, 52))
		d.lacks(k)
		o, _ = d.open(1, 0)
		o.flush(o.put(k, 53, "made again"))
		d.has(k, "made again")
	}},
	{"successor_may_flush_what_its_predecessor_flushed", func(d *drive) {
		k := at("p", "k")
		o := d.own(1)
		row := o.put(k, 1, "v") // replayed by the next owner under the version it had
		o.flush(row)
		next, _ := d.open(1, 0)
		next.flush(row)
		d.has(k, "v")
	}},
	{"repeated_flush_is_harmless", func(d *drive) {
		o, kept, gone := d.own(1), at("p", "kept"), at("p", "gone")
		o.flush(o.put(gone, 1, "v"))
		whole := o.clear(store.Partition{Table: store.Pending, Partition: "q"}, 2)
		for range 3 {
			o.flushAs(2, whole, []store.Row{o.put(kept, 2, "v"), o.remove(gone, 2), o.put(at("q", "new"), 3, "v")})
			d.has(kept, "v")
			d.lacks(gone)
			d.has(at("q", "new"), "v")
		}
	}},
	{"flush_that_is_behind_changes_nothing_newer", func(d *drive) {
		o, k, gone := d.own(1), at("p", "k"), at("p", "gone")
		first := o.flushOf(1, nil, []store.Row{o.put(k, 1, "first"), o.put(gone, 1, "first")})
		d.expect(d.Store.Flush(first), nil, "Flush")
		o.flushAs(2, nil, []store.Row{o.put(k, 2, "second"), o.remove(gone, 2)})
		_ = d.Store.Flush(first) // nobody waits for this answer: it is a packet that was long under way
		d.has(k, "second")
		d.lacks(gone)
	}},
	{"empty_flush_is_fine", func(d *drive) { d.own(1).flush() }},
	{"deleted_partition_loses_all_its_rows", deletedPartition},
	{"deleted_partition_spares_newer_rows_of_the_same_flush", func(d *drive) {
		o := d.own(1)
		o.flush(o.put(at("p", "a"), 1, "old"), o.put(at("p", "b"), 1, "old"))
		whole := o.clear(store.Partition{Table: store.Pending, Partition: "p"}, 5)
		o.flushAs(2, whole, []store.Row{o.put(at("p", "b"), 6, "new"), o.put(at("p", "c"), 5, "gone with it")})
		d.lacks(at("p", "a"))
		d.has(at("p", "b"), "new")
		d.lacks(at("p", "c"))
	}},
	{"scan_has_borders_limits_and_order", scanBorders},
	{"scan_stays_inside_the_partition", func(d *drive) {
		o := d.own(1)
		names := []string{"", "\x00", "p", "p\x00", "p\x00k", "p\xff", "pp", "q"}
		var rows []store.Row
		for i, name := range names {
			rows = append(rows, o.put(at(name, fmt.Sprint(i)), 1, "v"))
			rows = append(rows, o.put(store.Key{Table: store.Due, Partition: name, Key: "x"}, 1, "v"))
		}
		o.flush(rows...)
		for i, name := range names {
			d.scan(store.Range{Table: store.Pending, Partition: name}, fmt.Sprint(i))
		}
		d.scan(store.Range{Table: store.Pending, Partition: "nothing here"})
	}},
	{"scan_answers_each_range", func(d *drive) {
		o := d.own(1)
		o.flush(o.put(at("p", "a"), 1, "1"), o.put(at("q", "b"), 1, "2"))
		found, err := d.Store.Scan([]store.Range{
			{Table: store.Pending, Partition: "q"}, {Table: store.Pending, Partition: "none"},
			{Table: store.Pending, Partition: "p"}, {Table: store.Pending, Partition: "q"},
		})
		d.expect(err, nil, "Scan")
		if len(found) != 4 || len(found[0]) != 1 || len(found[1]) != 0 || len(found[2]) != 1 || len(found[3]) != 1 {
			d.t.Fatalf("Scan of 4 ranges gave %v", found)
		}
		d.sameValue(found[2][0].Value, []byte("1"), "the row of the third range")
	}},
	{"any_bytes_are_keys", anyBytes},
	{"long_keys_and_big_values", func(d *drive) {
		o := d.own(1)
		long := strings.Repeat("k", store.MaxKey)
		history := store.Key{Table: store.History, Partition: "tree", Key: long}
		small := store.Key{Table: store.Executions, Partition: long, Key: long}
		two, eight := string(pattern(2<<20, 1)), string(pattern(8<<20, 2))
		o.flush(o.put(history, 1, two), o.put(small, 1, "v"))
		d.has(history, two)
		o.flush(o.put(history, 2, eight))
		d.has(history, eight)
		d.has(small, "v")
		o.flush(o.remove(history, 3))
		d.lacks(history)
	}},
	{"a_long_history_fits", longHistory},
	{"blobs_are_stored_and_deleted", func(d *drive) {
		k := store.Key{Table: store.Blob, Partition: "b", Key: "name"}
		body := string(pattern(3<<20, 9))
		for range 2 { // repeating is harmless
			d.expect(d.Store.Write([]store.Row{{Key: k, Version: 1, Value: []byte(body)}}), nil, "Write")
		}
		d.has(k, body)
		o := d.own(1)
		o.flush(o.remove(k, 1))
		d.lacks(k)
	}},
}

func getInOrder(d *drive) {
	o := d.own(1)
	var rows []store.Row
	var keys []store.Key
	for i := range 200 {
		k := at(fmt.Sprint("p", i%7), fmt.Sprintf("%03d", i))
		keys = append(keys, k, at("p0", fmt.Sprint("missing ", i)))
		rows = append(rows, o.put(k, 1, fmt.Sprint(i)))
	}
	o.flush(rows...)
	slices.Reverse(keys)
	keys = append(keys, keys[1]) // asked twice
	got, err := d.Store.Get(keys)
	d.expect(err, nil, "Get")
	if len(got) != len(keys) {
		d.t.Fatalf("Get of %d keys answered %d rows", len(keys), len(got))
	}
	for i, row := range got {
		missing := strings.HasPrefix(keys[i].Key, "missing")
		if row.Key != keys[i] || (row.Value == nil) != missing {
			d.t.Fatalf("answer %d is %v with %s, want key %v", i, row.Key, brief(row.Value), keys[i])
		}
	}
	none, err := d.Store.Get(nil)
	d.expect(err, nil, "Get of nothing")
	if len(none) != 0 {
		d.t.Fatalf("Get of nothing answered %d rows", len(none))
	}
}

// longHistory fills one partition with 51 MiB, reads it in pages and deletes it.
func longHistory(d *drive) {
	const flushes, each = 8, 100
	o := d.own(1)
	body := string(pattern(64<<10, 4))
	at := func(n int) store.Key {
		return store.Key{Table: store.History, Partition: "tree", Key: fmt.Sprintf("%06d", n)}
	}
	for f := range flushes {
		var rows []store.Row
		for i := range each {
			rows = append(rows, o.put(at(f*each+i), 1, body))
		}
		o.flush(rows...)
	}
	for n := 0; n < flushes*each; n += each {
		found, err := d.Store.Scan([]store.Range{{Table: store.History, Partition: "tree", From: at(n).Key, Limit: each}})
		d.expect(err, nil, "Scan")
		if len(found[0]) != each || found[0][each-1].Key != at(n+each-1) {
			d.t.Fatalf("the page from row %d has %d rows", n, len(found[0]))
		}
		d.sameValue(found[0][n/each].Value, []byte(body), "a row of the history")
	}
	o.flushAs(o.number+1, o.clear(store.Partition{Table: store.History, Partition: "tree"}, 2), nil)
	d.scan(store.Range{Table: store.History, Partition: "tree"})
}

func deletedPartition(d *drive) {
	o := d.own(1)
	var rows []store.Row
	for i := range 500 {
		rows = append(rows, o.put(at("p", fmt.Sprintf("%04d", i)), 1, "v"))
	}
	rows = append(rows, o.put(at("o", "before"), 1, "v"), o.put(at("p\x00", "after"), 1, "v"))
	sameName := store.Key{Table: store.Due, Partition: "p", Key: "k"}
	o.flush(append(rows, o.put(sameName, 1, "v"))...)
	o.flushAs(2, o.clear(store.Partition{Table: store.Pending, Partition: "p"}, 2), nil)
	d.scan(store.Range{Table: store.Pending, Partition: "p"})
	d.has(at("o", "before"), "v")
	d.has(at("p\x00", "after"), "v")
	d.has(sameName, "v")
	o.flush(o.put(at("p", "0007"), 3, "made again"))
	d.scan(store.Range{Table: store.Pending, Partition: "p"}, "0007")
}

func scanBorders(d *drive) {
	o := d.own(1)
	o.flush(o.put(at("p", "a"), 1, "v"), o.put(at("p", "b"), 1, "v"), o.put(at("p", "ba"), 1, "v"),
		o.put(at("p", "c"), 1, "v"), o.put(at("p", "d"), 1, "v"))
	cases := []struct {
		from, to string
		limit    int
		want     string
	}{
		{"", "", 0, "a b ba c d"},
		{"b", "", 0, "b ba c d"},
		{"b", "c", 0, "b ba"},
		{"b\x00", "c\x00", 0, "ba c"},
		{"", "b", 0, "a"},
		{"", "a", 0, ""},
		{"b", "b", 0, ""},
		{"c", "b", 0, ""},
		{"e", "", 0, ""},
		{"", "", 2, "a b"},
		{"b", "", 1, "b"},
		{"b", "c", 9, "b ba"},
		{"", "", 5, "a b ba c d"},
	}
	for _, c := range cases {
		r := store.Range{Table: store.Pending, Partition: "p", From: c.from, To: c.to, Limit: c.limit}
		d.scan(r, strings.Fields(c.want)...)
	}
}

// anyBytes puts every short string of awkward bytes in as partition and key.
func anyBytes(d *drive) {
	letters := []string{"\x00", "\x01", "%", "'", "\x7f", "\x80", "\xfe", "\xff"}
	keys := []string{""}
	for _, a := range letters {
		keys = append(keys, a)
		for _, b := range letters {
			keys = append(keys, a+b)
		}
	}
	slices.Sort(keys)
	o := d.own(1)
	var rows []store.Row
	for _, k := range keys {
		rows = append(rows, o.put(at("p", k), 1, "v"+k), o.put(at(k, "k"), 1, "w"+k))
	}
	o.flush(slices.CompactFunc(rows, func(a, b store.Row) bool { return a.Key == b.Key })...)
	for _, k := range keys {
		d.has(at("p", k), "v"+k)
		d.has(at(k, "k"), "w"+k)
	}
	d.scan(store.Range{Table: store.Pending, Partition: "p"}, keys...)
	from, _ := slices.BinarySearch(keys, "\x80")
	to, _ := slices.BinarySearch(keys, "\xff\x00")
	d.scan(store.Range{Table: store.Pending, Partition: "p", From: "\x80", To: "\xff\x00"}, keys[from:to]...)
}
