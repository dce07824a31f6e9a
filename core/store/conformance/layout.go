package conformance

import "perdure/core/store"

var layoutStories = []story{
	{"create_keeps_strips_and_starts_above_floor", func(d *drive) {
		strips := store.Strips{From: 256, To: 1024}
		d.expect(d.Store.Create(5, strips, 41), nil, "Create")
		_, opened := d.open(5, 0)
		if opened.Epoch <= 41 || opened.Strips != strips || opened.Last != 0 {
			d.t.Fatalf("Open gave %+v, want an epoch above 41, strips %v and no record", opened, strips)
		}
	}},
	{"create_refuses_a_shard_that_is_there", func(d *drive) {
		d.create(1)
		d.expect(d.Store.Create(1, store.Strips{From: 0, To: 16}, 9), store.ErrExists, "second Create")
	}},
	{"create_refuses_a_shard_that_was_retired", func(d *drive) {
		o := d.own(1)
		d.expect(d.Store.Retire(o.fence), nil, "Retire")
		d.expect(d.Store.Create(1, store.Strips{}, 0), store.ErrExists, "Create of a retired shard")
	}},
	{"unknown_shards_are_named_so", func(d *drive) {
		nobody := store.Fence{Shard: 77, Epoch: 1, Nonce: 1}
		_, err := d.Store.Open(store.Open{Shard: 77, Nonce: 1})
		d.expect(err, store.ErrNoShard, "Open")
		d.expect(d.Store.Retire(nobody), store.ErrNoShard, "Retire")
		d.expect(d.Store.Release(nobody), store.ErrNoShard, "Release")
		d.expect(d.Store.Flush(store.Flush{Fence: nobody, Number: 1}), store.ErrNoShard, "Flush")
		d.outcomes([]store.Append{{Fence: nobody, Seq: 1, Record: []byte("x")}}, store.Fenced)
		d.confirm([]store.Fence{nobody}, false)
	}},
	{"registry_shard_and_highest_id_are_shards_like_others", func(d *drive) {
		for _, id := range []store.ShardID{store.RegistryShard, 1<<32 - 1} {
			o := d.own(id)
			o.append("a")
			_, opened := d.open(id, 0)
			d.exactly(opened, "a")
		}
	}},
	{"retire_ends_everything", retireEndsEverything},
	{"retire_wants_an_empty_journal", func(d *drive) {
		o := d.own(1)
		o.append("a")
		o.append("b")
		d.expect(d.Store.Retire(o.fence), store.ErrNotEmpty, "Retire with two records")
		o.trim(1)
		d.expect(d.Store.Retire(o.fence), store.ErrNotEmpty, "Retire with one record")
		o.append("c") // the refusals changed nothing
		o.trim(3)
		d.expect(d.Store.Retire(o.fence), nil, "Retire with everything trimmed")
	}},
	{"retire_wants_the_owner", func(d *drive) {
		old := d.own(1)
		o, _ := d.open(1, 0)
		d.expect(d.Store.Retire(old.fence), store.ErrFenced, "Retire by the owner before")
		o.append("still alive")
	}},
	{"retire_survives_a_crash", func(d *drive) {
		o := d.own(1)
		o.append("a")
		o.flush(o.put(at("p", "k"), 1, "v"))
		o.trim(1)
		d.expect(d.Store.Retire(o.fence), nil, "Retire")
		d.crash()
		_, err := d.Store.Open(store.Open{Shard: 1, Nonce: 99})
		d.expect(err, store.ErrRetired, "Open")
		d.has(at("p", "k"), "v")
	}},
	{"release_fences_the_owner_and_leaves_nobody", releaseLeavesNobody},
}

func retireEndsEverything(d *drive) {
	o := d.own(1)
	o.flush(o.put(at("p", "k"), 1, "v"))
	d.expect(d.Store.Retire(o.fence), nil, "Retire")
	d.expect(d.Store.Retire(o.fence), store.ErrRetired, "second Retire")
	d.expect(d.Store.Release(o.fence), store.ErrRetired, "Release")
	_, err := d.Store.Open(store.Open{Shard: 1, Nonce: 99})
	d.expect(err, store.ErrRetired, "Open")
	d.outcomes([]store.Append{o.record([]byte("late"))}, store.Fenced)
	d.expect(d.Store.Flush(o.flushOf(9, nil, []store.Row{o.put(at("p", "k"), 2, "w")})), store.ErrRetired, "Flush")
	d.confirm([]store.Fence{o.fence}, false)
	d.has(at("p", "k"), "v") // rows are the layout's, not the shard's
}

func releaseLeavesNobody(d *drive) {
	o := d.own(1)
	o.append("a")
	d.expect(d.Store.Release(o.fence), nil, "Release")
	d.outcomes([]store.Append{o.record([]byte("late"))}, store.Fenced)
	d.expect(d.Store.Flush(o.flushOf(1, nil, nil)), store.ErrFenced, "Flush after Release")
	d.expect(d.Store.Release(o.fence), store.ErrFenced, "second Release")
	d.confirm([]store.Fence{o.fence}, false)
	next, opened := d.open(1, 0)
	if opened.Displaced != (store.Fence{}) || opened.Address != "" {
		d.t.Fatalf("Open displaced %+v at %q, want nobody after a Release", opened.Displaced, opened.Address)
	}
	if next.fence.Epoch <= o.fence.Epoch {
		d.t.Fatalf("epoch %d after %d, want a higher one", next.fence.Epoch, o.fence.Epoch)
	}
	d.exactly(opened, "a")
}
