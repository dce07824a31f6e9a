package sqlite

import (
	"errors"
	"sync/atomic"
	"time"

	"zombiezen.com/go/sqlite"

	"perdure/core/store"
)

// keeper does in the background what appends and flushes leave behind: it copies
// the logs into the files and drops trimmed records. It works a while after
// something happened, or at once when a log got long; without work it runs no
// timer and no statement.
type keeper struct {
	s      *Store
	opts   Options
	wake   chan struct{} // something is to be done after a while
	hurry  chan struct{} // or at once
	ends   chan struct{}
	ended  chan struct{}
	armed  atomic.Bool // the timer runs, further wake-ups say nothing new
	hasted atomic.Bool
}

func startKeeper(s *Store, opts Options) *keeper {
	k := &keeper{
		s: s, opts: opts,
		wake: make(chan struct{}, 1), hurry: make(chan struct{}, 1),
		ends: make(chan struct{}), ended: make(chan struct{}),
	}
	go k.loop()
	return k
}

func (k *keeper) stop() {
	close(k.ends)
	<-k.ended
}

func (k *keeper) loop() {
	defer close(k.ended)
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	defer timer.Stop()
	for {
		select {
		case <-k.ends:
			return
		case <-k.wake:
			timer.Reset(k.opts.CheckpointAfter)
			continue
		case <-k.hurry:
			k.hasted.Store(false)
		case <-timer.C:
			k.armed.Store(false) // first: whatever happens from here on arms it again
		}
		if again, err := k.s.tend(false); again || err != nil {
			if err != nil {
				k.opts.Logger.Warn("keeping the store in order failed, it will be tried again", "error", err)
			}
			k.nudge()
		}
	}
}

// nudge makes the keeper look after a while.
func (k *keeper) nudge() {
	if !k.armed.Swap(true) {
		k.wake <- struct{}{}
	}
}

// rush makes it look at once.
func (k *keeper) rush() {
	if !k.hasted.Swap(true) {
		k.hurry <- struct{}{}
	}
}

// afterAppend runs with the journal locked.
func (k *keeper) afterAppend(j *journal) {
	if j.logged > k.opts.JournalLogBytes {
		k.rush()
	}
	if j.dirty {
		k.nudge()
	}
}

func (k *keeper) afterFlush(t *tables) {
	if t.logged.Load() > k.opts.TablesLogBytes {
		k.rush()
	}
	k.nudge()
}

// trim is how far one shard's journal may go.
type trim struct {
	shard store.ShardID
	upTo  store.Seq
}

// tend settles the tables, trims what that covers, and copies the journal's log
// if it is long. With all it leaves nothing for later. again says that
// something is left.
func (s *Store) tend(all bool) (again bool, err error) {
	s.tending.Lock()
	defer s.tending.Unlock()
	// Before the checkpoint: only flushes that these trims rest on are surely in it.
	asked := s.journal.asked()
	settled, err := s.tables.settle(all)
	if err != nil {
		return true, err
	}
	if settled {
		if err := s.journal.trim(asked); err != nil {
			return true, err
		}
	}
	err = s.journal.copyLog(s.keeper.opts.JournalLogBytes)
	return !settled, err
}

// asked collects the trims that are new.
func (j *journal) asked() (trims []trim) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.dirty = false
	for _, h := range j.heads {
		if h.asked > h.trimmed {
			trims = append(trims, trim{h.id, h.asked})
		}
	}
	return trims
}

// trim makes it durable that records are garbage, before the slots of the first
// of them are written anew: a gap in the journal must always be one that is explained.
func (j *journal) trim(trims []trim) error {
	if len(trims) == 0 {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	s := j.conn.Prep("UPDATE shard SET trimmed = ? WHERE id = ?")
	err := inTransaction(j.conn, func() error {
		for _, t := range trims {
			s.BindInt64(1, int64(max(t.upTo, j.heads[t.shard].trimmed)))
			s.BindInt64(2, int64(t.shard))
			if err := run(s); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		j.dirty = true
		return unavailable("trimming the journal", err)
	}
	for _, t := range trims {
		j.trimmed(j.heads[t.shard], t.upTo)
	}
	return nil
}

func (j *journal) trimmed(h *head, upTo store.Seq) {
	if upTo <= h.trimmed { // the shard was retired meanwhile
		return
	}
	n := upTo - h.trimmed
	j.slots.release(h.records[:n])
	h.records = h.records[n:]
	h.trimmed = upTo
}

// copyLog copies a long log into the journal's file: most of it beside running
// appends, the rest while they wait, so that the next one starts the log over.
func (j *journal) copyLog(limit int64) error {
	j.mu.Lock()
	long, side := j.logged > limit, j.side
	j.mu.Unlock()
	if !long || side == nil {
		return nil
	}
	if _, err := checkpoint(side, "PASSIVE"); err != nil {
		return unavailable("checkpoint of the journal", err)
	}
	return j.copyRest(side)
}

func (j *journal) copyRest(side *sqlite.Conn) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	done, err := checkpoint(side, "PASSIVE")
	if err == nil && !done.complete {
		err = errors.New("did not come to its end")
	}
	if err == nil {
		j.logged = 0
	}
	return unavailable("checkpoint of the journal", err)
}
