package registry

import (
	"slices"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"perdure/core/port"
	"perdure/core/registry/registrypb"
	"perdure/core/store"
)

// A change of the layout, in order: one record says which layout is meant, and the
// snapshot which shards go; their owners empty the journals, tell their epochs, and end
// the shards once these are recorded; when all are ended, and that is recorded, the new shards are made, above all
// those epochs; one more record makes the layout the present one. Whoever owns the
// registry meanwhile goes on from what is recorded. Strips of shards that stay are served all the time, others wait.
//
// L4: a shard is made only when the records say that every shard of whose strips it has some is ended.
// L5: its first epoch is above every epoch of theirs.

// relayout begins a change.
func (r *Registry) relayout(req port.Relayout) (proto.Message, *port.Refusal) {
	s := &r.state
	switch {
	case req.Shards < 1 || req.Shards > port.Strips:
		return nil, port.Invalid("A layout has 1 to %d shards.", port.Strips)
	case s.level < port.LayoutLevel:
		return nil, port.Refuse(port.FailedPrecondition, "The layout can be changed once every server of the cluster was upgraded; the cluster writes format level %d, level %d is needed.", s.level, port.LayoutLevel)
	case s.change != nil:
		return nil, port.Refuse(port.FailedPrecondition, "The layout is being changed to %d shards; wait until that is done.", len(s.change.Layout.Shards))
	}
	to := resized(s.layout, req.Shards)
	c := &registrypb.Change{Layout: to}
	for _, old := range s.layout.Shards {
		if !has(to, old.Id) {
			c.Gone = append(c.Gone, &registrypb.Change_Gone{Id: old.Id})
		}
	}
	if len(c.Gone) > 0 {
		r.putChange(c)
		r.change()
	}
	return &emptypb.Empty{}, nil
}

// resized is an even layout. A shard whose strips stay as they are stays; others get
// new ids, above all that ever were: the highest one is always in the layout.
func resized(old *registrypb.Layout, shards int) *registrypb.Layout {
	last := uint32(0)
	for _, s := range old.Shards {
		last = max(last, s.Id)
	}
	l := even(shards)
	l.Generation, l.Created = old.Generation+1, true
	for _, s := range l.Shards {
		i := slices.IndexFunc(old.Shards, func(x *registrypb.Layout_Shard) bool { return x.From == s.From && x.To == s.To })
		if i >= 0 {
			s.Id = old.Shards[i].Id
			continue
		}
		last++
		s.Id = last
	}
	return l
}

func has(l *registrypb.Layout, id uint32) bool {
	return slices.ContainsFunc(l.Shards, func(s *registrypb.Layout_Shard) bool { return s.Id == id })
}

// amend changes what is recorded of a shard that goes; change says whether anything is new.
func (r *Registry) amend(shard uint32, change func(*registrypb.Change_Gone) bool) (known bool) {
	if r.phase != serving || r.state.change == nil {
		r.seat.Asked()
		return false
	}
	c := proto.CloneOf(r.state.change)
	i := slices.IndexFunc(c.Gone, func(g *registrypb.Change_Gone) bool { return g.Id == shard })
	if i < 0 {
		return false
	}
	if change(c.Gone[i]) {
		r.putChange(c)
		r.changed = r.log.Seq()
	}
	return true
}

// emptied notes the epoch under which a shard would be ended, and lets it be, once
// that is durable. An owner that comes in between has a higher one, and asks anew.
func (r *Registry) emptied(in port.Emptied) {
	if r.amend(in.From.Index, func(g *registrypb.Change_Gone) bool {
		higher := uint64(in.Epoch) > g.Epoch
		g.Epoch = max(g.Epoch, uint64(in.Epoch))
		return higher
	}) {
		r.log.SendAfter(in.From, port.Retire{Epoch: in.Epoch}, r.log.Seq(), r.out)
	}
}

// retired notes that a shard is ended.
func (r *Registry) retired(in port.Retired) {
	r.amend(in.From.Index, func(g *registrypb.Change_Gone) bool {
		news := !g.Retired
		g.Retired = true
		return news
	})
	r.createNext()
}

// createNext makes the new shards when all that go are ended, and this machine is
// proven to be the one that recorded it (L4): one that was displaced may not know the last epochs.
func (r *Registry) createNext() {
	c := r.state.change
	if r.phase != serving || c == nil || r.shards.wanted != nil || r.log.Durable() < r.changed {
		return
	}
	floor := store.Epoch(0)
	for _, g := range c.Gone {
		if !g.Retired {
			return
		}
		floor = max(floor, store.Epoch(g.Epoch))
	}
	var fresh []*registrypb.Layout_Shard
	for _, s := range c.Layout.Shards {
		if !has(r.state.layout, s.Id) {
			fresh = append(fresh, s)
		}
	}
	r.beginCreation(fresh, floor)
	r.createShards()
}

// finishChange makes the layout that was meant the present one.
func (r *Registry) finishChange() {
	r.shards = creation{}
	r.putLayout(r.state.change.Layout)
	r.state.change = nil
	r.log.Delete(store.Key{Table: store.Metadata, Partition: partition, Key: keyChange})
	r.change()
}

// going lists the shards that are to be ended.
func (s *state) going() (ids []store.ShardID) {
	if s.change == nil {
		return nil
	}
	for _, g := range s.change.Gone {
		ids = append(ids, store.ShardID(g.Id))
	}
	return ids
}
