package run

import (
	querypb "go.temporal.io/api/query/v1"
	"strconv"

	"perdure/core/port"
)

// Queries that wait for the run's next workflow task, so that they see all that
// was there when they came. Soft state: lost with the run's memory.
type Queries struct {
	buffered []*Query
	next     uint64
}

// Query is one waiting query.
type Query struct {
	Number uint64
	Call   port.Call
	Query  *querypb.WorkflowQuery
	Sent   bool // goes with the task that runs
}

// ID is the query's key in the maps of tasks and their answers.
func (q *Query) ID() string { return "q" + strconv.FormatUint(q.Number, 10) }

// Add buffers a query.
func (q *Queries) Add(c port.Call, query *querypb.WorkflowQuery) *Query {
	q.next++
	n := &Query{Number: q.next, Call: c, Query: query}
	q.buffered = append(q.buffered, n)
	return n
}

// Len counts the buffered queries.
func (q *Queries) Len() int { return len(q.buffered) }

// wantTask reports whether a query waits that no running task carries.
func (q *Queries) wantTask() bool {
	for _, x := range q.buffered {
		if !x.Sent {
			return true
		}
	}
	return false
}

// Send marks all as carried by the task that starts now and gives them by id.
func (q *Queries) Send() map[string]*querypb.WorkflowQuery {
	if len(q.buffered) == 0 {
		return nil
	}
	out := make(map[string]*querypb.WorkflowQuery, len(q.buffered))
	for _, x := range q.buffered {
		x.Sent = true
		out[x.ID()] = x.Query
	}
	return out
}

// Take removes the query with this id.
func (q *Queries) Take(id string) (*Query, bool) {
	for i, x := range q.buffered {
		if x.ID() == id {
			q.buffered = append(q.buffered[:i], q.buffered[i+1:]...)
			return x, true
		}
	}
	return nil, false
}

// Unsend lets the queries of a task that ended unanswered go with the next one.
func (q *Queries) Unsend() {
	for _, x := range q.buffered {
		x.Sent = false
	}
}

// TakeAll removes all of them.
func (q *Queries) TakeAll() []*Query {
	all := q.buffered
	q.buffered = nil
	return all
}

// Forget drops the query of a caller that has gone.
func (q *Queries) Forget(c port.Call) {
	for i, x := range q.buffered {
		if x.Call == c {
			q.buffered = append(q.buffered[:i], q.buffered[i+1:]...)
			return
		}
	}
}
