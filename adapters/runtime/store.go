package runtime

import (
	"fmt"

	"perdure/core/port"
	"perdure/core/store"
)

func (r *Runtime) storeQuiet() bool {
	for _, m := range r.machines.Load().all {
		if !m.lane.quiet() {
			return false
		}
	}
	return r.reads.quiet() && r.writes.quiet() && r.flushes.quiet() && r.controls.quiet()
}

// callStore puts a store effect where its kind is done.
func (r *Runtime) callStore(m *mailbox, e port.Effect) {
	switch e.(type) {
	case port.ReadStore:
		r.reads.put(job{m, e})
	case port.WriteStore:
		r.writes.put(job{m, e})
	case port.FlushStore:
		r.flushes.put(job{m, e})
	case port.OpenStore, port.CreateShard, port.ConfirmStore, port.AskOwner, port.RetireStore, port.ReleaseStore:
		r.controls.put(job{m, e})
	default:
		panic(fmt.Sprintf("runtime: effect %T is not known", e))
	}
}

// doStore does one store call. It blocks.
func (r *Runtime) doStore(e port.Effect) *port.Completed {
	s := r.config.Store
	switch e := e.(type) {
	case port.ReadStore:
		return read(s, e)
	case port.WriteStore:
		return &port.Completed{Tag: e.Tag, Err: s.Write(e.Rows)}
	case port.FlushStore:
		return &port.Completed{Tag: e.Tag, Err: s.Flush(e.Flush)}
	case port.OpenStore:
		opened, err := s.Open(e.Open)
		return &port.Completed{Tag: e.Tag, Opened: opened, Err: err}
	case port.CreateShard:
		return &port.Completed{Tag: e.Tag, Err: s.Create(e.Shard, e.Strips, e.Floor)}
	case port.RetireStore:
		return &port.Completed{Tag: e.Tag, Err: s.Retire(e.Fence)}
	case port.ReleaseStore:
		return &port.Completed{Tag: e.Tag, Err: s.Release(e.Fence)}
	case port.ConfirmStore:
		owners, err := s.Confirm([]store.Fence{e.Fence})
		return &port.Completed{Tag: e.Tag, Err: err, Owner: err == nil && len(owners) == 1 && owners[0]}
	case port.AskOwner:
		owners, err := s.Owners([]store.ShardID{e.Shard})
		if err != nil {
			return &port.Completed{Tag: e.Tag, Err: err}
		}
		return &port.Completed{Tag: e.Tag, Held: owners[0]}
	}
	panic(fmt.Sprintf("runtime: effect %T is not known", e))
}

func read(s store.Store, e port.ReadStore) *port.Completed {
	done := &port.Completed{Tag: e.Tag}
	if len(e.Keys) > 0 {
		if done.Rows, done.Err = s.Get(e.Keys); done.Err != nil {
			return done
		}
	}
	if len(e.Ranges) > 0 {
		done.Scans, done.Err = s.Scan(e.Ranges)
	}
	return done
}
