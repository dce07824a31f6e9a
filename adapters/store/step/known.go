package step

import (
	"sync"

	"perdure/core/store"
)

// Known remembers what became of the appends that owners made here. It spares
// work, and is never more than what the database said: an owner repeats its trim
// with every append, and only one that moved has something to do; a record after
// one that is there need not be compared with the journal again.
type Known struct {
	mu     sync.Mutex
	owners map[store.Fence]journal
}

// journal is how far the journal of an owner is known, by what was done under its fence.
type journal struct {
	last    store.Seq // a record that is there, or was until its owner trimmed it
	trimmed store.Seq // records up to here are deleted
}

// Moved says whether records are left that the append's trim covers.
func (k *Known) Moved(a store.Append) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return a.Trim > k.owners[a.Fence].trimmed
}

// Follows says that each append has a record, and that the one before it was made here under the same fence.
func (k *Known) Follows(batch []store.Append) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, a := range batch {
		if last := k.owners[a.Fence].last; a.Record == nil || last == 0 || a.Seq != last+1 {
			return false
		}
	}
	return true
}

// Note takes over what the appends came to. One of unknown outcome says nothing:
// its trim is sent again, and its record is compared with the journal.
func (k *Known) Note(batch []store.Append, outcomes []store.Outcome) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.owners == nil {
		k.owners = map[store.Fence]journal{}
	}
	for i, a := range batch {
		switch outcomes[i] {
		case store.Fenced:
			delete(k.owners, a.Fence)
		case store.Done:
			j := k.owners[a.Fence]
			j.trimmed = max(j.trimmed, a.Trim)
			if a.Record != nil {
				j.last = max(j.last, a.Seq)
			}
			k.owners[a.Fence] = j
		}
	}
}
