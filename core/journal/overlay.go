package journal

import (
	"slices"
	"strings"

	"perdure/core/store"
)

// overlay holds the rows that are not, or not certainly, in their tables: the
// truth of every key it knows (J3). Most partitions hold a handful of keys; a
// strip of the table Due may hold thousands that come and go quickly. So keys
// are found by a short scan or, in a large partition, by an index, and are put
// in order only when a scan asks for it.
type overlay struct {
	parts map[store.Partition]*partition
	last  *partition // the one used last: changes come in runs of one partition
	bytes int
}

// What an entry and an image cost beside their bytes, roughly.
const (
	entryCost = 128
	imageCost = 48
)

func (o *overlay) reset() { *o = overlay{parts: map[store.Partition]*partition{}} }

// get is the partition, nil if the overlay knows nothing of it.
func (o *overlay) get(id store.Partition) *partition {
	if o.last != nil && o.last.id == id {
		return o.last
	}
	p := o.parts[id]
	if p != nil {
		o.last = p
	}
	return p
}

func (o *overlay) ensure(id store.Partition) *partition {
	p := o.get(id)
	if p == nil {
		p = &partition{id: id}
		p.order = p.few[:0]
		o.parts[id] = p
		o.last = p
		o.bytes += entryCost + len(id.Partition)
	}
	return p
}

// insert adds an entry without images for a key that the partition does not know.
func (o *overlay) insert(p *partition, key string) *entry {
	e := &entry{part: p, key: key}
	p.insert(e)
	o.bytes += entryCost + len(key)
	return e
}

// remove takes the entry out, and its partition if that is empty now.
func (o *overlay) remove(e *entry) {
	for i := &e.image; i != nil; i = i.older {
		o.bytes -= i.cost()
	}
	o.bytes -= entryCost + len(e.key)
	e.gone = true
	e.part.remove(e)
	o.prune(e.part)
}

func (o *overlay) prune(p *partition) {
	if p.live() > 0 || len(p.tombs) > 0 || p.gone {
		return
	}
	p.gone = true
	delete(o.parts, p.id)
	if o.last == p {
		o.last = nil
	}
	o.bytes -= entryCost + len(p.id.Partition)
}

// set makes (seq, kind, value) the newest image of the entry. Of the images
// below it those stay that a flush may still need (J4): the newest durable one and what is above.
func (o *overlay) set(e *entry, seq, durable store.Seq, kind imageKind, value []byte) {
	switch e.seq {
	case 0: // a new one
	case seq:
		o.bytes -= e.image.cost()
	default:
		below := e.image
		e.older = &below
		if i := e.older.at(durable); i != nil {
			o.cutBelow(i)
		}
	}
	e.seq, e.kind, e.value = seq, kind, value
	o.bytes += e.image.cost()
}

// cutBelow drops the images under i.
func (o *overlay) cutBelow(i *image) {
	for older := i.older; older != nil; older = older.older {
		o.bytes -= older.cost()
	}
	i.older = nil
}

// cut drops the images up to seq that are not the newest one.
func (o *overlay) cut(e *entry, seq store.Seq) {
	for i := &e.image; i.older != nil; i = i.older {
		if i.older.seq <= seq {
			o.cutBelow(i)
			return
		}
	}
}

// entry is one key.
type entry struct {
	part *partition
	key  string
	image
	listed store.Seq // the open record that lists the entry as changed
	fresh  bool      // in no table, for certain
	taken  bool      // a record that was taken names it
	dirty  bool      // in the list of what the next flush has to look at
	gone   bool      // removed
}

type imageKind uint8

const (
	put     imageKind = iota
	deleted           // by key: journal and table get a delete
	swept             // by the deletion of its partition, which is recorded instead
)

// image is what a key was after the record seq. The entry's own is the newest,
// of the open record perhaps; the older ones are of records that no flush has taken.
type image struct {
	seq   store.Seq
	kind  imageKind
	value []byte // nil unless put
	older *image
}

func (i *image) cost() int { return imageCost + len(i.value) }

// at is the newest image that is not above seq.
func (i *image) at(seq store.Seq) *image {
	for i != nil && i.seq > seq {
		i = i.older
	}
	return i
}

// partition holds the entries of one partition.
type partition struct {
	id     store.Partition
	order  []*entry // ascending by key up to sorted, then as they came; in a large partition with gone ones
	sorted int
	dead   int // gone ones in order
	index  map[string]*entry
	tombs  []store.Seq // records that delete the whole partition, ascending; not in the tables yet, or not certainly
	marked bool        // in the list of deleted partitions that the next flush has to look at
	gone   bool
	few    [2]*entry // first memory of order
}

// large partitions find their keys by index.
const large = 8

func (p *partition) live() int { return len(p.order) - p.dead }

func (p *partition) find(key string) *entry {
	if p.index != nil {
		return p.index[key]
	}
	for _, e := range p.order {
		if e.key == key {
			return e
		}
	}
	return nil
}

func (p *partition) insert(e *entry) {
	if p.dead > len(p.order)/2 {
		p.compact()
	}
	if n := len(p.order); p.sorted == n && (n == 0 || p.order[n-1].key < e.key) {
		p.sorted++
	}
	p.order = append(p.order, e)
	if p.index != nil {
		p.index[e.key] = e
	} else if len(p.order) > large {
		p.index = make(map[string]*entry, 4*large)
		for _, e := range p.order {
			p.index[e.key] = e
		}
	}
}

func (p *partition) remove(e *entry) {
	if p.index != nil {
		delete(p.index, e.key)
		p.dead++
		return
	}
	i := slices.Index(p.order, e)
	p.order = slices.Delete(p.order, i, i+1)
	if i < p.sorted {
		p.sorted--
	}
}

// compact drops the gone entries from order.
func (p *partition) compact() {
	kept, sorted := p.order[:0], 0
	for i, e := range p.order {
		if e.gone {
			continue
		}
		kept = append(kept, e)
		if i < p.sorted {
			sorted++
		}
	}
	clear(p.order[len(kept):])
	p.order, p.sorted, p.dead = kept, sorted, 0
}

// inOrder is all entries, ascending by key.
func (p *partition) inOrder() []*entry {
	if p.dead > 0 {
		p.compact()
	}
	if p.sorted < len(p.order) {
		p.merge()
	}
	return p.order
}

// merge sorts the entries that came since the last scan and merges them, from the back, into the others.
func (p *partition) merge() {
	late := slices.Clone(p.order[p.sorted:])
	slices.SortFunc(late, func(a, b *entry) int { return strings.Compare(a.key, b.key) })
	i, to := p.sorted-1, len(p.order)-1
	for j := len(late) - 1; j >= 0; to-- {
		if i >= 0 && p.order[i].key > late[j].key {
			p.order[to] = p.order[i]
			i--
		} else {
			p.order[to] = late[j]
			j--
		}
	}
	p.sorted = len(p.order)
}

// window is the entries from <= key < to in order; an empty to has no end.
func (p *partition) window(from, to string) []*entry {
	all := p.inOrder()
	byKey := func(e *entry, key string) int { return strings.Compare(e.key, key) }
	first, _ := slices.BinarySearchFunc(all, from, byKey)
	if to == "" {
		return all[first:]
	}
	end, _ := slices.BinarySearchFunc(all, to, byKey)
	return all[first:max(first, end)]
}

// dropTombs forgets the deletions of the partition up to seq.
func (p *partition) dropTombs(seq store.Seq) {
	n := 0
	for n < len(p.tombs) && p.tombs[n] <= seq {
		n++
	}
	p.tombs = p.tombs[n:]
}

// tomb is the newest deletion of the partition that is not above seq, 0 if none.
func (p *partition) tomb(seq store.Seq) store.Seq {
	for i := len(p.tombs) - 1; i >= 0; i-- {
		if p.tombs[i] <= seq {
			return p.tombs[i]
		}
	}
	return 0
}
