package step

import (
	"sync"

	"perdure/core/store"
)

// Trims remembers which records are known to be deleted, of owners that append
// here: an owner repeats its trim with every append, and only one that moved has work to do.
type Trims struct {
	mu   sync.Mutex
	upTo map[store.Fence]store.Seq
}

// Moved says whether records are left that the append's trim covers.
func (t *Trims) Moved(a store.Append) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return a.Trim > t.upTo[a.Fence]
}

// Note takes over what the appends came to. One of unknown outcome says nothing: its trim is sent again.
func (t *Trims) Note(batch []store.Append, outcomes []store.Outcome) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.upTo == nil {
		t.upTo = map[store.Fence]store.Seq{}
	}
	for i, a := range batch {
		switch {
		case outcomes[i] == store.Fenced:
			delete(t.upTo, a.Fence)
		case outcomes[i] == store.Done && a.Trim > 0:
			t.upTo[a.Fence] = max(t.upTo[a.Fence], a.Trim)
		}
	}
}
