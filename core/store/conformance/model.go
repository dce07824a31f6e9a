package conformance

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"perdure/core/store"
)

// The model walks over a small world so that calls meet: three shards, each
// with partitions of its own, a handful of keys.
const modelShards = 3

// model is what the subject should hold, in the plainest form.
type model struct {
	*drive
	shards [modelShards]modelShard
	rows   []store.Row // as flushed, sorted by key
}

type modelShard struct {
	owner   *owner   // nil: none
	stale   []*owner // all owners before
	retired bool
	made    bool
	bodies  []string  // every record ever acknowledged
	trimmed store.Seq // asked for
	wrote   store.Seq // newest version flushed
}

var (
	modelTables     = []store.Table{store.Due, store.History}
	modelPartitions = []string{"", "\x00", "\xff"} // after the number of the shard
)

// followModel runs random calls against subject and model and compares.
func followModel(t *testing.T, fresh func(t testing.TB) Subject) {
	rapid.Check(t, func(rt *rapid.T) {
		subject := fresh(t)
		defer func() { subject.Discard() }()
		m := &model{drive: &drive{t: rt, Subject: subject}}
		for i := range modelShards - 1 { // the last one begins as unknown
			m.stepCreate(i)
			m.stepOpen(rt, i)
		}
		rt.Repeat(map[string]func(*rapid.T){
			"":           func(*rapid.T) { m.sameRows(); m.sameOwners() },
			"create":     func(rt *rapid.T) { m.stepCreate(pick(rt)) },
			"open":       func(rt *rapid.T) { m.stepOpen(rt, pick(rt)) },
			"append":     m.stepAppend,
			"trim":       func(rt *rapid.T) { m.stepTrim(rt, pick(rt)) },
			"flush":      func(rt *rapid.T) { m.stepFlush(rt, pick(rt)) },
			"late flush": func(rt *rapid.T) { m.stepLateFlush(rt, pick(rt)) },
			"release":    func(rt *rapid.T) { m.stepRelease(pick(rt)) },
			"retire":     func(rt *rapid.T) { m.stepRetire(pick(rt)) },
			"scan":       m.stepScan,
			"get":        m.stepGet,
			"crash":      func(*rapid.T) { m.crash() },
			"restart":    func(*rapid.T) { m.restart() },
		})
	})
}

func (m *model) sameOwners() {
	ids, want := make([]store.ShardID, modelShards), make([]store.Owner, modelShards)
	for i := range m.shards {
		ids[i] = store.ShardID(i)
		if o := m.shards[i].owner; o != nil {
			want[i] = o.named()
		}
	}
	m.owners(ids, want...)
}

func pick(rt *rapid.T) int { return rapid.IntRange(0, modelShards-1).Draw(rt, "shard") }

func (m *model) stepCreate(i int) {
	sh := &m.shards[i]
	var want error
	if sh.made {
		want = store.ErrExists
	}
	m.expect(m.Store.Create(store.ShardID(i), store.Strips{}, 0), want, "Create(%d)", i)
	sh.made = true
}

func (m *model) stepOpen(rt *rapid.T, i int) {
	sh := &m.shards[i]
	if !sh.made || sh.retired {
		m.refusesOpen(i)
		return
	}
	last := store.Seq(len(sh.bodies))
	known := store.Seq(rapid.Uint64Range(0, uint64(last)).Draw(rt, "known"))
	next, opened := m.open(store.ShardID(i), known)
	if opened.Last != last {
		m.t.Fatalf("Open of shard %d: last is %d, want %d", i, opened.Last, last)
	}
	var displaced store.Fence
	if sh.owner != nil {
		displaced = sh.owner.fence
		sh.stale = append(sh.stale, sh.owner)
	}
	if opened.Displaced != displaced {
		m.t.Fatalf("Open of shard %d displaced %+v, want %+v", i, opened.Displaced, displaced)
	}
	m.bodies(opened, sh.bodies[max(known, sh.trimmed):]...)
	sh.owner = next
}

func (m *model) refusesOpen(i int) {
	want := store.ErrNoShard
	if m.shards[i].retired {
		want = store.ErrRetired
	}
	_, err := m.Store.Open(store.Open{Shard: store.ShardID(i)})
	m.expect(err, want, "Open of shard %d", i)
}

// stepAppend gives each shard a part in one call: the owner's next record, one
// out of turn, one by a stale owner, or none.
func (m *model) stepAppend(rt *rapid.T) {
	var batch []store.Append
	var want []store.Outcome
	for i := range m.shards {
		sh := &m.shards[i]
		kind := rapid.SampledFrom([]string{"next", "next", "next", "gap", "stale", "none"}).Draw(rt, "append")
		switch {
		case kind == "next" && sh.owner != nil:
			body := fmt.Sprintf("%d of %d", len(sh.bodies)+1, i)
			batch, want = append(batch, sh.owner.record([]byte(body))), append(want, store.Done)
			sh.bodies = append(sh.bodies, body)
			sh.owner.last++
		case kind == "gap" && sh.owner != nil:
			ahead := sh.owner.record([]byte("gap"))
			ahead.Seq += store.Seq(rapid.IntRange(1, 3).Draw(rt, "gap"))
			batch, want = append(batch, ahead), append(want, store.Unknown)
		case kind == "stale" && len(sh.stale) > 0:
			o := rapid.SampledFrom(sh.stale).Draw(rt, "stale")
			late := o.record([]byte("stale"))
			late.Seq = store.Seq(len(sh.bodies)) + 1
			batch, want = append(batch, late), append(want, store.Fenced)
		}
	}
	m.outcomes(batch, want...)
}

// stepTrim trims what was flushed.
func (m *model) stepTrim(rt *rapid.T, i int) {
	sh := &m.shards[i]
	if sh.owner == nil {
		return
	}
	upTo := store.Seq(rapid.Uint64Range(0, uint64(len(sh.bodies))).Draw(rt, "trim"))
	sh.owner.trim(upTo)
	sh.trimmed = max(sh.trimmed, upTo)
}

// stepFlush writes some of the shard's keys, and sometimes deletes a partition first.
func (m *model) stepFlush(rt *rapid.T, i int) {
	sh := &m.shards[i]
	if sh.owner == nil {
		return
	}
	sh.wrote++
	var deleted []store.DeletedPartition
	if rapid.IntRange(0, 3).Draw(rt, "deletes") == 0 {
		p := store.Partition{Table: store.Due, Partition: partitionOf(rt, i)}
		deleted = sh.owner.clear(p, sh.wrote)
		m.rows = slices.DeleteFunc(m.rows, func(r store.Row) bool {
			return r.Key.Table == p.Table && r.Key.Partition == p.Partition
		})
		sh.wrote++
	}
	rows := m.someRows(rt, i)
	number := sh.owner.number + 1
	for range rapid.IntRange(1, 2).Draw(rt, "times") {
		sh.owner.flushAs(number, deleted, rows)
	}
	for _, r := range rows {
		m.apply(r)
	}
}

func (m *model) someRows(rt *rapid.T, i int) []store.Row {
	sh := &m.shards[i]
	var rows []store.Row
	for n := rapid.IntRange(0, 6).Draw(rt, "rows"); n > 0; n-- {
		k := keyOf(rt, i)
		if slices.ContainsFunc(rows, func(r store.Row) bool { return r.Key == k }) {
			continue
		}
		r := sh.owner.put(k, sh.wrote, fmt.Sprintf("value %d", sh.wrote))
		if rapid.IntRange(0, 2).Draw(rt, "kind") == 0 {
			r = sh.owner.remove(k, sh.wrote)
		}
		rows = append(rows, r)
	}
	return rows
}

func partitionOf(rt *rapid.T, i int) string {
	return fmt.Sprint(i, rapid.SampledFrom(modelPartitions).Draw(rt, "partition"))
}

func keyOf(rt *rapid.T, i int) store.Key {
	return store.Key{
		Table:     rapid.SampledFrom(modelTables).Draw(rt, "table"),
		Partition: partitionOf(rt, i),
		Key:       drawKey(rt, "key"),
	}
}

func drawKey(rt *rapid.T, label string) string {
	return rapid.SampledFrom([]string{"", "\x00", "a", "a\x00", "ab", "b", "\xff", "\xff\xff"}).Draw(rt, label)
}

func (m *model) apply(r store.Row) {
	i, found := m.find(r.Key)
	switch {
	case found && r.Value == nil:
		m.rows = slices.Delete(m.rows, i, i+1)
	case found:
		m.rows[i] = r
	case r.Value != nil:
		m.rows = slices.Insert(m.rows, i, r)
	}
}

func (m *model) find(k store.Key) (int, bool) {
	return slices.BinarySearchFunc(m.rows, k, func(r store.Row, k store.Key) int { return compareKeys(r.Key, k) })
}

// stepLateFlush lets a stale owner write over everything: nothing may change
// that a newer owner wrote, so the model stays as it is where versions are newer.
func (m *model) stepLateFlush(rt *rapid.T, i int) {
	sh := &m.shards[i]
	if len(sh.stale) == 0 || sh.owner == nil {
		return
	}
	o := rapid.SampledFrom(sh.stale).Draw(rt, "stale")
	late := o.flushOf(1<<40, nil, []store.Row{o.put(keyOf(rt, i), 1, "late")})
	m.expect(m.Store.Flush(late), store.ErrFenced, "late Flush")
}

func (m *model) stepRelease(i int) {
	sh := &m.shards[i]
	if sh.owner == nil {
		return
	}
	m.expect(m.Store.Release(sh.owner.fence), nil, "Release")
	sh.stale, sh.owner = append(sh.stale, sh.owner), nil
}

func (m *model) stepRetire(i int) {
	sh := &m.shards[i]
	if sh.owner == nil {
		return
	}
	if int(sh.trimmed) < len(sh.bodies) {
		m.expect(m.Store.Retire(sh.owner.fence), store.ErrNotEmpty, "Retire")
		return
	}
	// After a crash a store may show trimmed records again; trimming again is all it takes.
	sh.owner.trim(sh.trimmed)
	m.expect(m.Store.Retire(sh.owner.fence), nil, "Retire")
	sh.owner, sh.stale, sh.retired = nil, nil, true
}

func (m *model) stepScan(rt *rapid.T) {
	r := store.Range{Table: store.Due, Partition: partitionOf(rt, pick(rt))}
	r.From, r.To = drawKey(rt, "from"), drawKey(rt, "to")
	r.Limit = rapid.IntRange(0, 4).Draw(rt, "limit")
	var want []string
	for _, row := range m.rows {
		inside := row.Key.Table == r.Table && row.Key.Partition == r.Partition &&
			row.Key.Key >= r.From && (r.To == "" || row.Key.Key < r.To)
		if inside && (r.Limit == 0 || len(want) < r.Limit) {
			want = append(want, row.Key.Key)
		}
	}
	m.scan(r, want...)
}

// sameRows compares every row, after each step.
func (m *model) sameRows() {
	var ranges []store.Range
	for _, t := range modelTables {
		for i := range modelShards {
			for _, p := range modelPartitions {
				ranges = append(ranges, store.Range{Table: t, Partition: fmt.Sprint(i, p)})
			}
		}
	}
	found, err := m.Store.Scan(ranges)
	m.expect(err, nil, "Scan of everything")
	rows := slices.Concat(found...)
	slices.SortFunc(rows, func(a, b store.Row) int { return compareKeys(a.Key, b.Key) })
	if len(rows) != len(m.rows) {
		m.t.Fatalf("the store holds %d rows, want %d", len(rows), len(m.rows))
	}
	for i, r := range rows {
		if r.Key != m.rows[i].Key {
			m.t.Fatalf("row %d is %v, want %v", i, r.Key, m.rows[i].Key)
		}
		m.sameValue(r.Value, m.rows[i].Value, fmt.Sprint(r.Key))
	}
}

func (m *model) stepGet(rt *rapid.T) {
	k := keyOf(rt, pick(rt))
	i, found := m.find(k)
	if !found {
		m.lacks(k)
		return
	}
	m.get(k, m.rows[i].Value)
}
