package shard

import (
	"math"
	"time"

	"github.com/tidwall/btree"

	"perdure/core/journal"
	"perdure/core/port"
	"perdure/core/store"
)

// The index of deadlines: when each run must be woken. Memory holds a window of
// the rows of due, bounded in bytes: of each strip all rows below a key. What is
// later stays in the table and is read when its time comes near.
//
// W1: a deadline whose row is below the window of its strip is in memory.
// W2: no row at or above the window of its strip falls due before it is read.

const (
	firePerStep  = 64               // so that one step stays short
	dueLead      = 30 * time.Second // a strip is read on this long before what is not in memory falls due
	stripsAtOnce = 64               // strips read on at once
	deadlineCost = 300              // bytes of a deadline in memory, ids apart
	openRows     = 32               // rows of each strip that are read first
	stripRows    = 512              // rows of one strip that are read on at once
)

type dueIndex struct {
	items   map[port.RunKey]*deadline
	order   *btree.BTreeG[*deadline]
	bytes   int
	budget  int
	first   uint16   // the shard's first strip
	windows []string // of each strip: rows from this key on are not in memory; empty: all are
	horizon int64    // earliest time of a row that is not in memory
	reading bool
}

// deadline is when a run must be woken. Its row may be earlier: then waking it finds nothing due.
type deadline struct {
	key   port.RunKey
	row   int64 // time of its row in due; of a run that is in memory the exact time may be later
	wake  int64
	woken bool // handed out; not in the order
}

func deadlineLess(a, b *deadline) bool {
	if a.wake != b.wake {
		return a.wake < b.wake
	}
	return a.key.RunID < b.key.RunID
}

func newDueIndex(budget int) dueIndex {
	return dueIndex{
		items: map[port.RunKey]*deadline{}, budget: budget, horizon: math.MaxInt64,
		order: btree.NewBTreeGOptions(deadlineLess, btree.Options{NoLocks: true, Degree: 16}),
	}
}

// begin starts with windows that hold nothing.
func (d *dueIndex) begin(strips store.Strips) {
	d.first, d.windows = strips.From, make([]string, strips.To-strips.From)
	for i := range d.windows {
		d.windows[i] = string(rune(keyDeadline))
	}
	d.horizon = 0
}

// beginAt is begin where no row is below that time.
func (d *dueIndex) beginAt(at int64) {
	for i := range d.windows {
		d.windows[i] = deadlineRow(at, "")
	}
	d.horizon = at
}

func (d *dueIndex) strip(k port.RunKey) int {
	return int(stripOf(k.NamespaceID, k.WorkflowID) - d.first)
}

// set notes the row of a run in due and when to wake the run; row 0: it has none.
func (d *dueIndex) set(k port.RunKey, row, wake int64) {
	d.drop(k)
	if row == 0 {
		return
	}
	if wake == 0 {
		wake = row // nothing is due: then the row goes
	}
	if w := d.windows[d.strip(k)]; w != "" && deadlineRow(row, k.RunID) >= w {
		return // W2: it is read in time
	}
	x := &deadline{key: k, row: row, wake: wake}
	d.items[k] = x
	d.order.Set(x)
	d.bytes += x.cost()
}

// learned replaces the time of a run's row by the exact one, if the run is known here.
func (d *dueIndex) learned(k port.RunKey, wake int64) {
	x := d.items[k]
	if x == nil || x.woken || wake == 0 || wake == x.wake {
		return
	}
	d.order.Delete(x)
	x.wake = wake
	d.order.Set(x)
}

func (d *dueIndex) drop(k port.RunKey) {
	if x := d.items[k]; x != nil {
		d.order.Delete(x)
		delete(d.items, k)
		d.bytes -= x.cost()
	}
}

func (x *deadline) cost() int {
	return deadlineCost + len(x.key.NamespaceID) + len(x.key.WorkflowID) + len(x.key.RunID)
}

// pop takes the first run whose time has come. It stays known until set says what comes next.
func (d *dueIndex) pop(now int64) (port.RunKey, bool) {
	x, ok := d.order.Min()
	if !ok || x.wake > now {
		return port.RunKey{}, false
	}
	d.order.Delete(x)
	x.woken = true
	return x.key, true
}

// trimLooks bounds what one trim looks at.
const trimLooks = 256

// trim forgets the latest deadlines while there are too many. Those that are
// soon due stay, however many they are, and so do those whose rows are early:
// they would be read again at once.
func (d *dueIndex) trim(now int64) {
	if d.bytes <= d.budget {
		return
	}
	var drop []*deadline
	over, looks := d.bytes-d.budget, 0
	soon := now + 2*dueLead.Nanoseconds()
	d.order.Reverse(func(x *deadline) bool {
		if x.row > soon {
			drop = append(drop, x)
			over -= x.cost()
		}
		looks++
		return over > 0 && looks < trimLooks && x.wake > soon
	})
	for _, x := range drop {
		d.drop(x.key)
		key := deadlineRow(x.row, x.key.RunID)
		if i := d.strip(x.key); d.windows[i] == "" || key < d.windows[i] {
			d.windows[i] = key
			d.horizon = min(d.horizon, x.row)
		}
	}
}

// next is the wall time at which something is to be done.
func (d *dueIndex) next(shardNow int64, wall time.Time) time.Time {
	at := int64(math.MaxInt64)
	if x, ok := d.order.Min(); ok {
		at = x.wake
	}
	if !d.reading && d.horizon != math.MaxInt64 {
		at = min(at, d.horizon-dueLead.Nanoseconds())
	}
	if at == math.MaxInt64 {
		return time.Time{}
	}
	return wall.Add(time.Duration(max(at-shardNow, 0)))
}

// near lists the strips whose windows end soon.
func (d *dueIndex) near(now int64) (strips []int) {
	if d.reading || d.horizon > now+dueLead.Nanoseconds() {
		return nil
	}
	for i, w := range d.windows {
		if w != "" && windowTime(w) <= now+dueLead.Nanoseconds() && len(strips) < stripsAtOnce {
			strips = append(strips, i)
		}
	}
	return strips
}

// extended notes how far a strip is in memory now.
func (d *dueIndex) extended() {
	d.horizon = math.MaxInt64
	for _, w := range d.windows {
		if w != "" {
			d.horizon = min(d.horizon, windowTime(w))
		}
	}
}

// windowTime is the time from which on rows are not in memory.
func windowTime(w string) int64 {
	if len(w) < 9 {
		return 0
	}
	return deadlineTime(w)
}

// readDue reads the windows of strips on, most rows of each, and then calls done.
func (s *Shard) readDue(strips []int, most int, done func()) {
	d := &s.due
	d.reading = true
	from := make([]string, len(strips))
	ranges := make([]store.Range, len(strips))
	for n, i := range strips {
		from[n] = d.windows[i]
		ranges[n] = store.Range{Table: store.Due, Partition: stripPartition(d.first + uint16(i)), From: from[n], To: string(rune(keyDeadline + 1)), Limit: most}
	}
	s.read(nil, ranges, func(ev *journal.Event) {
		d.reading = false
		for n, i := range strips {
			if d.windows[i] == from[n] { // it was not cut meanwhile
				s.extendWindow(i, ev.Scans[n], ev.Next[n])
			}
		}
		d.extended()
		d.trim(s.time)
		done()
	})
}

// extendWindow takes in the next rows of a strip.
func (s *Shard) extendWindow(strip int, rows []store.Row, next string) {
	s.due.windows[strip] = next
	for _, row := range rows {
		t, err := DecodeDue(row.Value)
		if err != nil {
			panic("shard: " + err.Error())
		}
		if _, known := s.due.items[t.Run]; known {
			continue
		}
		at := deadlineTime(row.Key.Key)
		s.due.set(t.Run, at, at)
		if e := s.cache.runs[t.Run]; e != nil && e.run != nil {
			s.due.learned(t.Run, e.run.Deadline())
		}
	}
}

// fireDue wakes the runs whose time has come, and reads on what will be due soon.
func (s *Shard) fireDue() {
	if !s.ready {
		return
	}
	for range firePerStep {
		k, ok := s.due.pop(s.time)
		if !ok {
			break
		}
		s.serve(port.Wake{Run: k})
	}
	s.due.trim(s.time)
	if strips := s.due.near(s.time); len(strips) > 0 {
		s.readDue(strips, stripRows, func() {})
	}
}

// wakeRun lets time pass for one run.
func (s *Shard) wakeRun(k port.RunKey) {
	e, ok := s.load(k, port.Wake{Run: k})
	switch {
	case !ok:
		return
	case e == nil || e.run == nil:
		s.dropDeadline(k)
		return
	case s.outlived(e.run):
		if e.seq > s.log.Durable() { // time can jump: the end of a run is recorded before its removal
			s.due.set(k, e.run.S.DeadlineRow, s.time+time.Second.Nanoseconds())
			return
		}
		s.retire(e, port.Wake{Run: k})
		return
	}
	env := s.env(k.NamespaceID, k)
	c := e.run.Fire(env)
	if c == nil && s.rowIsOver(e) {
		c = e.run.Rearm(env)
	}
	if c != nil {
		s.apply(e, c)
	} else {
		s.sendOwed(e)
	}
	at := e.run.Deadline()
	if e.run.Closed() && e.run.Owes() && at <= s.time {
		at = s.time + time.Second.Nanoseconds() // retention waits for what the run owes
	}
	if e.reading && at != 0 && at <= s.time {
		at = s.time + time.Second.Nanoseconds() // a message needs history: its read wakes the run
	}
	s.due.set(k, e.run.S.DeadlineRow, at)
}

// rowIsOver: the row of a run was early and must move on, lest it is found again and again.
func (s *Shard) rowIsOver(e *entry) bool {
	row, at := e.run.S.DeadlineRow, e.run.Deadline()
	return row != 0 && row <= s.time && (at == 0 || at > s.time) && !e.run.Owes()
}

// dropDeadline removes the row of a run that is not there.
func (s *Shard) dropDeadline(k port.RunKey) {
	if x := s.due.items[k]; x != nil {
		s.log.Delete(deadlineKey(k, x.row))
		s.due.drop(k)
	}
}

// loadDue reads the time and the first windows after the journal was opened.
func (s *Shard) loadDue() {
	s.due.begin(s.log.Strips())
	all := make([]int, len(s.due.windows))
	for i := range all {
		all[i] = i
	}
	s.readClocks(func() {
		s.due.beginAt(s.low.mark)
		s.readDue(all, openRows, s.loadQueues)
	})
}
