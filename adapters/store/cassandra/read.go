package cassandra

import (
	"math"

	"perdure/core/store"
)

const (
	keysAtOnce = 64   // keys of one partition that one statement asks for
	rowsAtOnce = 1000 // rows of one page of small rows
	bigAtOnce  = 64   // the same of tables whose rows may be large
)

// pageRows keeps an answer within memory: rows of some tables are a few hundred bytes, of others up to megabytes.
func pageRows(t store.Table) int {
	switch t {
	case store.History, store.Blob, store.Pending:
		return bigAtOnce
	}
	return rowsAtOnce
}

// lookup is some keys of one partition.
type lookup struct {
	table     store.Table
	partition string
	places    map[string][]int // of each key in the question
	keys      [][]byte
}

// Get asks for the keys of each partition at once, and all partitions side by side.
func (s *Store) Get(keys []store.Key) ([]store.Row, error) {
	rows := make([]store.Row, len(keys))
	lookups := gather(keys)
	err := each(len(lookups), func(i int) error { return s.look(lookups[i], rows) })
	if err != nil {
		return nil, err
	}
	for i, k := range keys {
		rows[i].Key = k
	}
	return rows, nil
}

func gather(keys []store.Key) []*lookup {
	var all []*lookup
	open := map[store.Partition]*lookup{}
	for i, k := range keys {
		p := store.Partition{Table: k.Table, Partition: k.Partition}
		l := open[p]
		if l == nil || len(l.keys) == keysAtOnce && l.places[k.Key] == nil {
			l = &lookup{table: k.Table, partition: k.Partition, places: map[string][]int{}}
			open[p] = l
			all = append(all, l)
		}
		if l.places[k.Key] == nil {
			l.keys = append(l.keys, []byte(k.Key))
		}
		l.places[k.Key] = append(l.places[k.Key], i)
	}
	return all
}

func (s *Store) look(l *lookup, rows []store.Row) error {
	iter := s.query(s.cql.tables[l.table].get, s.partitionKey(l.partition), l.keys).PageSize(pageRows(l.table)).Iter()
	var key, value []byte
	for iter.Scan(&key, &value) {
		for n, i := range l.places[string(key)] {
			rows[i].Value = present(value)
			if n > 0 {
				rows[i].Value = append([]byte{}, value...)
			}
		}
		key, value = nil, nil
	}
	return s.unavailable("reading rows", iter.Close())
}

// present tells an empty value from a missing row.
func present(value []byte) []byte {
	if value == nil {
		return []byte{}
	}
	return value
}

// Scan reads ranges side by side, each page by page.
func (s *Store) Scan(ranges []store.Range) ([][]store.Row, error) {
	found := make([][]store.Row, len(ranges))
	err := each(len(ranges), func(i int) (err error) {
		found[i], err = s.scan(ranges[i])
		return err
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

func (s *Store) scan(r store.Range) ([]store.Row, error) {
	if r.To != "" && r.From >= r.To {
		return nil, nil
	}
	limit := math.MaxInt32
	if r.Limit > 0 {
		limit = min(r.Limit, limit)
	}
	cql, args := s.cql.tables[r.Table].scan, []any{s.partitionKey(r.Partition), []byte(r.From), limit}
	if r.To != "" {
		cql, args = s.cql.tables[r.Table].scanTo, []any{args[0], args[1], []byte(r.To), limit}
	}
	iter := s.query(cql, args...).PageSize(min(limit, pageRows(r.Table))).Iter()
	var rows []store.Row
	var key, value []byte
	for iter.Scan(&key, &value) {
		rows = append(rows, store.Row{Key: store.Key{Table: r.Table, Partition: r.Partition, Key: string(key)}, Value: present(value)})
		key, value = nil, nil
	}
	return rows, s.unavailable("scanning rows", iter.Close())
}
