package taskqueue

import (
	"slices"
	"strings"

	"perdure/core/port"
)

// source is what a queue knows of its backlog at one shard: the oldest tasks,
// without gaps up to the point read (Q2). The point is the key `after` while the
// shard has more, and the end if not.
type source struct {
	shard  port.Address
	window window // by key
	after  string
	more   bool
	asking bool // a Pull or Subscribe is on its way, or its answer
	place  int  // in queue.ready, -1 if the window is empty
	dry    bool // listed in queue.dry
}

// thirsty says that the shard has tasks and the window has none.
func (s *source) thirsty() bool { return s.window.len() == 0 && s.more && !s.asking }

// source finds what the queue knows of a shard. One that is missing is made:
// complete and empty, which is what no source stands for. It lives as long as its
// queue. A shard that is not in the layout (nil) is retired, or so new that the
// queue will subscribe there before its next poll waits.
func (m *Queues) source(q *queue, shard port.Address) *source {
	i, ok := q.find(shard)
	if !ok {
		if !slices.Contains(m.shards, shard) {
			return nil
		}
		q.sources = slices.Insert(q.sources, i, &source{shard: shard, place: -1})
	}
	return q.sources[i]
}

// hint adds an offered task that nobody waited for. A task beyond the point read
// needs no memory: reading on will find it.
func (m *Queues) hint(q *queue, t *port.Task) {
	s := m.source(q, t.Shard)
	if s == nil || s.more && t.Key > s.after {
		return
	}
	i, found := slices.BinarySearchFunc(s.window.live(), t.Key, byKey)
	if found { // an older dispatch of the same task
		m.bytes -= size(&s.window.live()[i])
		s.window.live()[i] = *t
	} else {
		s.window.insert(i, t)
	}
	m.bytes += size(t)
	m.trim(s)
	q.settle(s)
}

// read takes in an answer of the shard.
func (m *Queues) read(s *source, b *port.Backlog) {
	s.asking = false
	switch {
	case b.After == "":
		m.discard(&s.window)
	case !s.more || b.After != s.after:
		// The point moved while the question was on its way: taking this in would
		// leave a gap. It is asked again from the right point.
		return
	}
	s.more = b.More && len(b.Tasks) > 0
	for i := range b.Tasks {
		t := &b.Tasks[i]
		if i > 0 && t.Key < b.Tasks[i-1].Key || t.Key <= b.After {
			panic("taskqueue: Q2: a shard listed its backlog out of order")
		}
		m.bytes += size(t)
		s.window.add(t)
		s.after = t.Key
	}
}

// trim keeps the window within its bounds by forgetting its newest tasks, which
// the shard will list again. One task always stays, so that reading gets on
// however small the budget is.
func (m *Queues) trim(s *source) {
	for s.window.len() > 1 && (s.window.len() > m.cfg.Window || m.bytes > m.cfg.Budget) {
		m.bytes -= size(s.window.last())
		s.window.cut()
		s.more, s.after = true, s.window.last().Key
	}
}

// discard forgets all tasks of a window.
func (m *Queues) discard(w *window) {
	for w.len() > 0 {
		m.bytes -= size(w.last())
		w.cut()
	}
	w.head, w.tasks = 0, w.tasks[:0]
}

func byKey(t port.Task, key string) int { return strings.Compare(t.Key, key) }
