package check

import "perdure/core/store"

// P20 one_owner_commits: a record becomes durable only for the owner that opened
// its shard last. Epochs never go back, and each belongs to one owner.

func (l *Ledger) committed(f store.Fence) *Breach {
	last, known := l.owners[f.Shard]
	switch {
	case known && f.Epoch < last.Epoch:
		return breach(OneOwnerCommits, "", "shard %d: a record of epoch %d became durable after one of epoch %d", f.Shard, f.Epoch, last.Epoch)
	case known && f.Epoch == last.Epoch && f.Nonce != last.Nonce:
		return breach(OneOwnerCommits, "", "shard %d: records of two owners became durable in epoch %d", f.Shard, f.Epoch)
	}
	l.owners[f.Shard] = f
	return nil
}
