package conformance

import (
	"fmt"

	"perdure/core/store"
)

var restartStories = []story{
	{"crash_keeps_everything_acknowledged", func(d *drive) { keepsEverything(d, d.crash) }},
	{"restart_keeps_everything_acknowledged", func(d *drive) { keepsEverything(d, d.restart) }},
	{"owner_outlives_the_store", func(d *drive) {
		o := d.own(1)
		o.append("a")
		d.crash()
		d.confirm([]store.Fence{o.fence}, true)
		o.append("b")
		o.flush(o.put(at("p", "k"), 2, "v"))
		d.restart()
		o.append("c")
		_, opened := d.open(1, 0)
		d.exactly(opened, "a", "b", "c")
	}},
	{"trims_never_reach_beyond_what_was_asked", func(d *drive) {
		o := d.own(1)
		for i := range 20 {
			o.append(fmt.Sprint(i + 1))
			if i%5 == 4 {
				o.flush(o.put(at("p", "k"), o.last, fmt.Sprint(i+1)))
				o.trim(o.last - 2)
				d.crash()
			}
		}
		_, opened := d.open(1, 0)
		d.bodies(opened, "19", "20")
		if opened.Last != 20 {
			d.t.Fatalf("Last is %d, want 20", opened.Last)
		}
	}},
}

// keepsEverything does a little of everything between ends of the store.
func keepsEverything(d *drive, end func()) {
	o := d.own(1)
	released := d.own(2)
	d.expect(d.Store.Release(released.fence), nil, "Release")
	blob := store.Key{Table: store.Blob, Partition: "b", Key: "k"}
	d.expect(d.Store.Write([]store.Row{{Key: blob, Version: 1, Value: []byte("blob")}}), nil, "Write")
	o.append("a")
	end()
	d.has(blob, "blob")
	o.append("b")
	o.flush(o.put(at("p", "k"), 1, "v"), o.put(at("p", "gone"), 1, "v"))
	end()
	d.has(at("p", "k"), "v")
	o.flush(o.remove(at("p", "gone"), 2))
	o.trim(1)
	end()
	d.lacks(at("p", "gone"))
	d.has(at("p", "k"), "v")
	_, opened := d.open(1, 0)
	d.bodies(opened, "b")
	if opened.Last != 2 || opened.Displaced != o.fence || opened.Address != address(o.fence.Nonce) {
		d.t.Fatalf("Open gave %+v after the store had ended, want last 2 and %+v displaced", opened, o.fence)
	}
	_, opened = d.open(2, 0)
	if opened.Displaced != (store.Fence{}) {
		d.t.Fatalf("a released shard displaced %+v after the store had ended", opened.Displaced)
	}
}
