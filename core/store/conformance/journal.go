package conformance

import (
	"bytes"
	"fmt"

	"perdure/core/store"
)

var journalStories = []story{
	{"records_come_back_in_order", func(d *drive) {
		o := d.own(1)
		var want []string
		for i := range 300 {
			want = append(want, fmt.Sprintf("record %d", i))
			o.append(want[i])
		}
		_, opened := d.open(1, 0)
		d.exactly(opened, want...)
	}},
	{"known_records_are_left_out", func(d *drive) {
		o := d.own(1)
		for _, body := range []string{"a", "b", "c"} {
			o.append(body)
		}
		for known, want := range [][]string{{"a", "b", "c"}, {"b", "c"}, {"c"}, {}, {}} {
			_, opened := d.open(1, store.Seq(known))
			d.exactly(opened, want...)
			if opened.Last != 3 {
				d.t.Fatalf("Last is %d, want 3 whatever is known", opened.Last)
			}
		}
	}},
	{"seq_must_follow", seqMustFollow},
	{"seq_never_restarts", func(d *drive) {
		o := d.own(1)
		o.append("a")
		o.append("b")
		o.trim(2)
		next, opened := d.open(1, 2)
		d.exactly(opened)
		d.outcomes([]store.Append{{Fence: next.fence, Seq: 1, Record: []byte("x")}}, store.Unknown)
		next.append("c")
		if next.last != 3 {
			d.t.Fatalf("the third record has seq %d", next.last)
		}
	}},
	{"empty_record_is_a_record", func(d *drive) {
		o := d.own(1)
		o.append("")
		_, opened := d.open(1, 0)
		d.exactly(opened, "")
	}},
	{"trim_drops_only_what_it_names", func(d *drive) {
		o := d.own(1)
		for _, body := range []string{"a", "b", "c", "d"} {
			o.append(body)
		}
		o.trim(2)
		o.trim(1) // behind: no harm
		_, opened := d.open(1, 0)
		d.bodies(opened, "c", "d")
	}},
	{"trim_rides_on_a_record", func(d *drive) {
		o := d.own(1)
		o.append("a")
		o.append("b")
		ride := o.record([]byte("c"))
		ride.Trim = 2
		d.outcomes([]store.Append{ride}, store.Done)
		_, opened := d.open(1, 0)
		d.bodies(opened, "c")
	}},
	{"what_one_trim_covered_is_shown_whole_or_not_at_all", func(d *drive) {
		o := d.own(1)
		for i := range 6 {
			o.append(fmt.Sprint(i + 1))
		}
		for _, upTo := range []store.Seq{2, 5} {
			o.trim(upTo)
			d.crash()
			next, opened := d.open(1, 0)
			if first := 7 - len(opened.Records); first != 1 && first != 3 && (first != 6 || upTo < 5) {
				d.t.Fatalf("after trims up to %d Open begins with record %d", upTo, first)
			}
			o = next
		}
	}},
	{"trim_of_everything_keeps_last", func(d *drive) {
		o := d.own(1)
		o.append("a")
		o.trim(1)
		_, opened := d.open(1, 1)
		d.exactly(opened)
		if opened.Last != 1 {
			d.t.Fatalf("Last is %d after everything was trimmed, want 1", opened.Last)
		}
	}},
	{"trim_by_a_stale_owner_is_refused", func(d *drive) {
		old := d.own(1)
		old.append("a")
		d.open(1, 0)
		d.outcomes([]store.Append{{Fence: old.fence, Trim: 1}}, store.Fenced)
		_, opened := d.open(1, 0)
		d.exactly(opened, "a")
	}},
	{"one_append_serves_many_shards", manyShards},
	{"each_shard_has_its_own_answer", ownAnswers},
	{"empty_append_is_fine", func(d *drive) { d.outcomes(nil) }},
	{"big_records", func(d *drive) {
		o := d.own(1)
		big := [][]byte{pattern(2<<20, 3), pattern(8<<20, 5), pattern(1, 7)}
		for _, body := range big {
			d.outcomes([]store.Append{o.record(body)}, store.Done)
			o.last++
		}
		d.crash()
		_, opened := d.open(1, 0)
		d.exactly(opened, string(big[0]), string(big[1]), string(big[2]))
	}},
	{"bytes_handed_in_may_be_reused", func(d *drive) {
		o := d.own(1)
		body := []byte("as it was")
		d.outcomes([]store.Append{o.record(body)}, store.Done)
		row := o.put(at("p", "k"), 1, "as it was")
		o.flush(row)
		copy(body, "overwritten")
		copy(row.Value, "overwritten")
		_, opened := d.open(1, 0)
		d.exactly(opened, "as it was")
		d.has(at("p", "k"), "as it was")
	}},
}

// pattern makes bytes that show a missing or doubled page.
func pattern(n int, seed byte) []byte {
	b := bytes.Repeat([]byte{seed, 0, 0xff}, n/3+1)[:n]
	for i := 0; i < n; i += 1000 {
		b[i] = byte(i / 1000)
	}
	return b
}

func seqMustFollow(d *drive) {
	o := d.own(1)
	for _, seq := range []store.Seq{0, 2, 7} {
		d.outcomes([]store.Append{{Fence: o.fence, Seq: seq, Record: []byte("x")}}, store.Unknown)
	}
	o.append("a")
	d.outcomes([]store.Append{{Fence: o.fence, Seq: 1, Record: []byte("again")}}, store.Unknown)
	d.outcomes([]store.Append{{Fence: o.fence, Seq: 3, Record: []byte("ahead")}}, store.Unknown)
	o.append("b")
	_, opened := d.open(1, 0)
	d.exactly(opened, "a", "b")
}

func manyShards(d *drive) {
	const shards = 64
	var owners []*owner
	for i := range shards {
		owners = append(owners, d.own(store.ShardID(100+i)))
	}
	for round := range 3 {
		var batch []store.Append
		var want []store.Outcome
		for i, o := range owners {
			batch = append(batch, o.record(fmt.Appendf(nil, "shard %d round %d", i, round)))
			want = append(want, store.Done)
			o.last++
		}
		d.outcomes(batch, want...)
	}
	for i := range shards {
		_, opened := d.open(store.ShardID(100+i), 1)
		d.exactly(opened, fmt.Sprintf("shard %d round 1", i), fmt.Sprintf("shard %d round 2", i))
	}
}

func ownAnswers(d *drive) {
	stale, good, gap, trims := d.own(1), d.own(2), d.own(3), d.own(4)
	trims.append("t")
	d.open(1, 0)
	d.outcomes([]store.Append{
		stale.record([]byte("stale")),
		good.record([]byte("good")),
		{Fence: store.Fence{Shard: 50, Epoch: 1}, Seq: 1, Record: []byte("nowhere")},
		{Fence: gap.fence, Seq: 5, Record: []byte("gap")},
		{Fence: trims.fence, Trim: 1},
	}, store.Fenced, store.Done, store.Fenced, store.Unknown, store.Done)
	_, opened := d.open(1, 0)
	d.exactly(opened)
	_, opened = d.open(2, 0)
	d.exactly(opened, "good")
	_, opened = d.open(3, 0)
	d.exactly(opened)
}
