package shard

import (
	"slices"
	"strings"
	"time"

	"perdure/core/journal"
	"perdure/core/port"
	"perdure/core/store"
)

// What waits in the tables: the first tasks of each queue after the journal was
// opened, and those that memory does not hold.

// listFromTable reads tasks of a queue, of all strips at once, and answers with
// them. They are kept if they follow those in memory.
func (s *Shard) listFromTable(to port.Address, b *backlog, after string, most int) {
	from := b.window
	if after >= from {
		from = after + "\x00"
	}
	strips := s.log.Strips()
	n := int(strips.To - strips.From)
	ranges := make([]store.Range, 0, n)
	for p := strips.From; p < strips.To; p++ {
		ranges = append(ranges, store.Range{Table: store.Due, Partition: stripPartition(p), From: b.prefix + from, To: prefixEnd(b.prefix), Limit: max(readTasks/n, 4)})
	}
	for _, i := range b.deep { // all tasks of one workflow are in one strip
		ranges[i].Limit = max(readTasks/len(b.deep), 4)
	}
	b.reads++
	s.read(nil, ranges, func(ev *journal.Event) {
		b.reads--
		b.deep = nil
		for i, next := range ev.Next {
			if next != "" {
				b.deep = append(b.deep, i)
			}
		}
		tasks, window := s.mergeTasks(ev, b.prefix)
		if b.window == from { // it was not cut meanwhile
			b.window = window
			for _, t := range tasks {
				s.queues.add(t)
			}
		}
		answer := port.Backlog{Shard: s.cfg.Self, Queue: b.key, After: after, Tasks: tasks, More: window != "", Epoch: s.log.Fence().Epoch}
		if len(tasks) > most {
			answer.Tasks, answer.More = tasks[:most], true
		}
		s.out.Send(to, answer)
		s.queues.forget(b)
	})
}

// mergeTasks puts the tasks of all strips in order, up to the first key at which
// the rows of a strip were cut off.
func (s *Shard) mergeTasks(ev *journal.Event, prefix string) (tasks []port.Task, window string) {
	for _, next := range ev.Next {
		if next != "" && (window == "" || next[len(prefix):] < window) {
			window = next[len(prefix):]
		}
	}
	for _, rows := range ev.Scans {
		for _, row := range rows {
			if t := s.taskAt(row); window == "" || t.Key < window {
				tasks = append(tasks, t)
			}
		}
	}
	slices.SortFunc(tasks, func(a, b port.Task) int { return strings.Compare(a.Key, b.Key) })
	return tasks, window
}

// loadQueues reads the first tasks of each strip after the journal was opened. Of
// a strip with more, the queues that follow are listed: until then nobody can say of
// any of them, in whatever strip, that memory holds all its tasks. So the shard waits
// for the list, unless that is long: then the rest comes in the background.
func (s *Shard) loadQueues() {
	strips := s.log.Strips()
	var ranges []store.Range
	for p := strips.From; p < strips.To; p++ {
		ranges = append(ranges, store.Range{Table: store.Due, Partition: stripPartition(p), From: keyOfQueues, To: keyBehind, Limit: openRows})
	}
	s.read(nil, ranges, func(ev *journal.Event) {
		s.queues.unlisted = map[int]string{}
		for i, next := range ev.Next {
			switch rows := ev.Scans[i]; {
			case next == "":
			case len(rows) == 0: // all rows read were withdrawn since: that a scan is short does not say that it is complete
				s.queues.unlisted[i] = next
			default: // of its last queue there may be more
				s.queues.unlisted[i] = queuePrefix(s.taskAt(rows[len(rows)-1]).Queue)
			}
		}
		s.listQueues(listFirst, func() {
			for _, rows := range ev.Scans {
				for _, row := range rows {
					s.queues.add(s.taskAt(row)) // of a queue that is not fully listed nothing is kept
				}
			}
			s.loaded()
		})
	})
}

// listQueues goes on with the directory: which queues there are in the strips
// that had too many tasks to be read at first. It calls done once: when all are
// listed, or after so many reads.
func (s *Shard) listQueues(reads int, done func()) {
	all := len(s.queues.unlisted) == 0
	if reads == 0 || reads > 0 && all {
		done()
	}
	if all {
		return
	}
	strips := s.log.Strips()
	var at []int
	var ranges []store.Range
	for i := range int(strips.To - strips.From) {
		if from, ok := s.queues.unlisted[i]; ok {
			at = append(at, i)
			ranges = append(ranges, store.Range{Table: store.Due, Partition: stripPartition(strips.From + uint16(i)), From: from, To: keyBehind, Limit: listedRows})
		}
	}
	s.read(nil, ranges, func(ev *journal.Event) {
		for n, i := range at {
			s.listed(i, ev.Scans[n], ev.Next[n])
		}
		s.listQueues(reads-1, done)
	})
}

// listed notes the queues of some rows and skips the rest of the last one.
func (s *Shard) listed(strip int, rows []store.Row, next string) {
	for _, row := range rows {
		s.queues.of(s.taskAt(row).Queue) // not fully in memory, as this strip is not listed yet
	}
	switch {
	case next == "":
		delete(s.queues.unlisted, strip)
	case len(rows) == 0:
		s.queues.unlisted[strip] = next
	default:
		b := s.queues.of(s.taskAt(rows[len(rows)-1]).Queue)
		b.deep = append(b.deep, strip)
		s.queues.unlisted[strip] = prefixEnd(b.prefix)
	}
}

func (s *Shard) taskAt(row store.Row) port.Task {
	t, err := DecodeDue(row.Value)
	if err != nil {
		panic("shard: " + err.Error())
	}
	t.Shard = s.cfg.Self // rows do not say it: they outlive their shard
	return t
}

// expireSubscriptions forgets queues that nobody polls and nothing waits in.
func (s *Shard) expireSubscriptions() {
	q := &s.queues
	n := 0
	for n < len(q.ends) && !q.ends[n].at.After(s.now.Wall) {
		if b := q.queues[q.ends[n].queue]; b != nil && !b.until.After(s.now.Wall) {
			b.until, b.subscribers = time.Time{}, nil
			q.forget(b)
		}
		n++
	}
	q.ends = q.ends[n:]
}
