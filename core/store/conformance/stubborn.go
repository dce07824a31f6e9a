package conformance

import (
	"bytes"
	"cmp"
	"errors"

	"perdure/core/store"
)

// Stubborn repeats the calls of a store whose answers get lost, until they come,
// so that the suite can hold a store to its contract while its connections are
// cut: Run(t, fresh) with Stubborn{Store: ..., Has: ...} in each Subject.
//
// What it makes of an answer is what the contract allows: a call may have taken
// effect before the answer was lost.
type Stubborn struct {
	store.Store
	// Has reads a record behind the store's back, never failing; ok says that it is there.
	Has func(id store.ShardID, seq store.Seq) (body []byte, ok bool)
	// Made and Retired are the shards that were; one map each for all stores on the same data.
	Made, Retired map[store.ShardID]bool
	// Tries bounds the repetitions of a call; an append that is still unknown after
	// that many does not follow. Default 12: enough if one call in five fails.
	Tries int
}

// again repeats do until it gives an answer, and says whether it lost one before.
func (s Stubborn) again(do func() error) (lost bool, err error) {
	for range cmp.Or(s.Tries, 12) {
		if err = do(); !errors.Is(err, store.ErrUnavailable) {
			return lost, err
		}
		lost = true
	}
	return lost, err
}

// after is the answer of a call that leaves refused once it has taken effect.
func after(lost bool, err, refused error) error {
	if lost && errors.Is(err, refused) {
		return nil
	}
	return err
}

// Create repeats.
func (s Stubborn) Create(id store.ShardID, strips store.Strips, floor store.Epoch) error {
	lost, err := s.again(func() error { return s.Store.Create(id, strips, floor) })
	err = after(lost && !s.Made[id], err, store.ErrExists)
	s.Made[id] = true
	return err
}

// Retire repeats.
func (s Stubborn) Retire(f store.Fence) error {
	lost, err := s.again(func() error { return s.Store.Retire(f) })
	err = after(lost && !s.Retired[f.Shard], err, store.ErrRetired)
	s.Retired[f.Shard] = s.Retired[f.Shard] || err == nil
	return err
}

// Release repeats. An owner that was fenced before would not know the difference, so it looks first.
func (s Stubborn) Release(f store.Fence) error {
	owners, err := s.Owners([]store.ShardID{f.Shard})
	if err != nil {
		return err
	}
	lost, err := s.again(func() error { return s.Store.Release(f) })
	return after(lost && owners[0].Fence == f, err, store.ErrFenced)
}

// Open repeats. A try that took effect unheard displaced the owner; the next one displaces that try.
func (s Stubborn) Open(o store.Open) (opened store.Opened, err error) {
	owners, err := s.Owners([]store.ShardID{o.Shard})
	if err != nil {
		return store.Opened{}, err
	}
	_, err = s.again(func() error {
		opened, err = s.Store.Open(o)
		return err
	})
	if opened.Displaced.Nonce == o.Nonce && opened.Displaced != (store.Fence{}) {
		opened.Displaced, opened.Address = owners[0].Fence, owners[0].Address
	}
	return opened, err
}

// Append repeats what is unknown; what is there is done.
func (s Stubborn) Append(batch []store.Append) []store.Outcome {
	outcomes := make([]store.Outcome, len(batch)) // all unknown
	for try := range cmp.Or(s.Tries, 12) {
		var left []store.Append
		var places []int
		for i, o := range outcomes {
			switch {
			case o != store.Unknown:
			case try > 0 && s.there(batch[i]):
				outcomes[i] = store.Done
			default:
				left, places = append(left, batch[i]), append(places, i)
			}
		}
		if len(left) == 0 {
			break
		}
		for n, o := range s.Store.Append(left) {
			outcomes[places[n]] = o
		}
	}
	return outcomes
}

func (s Stubborn) there(a store.Append) bool {
	if a.Record == nil {
		return false
	}
	body, ok := s.Has(a.Fence.Shard, a.Seq)
	return ok && bytes.Equal(body, a.Record)
}

// Write repeats.
func (s Stubborn) Write(rows []store.Row) error {
	_, err := s.again(func() error { return s.Store.Write(rows) })
	return err
}

// Flush repeats.
func (s Stubborn) Flush(f store.Flush) error {
	_, err := s.again(func() error { return s.Store.Flush(f) })
	return err
}

// Get repeats.
func (s Stubborn) Get(keys []store.Key) (rows []store.Row, err error) {
	_, err = s.again(func() error { rows, err = s.Store.Get(keys); return err })
	return rows, err
}

// Scan repeats.
func (s Stubborn) Scan(ranges []store.Range) (found [][]store.Row, err error) {
	_, err = s.again(func() error { found, err = s.Store.Scan(ranges); return err })
	return found, err
}

// Confirm repeats.
func (s Stubborn) Confirm(fences []store.Fence) (still []bool, err error) {
	_, err = s.again(func() error { still, err = s.Store.Confirm(fences); return err })
	return still, err
}

// Owners repeats.
func (s Stubborn) Owners(shards []store.ShardID) (owners []store.Owner, err error) {
	_, err = s.again(func() error { owners, err = s.Store.Owners(shards); return err })
	return owners, err
}
