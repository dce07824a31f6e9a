package registry

import (
	"fmt"
	"slices"
	"time"

	"perdure/core/port"
	"perdure/core/registry/registrypb"
)

// The level of the cluster (port.Level) is in the registry's first row. Its owner
// raises it when nobody is left who does not know the next one: every node says
// with each of its questions which level it knows. A view of the members does not do,
// for a node that is not in it may come back; so the owner listens for a while first, and a
// node that was silent for that long, and is older, is refused when it comes.

const (
	// listening is longer than a node that is well is silent (staleness), some lost messages included.
	listening = 30 * time.Second
	lookAgain = 5 * time.Second // for members that were not heard yet
)

// levels is what the registry's owner heard of the other nodes.
type levels struct {
	heard []heard // by node
	since time.Duration
	at    time.Duration // when to look whether the level can be raised, 0: not by time
}

type heard struct {
	node  port.NodeID
	level port.Level
	at    time.Duration
}

// hear notes what a node knows. One that does not say is of the first level.
func (l *levels) hear(now time.Duration, n port.NodeID, level port.Level) {
	i, known := slices.BinarySearchFunc(l.heard, n, func(h heard, n port.NodeID) int { return int(int64(h.node) - int64(n)) })
	if !known {
		l.heard = slices.Insert(l.heard, i, heard{node: n})
	}
	l.heard[i].level, l.heard[i].at = max(level, port.FirstLevel), now
}

// known is the highest level that all nodes know, as far as it has been heard; false if not all were.
func (l *levels) known(now time.Duration, self port.NodeID, m *port.Members, most port.Level) (port.Level, bool) {
	l.heard = slices.DeleteFunc(l.heard, func(h heard) bool { return now-h.at > listening })
	for _, h := range l.heard {
		most = min(most, h.level)
	}
	for _, x := range m.All {
		if x.Node != self && !slices.ContainsFunc(l.heard, func(h heard) bool { return h.node == x.Node }) {
			return 0, false
		}
	}
	return most, true
}

// raiseLevel raises the level of the cluster if everybody knows a higher one.
func (r *Registry) raiseLevel() {
	l := &r.levels
	l.at = 0
	if r.phase != serving || r.state.level >= r.cfg.Level {
		return
	}
	to := r.cfg.Level
	if r.members != nil {
		if l.at = l.since + listening; r.now.Mono < l.at {
			return
		}
		known, all := l.known(r.now.Mono, r.cfg.Self.Node, r.members, to)
		if l.at = r.now.Mono + lookAgain; !all || known <= r.state.level {
			return
		}
		to, l.at = known, 0
	}
	r.state.level = to // the row that says so is the first one of the level
	r.putCluster(&registrypb.Cluster{Id: r.state.cluster, Level: uint32(to)}, false)
	r.change()
}

// Level is that of the cluster while this machine owns the registry, else 0: for whoever watches it.
func (r *Registry) Level() port.Level {
	if r.phase != serving {
		return 0
	}
	return r.state.level
}

// halt ends the work of a server that does not know what the cluster writes.
func (r *Registry) halt(why error) {
	r.log.Close(r.out)
	r.forget()
	r.halted = true
	r.out.Add(port.Halt{Why: why.Error()})
}

// tooOld says that this server cannot be part of the cluster.
func (r *Registry) tooOld(level port.Level) error {
	return fmt.Errorf("the cluster writes format level %d, this server knows up to %d: start a newer version of the server", level, r.cfg.Level)
}
