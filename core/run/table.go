package run

import "sort"

// table holds the pending things of one kind by event id. Ids mostly arrive in
// ascending order and leave in any, so order is a slice whose dead entries are
// swept once they are the majority.
type table[V any] struct {
	byID  map[int64]V
	order []int64
}

func (t *table[V]) get(id int64) (V, bool) {
	v, ok := t.byID[id]
	return v, ok
}

func (t *table[V]) len() int { return len(t.byID) }

func (t *table[V]) put(id int64, v V) {
	if t.byID == nil {
		t.byID = make(map[int64]V, 1)
	}
	if _, known := t.byID[id]; !known {
		t.insert(id)
	}
	t.byID[id] = v
}

func (t *table[V]) insert(id int64) {
	n := len(t.order)
	if n == 0 || t.order[n-1] < id {
		t.order = append(t.order, id)
		return
	}
	i := sort.Search(n, func(i int) bool { return t.order[i] >= id })
	if t.order[i] == id {
		return // deleted before, its place is still there
	}
	t.order = append(t.order, 0)
	copy(t.order[i+1:], t.order[i:])
	t.order[i] = id
}

func (t *table[V]) remove(id int64) {
	delete(t.byID, id)
	if len(t.order) > 16 && len(t.order) > 2*len(t.byID) {
		live := t.order[:0]
		for _, x := range t.order {
			if _, ok := t.byID[x]; ok {
				live = append(live, x)
			}
		}
		t.order = live
	}
}

// ids lists what is there, ascending. The slice is the caller's.
func (t *table[V]) ids() []int64 {
	if len(t.byID) == 0 {
		return nil
	}
	out := make([]int64, 0, len(t.byID))
	for _, id := range t.order {
		if _, ok := t.byID[id]; ok {
			out = append(out, id)
		}
	}
	return out
}
