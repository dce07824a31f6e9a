package port

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Roles is a set of what a node does.
type Roles uint8

// The roles of nodes. A node that keeps history owns shards, one that matches owns task queues.
const (
	ServesFrontend Roles = 1 << iota
	KeepsHistory
	Matches
	RunsWorkers
	AllRoles = ServesFrontend | KeepsHistory | Matches | RunsWorkers
)

// Has reports whether all roles of r are in the set.
func (s Roles) Has(r Roles) bool { return s&r == r }

// Member is one node of the cluster, as it describes itself.
type Member struct {
	Node       NodeID
	Address    string // where other nodes reach it
	Roles      Roles
	QueueParts int // parts of its task queues; 1 or more if it matches
}

// Owner is what a store keeps as the owner's address (store.Open): enough for
// a node that has never heard of this one to reach it.
func (m Member) Owner() string { return fmt.Sprintf("%d@%s", m.Node, m.Address) }

// OwnerNode reads the node out of an owner's address; 0 if there is none in it.
func OwnerNode(owner string) NodeID {
	text, _, _ := strings.Cut(owner, "@")
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0
	}
	return NodeID(n)
}

// Members is one view of who belongs to the cluster: an input of every machine
// and what frontends route by. It is frozen. The views of two nodes may differ
// at any time; that costs retries and nothing else. A node that was given none
// is alone, and everything is its own.
type Members struct {
	All []Member // by node, each once; nodes that are leaving are left out
}

// Find is the member with that id, nil if there is none.
func (m *Members) Find(n NodeID) *Member {
	i, ok := slices.BinarySearchFunc(m.All, n, func(x Member, n NodeID) int { return int(int64(x.Node) - int64(n)) })
	if !ok {
		return nil
	}
	return &m.All[i]
}

// Moved says of a refusal that the machine is not, or no longer, where the call
// went: a frontend routes it again within the caller's deadline.
type Moved struct {
	To    NodeID // who may have it; 0: unknown
	Maybe bool   // the call may have taken effect
}

// MovedTo refuses a call whose machine is elsewhere; nothing of it happened here.
func MovedTo(n NodeID) *Refusal {
	r := Refuse(Unavailable, "the shard or task queue of this call has moved or restarts; retry the call")
	r.Moved = &Moved{To: n}
	return r
}

// MovedMaybe refuses a call that may have taken effect before its machine moved.
func MovedMaybe() *Refusal {
	r := Refuse(Unavailable, "the shard of this call has moved or restarts; retry the call")
	r.Moved = &Moved{Maybe: true}
	return r
}
