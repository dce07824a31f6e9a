package frontend

import (
	"go.temporal.io/api/workflowservice/v1"

	"perdure/core/placement"
	"perdure/core/port"
	"perdure/core/store"
)

// place is the machine that an input is for, as this node sees the cluster now.
func (a *admission) place(in port.Input) port.Address {
	return a.Place(a.snapshot, a.caller.Members, in)
}

// Place is the machine that an admitted input is for: the owner of its shard, of
// its task queue, or of the registry. The zero address if no node of the view can own it.
func (f *Frontend) Place(s *port.Snapshot, m *port.Members, in port.Input) port.Address {
	self := f.set.Node
	var at port.Address
	switch in := in.(type) {
	case *port.Poll:
		at, _ = placement.Queue(m, self, f.set.QueueParts, in.Queue)
	case *port.Request:
		if q, ok := in.Body.(*workflowservice.ShutdownWorkerRequest); ok {
			at, _ = placement.Queue(m, self, f.set.QueueParts, stickyQueue(in.Namespace, q))
			break
		}
		shard := store.RegistryShard
		if in.Run.WorkflowID != "" {
			shard = s.ShardOf(port.Slot(in.Run.NamespaceID, in.Run.WorkflowID))
		}
		at, _ = placement.ShardAddress(m, self, shard)
	}
	return at
}

// stickyQueue is the queue of a worker that says good-bye.
func stickyQueue(ns *port.Namespace, q *workflowservice.ShutdownWorkerRequest) port.QueueKey {
	return port.QueueKey{NamespaceID: ns.ID, Name: q.StickyTaskQueue, Type: port.WorkflowQueue, Normal: q.TaskQueue}
}
