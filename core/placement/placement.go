// Package placement says which node a shard or a task queue belongs to: a pure
// function of a view of the cluster, so that nodes with equal views agree
// without a word.
//
// Each thing goes to the node that scores highest for it (rendezvous hashing,
// Thaler and Ravishankar 1998): when a node leaves, only what it had moves; when
// one joins, only what it gets. The share of a node varies by chance, by about
// one part in the square root of the things it has: so a cluster wants many
// shards for each node (docs/decisions/009-clusters.md).
package placement

import (
	"github.com/cespare/xxhash/v2"

	"perdure/core/port"
	"perdure/core/store"
)

// Shard is the node that should own a shard, the registry's included; false if
// no member keeps history. A node that has no view (nil) is alone.
func Shard(m *port.Members, self port.NodeID, s store.ShardID) (port.NodeID, bool) {
	if m == nil {
		return self, true
	}
	best := highest(m, port.KeepsHistory, mix(uint64(s)+shardSalt))
	if best == nil {
		return 0, false
	}
	return best.Node, true
}

// ShardAddress is where that node has the shard.
func ShardAddress(m *port.Members, self port.NodeID, s store.ShardID) (port.Address, bool) {
	n, ok := Shard(m, self, s)
	return port.ShardAddress(n, s), ok
}

// Queue is the machine that should own a task queue; false if no member matches.
// A sticky queue lives where its normal queue does. Parts are those of a node that is alone.
func Queue(m *port.Members, self port.NodeID, parts int, q port.QueueKey) (port.Address, bool) {
	h := hash(q)
	if m == nil {
		return port.Address{Node: self, Role: port.RoleQueues, Index: uint32(h % uint64(parts))}, true
	}
	best := highest(m, port.Matches, mix(h))
	if best == nil {
		return port.Address{}, false
	}
	return port.Address{Node: best.Node, Role: port.RoleQueues, Index: uint32(h % uint64(max(best.QueueParts, 1)))}, true
}

func hash(q port.QueueKey) uint64 {
	name := q.Name
	if q.Sticky() {
		name = q.Normal
	}
	var d xxhash.Digest
	d.Reset()
	d.WriteString(q.NamespaceID)
	d.Write([]byte{0, byte(q.Type)})
	d.WriteString(name)
	return d.Sum64()
}

func highest(m *port.Members, role port.Roles, thing uint64) *port.Member {
	var best *port.Member
	var most uint64
	for i := range m.All {
		x := &m.All[i]
		if !x.Roles.Has(role) {
			continue
		}
		if score := mix(thing ^ mix(uint64(x.Node)+nodeSalt)); best == nil || score > most {
			best, most = x, score
		}
	}
	return best
}

// Salts keep ids of nodes and of shards, both small numbers, from meeting.
const (
	shardSalt = 0x9e3779b97f4a7c15
	nodeSalt  = 0xd1b54a32d192ed03
)

// mix is the finalizer of SplitMix64: every bit of x changes half of the result's.
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}
