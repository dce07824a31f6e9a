package cassandra

import (
	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"perdure/core/store"
)

// Bounds of one batch. All of it is one partition, so Cassandra applies it as one
// mutation, to which its batch limits do not apply; a mutation must fit into half
// a segment of its commit log (16 MiB by default).
const (
	batchBytes = 256 << 10
	batchRows  = 200
	rowBytes   = 32 // what a row takes beside key and value, roughly
)

// Write stores blobs by the version of their row.
func (s *Store) Write(rows []store.Row) error { return s.write(rows, nil) }

// Flush writes rows and deletes by version: so it needs no transaction, no order
// and no fence to be harmless when it comes late. The owner is checked all the
// same, so that one that was displaced learns it here.
func (s *Store) Flush(f store.Flush) error {
	if err := s.checkFence(f.Fence); err != nil {
		return err
	}
	return s.write(f.Rows, f.Deleted)
}

// batchTries is how often a batch is sent before the flush is given up: if one
// time-out in a hundred batches made all of them go again, a tired database would
// never see the end of a flush.
const batchTries = 3

// statement is one change and what it weighs.
type statement struct {
	cql  string
	args []any
	size int
}

// write sends one batch a partition or more, side by side. Rows of different
// tables share a batch if their partitions have the same name: to Cassandra that
// is one mutation too.
func (s *Store) write(rows []store.Row, deleted []store.DeletedPartition) error {
	var order []string
	groups := map[string][]statement{}
	add := func(partition string, x statement) {
		if groups[partition] == nil {
			order = append(order, partition)
		}
		groups[partition] = append(groups[partition], x)
	}
	for _, d := range deleted {
		add(d.Partition.Partition, statement{
			cql:  s.cql.tables[d.Partition.Table].removeAll,
			args: []any{int64(d.Version), s.partitionKey(d.Partition.Partition)}, size: rowBytes,
		})
	}
	for _, r := range rows {
		add(r.Key.Partition, s.change(r))
	}
	var batches [][]statement
	for _, partition := range order {
		batches = split(batches, groups[partition])
	}
	return each(len(batches), func(i int) (err error) {
		for range batchTries {
			if err = s.trip("writing rows", settles, func() error { return s.run(batches[i]) }); err == nil {
				break
			}
		}
		return err
	})
}

func (s *Store) change(r store.Row) statement {
	part, key := s.partitionKey(r.Key.Partition), []byte(r.Key.Key)
	if r.Value == nil {
		return statement{s.cql.tables[r.Key.Table].remove, []any{int64(r.Version), part, key}, rowBytes + len(key)}
	}
	return statement{s.cql.tables[r.Key.Table].put, []any{part, key, r.Value, int64(r.Version)}, rowBytes + len(key) + len(r.Value)}
}

// split adds the changes of one partition to batches, cut to what one may hold.
func split(batches [][]statement, changes []statement) [][]statement {
	from, size := 0, 0
	for i, x := range changes {
		if i > from && (size+x.size > batchBytes || i-from == batchRows) {
			batches = append(batches, changes[from:i])
			from, size = i, 0
		}
		size += x.size
	}
	return append(batches, changes[from:])
}

func (s *Store) run(changes []statement) error {
	if len(changes) == 1 {
		return s.query(changes[0].cql, changes[0].args...).Exec()
	}
	batch := s.session.Batch(gocql.UnloggedBatch).WithContext(s.ctx)
	for _, x := range changes {
		batch = batch.Query(x.cql, x.args...)
	}
	return batch.Exec()
}
