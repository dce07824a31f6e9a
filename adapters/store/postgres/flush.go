package postgres

import (
	"perdure/adapters/store/fold"
	"perdure/adapters/store/step"
	"perdure/core/store"
)

// Flush writes rows in steps (package step), each a statement of its own.
func (s *Store) Flush(f store.Flush) error {
	return step.Flush(f, func(number int, deleted []store.DeletedPartition, rows []store.Row) error {
		if len(deleted) > 0 {
			return s.flushStep(f, number, flushPartitions, partitionArrays(deleted))
		}
		return s.flushStep(f, number, flushRows, rowArrays(rows))
	})
}

func (s *Store) flushStep(f store.Flush, number int, st statement, arrays [][]byte) error {
	params := append(fenceParams(f.Fence), int8Param(f.Number), int8Param(number))
	turn := false
	err := s.rows.ask(s.timeout, false, []sending{{st, append(params, arrays...)}}, func(int, [][]byte) error {
		turn = true
		return nil
	})
	if err != nil {
		return unavailable("flushing rows", err)
	}
	if turn {
		return nil
	}
	return s.whyNoTurn(f, number)
}

// whyNoTurn is nil if the step was done before.
func (s *Store) whyNoTurn(f store.Flush, number int) error {
	reason := store.ErrNoShard
	err := s.rows.ask(s.timeout, false, []sending{{lookFence, fenceParams(f.Fence)}}, func(_ int, v [][]byte) error {
		at := step.Fence{Owned: readInt8(v[0]) == 1, Number: readInt8(v[1]), Step: int(readInt8(v[2])), Retired: readInt8(v[3]) == 1}
		reason = at.WhyNot(f, number)
		return nil
	})
	if err != nil {
		return unavailable("looking at a flush", err)
	}
	return reason
}

func partitionArrays(deleted []store.DeletedPartition) [][]byte {
	arrays := make([][]byte, 0, len(store.Tables()))
	for _, t := range store.Tables() {
		var parts [][]byte
		for _, d := range deleted {
			if d.Partition.Table == t {
				parts = append(parts, fold.Partition(d.Partition.Partition))
			}
		}
		arrays = append(arrays, byteaArray(parts, itself))
	}
	return arrays
}

func itself(b *[]byte) []byte { return *b }

// stored is a row as the tables have it.
type stored struct{ part, key, value []byte }

// rowArrays makes five arrays for each table. rows are sorted by table.
func rowArrays(rows []store.Row) [][]byte {
	arrays := make([][]byte, 0, 5*len(store.Tables()))
	var puts, gone []stored
	for _, t := range store.Tables() {
		puts, gone = puts[:0], gone[:0]
		for len(rows) > 0 && rows[0].Key.Table == t {
			row := asStored(&rows[0])
			if row.value == nil {
				gone = append(gone, row)
			} else {
				puts = append(puts, row)
			}
			rows = rows[1:]
		}
		arrays = append(arrays, putArrays(puts)...)
		arrays = append(arrays, byteaArray(gone, partOf), byteaArray(gone, keyOf))
	}
	return arrays
}

func asStored(r *store.Row) stored {
	key, value := fold.Key(r.Key.Key, r.Value, maxKey)
	return stored{fold.Partition(r.Key.Partition), key, value}
}

func putArrays(puts []stored) [][]byte {
	return [][]byte{byteaArray(puts, partOf), byteaArray(puts, keyOf), byteaArray(puts, valueOf)}
}

func partOf(r *stored) []byte  { return r.part }
func keyOf(r *stored) []byte   { return r.key }
func valueOf(r *stored) []byte { return r.value }

// Write stores blobs.
func (s *Store) Write(rows []store.Row) error {
	for len(rows) > 0 {
		n, t := step.First(rows), rows[0].Key.Table
		var puts []stored
		for len(puts) < n && rows[len(puts)].Key.Table == t {
			puts = append(puts, asStored(&rows[len(puts)]))
		}
		err := s.rows.ask(s.timeout, false, []sending{{write(t), putArrays(puts)}}, func(int, [][]byte) error { return nil })
		if err != nil {
			return unavailable("writing blobs", err)
		}
		rows = rows[len(puts):]
	}
	return nil
}
