package shard

import (
	"slices"
	"time"

	"github.com/tidwall/btree"

	"perdure/core/port"
)

// queries are the questions that have no answer yet. Soft state: who asked is
// told to ask again if it is lost.
type queries struct {
	byNumber map[int64]*query
	byCall   map[port.Call]*query
	buffered map[port.RunKey][]*query // those that go with the next workflow task of the run
	order    *btree.BTreeG[*query]    // those with an end, the earliest first
	last     int64                    // numbers are never used again: task queues may still know an old one
}

// query is one question on its way to a worker.
type query struct {
	number   int64
	id       string // among the queries of a workflow task; unguessable, as an answer may be older than this shard's memory
	req      *port.Request
	run      port.RunKey
	until    time.Time // of the caller, zero: none
	stuck    time.Time // when the sticky worker has had its time; zero: it was not asked
	ends     time.Time // the earlier of the two; its place in the order
	buffered bool
	task     port.Task    // while it goes on its own; its stamp is the nonce of its token
	at       port.Address // the machine that it was offered to
}

func newQueries(last int64) queries {
	return queries{
		byNumber: map[int64]*query{}, byCall: map[port.Call]*query{}, buffered: map[port.RunKey][]*query{}, last: last,
		order: btree.NewBTreeGOptions(queryLess, btree.Options{NoLocks: true, Degree: 16}),
	}
}

func queryLess(a, b *query) bool {
	if !a.ends.Equal(b.ends) {
		return a.ends.Before(b.ends)
	}
	return a.number < b.number
}

func (qs *queries) add(r *port.Request, k port.RunKey, id string) *query {
	qs.last++
	q := &query{number: qs.last, id: id, req: r, run: k, until: r.Deadline}
	qs.byNumber[q.number] = q
	qs.byCall[r.Call] = q
	qs.schedule(q)
	return q
}

// remove forgets a query.
func (qs *queries) remove(q *query) {
	qs.order.Delete(q)
	qs.unbuffer(q)
	delete(qs.byNumber, q.number)
	if qs.byCall[q.req.Call] == q {
		delete(qs.byCall, q.req.Call)
	}
}

// stick gives the sticky worker until then; zero takes that back.
func (qs *queries) stick(q *query, until time.Time) {
	qs.order.Delete(q)
	q.stuck = until
	qs.schedule(q)
}

func (qs *queries) schedule(q *query) {
	q.ends = earlier(q.until, q.stuck)
	if !q.ends.IsZero() {
		qs.order.Set(q)
	}
}

func (qs *queries) buffer(q *query) {
	q.buffered = true
	qs.buffered[q.run] = append(qs.buffered[q.run], q)
}

func (qs *queries) unbuffer(q *query) {
	if !q.buffered {
		return
	}
	q.buffered = false
	all := slices.DeleteFunc(qs.buffered[q.run], func(x *query) bool { return x == q })
	if len(all) == 0 {
		delete(qs.buffered, q.run)
		return
	}
	qs.buffered[q.run] = all
}

// expired is the first one whose time, or whose sticky worker's time, is over.
func (qs *queries) expired(now time.Time) (*query, bool) {
	q, ok := qs.order.Min()
	return q, ok && !q.ends.After(now)
}

func (qs *queries) next() time.Time {
	if q, ok := qs.order.Min(); ok {
		return q.ends
	}
	return time.Time{}
}

// all gives them in the order in which they came.
func (qs *queries) all() []*query {
	out := make([]*query, 0, len(qs.byNumber))
	for _, q := range qs.byNumber { //ordered: sorted below
		out = append(out, q)
	}
	slices.SortFunc(out, func(a, b *query) int { return int(a.number - b.number) })
	return out
}
