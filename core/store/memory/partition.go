package memory

import (
	"bytes"
	"sort"

	"perdure/core/store"
)

// partition is the rows of one partition in key order.
type partition struct {
	deleted store.Version // everything up to here is gone
	rows    []row
}

// row is one key's newest write. A nil value is a delete: it stays, so that an
// older write that comes late finds it.
type row struct {
	key     string
	version store.Version
	value   []byte
}

// at is the index of the first row with a key not below key.
func (p *partition) at(key string) int {
	return sort.Search(len(p.rows), func(i int) bool { return p.rows[i].key >= key })
}

func (p *partition) get(key string) []byte {
	i := p.at(key)
	if i == len(p.rows) || p.rows[i].key != key {
		return nil
	}
	return bytes.Clone(p.rows[i].value)
}

func (p *partition) put(r store.Row) {
	if r.Version <= p.deleted && p.deleted > 0 {
		return
	}
	written := row{key: r.Key.Key, version: r.Version, value: bytes.Clone(r.Value)}
	i := p.at(r.Key.Key)
	if i == len(p.rows) || p.rows[i].key != r.Key.Key {
		p.rows = append(p.rows, row{})
		copy(p.rows[i+1:], p.rows[i:])
		p.rows[i] = written
		return
	}
	if r.Version >= p.rows[i].version {
		p.rows[i] = written
	}
}

// overwrite puts a row, or leaves none, whatever its version.
func (p *partition) overwrite(r store.Row) {
	i := p.at(r.Key.Key)
	there := i < len(p.rows) && p.rows[i].key == r.Key.Key
	written := row{key: r.Key.Key, version: r.Version, value: bytes.Clone(r.Value)}
	switch {
	case r.Value == nil && there:
		p.rows = append(p.rows[:i], p.rows[i+1:]...)
	case r.Value == nil:
	case there:
		p.rows[i] = written
	default:
		p.rows = append(p.rows, row{})
		copy(p.rows[i+1:], p.rows[i:])
		p.rows[i] = written
	}
}

// delete drops rows and deletes up to v; the mark does their work from now on.
func (p *partition) delete(v store.Version) {
	if v <= p.deleted {
		return
	}
	p.deleted = v
	var kept []row
	for _, r := range p.rows {
		if r.version > v {
			kept = append(kept, r)
		}
	}
	p.rows = kept
}

func (p *partition) scan(r store.Range) []store.Row {
	var found []store.Row
	for _, have := range p.rows[p.at(r.From):] {
		if r.To != "" && have.key >= r.To || r.Limit > 0 && len(found) == r.Limit {
			break
		}
		if have.value == nil {
			continue
		}
		key := store.Key{Table: r.Table, Partition: r.Partition, Key: have.key}
		found = append(found, store.Row{Key: key, Value: bytes.Clone(have.value)})
	}
	return found
}
