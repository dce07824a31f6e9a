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

// What a shard asks for when it is opened is one key, or one range, of each of
// hundreds of partitions. One statement takes many of them: what a request costs
// beside its rows is most of what such a read costs.
const partitionsAtOnce = 32

// lookup is some keys of one partition, or one key of some partitions.
type lookup struct {
	table  store.Table
	across bool // one key of some partitions
	fixed  string
	names  []string         // keys or partitions
	places map[string][]int // of each name in the question
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

// gather puts keys together that one statement can ask for.
func gather(keys []store.Key) []*lookup {
	inPartition := map[store.Partition]int{}
	for _, k := range keys {
		inPartition[store.Partition{Table: k.Table, Partition: k.Partition}]++
	}
	type group struct {
		table  store.Table
		across bool
		fixed  string
	}
	var all []*lookup
	open := map[group]*lookup{}
	for i, k := range keys {
		g, name, most := group{k.Table, false, k.Partition}, k.Key, keysAtOnce
		if inPartition[store.Partition{Table: k.Table, Partition: k.Partition}] == 1 {
			g, name, most = group{k.Table, true, k.Key}, k.Partition, partitionsAtOnce
		}
		l := open[g]
		if l == nil || len(l.names) == most && l.places[name] == nil {
			l = &lookup{table: g.table, across: g.across, fixed: g.fixed, places: map[string][]int{}}
			open[g] = l
			all = append(all, l)
		}
		if l.places[name] == nil {
			l.names = append(l.names, name)
		}
		l.places[name] = append(l.places[name], i)
	}
	return all
}

func (s *Store) look(l *lookup, rows []store.Row) error {
	cql, args := s.cql.tables[l.table].get, []any{s.partitionKey(l.fixed), nil}
	names := make([][]byte, len(l.names))
	for i, name := range l.names {
		names[i] = []byte(name)
		if l.across {
			names[i] = s.partitionKey(name)
		}
	}
	args[1] = names
	if l.across {
		cql, args = s.cql.tables[l.table].getOne, []any{names, []byte(l.fixed)}
	}
	return s.trip("reading rows", reads, func() error {
		iter := s.query(cql, args...).PageSize(pageRows(l.table)).Iter()
		var name, value []byte
		for iter.Scan(&name, &value) {
			if l.across {
				name = name[s.prefix():]
			}
			for n, i := range l.places[string(name)] {
				rows[i].Value = present(value)
				if n > 0 {
					rows[i].Value = append([]byte{}, value...)
				}
			}
			name, value = nil, nil
		}
		return iter.Close()
	})
}

// present tells an empty value from a missing row.
func present(value []byte) []byte {
	if value == nil {
		return []byte{}
	}
	return value
}

// sweep is the same range of some partitions.
type sweep struct {
	of     store.Range // without the partition
	names  []string
	places map[string][]int
}

// Scan reads ranges that differ in their partition only together, the rest side by side, each page by page.
func (s *Store) Scan(ranges []store.Range) ([][]store.Row, error) {
	var sweeps []*sweep
	open := map[store.Range]*sweep{}
	for i, r := range ranges {
		if r.To != "" && r.From >= r.To {
			continue
		}
		name := r.Partition
		r.Partition = ""
		w := open[r]
		if w == nil || len(w.names) == partitionsAtOnce && w.places[name] == nil {
			w = &sweep{of: r, places: map[string][]int{}}
			open[r] = w
			sweeps = append(sweeps, w)
		}
		if w.places[name] == nil {
			w.names = append(w.names, name)
		}
		w.places[name] = append(w.places[name], i)
	}
	found := make([][]store.Row, len(ranges))
	err := each(len(sweeps), func(i int) error { return s.sweep(sweeps[i], found) })
	if err != nil {
		return nil, err
	}
	return found, nil
}

func (s *Store) sweep(w *sweep, found [][]store.Row) error {
	limit := math.MaxInt32
	if w.of.Limit > 0 {
		limit = min(w.of.Limit, limit)
	}
	parts := make([][]byte, len(w.names))
	for i, name := range w.names {
		parts[i] = s.partitionKey(name)
	}
	cql, args := s.cql.tables[w.of.Table].scan, []any{parts, []byte(w.of.From), limit}
	if w.of.To != "" {
		cql, args = s.cql.tables[w.of.Table].scanTo, []any{parts, []byte(w.of.From), []byte(w.of.To), limit}
	}
	return s.trip("scanning rows", reads, func() error {
		iter := s.query(cql, args...).PageSize(min(limit*len(parts), pageRows(w.of.Table))).Iter()
		var part, key, value []byte
		for iter.Scan(&part, &key, &value) {
			name := string(part[s.prefix():])
			for n, i := range w.places[name] {
				row := store.Row{Key: store.Key{Table: w.of.Table, Partition: name, Key: string(key)}, Value: present(value)}
				if n > 0 {
					row.Value = append([]byte{}, value...)
				}
				found[i] = append(found[i], row)
			}
			part, key, value = nil, nil, nil
		}
		return iter.Close()
	})
}
