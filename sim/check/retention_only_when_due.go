package check

import (
	"maps"
	"slices"
	"time"

	"perdure/core/store"
)

// P10 retention_only_when_due: a run is removed only when it is closed, its
// retention is over and it owes nothing to anyone, and then nothing of it is left.

// removals looks at runs before a record removes them.
func (l *Ledger) removals(rows []store.Row) {
	for i := range rows {
		if k := rows[i].Key; k.Table != store.Executions || k.Key[0] != 'r' || rows[i].Value != nil {
			continue
		}
		r := l.run(rows[i].Key.Key[1:])
		if r.Row == nil {
			continue
		}
		if loaded, err := r.loaded(); err == nil && loaded.Owes() {
			l.Fail(breach(RetentionOnlyWhenDue, r.Key.RunID, "a run was removed that owes something to another: %s", r.waits()))
		}
	}
}

// removed is told that the row of a run was deleted.
func (l *Ledger) removed(r *Run, at time.Time) {
	if r.Row == nil {
		return
	}
	r.Gone = true
	if l.open[workflowOf(r)] == r {
		l.passes(r, false, true)
	}
	l.Marks.Add("run removed")
	if !r.order.closed {
		l.Fail(breach(RetentionOnlyWhenDue, r.Key.RunID, "an open run was removed"))
		return
	}
	if due := r.Events[len(r.Events)-1].EventTime.AsTime().Add(l.Retention); at.Before(due) {
		l.Fail(breach(RetentionOnlyWhenDue, r.Key.RunID, "a run was removed at %v, its retention ends at %v", at, due))
	}
}

// NothingLeft holds when all runs were removed: durable are the registry's rows alone.
func (l *Ledger) NothingLeft() *Breach {
	for _, p := range slices.SortedFunc(maps.Keys(l.parts), comparePartitions) {
		if p.Table == store.Metadata {
			continue
		}
		for _, k := range slices.Sorted(maps.Keys(l.parts[p])) {
			if l.parts[p][k].value != nil && k != clockKey {
				return breach(RetentionOnlyWhenDue, p.Partition, "all runs were removed, row %v %q is left", p.Table, k)
			}
		}
	}
	return nil
}

// TablesEmpty is the same for the tables, once everything is flushed.
func (l *Ledger) TablesEmpty() *Breach {
	for _, p := range slices.SortedFunc(maps.Keys(l.parts), comparePartitions) {
		if p.Table == store.Metadata {
			continue
		}
		rows, _ := l.tables.Scan([]store.Range{{Table: p.Table, Partition: p.Partition}})
		for _, row := range rows[0] {
			if row.Key.Key != clockKey {
				return breach(RetentionOnlyWhenDue, p.Partition, "all runs were removed and flushed, row %v %q is left in its table", p.Table, row.Key.Key)
			}
		}
	}
	return nil
}

func comparePartitions(a, b store.Partition) int {
	if a.Table != b.Table {
		return int(a.Table) - int(b.Table)
	}
	return compareText(a.Partition, b.Partition)
}

func compareText(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
