package check

import (
	"testing"

	"perdure/core/port"
	"perdure/core/store"
)

func TestGrantedWhenLeft(t *testing.T) {
	at, other := port.ShardAddress(1, 7), port.ShardAddress(2, 7)
	ask := []port.Effect{port.AskOwner{Tag: 5, Shard: 7}}
	open := []port.Effect{port.OpenStore{Open: store.Open{Shard: 7}}}
	claim := []port.Effect{port.Send{To: other, In: port.Claim{From: at}}}
	held := func(node string) *port.Completed {
		return &port.Completed{Tag: 5, Held: store.Owner{Address: node}}
	}
	of := func(n port.NodeID) string { return (&port.Member{Node: n}).Owner() }
	for _, x := range []struct {
		want  string
		steps func(c *Claims)
	}{
		{"", func(c *Claims) {
			c.Stepped(1, at, nil, port.Alarmed{}, ask)
			c.Stepped(1, at, nil, held(""), open)
		}},
		{"", func(c *Claims) {
			c.Stepped(1, at, nil, port.Alarmed{}, ask)
			c.Stepped(1, at, nil, held(of(2)), claim)
			c.Stepped(1, at, nil, port.Claimed{Granted: true}, open)
		}},
		{"", func(c *Claims) {
			c.Stepped(1, at, nil, port.Alarmed{}, ask)
			c.Stepped(1, at, nil, held(of(1)), open)
			c.Stepped(1, at, nil, &port.Completed{Owner: true}, open)
		}},
		{"was not asked who has it", func(c *Claims) { c.Stepped(1, at, nil, port.Alarmed{}, open) }},
		{"was not asked who has it", func(c *Claims) {
			c.Stepped(1, at, nil, port.Alarmed{}, ask)
			c.Stepped(1, at, nil, &port.Completed{Tag: 5, Err: store.ErrUnavailable}, open)
		}},
		{"of node 2, which was not asked", func(c *Claims) {
			c.Stepped(1, at, nil, port.Alarmed{}, ask)
			c.Stepped(1, at, nil, held(of(2)), open)
		}},
		{"was not asked who has it", func(c *Claims) { // an earlier life was told
			c.Stepped(1, at, nil, port.Alarmed{}, ask)
			c.Stepped(1, at, nil, held(""), nil)
			c.Stepped(2, at, nil, port.Alarmed{}, open)
		}},
	} {
		var found *Breach
		x.steps(NewClaims(func(b *Breach) { found = b }))
		if x.want == "" && found != nil {
			t.Error(found)
		} else if x.want != "" {
			broke(t, found, GrantedWhenLeft, x.want)
		}
	}
}

func TestShownGoesForward(t *testing.T) {
	l := newForge(t).ledger
	shown := func(boot, version uint64) *Breach { return l.Shown(boot, &port.Snapshot{Version: version}) }
	for _, b := range []*Breach{shown(1, 5), shown(1, 6), shown(2, 4)} {
		if b != nil {
			t.Error(b)
		}
	}
	broke(t, shown(1, 5), PublishedIsDurable, "shows version 5 of the registry after version 6")
}
