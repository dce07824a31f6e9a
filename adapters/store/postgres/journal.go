package postgres

import (
	"slices"

	"perdure/core/store"
)

// Append writes the records of all shards in one statement. A shard whose row
// somebody holds (an Open on its way, most likely) makes nobody else wait: it
// is left out and tried again alone, then waiting for the lock.
func (s *Store) Append(batch []store.Append) []store.Outcome {
	outcomes := make([]store.Outcome, len(batch))
	if len(batch) == 0 {
		return outcomes
	}
	first := appendOnly
	if slices.ContainsFunc(batch, s.known.Moved) {
		first = appendSkipping
	}
	left, err := s.appendOnce(first, batch, outcomes, everything(len(batch)))
	defer s.known.Note(batch, outcomes)
	if err != nil || len(left) == 0 {
		return outcomes
	}
	lost, err := s.appendOnce(appendWaiting, batch, outcomes, left)
	if err != nil {
		return outcomes
	}
	for _, i := range lost {
		outcomes[i] = store.Fenced
	}
	return outcomes
}

func everything(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

// appendOnce tries the appends of these places in the batch. It returns those
// whose shard was not found to be the caller's.
func (s *Store) appendOnce(st statement, batch []store.Append, outcomes []store.Outcome, places []int) (left []int, err error) {
	owned := make([]bool, len(batch))
	byShard := func(id store.ShardID) int {
		for _, i := range places {
			if batch[i].Fence.Shard == id {
				return i
			}
		}
		panic("postgres: the server answered for a shard that was not asked about")
	}
	err = s.journal.ask(s.timeout, false, []sending{{st, appendParams(batch, places)}}, func(_ int, v [][]byte) error {
		i := byShard(store.ShardID(readInt8(v[0])))
		owned[i] = true
		if readInt8(v[1]) == 1 {
			outcomes[i] = store.Done
		}
		return nil
	})
	if err != nil { // the rows came before the commit
		for _, i := range places {
			outcomes[i] = store.Unknown
		}
		return nil, err
	}
	for _, i := range places {
		if !owned[i] {
			left = append(left, i)
		}
	}
	return left, nil
}

func appendParams(batch []store.Append, places []int) [][]byte {
	numbers := func(of func(a *store.Append) uint64) []byte {
		return int8Array(places, func(i *int) uint64 { return of(&batch[*i]) })
	}
	return [][]byte{
		numbers(func(a *store.Append) uint64 { return uint64(a.Fence.Shard) }),
		numbers(func(a *store.Append) uint64 { return uint64(a.Fence.Epoch) }),
		numbers(func(a *store.Append) uint64 { return uint64(a.Fence.Nonce) }),
		numbers(func(a *store.Append) uint64 { return uint64(a.Seq) }),
		numbers(func(a *store.Append) uint64 { return uint64(a.Trim) }),
		byteaArray(places, func(i *int) []byte { return batch[*i].Record }),
	}
}
