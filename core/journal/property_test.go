package journal

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"perdure/core/port"
	"perdure/core/store"
)

// TestAcknowledgedSurvives drives two nodes with two shards each over one model
// store through random faults: appends and flushes that fail before, after, in
// part or with a late effect, crashes, owners that go on as zombies. What each
// check keeps is said at its failure.
func TestAcknowledgedSurvives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		newWorld(t, func(what string, n int) int { return rapid.IntRange(0, n-1).Draw(t, what) }).run()
	})
}

// The same from seeds: what rapid draws shrinks well, what these draw goes deeper.
func TestAcknowledgedSurvivesSeeds(t *testing.T) {
	seeds := 2000
	if testing.Short() {
		seeds = 200
	}
	for seed := range seeds {
		r := rand.New(rand.NewPCG(uint64(seed), *seedBase))
		report := fatalf(func(format string, args ...any) {
			t.Helper()
			t.Fatalf("%s\nseed %d; again: go test ./core/journal -run Seeds -seedbase %d", fmt.Sprintf(format, args...), seed, *seedBase)
		})
		newWorld(report, func(_ string, n int) int { return r.IntN(n) }).run()
	}
}

var seedBase = flag.Uint64("seedbase", 0, "makes other runs of the seeded property")

type fatalf func(string, ...any)

func (f fatalf) Fatalf(format string, args ...any) { f(format, args...) }

func (w *world) run() {
	for range 50 + w.pick("steps", 1500) {
		w.act(w.pick("act", 100))
	}
	w.heal()
}

// world is the nodes, the store, and everything on its way between them.
type world struct {
	t      interface{ Fatalf(string, ...any) }
	pick   func(what string, n int) int // a number below n
	store  *model
	nodes  []*testNode
	now    port.Clock
	nonce  store.Nonce
	unique int
	keys   []store.Key // that began fresh
	late   []func()    // effects still to come
	healed bool
	faults int // percent of store calls
	config LogConfig
}

// testNode is one incarnation of a node.
type testNode struct {
	w         *world
	id        port.NodeID
	committer *Committer
	owners    []*owner
	inbox     []port.Send
	calls     []testCall
	answers   []port.Send // completions
}

type testCall struct {
	from port.Address
	eff  port.Effect
}

// owner stands for a shard: it mirrors what its rows must be.
type owner struct {
	node   *testNode
	self   port.Address
	shard  store.ShardID
	log    *Log
	mirror rowsModel
	asked  map[uint64]question // replies not answered yet, by call
	reads  map[uint64]bool
	last   time.Time
}

type question struct {
	moves int // of the store when it was asked
	at    store.Seq
}

func newWorld(t interface{ Fatalf(string, ...any) }, pick func(string, int) int) *world {
	w := &world{t: t, pick: pick, store: newModel(t.Fatalf)}
	w.faults = one(w, "faults", []int{0, 3, 10, 40})
	w.now.Wall = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	w.config = LogConfig{
		FlushBytes: one(w, "flush bytes", []int{1, 200, 1 << 20}),
		FlushAge:   one(w, "flush age", []time.Duration{1, 30 * time.Millisecond}),
		PackBytes:  one(w, "pack bytes", []int{1, 1 << 20}),
		Exclusive:  false,
		Coalesce: func(prev *store.Row, next store.Row) bool {
			if prev.Key.Table != store.History || len(prev.Value)+len(next.Value) > 12 {
				return false
			}
			prev.Value = append(prev.Value, next.Value...)
			return true
		},
	}
	for id := range 2 {
		w.nodes = append(w.nodes, w.boot(port.NodeID(id+1)))
	}
	return w
}

func (w *world) boot(id port.NodeID) *testNode {
	n := &testNode{w: w, id: id}
	address := port.Address{Node: id, Role: port.RoleCommitter}
	n.committer = NewCommitter(address)
	n.committer.AppendBytes = one(w, "append bytes", []int{1, 1 << 20})
	for s := store.ShardID(1); s <= 2; s++ {
		cfg := w.config
		cfg.Self, cfg.Committer, cfg.Shard = port.ShardAddress(id, s), address, s
		cfg.Nonce = func() store.Nonce { w.nonce++; return w.nonce }
		n.owners = append(n.owners, &owner{node: n, self: cfg.Self, shard: s, log: NewLog(cfg), asked: map[uint64]question{}, reads: map[uint64]bool{}})
		n.owners[len(n.owners)-1].log.Pack()
	}
	return n
}

// one picks one of a few values.
func one[T any](w *world, what string, values []T) T { return values[w.pick(what, len(values))] }

func (w *world) owner() *owner {
	n := w.nodes[w.pick("node", len(w.nodes))]
	return n.owners[w.pick("shard", 2)]
}

func (w *world) act(a int) {
	switch {
	case a < 15:
		w.owner().work()
	case a < 20:
		w.owner().read()
	case a < 23:
		w.owner().hold()
	case a < 27:
		w.open(w.owner())
	case a < 58:
		w.deliver(w.nodes[w.pick("node", len(w.nodes))])
	case a < 92:
		w.storeAct(w.nodes[w.pick("node", len(w.nodes))])
	case a < 94:
		w.land()
	case a < 98:
		w.sleep(time.Duration(one(w, "ms", []int{1, 20, 200})) * time.Millisecond)
	case w.pick("rare", 8) > 0:
	case a < 99:
		i := w.pick("crash", len(w.nodes))
		w.nodes[i] = w.boot(w.nodes[i].id)
	default:
		w.now.Wall = w.now.Wall.Add(-time.Second) // the clock jumps back
	}
}

// open lets the owner take its shard, from another one only now and then.
func (w *world) open(o *owner) {
	for _, n := range w.nodes {
		if n.owners[o.shard-1].log.Active() && w.pick("takeover", 20) > 0 {
			return
		}
	}
	o.step(func(out *port.Effects) { o.log.Open(w.now, out) })
}

// land lets a late effect happen.
func (w *world) land() {
	if len(w.late) == 0 {
		return
	}
	i := w.pick("late", len(w.late))
	effect := w.late[i]
	w.late = slices.Delete(w.late, i, i+1)
	effect()
}

func (w *world) sleep(d time.Duration) {
	w.now.Wall, w.now.Mono = w.now.Wall.Add(d), w.now.Mono+d
	for _, n := range w.nodes {
		for _, o := range n.owners {
			if at := o.log.NextAlarm(); !at.IsZero() && !at.After(w.now.Wall) {
				o.step(func(out *port.Effects) { o.handle(port.Alarmed{}, out) })
			}
		}
	}
}

// work changes some rows, or none, and asks for a reply.
func (o *owner) work() {
	if !o.log.Active() {
		return
	}
	o.step(func(out *port.Effects) {
		o.checkTime()
		for range o.node.w.pick("changes", 4) {
			o.mutate()
		}
		w := o.node.w
		w.unique++
		o.asked[uint64(w.unique)] = question{moves: w.store.moves, at: o.log.Seq()}
		o.log.Reply(port.Reply{Call: port.Call{Node: o.node.id, ID: uint64(w.unique)}}, o.log.Seq(), out)
		o.log.SendAfter(port.Address{Index: 99}, port.Appended{Seq: o.log.Seq()}, o.log.Seq(), out)
	})
}

// mutate makes one change.
func (o *owner) mutate() {
	w := o.node.w
	w.unique++
	value := fmt.Sprint("v", w.unique)
	p := store.Partition{Table: store.Executions, Partition: fmt.Sprint("s", o.shard)}
	k := store.Key{Table: p.Table, Partition: p.Partition}
	switch kind := w.pick("change", 14); {
	case kind < 3: // a key that is used again and again
		k.Key = fmt.Sprint("k", w.pick("key", 3))
		o.put(k, value, false)
	case kind < 6: // a new key
		k.Key = fmt.Sprint("n", w.unique)
		w.keys = append(w.keys, k)
		o.put(k, value, true)
	case kind < 10: // any of them
		if len(w.keys) == 0 {
			return
		}
		k.Key = w.keys[max(0, len(w.keys)-1-w.pick("back", 20))].Key
		if w.pick("delete", 4) > 0 {
			o.delete(k)
		} else {
			o.put(k, value, false)
		}
	case kind < 13:
		k.Table, k.Key = store.History, fmt.Sprintf("%08d", w.unique)
		o.put(k, value+";", true)
	default:
		if w.pick("history", 2) == 0 {
			p.Table = store.History
		}
		o.log.DeletePartition(p)
		o.mirror.deletePartition(p)
	}
}

func (o *owner) put(k store.Key, value string, fresh bool) {
	o.log.Put(k, []byte(value), fresh)
	o.mirror[k] = value
	if got, known := o.log.Peek(k); !known || string(got) != value {
		o.node.w.t.Fatalf("peek after put")
	}
}

func (o *owner) delete(k store.Key) {
	fresh := o.log.Unflushed(k)
	o.log.Delete(k)
	delete(o.mirror, k)
	if got, known := o.log.Peek(k); got != nil || !known && !fresh {
		o.node.w.t.Fatalf("peek after delete")
	}
	if fresh && o.owns() && o.node.w.store.rows[k].Value != nil {
		o.node.w.t.Fatalf("%v was said to be in no table", k)
	}
}

// owns: no other owner has opened the shard since.
func (o *owner) owns() bool { return o.node.w.store.shards[o.shard].fence == o.log.Fence() }

func (o *owner) checkTime() {
	t := o.log.Time(o.node.w.now)
	if t.Before(o.last) {
		o.node.w.t.Fatalf("shard time went back from %v to %v", o.last, t)
	}
	o.last = t
}

func (o *owner) hold() {
	o.step(func(*port.Effects) {
		if o.log.hold == 0 && !o.node.w.healed {
			o.log.Hold()
		} else {
			o.log.Release()
		}
	})
}

func (o *owner) partitions() []store.Partition {
	name := fmt.Sprint("s", o.shard)
	return []store.Partition{{Table: store.Executions, Partition: name}, {Table: store.History, Partition: name}}
}

// read asks for some keys and both partitions, one of them with a limit.
func (o *owner) read() {
	if !o.log.Active() {
		return
	}
	o.step(func(out *port.Effects) {
		name := fmt.Sprint("s", o.shard)
		keys := []store.Key{{Table: store.Executions, Partition: name, Key: "k0"}, {Table: store.Executions, Partition: name, Key: "k1"}}
		limit := o.node.w.pick("limit", 4)
		ranges := []store.Range{
			{Table: store.Executions, Partition: name}, {Table: store.History, Partition: name},
			{Table: store.Executions, Partition: name, From: "k1", To: "n5", Limit: limit},
		}
		o.reads[o.log.Read(keys, ranges, out)] = true
	})
}

// step runs one step of the owner and takes its effects.
func (o *owner) step(work func(*port.Effects)) {
	var out port.Effects
	work(&out)
	o.log.End(o.node.w.now, &out)
	o.node.take(o.self, out.List)
}

func (o *owner) handle(in port.Input, out *port.Effects) {
	ev, handled := o.log.Handle(o.node.w.now, in, out)
	if _, alarm := in.(port.Alarmed); handled == alarm {
		o.node.w.t.Fatalf("%T handled: %v", in, handled)
	}
	o.event(ev)
}

func (o *owner) event(ev Event) {
	switch ev.Kind {
	case Opened:
		o.mirror = o.node.w.store.fold(o.shard)
		o.last = time.Time{}
		o.checkTime()
	case Lost:
		o.mirror, o.reads = nil, map[uint64]bool{}
	case Read:
		if !o.reads[ev.Tag] {
			o.node.w.t.Fatalf("unknown read %d", ev.Tag)
		}
		delete(o.reads, ev.Tag)
		o.checkRead(ev)
	}
}

func (o *owner) checkRead(ev Event) {
	w := o.node.w
	if ev.Err != nil || !o.owns() {
		return // a zombie may see what it likes: its replies will not leave
	}
	for _, r := range ev.Rows {
		if want, ok := o.mirror[r.Key]; ok != (r.Value != nil) || want != string(r.Value) {
			w.t.Fatalf("shard %d: key %v is %q, must be %q (%v)", o.shard, r.Key, r.Value, want, ok)
		}
	}
	for i, p := range o.partitions() {
		got := rowsModel{}
		for _, r := range ev.Scans[i] {
			got[r.Key] = string(r.Value)
		}
		if a, b := shape(p, got), shape(p, o.mirror); a != b || ev.Next[i] != "" {
			w.t.Fatalf("shard %d, %v: scan is\n%s, must be\n%s", o.shard, p, a, b)
		}
	}
	o.checkLimited(ev.Scans[2], ev.Next[2])
}

// shape is what must be equal: of history only the values in line count, not where rows begin.
func shape(p store.Partition, rows rowsModel) string {
	text := rows.partition(p)
	if p.Table != store.History {
		return text
	}
	var b strings.Builder
	for _, part := range strings.Fields(text) {
		_, value, _ := strings.Cut(part, "=")
		b.WriteString(value)
	}
	return b.String()
}

// checkLimited: a limited scan is right up to where it says it goes on.
func (o *owner) checkLimited(rows []store.Row, next string) {
	p := o.partitions()[0]
	want, got := rowsModel{}, rowsModel{}
	for k, v := range o.mirror {
		if k.Table == p.Table && k.Key >= "k1" && k.Key < "n5" && (next == "" || k.Key < next) {
			want[k] = v
		}
	}
	for _, r := range rows {
		got[r.Key] = string(r.Value)
	}
	if a, b := got.partition(p), want.partition(p); a != b {
		o.node.w.t.Fatalf("limited scan up to %q is\n%s, must be\n%s", next, a, b)
	}
}

// take sorts effects to where they go.
func (n *testNode) take(from port.Address, effects []port.Effect) {
	for _, e := range effects {
		switch e := e.(type) {
		case port.Send:
			if e.To.Index == 99 {
				n.message(from, e.In.(port.Appended).Seq)
			} else {
				n.inbox = append(n.inbox, e)
				if r, ok := e.In.(port.Record); ok {
					n.taken(from, r)
				}
			}
		case port.Reply:
			n.replied(from, e)
		case port.FlushStore:
			n.flushed(from)
			n.calls = append(n.calls, testCall{from, e})
		default:
			n.calls = append(n.calls, testCall{from, e})
		}
	}
}

func (n *testNode) ownerAt(a port.Address) *owner { return n.owners[a.Index-1] }

// message checks that a message leaves only when its position is durable.
func (n *testNode) message(from port.Address, at store.Seq) {
	if o := n.ownerAt(from); n.w.store.shards[o.shard].last() < at {
		n.w.t.Fatalf("message left before record %d was durable", at)
	}
}

// replied checks that a reply leaves once, after durability, and from an owner.
func (n *testNode) replied(from port.Address, r port.Reply) {
	o, t := n.ownerAt(from), n.w.t
	q, waits := o.asked[r.Call.ID]
	if !waits {
		t.Fatalf("call %d answered twice", r.Call.ID)
	}
	delete(o.asked, r.Call.ID)
	if r.Refusal != nil {
		return
	}
	s := n.w.store.shards[o.shard]
	if s.last() < q.at {
		t.Fatalf("reply left before record %d was durable", q.at)
	}
	if until, displaced := n.w.store.until[o.log.Fence()]; displaced && until <= q.moves {
		t.Fatalf("reply left though the owner %v was displaced before it was asked", o.log.Fence())
	}
}

// taken checks that a record says exactly what changed: all before it and it make the owner's rows.
func (n *testNode) taken(from port.Address, r port.Record) {
	o := n.ownerAt(from)
	s := n.w.store.shards[o.shard]
	if r.Append.Record == nil || s.fence != r.Append.Fence || s.last() != r.Append.Seq-1 || o.log.open.due() {
		return // a zombie's, or one that is appended again: the owner is further
	}
	truth := n.w.store.fold(o.shard)
	rec, err := DecodeRecord(r.Append.Record)
	truth.apply(rec)
	if err != nil || !maps.Equal(truth, o.mirror) {
		n.w.t.Fatalf("record %d leaves %v, must leave %v (%v)", r.Append.Seq, truth, o.mirror, err)
	}
}

// flushed checks that a flush takes no more records than fit into its bound, but for the last of them.
func (n *testNode) flushed(from port.Address) {
	o := n.ownerAt(from)
	bytes := 0
	for _, record := range n.w.store.shards[o.shard].full[o.log.flushed : o.log.flush.upTo-1] {
		bytes += len(record)
	}
	if bytes > n.w.config.FlushBytes {
		n.w.t.Fatalf("shard %d: a flush of the records %d to %d is above its bound", o.shard, o.log.flushed+1, o.log.flush.upTo)
	}
}

// deliver hands over the oldest message or completion.
func (w *world) deliver(n *testNode) {
	if len(n.answers) > 0 && (len(n.inbox) == 0 || w.pick("answer", 2) == 0) {
		i := 0
		if !w.healed {
			i = w.pick("which", len(n.answers))
		}
		a := n.answers[i]
		n.answers = slices.Delete(n.answers, i, i+1)
		w.stepMachine(n, a)
	} else if len(n.inbox) > 0 {
		m := n.inbox[0]
		n.inbox = n.inbox[1:]
		w.stepMachine(n, m)
	}
}

func (w *world) stepMachine(n *testNode, m port.Send) {
	if m.To.Role == port.RoleCommitter {
		var out port.Effects
		n.committer.Step(w.now, m.In, &out)
		n.take(m.To, out.List)
		return
	}
	o := n.ownerAt(m.To)
	o.step(func(out *port.Effects) { o.handle(m.In, out) })
}

// fate of a store call.
type fate int

const (
	works fate = iota
	failsBefore
	failsAfter
	failsLate
	failsInPart
)

func (w *world) storeAct(n *testNode) {
	if len(n.calls) == 0 {
		return
	}
	i := 0
	if !w.healed {
		i = w.pick("call", len(n.calls))
	}
	c := n.calls[i]
	n.calls = slices.Delete(n.calls, i, i+1)
	f := works
	if !w.healed && w.pick("fails", 100) < w.faults {
		f = one(w, "fate", []fate{failsBefore, failsAfter, failsLate, failsInPart})
	}
	n.answers = append(n.answers, port.Send{To: c.from, In: w.execute(c.eff, f)})
}

func (w *world) execute(e port.Effect, f fate) *port.Completed {
	var err error
	if f != works {
		err = errors.New("disk on fire")
	}
	switch e := e.(type) {
	case port.OpenStore:
		return w.executeOpen(e, f)
	case port.AppendStore:
		return w.executeAppend(e, f)
	case port.FlushStore:
		return &port.Completed{Tag: e.Tag, Err: w.executeFlush(e.Flush, f)}
	case port.ConfirmStore:
		return &port.Completed{Tag: e.Tag, Err: err, Owner: w.store.shards[e.Fence.Shard].fence == e.Fence}
	case port.ReadStore:
		c := &port.Completed{Tag: e.Tag, Err: err}
		for _, k := range e.Keys {
			c.Rows = append(c.Rows, w.store.get(k))
		}
		for _, r := range e.Ranges {
			c.Scans = append(c.Scans, w.store.scan(r))
		}
		return c
	}
	panic(fmt.Sprintf("unknown effect %T", e))
}

func (w *world) executeOpen(e port.OpenStore, f fate) *port.Completed {
	c := &port.Completed{Tag: e.Tag, Err: store.ErrUnavailable}
	switch f {
	case works:
		c.Err, c.Opened = nil, w.store.open(e.Open)
	case failsAfter:
		w.store.open(e.Open)
	case failsLate:
		w.late = append(w.late, func() { w.store.open(e.Open) })
	}
	return c
}

func (w *world) executeAppend(e port.AppendStore, f fate) *port.Completed {
	c := &port.Completed{Tag: e.Tag}
	if f == failsBefore {
		c.Err = store.ErrUnavailable
		return c
	}
	for i, a := range e.Batch {
		outcome := store.Unknown
		switch {
		case f == works || f == failsInPart && i%2 == 0:
			outcome = w.store.append(a)
		case f == failsAfter:
			w.store.append(a)
		default:
			w.late = append(w.late, func() { w.store.append(a) })
		}
		c.Outcomes = append(c.Outcomes, outcome)
	}
	return c
}

func (w *world) executeFlush(flush store.Flush, f fate) error {
	if f == failsBefore {
		return store.ErrUnavailable
	}
	if err := w.store.flush(flush); err != nil {
		return err
	}
	switch f {
	case works:
		w.store.put(flush.Rows, flush.Deleted)
		return nil
	case failsAfter:
		w.store.put(flush.Rows, flush.Deleted)
	case failsInPart:
		w.store.put(flush.Rows[:len(flush.Rows)/2], nil)
	case failsLate: // past the fence already
		w.late = append(w.late, func() { w.store.put(flush.Rows, flush.Deleted) })
	}
	return store.ErrUnavailable
}

// heal ends all faults: late effects land, then everything that waits must
// settle, every caller must have an answer, and a new owner must find the truth.
func (w *world) heal() {
	w.healed = true
	for _, effect := range w.late {
		effect()
	}
	w.late = nil
	w.settle()
	for _, n := range w.nodes {
		for _, o := range n.owners {
			if len(o.asked) > 0 {
				w.t.Fatalf("node %d, shard %d: %d calls have no answer", n.id, o.shard, len(o.asked))
			}
			if o.log.Active() && !o.log.Clean() && w.store.shards[o.shard].fence == o.log.Fence() {
				w.t.Fatalf("node %d, shard %d: idle and not clean", n.id, o.shard)
			}
			w.checkIdle(o)
		}
	}
	n := w.boot(9)
	w.nodes = append(w.nodes, n)
	for _, o := range n.owners {
		o.step(func(out *port.Effects) { o.log.Open(w.now, out) })
		w.settle()
		o.read()
		w.settle()
		if len(o.reads) > 0 || !o.log.Clean() {
			w.t.Fatalf("shard %d did not come back", o.shard)
		}
	}
}

// settle lets everything happen until nothing is left to happen.
func (w *world) settle() {
	for range 10000 {
		busy := false
		for _, n := range w.nodes {
			for _, o := range n.owners {
				if o.log.hold > 0 {
					o.hold()
				}
				busy = busy || !o.log.NextAlarm().IsZero()
			}
			for len(n.calls) > 0 || len(n.inbox) > 0 || len(n.answers) > 0 {
				busy = true
				w.storeAct(n)
				w.deliver(n)
			}
		}
		if !busy {
			return
		}
		w.sleep(10 * time.Millisecond)
	}
	w.t.Fatalf("does not settle")
}

// checkIdle: an idle log does nothing and wants nothing, whatever the time; its overlay is empty.
func (w *world) checkIdle(o *owner) {
	var out port.Effects
	w.now.Mono += time.Hour
	o.log.End(w.now, &out)
	if len(out.List) > 0 || !o.log.NextAlarm().IsZero() {
		w.t.Fatalf("idle, but wants %v at %v", out.List, o.log.NextAlarm())
	}
	if o.log.Clean() && (o.log.Bytes() != 0 || len(o.log.overlay.parts) != 0) {
		w.t.Fatalf("clean, but the overlay holds %d bytes", o.log.Bytes())
	}
}
