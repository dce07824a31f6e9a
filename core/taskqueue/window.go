package taskqueue

import (
	"slices"

	"perdure/core/port"
)

// window is a short run of tasks: taken from the front, filled at the end or,
// seldom, in between. It owns its memory; messages are frozen and are copied from.
type window struct {
	tasks []port.Task
	head  int // tasks before it were taken
}

func (w *window) len() int { return len(w.tasks) - w.head }

func (w *window) front() *port.Task { return &w.tasks[w.head] }

func (w *window) live() []port.Task { return w.tasks[w.head:] }

func (w *window) last() *port.Task { return &w.tasks[len(w.tasks)-1] }

func (w *window) add(t *port.Task) {
	if len(w.tasks) == cap(w.tasks) && w.head >= w.len() { // moves at most what was taken
		w.compact()
	}
	w.tasks = append(w.tasks, *t)
}

// pop takes the front and forgets it.
func (w *window) pop() port.Task {
	t := w.tasks[w.head]
	w.tasks[w.head] = port.Task{}
	w.head++
	if w.head == len(w.tasks) {
		w.tasks, w.head = w.tasks[:0], 0
	}
	return t
}

// cut drops the last task.
func (w *window) cut() {
	last := len(w.tasks) - 1
	w.tasks[last] = port.Task{}
	w.tasks = w.tasks[:last]
}

// insert puts t before the i-th live task.
func (w *window) insert(i int, t *port.Task) {
	if i == w.len() {
		w.add(t)
		return
	}
	w.tasks = slices.Insert(w.tasks, w.head+i, *t)
}

// remove drops the i-th live task.
func (w *window) remove(i int) { w.tasks = slices.Delete(w.tasks, w.head+i, w.head+i+1) }

// compact moves the live tasks to the start of the memory.
func (w *window) compact() {
	n := copy(w.tasks, w.live())
	clear(w.tasks[n:])
	w.tasks, w.head = w.tasks[:n], 0
}

// size is about what a task costs in memory.
func size(t *port.Task) int {
	const fixed = 176
	return fixed + len(t.Run.WorkflowID) + len(t.Run.RunID) + len(t.Key)
}

// sameTask tells whether a message means a task that is kept. The stamp is left
// out: the newer dispatch of a task stands for the older.
func sameTask(a, b *port.Task) bool {
	return a.ID == b.ID && a.Kind == b.Kind && a.Shard == b.Shard && a.Run == b.Run
}
