package conformance

import (
	"slices"

	"perdure/core/store"
)

var fenceStories = []story{
	{"open_fences_earlier_owners_for_good", func(d *drive) {
		first := d.own(1)
		first.append("a")
		second, _ := d.open(1, 0)
		third, _ := d.open(1, 0)
		for _, stale := range []*owner{first, second} {
			d.outcomes([]store.Append{stale.record([]byte("x"))}, store.Fenced)
			d.outcomes([]store.Append{{Fence: stale.fence}}, store.Fenced)
			d.expect(d.Store.Release(stale.fence), store.ErrFenced, "Release by a stale owner")
		}
		third.append("b")
		_, opened := d.open(1, 0)
		d.exactly(opened, "a", "b")
	}},
	{"open_reports_whom_it_displaced", func(d *drive) {
		d.create(1)
		first, opened := d.open(1, 0)
		if opened.Displaced != (store.Fence{}) || opened.Address != "" {
			d.t.Fatalf("the first Open displaced %+v at %q", opened.Displaced, opened.Address)
		}
		_, opened = d.open(1, 0)
		if opened.Displaced != first.fence || opened.Address != address(first.fence.Nonce) {
			d.t.Fatalf("Open displaced %+v at %q, want %+v at %q",
				opened.Displaced, opened.Address, first.fence, address(first.fence.Nonce))
		}
	}},
	{"epochs_only_grow", func(d *drive) {
		d.expect(d.Store.Create(1, store.Strips{}, 7), nil, "Create")
		before := store.Epoch(7)
		for range 5 {
			_, opened := d.open(1, 0)
			if opened.Epoch <= before {
				d.t.Fatalf("epoch %d after %d", opened.Epoch, before)
			}
			before = opened.Epoch
			d.crash()
		}
	}},
	{"both_epoch_and_nonce_must_match", func(d *drive) {
		o := d.own(1)
		forged := []store.Fence{
			{Shard: 1, Epoch: o.fence.Epoch, Nonce: o.fence.Nonce + 1},
			{Shard: 1, Epoch: o.fence.Epoch + 1, Nonce: o.fence.Nonce},
			{Shard: 1, Epoch: o.fence.Epoch - 1, Nonce: o.fence.Nonce},
			{Shard: 1},
		}
		for _, f := range forged {
			d.outcomes([]store.Append{{Fence: f, Seq: 1, Record: []byte("x")}}, store.Fenced)
			d.expect(d.Store.Flush(store.Flush{Fence: f, Number: 1}), store.ErrFenced, "Flush under %+v", f)
			d.confirm([]store.Fence{f}, false)
		}
		o.append("a")
	}},
	{"extreme_nonces_are_kept", func(d *drive) {
		d.create(1)
		for _, n := range []store.Nonce{0, 1 << 63, 1<<64 - 1} {
			opened, err := d.Store.Open(store.Open{Shard: 1, Nonce: n})
			d.expect(err, nil, "Open")
			d.crash()
			f := store.Fence{Shard: 1, Epoch: opened.Epoch, Nonce: n}
			d.outcomes([]store.Append{{Fence: f, Seq: opened.Last + 1, Record: []byte("x")}}, store.Done)
		}
	}},
	{"confirm_tells_the_last_owner", func(d *drive) {
		stale, other := d.own(1), d.own(2)
		now, _ := d.open(1, 0)
		d.confirm([]store.Fence{stale.fence, now.fence, other.fence}, false, true, true)
		d.confirm(nil)
	}},
	{"owners_names_the_last_owner", ownersNamesTheLast},
	{"late_flush_of_a_displaced_owner_is_refused", lateFlush},
	{"late_flush_does_not_resurrect_deleted_rows", func(d *drive) {
		k, whole := at("p", "k"), store.Partition{Table: store.Pending, Partition: "q"}
		old := d.own(1)
		late := old.flushOf(1, nil, []store.Row{old.put(k, 1, "late"), old.put(at("q", "k"), 1, "late")})
		now, _ := d.open(1, 0)
		now.flushAs(1, now.clear(whole, 3), []store.Row{now.remove(k, 3)})
		d.expect(d.Store.Flush(late), store.ErrFenced, "late Flush")
		d.lacks(k)
		d.lacks(at("q", "k"))
	}},
	{"late_delete_does_not_remove_newer_rows", func(d *drive) {
		k, whole := at("p", "k"), store.Partition{Table: store.Pending, Partition: "q"}
		old := d.own(1)
		late := old.flushOf(1, old.clear(whole, 9), []store.Row{old.remove(k, 9)})
		now, _ := d.open(1, 0)
		now.flush(now.put(k, 1, "new"), now.put(at("q", "k"), 1, "new"))
		d.expect(d.Store.Flush(late), store.ErrFenced, "late Flush")
		d.has(k, "new")
		d.has(at("q", "k"), "new")
	}},
	{"second_process_is_fenced_or_refused", secondProcess},
}

func (d *drive) confirm(fences []store.Fence, want ...bool) {
	d.t.Helper()
	got, err := d.Store.Confirm(fences)
	d.expect(err, nil, "Confirm")
	if !slices.Equal(got, want) {
		d.t.Fatalf("Confirm(%+v) answered %v, want %v", fences, got, want)
	}
}

func (d *drive) owners(shards []store.ShardID, want ...store.Owner) {
	d.t.Helper()
	got, err := d.Store.Owners(shards)
	d.expect(err, nil, "Owners")
	if !slices.Equal(got, want) {
		d.t.Fatalf("Owners(%v) answered %+v, want %+v", shards, got, want)
	}
}

func (o *owner) named() store.Owner {
	return store.Owner{Fence: o.fence, Address: address(o.fence.Nonce)}
}

func ownersNamesTheLast(d *drive) {
	nobody := store.Owner{}
	d.create(3)
	d.owners([]store.ShardID{3, 77}, nobody, nobody)
	first, other := d.own(1), d.own(2)
	d.owners([]store.ShardID{2, 1, 3}, other.named(), first.named(), nobody)
	now, _ := d.open(1, 0)
	d.owners([]store.ShardID{1}, now.named())
	now.append("asking displaced nobody")
	d.crash()
	d.owners([]store.ShardID{1}, now.named())
	d.expect(d.Store.Release(now.fence), nil, "Release")
	d.expect(d.Store.Retire(other.fence), nil, "Retire")
	d.owners([]store.ShardID{1, 2}, nobody, nobody)
	d.owners(nil)
}

func lateFlush(d *drive) {
	k, untouched := at("p", "k"), at("p", "only the old owner wrote this")
	old := d.own(1)
	old.flush(old.put(k, 1, "first"), old.put(untouched, 1, "kept"))
	late := old.flushOf(2, nil, []store.Row{old.put(k, 9, "late")})
	now, _ := d.open(1, 0)
	d.expect(d.Store.Flush(late), store.ErrFenced, "Flush before the new owner wrote")
	now.flush(now.put(k, 2, "second"))
	d.expect(d.Store.Flush(late), store.ErrFenced, "Flush after the new owner wrote")
	d.has(k, "second")
	d.has(untouched, "kept")
	d.crash()
	d.expect(d.Store.Flush(late), store.ErrFenced, "Flush after a crash")
	d.has(k, "second")
}

// secondProcess is the one story that exclusive stores pass by refusing.
func secondProcess(d *drive) {
	first := d.own(1)
	first.append("a")
	other, err := d.Join()
	if d.Store.Exclusive() {
		if err == nil {
			d.t.Fatalf("the store says that it is exclusive, yet a second process could open it")
		}
		first.append("b") // the refused one did no harm
		return
	}
	d.expect(err, nil, "opening for a second process")
	opened, err := other.Open(store.Open{Shard: 1, Owner: "b:1", Nonce: 500})
	d.expect(err, nil, "Open by a second process")
	d.exactly(opened, "a")
	d.outcomes([]store.Append{first.record([]byte("x"))}, store.Fenced)
	d.confirm([]store.Fence{first.fence}, false)
}
