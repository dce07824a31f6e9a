package check

import (
	"google.golang.org/protobuf/proto"

	"perdure/core/journal"
	"perdure/core/port"
	"perdure/core/registry"
	"perdure/core/registry/registrypb"
)

// P33 level_known_by_all: nothing is stored in a format above the level of the
// cluster; the level is raised only when no node that the registry's owner sees or has heard of
// lately knows less, and it is raised once all nodes know more.

// Levels follows what owners of the registry hear.
type Levels struct {
	fail  func(*Breach)
	knows func(port.NodeID) port.Level // what a node that is up knows; 0: it is down
	all   map[machine]*listener        // looked up only
}

// listener is one life of a registry's machine.
type listener struct {
	level port.Level
	view  *port.Members
}

// NewLevels makes a follower.
func NewLevels(knows func(port.NodeID) port.Level, fail func(*Breach)) *Levels {
	return &Levels{fail, knows, map[machine]*listener{}}
}

// Stepped is told of each step of a registry's machine.
func (c *Levels) Stepped(boot uint64, at port.Address, m port.Machine, in port.Input) {
	if r, ok := m.(*registry.Registry); ok {
		c.stepped(boot, at, r.Level(), in)
	}
}

// stepped takes the level that a machine goes by after a step; 0 if it does not own the registry.
func (c *Levels) stepped(boot uint64, at port.Address, level port.Level, in port.Input) {
	k := machine{boot, at}
	l := c.all[k]
	if l == nil {
		l = &listener{}
		c.all[k] = l
	}
	before := l.level
	l.level = level
	if before != 0 && l.level > before && l.view != nil {
		for _, x := range l.view.All {
			if knows := c.knows(x.Node); knows != 0 && knows < l.level {
				c.fail(breach(LevelKnownByAll, "", "the level was raised to %d though node %d, which is a member and up, knows %d", l.level, x.Node, knows))
			}
		}
	}
	if view, ok := in.(*port.Members); ok {
		l.view = view // from now on: one who joins while the level is raised is too late
	}
}

// putMetadata holds a row of the registry against the level.
func (l *Ledger) putMetadata(key string, value []byte) {
	if key == "cluster" {
		row := &registrypb.Cluster{}
		if err := proto.Unmarshal(value, row); err != nil {
			l.Fail(breach(LevelKnownByAll, "", "the row of the cluster cannot be read: %v", err))
			return
		}
		level := max(port.Level(row.Level), port.FirstLevel)
		if level < l.level {
			l.Fail(breach(LevelKnownByAll, "", "the level of the cluster went back from %d to %d", l.level, level))
		}
		if l.level != 0 && level > l.level {
			l.Marks.Add("level of the cluster raised")
		}
		l.level = level
	}
	formatted := &registrypb.Key{} // every row has its format in the same field
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(value, formatted); err == nil && port.Level(formatted.Format) > l.level {
		l.Fail(breach(LevelKnownByAll, "", "row %q was written in format %d, the cluster's level is %d", key, formatted.Format, l.level))
	}
}

// packed holds the format of a journal's record against the level.
func (l *Ledger) packed(format int) {
	if format != journal.PackedFormat {
		return
	}
	l.Marks.Add("record packed")
	if l.level < port.PackedLevel {
		l.Fail(breach(LevelKnownByAll, "", "a record was packed, the cluster's level is %d", l.level))
	}
}

// LevelReached: all nodes have known a level for a while.
func (l *Ledger) LevelReached(want port.Level) *Breach {
	if l.level < want {
		return breach(LevelKnownByAll, "", "all nodes know level %d, the cluster is still at %d", want, l.level)
	}
	return nil
}
