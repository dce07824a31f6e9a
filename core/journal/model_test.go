package journal

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"perdure/core/store"
)

// model is the store contract written as plainly as possible: versions decide,
// nothing is forgotten. full keeps every record ever appended, so that checks
// can fold the truth from it.
type model struct {
	shards  map[store.ShardID]*modelShard
	rows    map[store.Key]store.Row // deletes too
	deleted map[store.Partition]store.Version
	moves   int // counts opens
	// until says at which move an owner was displaced.
	until map[store.Fence]int
	broke func(format string, args ...any)
}

type modelShard struct {
	fence store.Fence
	full  [][]byte
	trim  store.Seq
}

func newModel(broke func(string, ...any)) *model {
	return &model{
		shards: map[store.ShardID]*modelShard{}, rows: map[store.Key]store.Row{},
		deleted: map[store.Partition]store.Version{}, until: map[store.Fence]int{}, broke: broke,
	}
}

func (m *model) open(o store.Open) store.Opened {
	s := m.shards[o.Shard]
	if s == nil {
		s = &modelShard{}
		m.shards[o.Shard] = s
	}
	m.moves++
	displaced := s.fence
	m.until[displaced] = m.moves
	s.fence = store.Fence{Shard: o.Shard, Epoch: displaced.Epoch + 1, Nonce: o.Nonce}
	opened := store.Opened{Epoch: s.fence.Epoch, Displaced: displaced, Last: s.last()}
	for seq := max(o.Known, s.trim) + 1; seq <= s.last(); seq++ {
		opened.Records = append(opened.Records, store.Entry{Seq: seq, Record: s.full[seq-1]})
	}
	return opened
}

func (s *modelShard) last() store.Seq { return store.Seq(len(s.full)) }

func (m *model) append(a store.Append) store.Outcome {
	s := m.shards[a.Fence.Shard]
	if s.fence != a.Fence {
		return store.Fenced
	}
	if a.Record != nil {
		if a.Seq != s.last()+1 {
			m.broke("owner %v appended %d after %d", a.Fence, a.Seq, s.last())
		}
		s.full = append(s.full, bytes.Clone(a.Record)) // a store copies what it is given
	}
	if a.Trim > s.last() {
		m.broke("trim %d of %d records", a.Trim, s.last())
	}
	s.trim = max(s.trim, a.Trim)
	return store.Done
}

// flush checks the fence; put is its effect, which may come late or in part.
func (m *model) flush(f store.Flush) error {
	s := m.shards[f.Fence.Shard]
	if s.fence != f.Fence {
		return store.ErrFenced
	}
	for _, d := range f.Deleted { // a store without versions deletes first, then writes the rows
		for _, k := range slices.SortedFunc(maps.Keys(m.rows), compareKeys) {
			again := slices.ContainsFunc(f.Rows, func(r store.Row) bool { return r.Key == k })
			if k.Table == d.Partition.Table && k.Partition == d.Partition.Partition && m.rows[k].Version > d.Version && m.get(k).Value != nil && !again {
				m.broke("%v would delete %v, which came later", d, m.rows[k])
			}
		}
	}
	for i, r := range f.Rows {
		if r.Version.Seq() > s.last() || r.Version.Epoch() != f.Fence.Epoch {
			m.broke("flushed %v, the journal ends at %d", r, s.last())
		}
		if i > 0 && compareKeys(f.Rows[i-1].Key, r.Key) >= 0 {
			m.broke("flush out of order: %v, %v", f.Rows[i-1].Key, r.Key)
		}
	}
	return nil
}

func (m *model) put(rows []store.Row, deleted []store.DeletedPartition) {
	for _, d := range deleted {
		m.deleted[d.Partition] = max(m.deleted[d.Partition], d.Version)
	}
	for _, r := range rows {
		if old, ok := m.rows[r.Key]; !ok || r.Version >= old.Version {
			m.rows[r.Key] = r
		}
	}
}

func (m *model) get(k store.Key) store.Row {
	r := m.rows[k]
	if r.Version <= m.deleted[store.Partition{Table: k.Table, Partition: k.Partition}] {
		r.Value = nil
	}
	return store.Row{Key: k, Value: r.Value}
}

func (m *model) scan(in store.Range) []store.Row {
	var found []store.Row
	for _, k := range slices.SortedFunc(maps.Keys(m.rows), compareKeys) {
		if k.Table != in.Table || k.Partition != in.Partition || k.Key < in.From || in.To != "" && k.Key >= in.To {
			continue
		}
		if r := m.get(k); r.Value != nil && (in.Limit == 0 || len(found) < in.Limit) {
			found = append(found, r)
		}
	}
	return found
}

// fold is the truth: what all records of a shard say.
func (m *model) fold(s store.ShardID) rowsModel {
	rows := rowsModel{}
	for _, b := range m.shards[s].full {
		r, err := DecodeRecord(b)
		if err != nil {
			m.broke("record: %v", err)
		}
		rows.apply(r)
	}
	return rows
}

// rowsModel is a state of rows.
type rowsModel map[store.Key]string

func (m rowsModel) apply(r Record) {
	for _, p := range r.Deleted {
		m.deletePartition(p)
	}
	for _, row := range r.Rows {
		if row.Value == nil {
			delete(m, row.Key)
		} else {
			m[row.Key] = string(row.Value)
		}
	}
}

func (m rowsModel) deletePartition(p store.Partition) {
	for k := range m {
		if k.Table == p.Table && k.Partition == p.Partition {
			delete(m, k)
		}
	}
}

// partition is the rows of one partition in order, as text.
func (m rowsModel) partition(p store.Partition) string {
	var b strings.Builder
	for _, k := range slices.SortedFunc(maps.Keys(m), compareKeys) {
		if k.Table == p.Table && k.Partition == p.Partition {
			fmt.Fprintf(&b, "%s=%s ", k.Key, m[k])
		}
	}
	return b.String()
}

func compareKeys(a, b store.Key) int {
	if a.Table != b.Table {
		return int(a.Table) - int(b.Table)
	}
	if c := strings.Compare(a.Partition, b.Partition); c != 0 {
		return c
	}
	return strings.Compare(a.Key, b.Key)
}
