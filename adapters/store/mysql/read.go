package mysql

import (
	"database/sql"
	"math"

	"perdure/adapters/store/fold"
	"perdure/core/store"
)

// readsPerTrip bounds the queries of one message.
const readsPerTrip = 512

// Get reads rows in one round trip.
func (s *Store) Get(keys []store.Key) ([]store.Row, error) {
	rows := make([]store.Row, len(keys))
	for first := 0; first < len(keys); first += readsPerTrip {
		m := &message{}
		for i, k := range keys[first:min(first+readsPerTrip, len(keys))] {
			rows[first+i].Key = k
			m.add("SELECT value FROM "+quoted(k.Table)+" WHERE part=? AND name=?;", fold.Partition(k.Partition), []byte(k.Key))
		}
		err := s.rows.read(m, func(i int, r *sql.Rows) error {
			var value []byte
			err := r.Scan(&value)
			rows[first+i].Value = present(value)
			return err
		})
		if err != nil {
			return nil, unavailable("reading rows", err)
		}
	}
	return rows, nil
}

// Scan reads ranges in one round trip.
func (s *Store) Scan(ranges []store.Range) ([][]store.Row, error) {
	found := make([][]store.Row, len(ranges))
	for first := 0; first < len(ranges); first += readsPerTrip {
		some := ranges[first:min(first+readsPerTrip, len(ranges))]
		m := &message{}
		for _, r := range some {
			addScan(m, r)
		}
		err := s.rows.read(m, func(i int, r *sql.Rows) error {
			var name, value []byte
			err := r.Scan(&name, &value)
			key := store.Key{Table: some[i].Table, Partition: some[i].Partition, Key: string(name)}
			found[first+i] = append(found[first+i], store.Row{Key: key, Value: present(value)})
			return err
		})
		if err != nil {
			return nil, unavailable("scanning rows", err)
		}
	}
	return found, nil
}

func addScan(m *message, r store.Range) {
	m.add("SELECT name,value FROM "+quoted(r.Table)+" WHERE part=? AND name>=?", fold.Partition(r.Partition), []byte(r.From))
	if r.To != "" {
		m.add(" AND name<?", []byte(r.To))
	}
	limit := int64(r.Limit)
	if limit <= 0 {
		limit = math.MaxInt64
	}
	m.add(" ORDER BY name LIMIT ?;", limit)
}
