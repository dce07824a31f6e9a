package registry

import (
	"testing"
	"time"

	"perdure/core/placement"
	"perdure/core/port"
	"perdure/core/store"
)

// mirrored is the registry machine of a node that does not own the registry.
type mirrored struct {
	r     *Registry
	now   time.Duration
	out   port.Effects
	owner port.NodeID
}

func newMirrored(t *testing.T) *mirrored {
	view := &port.Members{All: []port.Member{{Node: 1, Roles: port.AllRoles}, {Node: 2, Roles: port.AllRoles}}}
	owner, _ := placement.Shard(view, 0, store.RegistryShard)
	self := port.Address{Node: 3 - owner, Role: port.RoleRegistry}
	m := &mirrored{owner: owner, r: New(Config{Self: self, Members: &port.Members{}, Rand: func() uint64 { return 1 }})}
	if got := m.step(port.Start{}); len(got) > 0 {
		t.Fatalf("without a view it did %v", got)
	}
	m.step(view)
	return m
}

func (m *mirrored) step(in port.Input) []port.Effect {
	m.out.Reset()
	m.r.Step(port.Clock{Wall: time.Unix(1000, 0).Add(m.now), Mono: m.now}, in, &m.out)
	var kept []port.Effect
	for _, e := range m.out.List {
		if _, alarm := e.(port.Alarm); !alarm {
			kept = append(kept, e)
		}
	}
	return kept
}

// asked is the tag of the one question among the effects, 0 if there is none.
func (m *mirrored) asked(t *testing.T, got []port.Effect) uint64 {
	t.Helper()
	for _, e := range got {
		if s, ok := e.(port.Send); ok {
			if f, ok := s.In.(port.Fetch); ok {
				if s.To != (port.Address{Node: m.owner, Role: port.RoleRegistry}) {
					t.Errorf("asked %v", s.To)
				}
				return f.Tag
			}
		}
	}
	return 0
}

func published(got []port.Effect) uint64 {
	for _, e := range got {
		if p, ok := e.(port.Publish); ok {
			return p.Snapshot.Version
		}
	}
	return 0
}

func TestMirrorShowsTheNewestSnapshotOnly(t *testing.T) {
	m := newMirrored(t)
	if v := published(m.step(port.Fetched{Snapshot: &port.Snapshot{Version: 7}})); v != 7 {
		t.Errorf("published %d", v)
	}
	for _, old := range []uint64{7, 6} {
		if v := published(m.step(port.Fetched{Snapshot: &port.Snapshot{Version: old}})); v != 0 {
			t.Errorf("published %d after 7", v)
		}
	}
}

// What a mirror missed it learns within staleness; a question without an answer is repeated sooner.
func TestMirrorAsksNowAndThen(t *testing.T) {
	m := newMirrored(t)
	m.now += askAgain
	first := m.asked(t, m.step(port.Alarmed{}))
	m.now += askAgain
	second := m.asked(t, m.step(port.Alarmed{}))
	if first == 0 || second <= first {
		t.Fatalf("questions %d and %d", first, second)
	}
	if v := published(m.step(port.Fetched{Tag: second, Snapshot: &port.Snapshot{Version: 3}})); v != 3 {
		t.Errorf("published %d", v)
	}
	m.now += staleness - time.Millisecond
	if m.asked(t, m.step(port.Alarmed{})) != 0 {
		t.Error("asked too soon")
	}
	m.now += time.Millisecond
	if m.asked(t, m.step(port.Alarmed{})) == 0 {
		t.Error("never asked again")
	}
}

// A caller waits for the answer to a question that was asked after it came.
func TestRefreshWaitsForANewAnswer(t *testing.T) {
	m := newMirrored(t)
	m.now += askAgain
	old := m.asked(t, m.step(port.Alarmed{}))
	tag := m.asked(t, m.step(port.Refresh{Call: port.Call{Node: 9, ID: 4}}))
	replied := func(got []port.Effect) bool {
		for _, e := range got {
			if r, ok := e.(port.Reply); ok && r.Call.ID == 4 {
				return true
			}
		}
		return false
	}
	if replied(m.step(port.Fetched{Tag: old})) {
		t.Error("an answer from before was enough")
	}
	if !replied(m.step(port.Fetched{Tag: tag})) {
		t.Error("not told")
	}
	m.step(port.Refresh{Call: port.Call{Node: 9, ID: 4}})
	m.now += askAgain
	if !replied(m.step(port.Alarmed{})) {
		t.Error("waits for ever for an owner that does not answer")
	}
}
