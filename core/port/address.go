// Package port holds the words that the core's machines and the outside
// exchange: inputs, effects, addresses, refusals, and the snapshot of the
// registry. It decides nothing.
package port

import (
	"time"

	"perdure/core/store"
)

// Clock is the time of one step: wall time and monotonic time, both values.
type Clock struct {
	Wall time.Time
	Mono time.Duration
}

// NodeID names a node of the cluster.
type NodeID uint32

// Role says which kind of machine an address names.
type Role uint8

// The roles.
const (
	RoleShard Role = iota + 1
	RoleQueues
	RoleCommitter
	RoleRegistry
)

func (r Role) String() string {
	return [...]string{"none", "shard", "queues", "committer", "registry"}[r]
}

// Address names one machine.
type Address struct {
	Node  NodeID
	Role  Role
	Index uint32 // shard id (of a committer too, 0 if it serves all), or which part of the task queues
}

// ShardAddress is where a shard of a node is reached.
func ShardAddress(n NodeID, s store.ShardID) Address {
	if s == store.RegistryShard {
		return Address{Node: n, Role: RoleRegistry}
	}
	return Address{Node: n, Role: RoleShard, Index: uint32(s)}
}

// Call names a caller that waits for one reply: a frontend's goroutine or, in
// the simulator, a virtual client. The zero Call waits for nothing.
type Call struct {
	Node NodeID
	ID   uint64
}

// RunKey names a run. An empty RunID means the current run of the workflow.
type RunKey struct {
	NamespaceID, WorkflowID, RunID string
}

// QueueType is what a task queue hands out.
type QueueType uint8

// The queue types.
const (
	WorkflowQueue QueueType = iota + 1
	ActivityQueue
)

// QueueKey names a task queue. Normal is set on sticky queues only: the queue they stand in for.
type QueueKey struct {
	NamespaceID string
	Name        string
	Type        QueueType
	Normal      string
}

// Sticky reports whether the queue belongs to one worker.
func (q QueueKey) Sticky() bool { return q.Normal != "" }

// TaskKind tells what a task reference points to.
type TaskKind uint8

// The task kinds.
const (
	WorkflowTask TaskKind = iota + 1
	ActivityTask
	QueryTask
)

// Task refers to something a worker can take; the run itself knows the rest.
// Key orders the backlog of a queue: (priority, fairness, time, run, task).
type Task struct {
	Shard   Address
	Queue   QueueKey
	Run     RunKey
	Kind    TaskKind
	ID      int64 // scheduled event id, or the query's number
	Attempt int32
	Stamp   uint64 // tells apart two dispatches of the same task
	Key     string
}

// Client is what the headers of a call say of its sender.
type Client struct {
	Name, Version string
	Servers       string   // supported-server-versions
	Features      []string // supported-features
}

// Has reports whether the client named the feature.
func (c Client) Has(feature string) bool {
	for _, f := range c.Features {
		if f == feature {
			return true
		}
	}
	return false
}
