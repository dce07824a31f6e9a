package check

import (
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"perdure/core/port"
	"perdure/core/registry/registrypb"
	"perdure/core/store"
)

// P35 one_layout_serves: rows are written by one shard until it has ended, then by
// one that came after it, under higher epochs; so versions of rows never go back. A change of the layout
// comes to its end, and all nodes hear of it.

// settling is how long a change may take once all is well.
const settling = 30 * time.Second

// writer is who wrote a partition last.
type writer struct {
	shard store.ShardID
	epoch store.Epoch
}

// writes holds the owner of a record against who wrote the partition before.
func (l *Ledger) writes(owner store.Fence, p store.Partition) *Breach {
	last, written := l.writers[p]
	now := writer{owner.Shard, owner.Epoch}
	switch {
	case p.Table == store.Metadata:
	case written && now.shard < last.shard:
		return breach(OneLayoutServes, p.Partition, "%v was written by shard %d after shard %d had it", p.Table, now.shard, last.shard)
	case written && now.shard > last.shard && now.epoch <= last.epoch:
		return breach(OneLayoutServes, p.Partition, "%v was written by shard %d in epoch %d after shard %d wrote in epoch %d", p.Table, now.shard, now.epoch, last.shard, last.epoch)
	}
	l.writers[p] = now
	return nil
}

// markChange counts changes of the layout.
func (l *Ledger) markChange(key string, before, value []byte) {
	switch {
	case key != "change":
	case value == nil:
		l.Marks.Add("change of the layout finished")
	case before == nil:
		l.Marks.Add("change of the layout begun")
	}
}

// LayoutKnown holds what a node that is well knows of the layout against the rows of the registry.
func (l *Ledger) LayoutKnown(s *port.Snapshot) *Breach {
	if l.now()-l.changed <= staleness {
		return nil
	}
	rows := l.parts[store.Partition{Table: store.Metadata, Partition: "registry"}]
	layout := &registrypb.Layout{}
	if proto.Unmarshal(rows["layout"].value, layout) != nil {
		return breach(OneLayoutServes, "", "the row of the layout cannot be read")
	}
	if layout.Generation != s.LayoutID || !slices.EqualFunc(layout.Shards, s.Layout, func(a *registrypb.Layout_Shard, b port.ShardRange) bool {
		return store.ShardID(a.Id) == b.Shard && uint16(a.From) == b.Strips.From && uint16(a.To) == b.Strips.To
	}) {
		return breach(OneLayoutServes, "", "layout %d has been for %v, a node knows layout %d", layout.Generation, l.now()-l.changed, s.LayoutID)
	}
	return nil
}

// LayoutSettled: no change of the layout goes on for long when all is well. It is asked again and again.
func (l *Ledger) LayoutSettled() *Breach {
	if l.parts[store.Partition{Table: store.Metadata, Partition: "registry"}]["change"].value == nil {
		l.changing = 0
		return nil
	}
	if l.changing == 0 {
		l.changing = max(l.now(), 1)
	}
	if within := l.now() - l.changing; within > settling {
		return breach(OneLayoutServes, "", "all is well and a change of the layout has been under way for %v", within)
	}
	return nil
}
