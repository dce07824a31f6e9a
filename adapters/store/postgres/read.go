package postgres

import (
	"bytes"
	"math"
	"slices"
	"strings"

	"perdure/adapters/store/fold"
	"perdure/core/store"
)

// maxKey is the longest key in an index: with a folded partition it fits the
// 2,704 bytes that PostgreSQL takes.
const maxKey = 2560

// afterAll is above every stored key.
var afterAll = bytes.Repeat([]byte{0xff}, maxKey+1)

// readsPerTrip bounds the statements of one round trip.
const readsPerTrip = 512

// copied takes a value out of the connection's buffer; it is never nil.
func copied(b []byte) []byte { return append(make([]byte, 0, len(b)), b...) }

// Get reads rows in one round trip.
func (s *Store) Get(keys []store.Key) ([]store.Row, error) {
	rows := make([]store.Row, len(keys))
	for first := 0; first < len(keys); first += readsPerTrip {
		some := keys[first:min(first+readsPerTrip, len(keys))]
		list := make([]sending, len(some))
		for i, k := range some {
			rows[first+i].Key = k
			key, _ := fold.Key(k.Key, nil, maxKey)
			list[i] = sending{get(k.Table), [][]byte{fold.Partition(k.Partition), key}}
		}
		err := s.rows.ask(s.timeout, false, list, func(i int, v [][]byte) (err error) {
			value := copied(v[0])
			if fold.Long(some[i].Key, maxKey) {
				_, value, err = fold.Unfold(value)
			}
			rows[first+i].Value = value
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
		if err := s.scanSome(some, found[first:]); err != nil {
			return nil, err
		}
	}
	return found, nil
}

func (s *Store) scanSome(some []store.Range, found [][]store.Row) error {
	list := make([]sending, len(some))
	hard := make([]bool, len(some))
	for i, r := range some {
		to := []byte(r.To)
		if r.To == "" {
			to = afterAll
		}
		hard[i] = fold.Long(r.From, maxKey) || fold.Long(r.To, maxKey)
		list[i] = sending{scan(r.Table), [][]byte{fold.Partition(r.Partition), []byte(r.From), to, limitParam(r.Limit)}}
	}
	err := s.rows.ask(s.timeout, false, list, func(i int, v [][]byte) error {
		hard[i] = hard[i] || fold.Folded(v[0], maxKey)
		found[i] = append(found[i], store.Row{Key: store.Key{Table: some[i].Table, Partition: some[i].Partition, Key: string(v[0])}, Value: copied(v[1])})
		return nil
	})
	for i := range some {
		if err == nil && hard[i] {
			found[i], err = s.scanFolded(some[i])
		}
	}
	return unavailable("scanning rows", err)
}

func limitParam(limit int) []byte {
	if limit <= 0 {
		return int8Param(math.MaxInt64)
	}
	return int8Param(limit)
}

// scanFolded reads a range with long keys, which the index has in another
// order: all whose stored beginning may be in the range, sorted and cut here.
func (s *Store) scanFolded(r store.Range) ([]store.Row, error) {
	from, to := []byte(r.From), afterAll
	if fold.Long(r.From, maxKey) {
		from = []byte(fold.Beginning(r.From, maxKey))
	}
	if fold.Long(r.To, maxKey) {
		to = append([]byte(fold.Beginning(r.To, maxKey)), afterAll...)
	} else if r.To != "" {
		to = []byte(r.To)
	}
	var rows []store.Row
	params := [][]byte{fold.Partition(r.Partition), from, to, limitParam(0)}
	err := s.rows.ask(s.timeout, false, []sending{{scan(r.Table), params}}, func(_ int, v [][]byte) (err error) {
		row := store.Row{Key: store.Key{Table: r.Table, Partition: r.Partition, Key: string(v[0])}, Value: copied(v[1])}
		if fold.Folded(v[0], maxKey) {
			row.Key.Key, row.Value, err = fold.Unfold(row.Value)
		}
		if row.Key.Key >= r.From && (r.To == "" || row.Key.Key < r.To) {
			rows = append(rows, row)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(rows, func(a, b store.Row) int { return strings.Compare(a.Key.Key, b.Key.Key) })
	if r.Limit > 0 && len(rows) > r.Limit {
		rows = rows[:r.Limit]
	}
	return rows, nil
}
