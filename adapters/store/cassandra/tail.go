package cassandra

import (
	"bytes"
	"fmt"

	"perdure/core/store"
)

// recordsAtOnce bounds one answer to so many records, each of inlineMax at most.
const recordsAtOnce = 16

// readTail reads the records after known, at SERIAL. Nobody else writes them now
// unless another owner came since: then the slots may hold something else.
func (s *Store) readTail(own *owner, known store.Seq) ([]store.Entry, error) {
	wanted := own.live
	for len(wanted) > 0 && wanted[0].seq <= known {
		wanted = wanted[1:]
	}
	entries := make([]store.Entry, 0, len(wanted))
	for len(wanted) > 0 {
		n := min(len(wanted), recordsAtOnce)
		bodies, err := s.readSome(own.fence, wanted[:n])
		if err != nil {
			return nil, err
		}
		for i, l := range wanted[:n] {
			entries = append(entries, store.Entry{Seq: l.seq, Record: bodies[i]})
		}
		wanted = wanted[n:]
	}
	return entries, nil
}

func (s *Store) readSome(f store.Fence, wanted []liveRecord) ([][]byte, error) {
	slots := make([]int, len(wanted))
	place := map[int64]int{}
	for i, l := range wanted {
		slots[i], place[int64(l.seq)] = l.slot, i
	}
	bodies := make([][]byte, len(wanted))
	err := s.trip("reading records", reads, func() error {
		iter := s.query(s.cql.readRecords, s.shardKey(f.Shard), slots).Consistency(s.serial).Iter()
		var epoch, nonce, seq int64
		var record []byte
		for iter.Scan(&epoch, &nonce, &seq, &record) {
			i, asked := place[seq]
			if asked && epoch == int64(f.Epoch) && nonce == int64(f.Nonce) {
				bodies[i] = append([]byte{}, record...)
			}
			record = nil
		}
		return iter.Close()
	})
	if err != nil {
		return nil, err
	}
	for i, l := range wanted {
		if bodies[i] == nil {
			return nil, fmt.Errorf("%w: cassandra: record %d of shard %d is gone: somebody else opened the shard meanwhile", store.ErrUnavailable, l.seq, f.Shard)
		}
		if l.pieces == 0 {
			continue
		}
		if bodies[i], err = s.readPieces(f.Shard, l); err != nil {
			return nil, err
		}
	}
	return bodies, nil
}

// A record over inlineMax lives in the table piece. It is written there before
// the transaction that names it and deleted after it was trimmed. Its partition
// belongs to (shard, epoch, seq): if the fate of an append is unknown and the
// next owner repeats it, that has pieces of its own. Plain writes at QUORUM.
const (
	inlineMax = 1 << 20
	pieceSize = 512 << 10
)

// writePieces writes a large record; what it returns goes into the slot.
func (s *Store) writePieces(a store.Append) (inline []byte, pieces int, err error) {
	if len(a.Record) <= inlineMax {
		return a.Record, 0, nil
	}
	pieces = (len(a.Record) + pieceSize - 1) / pieceSize
	version := int64(store.MakeVersion(a.Fence.Epoch, a.Seq))
	return []byte{}, pieces, each(pieces, func(i int) error {
		body := a.Record[i*pieceSize : min((i+1)*pieceSize, len(a.Record))]
		return s.trip("writing a piece of a record", settles, s.query(s.cql.writePiece, s.shardKey(a.Fence.Shard), int64(a.Fence.Epoch), int64(a.Seq), i, body, version).Exec)
	})
}

func (s *Store) readPieces(shard store.ShardID, l liveRecord) ([]byte, error) {
	bodies := make([][]byte, l.pieces)
	err := each(l.pieces, func(i int) error {
		return s.trip("reading a piece of a record", reads, func() error {
			return s.query(s.cql.readPiece, s.shardKey(shard), int64(l.wrote), int64(l.seq), i).Scan(&bodies[i])
		})
	})
	return bytes.Join(bodies, nil), err
}

// dropPieces deletes the pieces of trimmed records, with the version they were
// written with: a delete wins over a write of the same one. What it fails to
// delete costs space and nothing else.
func (s *Store) dropPieces(shard store.ShardID, trimmed []liveRecord) {
	for _, l := range trimmed {
		if l.pieces > 0 {
			version := int64(store.MakeVersion(l.wrote, l.seq))
			_ = s.trip("deleting pieces of a record", settles, s.query(s.cql.deletePieces, version, s.shardKey(shard), int64(l.wrote), int64(l.seq)).Exec)
		}
	}
}
