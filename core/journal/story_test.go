package journal

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"perdure/core/port"
	"perdure/core/store"
)

// TestStories tells what one Log does, step by step. Each line of a command is
// one step of its owner; effects and events are printed as they come.
//
//	log [exclusive] [flush-bytes=n] [max-bytes=n]   a new, closed log
//	open | sleep <duration> | back <duration> (wall clock) | doubt <duration> | end | close | drain | hold | release
//	opened epoch=n [displaced=e/n] [last=n] [record <seq> <change>...]
//	put p/k=v... | fresh p/k=v... | delete p/k... | drop p...  (changes; "then" joins several lines into a step)
//	reply <call> [at=n] | unproven <call> [at=n] | send <n> [at=n] | read <p/k>... <p[from,to)limit>...
//	take | appended <seq> done|unknown|fenced
//	flushed|confirmed|opened|readback ... [err=fenced|unavailable|retired|missing]
//	peek p/k... | state
func TestStories(t *testing.T) {
	datadriven.Walk(t, "testdata/log", func(t *testing.T, path string) {
		s := &story{now: port.Clock{Wall: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			s.text.Reset()
			for _, line := range strings.Split(d.Input, "\n") {
				s.line(t, line)
			}
			return s.text.String()
		})
	})
}

type story struct {
	now   port.Clock
	log   *Log
	nonce store.Nonce
	tags  map[string]uint64 // of the latest effect of each kind
	text  strings.Builder
	out   port.Effects
}

var storyErrors = map[string]error{
	"fenced": store.ErrFenced, "unavailable": store.ErrUnavailable, "retired": store.ErrRetired, "missing": store.ErrNoShard,
}

func (s *story) line(t *testing.T, line string) {
	more := strings.HasSuffix(line, " then")
	words := strings.Fields(strings.TrimSuffix(line, " then"))
	if len(words) == 0 {
		return
	}
	s.do(t, words[0], words[1:])
	if !more && s.log != nil {
		s.log.End(s.now, &s.out)
	}
	for _, e := range s.out.List {
		s.effect(e)
	}
	s.out.Reset()
}

// options splits words into name=value pairs and the rest.
func options(words []string) (map[string]string, []string) {
	opts, rest := map[string]string{}, []string{}
	for _, w := range words {
		if name, value, ok := strings.Cut(w, "="); ok && !strings.Contains(name, "/") {
			opts[name] = value
		} else {
			rest = append(rest, w)
		}
	}
	return opts, rest
}

func number(text string) uint64 {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil && text != "" {
		panic(err)
	}
	return n
}

func (s *story) do(t *testing.T, verb string, words []string) {
	opts, rest := options(words)
	switch verb {
	case "log":
		s.create(opts, rest)
	case "open":
		s.log.Open(s.now, &s.out)
	case "sleep", "back":
		d, err := time.ParseDuration(rest[0])
		if err != nil {
			t.Fatal(err)
		}
		if verb == "back" {
			s.now.Wall = s.now.Wall.Add(-d)
		} else {
			s.now.Wall, s.now.Mono = s.now.Wall.Add(d), s.now.Mono+d
		}
	case "end":
	case "doubt":
		age, err := time.ParseDuration(rest[0])
		if err != nil {
			t.Fatal(err)
		}
		s.log.ProveWithin(age)
	case "close":
		s.log.Close(&s.out)
	case "drain":
		s.log.FlushNow()
	case "leave":
		s.log.Leave(s.now, time.Second)
	case "empty":
		s.log.Empty()
	case "retire":
		s.log.Retire(s.now, &s.out)
	case "hold":
		s.log.Hold()
	case "release":
		s.log.Release()
	case "take":
		s.handle(port.TakeRecord{})
	case "appended":
		outcomes := map[string]store.Outcome{"done": store.Done, "unknown": store.Unknown, "fenced": store.Fenced}
		s.handle(port.Appended{Seq: store.Seq(number(rest[0])), Outcome: outcomes[rest[1]]})
	case "opened", "flushed", "confirmed", "readback", "released", "retired":
		s.complete(verb, opts, rest)
	case "put", "fresh", "delete", "drop":
		s.change(verb, words)
	case "reply", "unproven", "send", "read":
		s.ask(verb, opts, words)
	case "peek", "state":
		s.show(verb, rest)
	default:
		t.Fatalf("unknown command %s", verb)
	}
}

func (s *story) create(opts map[string]string, flags []string) {
	s.tags = map[string]uint64{}
	s.log = NewLog(LogConfig{
		Shard: 1, Owner: "here", Exclusive: slices.Contains(flags, "exclusive"),
		Nonce:      func() store.Nonce { s.nonce++; return s.nonce },
		FlushBytes: int(number(opts["flush-bytes"])), MaxBytes: int(number(opts["max-bytes"])),
		Coalesce: func(prev *store.Row, next store.Row) bool {
			ok := prev.Key.Partition == "h" && len(prev.Value)+len(next.Value) <= 4
			if ok {
				prev.Value = append(prev.Value, next.Value...)
			}
			return ok
		},
	})
}

func (s *story) handle(in port.Input) {
	ev, _ := s.log.Handle(s.now, in, &s.out)
	if ev.Kind == None {
		return
	}
	fmt.Fprintf(&s.text, "event %s", ev.Kind)
	if ev.Err != nil {
		fmt.Fprintf(&s.text, " (%s)", strings.ReplaceAll(ev.Err.Error(), "\u00a0", " ")) // protobuf's texts have one space or the other, by build
	}
	for _, r := range ev.Rows {
		fmt.Fprintf(&s.text, " %s", rowText(r))
	}
	for i, scan := range ev.Scans {
		fmt.Fprintf(&s.text, " [")
		for _, r := range scan {
			fmt.Fprintf(&s.text, "%s ", rowText(r))
		}
		fmt.Fprintf(&s.text, "next %q]", ev.Next[i])
	}
	s.text.WriteString("\n")
}

// complete answers the latest call of the kind.
func (s *story) complete(verb string, opts map[string]string, rest []string) {
	c := &port.Completed{Tag: s.tags[verb], Err: storyErrors[opts["err"]], Owner: opts["owner"] != "no"}
	switch verb {
	case "opened":
		if slices.Equal(rest, []string{"taken"}) { // what is being found out
			rest = nil
			defer s.handle(c)
			c.Opened = openedOf(opts, rest)
			c.Opened.Records = []store.Entry{{Seq: s.log.seq, Record: s.log.taken}}
			return
		}
		c.Opened = openedOf(opts, rest)
	case "readback":
		for _, w := range rest {
			switch {
			case strings.HasPrefix(w, "["):
				c.Scans = append(c.Scans, nil)
				for _, r := range strings.Split(strings.Trim(w, "[]"), ",") {
					if r != "" {
						c.Scans[len(c.Scans)-1] = append(c.Scans[len(c.Scans)-1], rowOf(r))
					}
				}
			default:
				c.Rows = append(c.Rows, rowOf(w))
			}
		}
	}
	s.handle(c)
}

func openedOf(opts map[string]string, rest []string) store.Opened {
	o := store.Opened{Epoch: store.Epoch(number(opts["epoch"])), Last: store.Seq(number(opts["last"]))}
	if epoch, nonce, ok := strings.Cut(opts["displaced"], "/"); ok {
		o.Displaced = store.Fence{Shard: 1, Epoch: store.Epoch(number(epoch)), Nonce: store.Nonce(number(nonce))}
	}
	var r Record
	r.Time = time.Date(2026, 1, 1, 1, 0, 0, 0, time.UTC)
	for _, w := range rest {
		switch {
		case w == "garbage":
			o.Records = append(o.Records, store.Entry{Seq: o.Last, Record: []byte("garbage")})
		case w == "record":
			o.Records = append(o.Records, store.Entry{})
			r.Rows, r.Deleted = nil, nil
		default:
			last := &o.Records[len(o.Records)-1]
			if last.Seq == 0 {
				last.Seq = store.Seq(number(w))
			} else if strings.Contains(w, "/") {
				r.Rows = append(r.Rows, rowOf(w))
			} else {
				r.Deleted = append(r.Deleted, store.Partition{Table: store.Due, Partition: w})
			}
			last.Record = EncodeRecord(r)
		}
	}
	return o
}

// rowOf reads p/k=v, or p/k for a row that is not there.
func rowOf(text string) store.Row {
	name, value, there := strings.Cut(text, "=")
	p, k, _ := strings.Cut(name, "/")
	r := store.Row{Key: store.Key{Table: store.Due, Partition: p, Key: k}}
	if there {
		r.Value = []byte(value)
	}
	return r
}

func rowText(r store.Row) string {
	text := r.Key.Partition + "/" + r.Key.Key
	if r.Version != 0 {
		text += fmt.Sprintf("@%d.%d", r.Version.Epoch(), r.Version.Seq())
	}
	if r.Value != nil {
		text += "=" + string(r.Value)
	}
	return text
}

func (s *story) change(verb string, words []string) {
	for _, w := range words {
		r := rowOf(w)
		switch verb {
		case "delete":
			s.log.Delete(r.Key)
		case "drop":
			s.log.DeletePartition(store.Partition{Table: store.Due, Partition: w})
		default:
			s.log.Put(r.Key, r.Value, verb == "fresh")
		}
	}
}

func (s *story) ask(verb string, opts map[string]string, words []string) {
	at := s.log.Seq()
	if text, ok := opts["at"]; ok {
		at = store.Seq(number(text))
	}
	switch verb {
	case "reply":
		s.log.Reply(port.Reply{Call: port.Call{ID: number(words[0])}}, at, &s.out)
	case "unproven":
		s.log.ReplyUnproven(port.Reply{Call: port.Call{ID: number(words[0])}}, at, &s.out)
	case "send":
		s.log.SendAfter(port.Address{Role: port.RoleQueues}, port.Gone{Call: port.Call{ID: number(words[0])}}, at, &s.out)
	case "read":
		var keys []store.Key
		var ranges []store.Range
		for _, w := range words {
			if strings.Contains(w, "[") {
				ranges = append(ranges, rangeOf(w))
			} else {
				keys = append(keys, rowOf(w).Key)
			}
		}
		s.log.Read(keys, ranges, &s.out)
	}
}

// rangeOf reads p[from,to)limit.
func rangeOf(text string) store.Range {
	p, rest, _ := strings.Cut(text, "[")
	bounds, limit, _ := strings.Cut(rest, ")")
	from, to, _ := strings.Cut(bounds, ",")
	return store.Range{Table: store.Due, Partition: p, From: from, To: to, Limit: int(number(limit))}
}

func (s *story) show(verb string, words []string) {
	l := s.log
	if verb == "peek" {
		for _, w := range words {
			value, known := l.Peek(rowOf(w).Key)
			fmt.Fprintf(&s.text, "%s known=%v deleted=%v %q unflushed=%v\n", w, known, known && value == nil, value, l.Unflushed(rowOf(w).Key))
		}
		return
	}
	alarm := "none"
	if at := l.NextAlarm(); !at.IsZero() {
		alarm = at.Sub(s.now.Wall).String()
	}
	if l.Left() {
		s.text.WriteString("left\n")
	}
	fmt.Fprintf(&s.text, "active=%v seq=%d durable=%d clean=%v full=%v alarm=%s tail=%d empty=%v time=%s\n", l.Active(), l.Seq(), l.Durable(),
		l.Clean(), l.Full(), alarm, l.TailRows(), l.Bytes() == 0, l.Time(s.now).UTC().Format("15:04:05.000"))
}

func (s *story) effect(e port.Effect) {
	w := func(format string, args ...any) { fmt.Fprintf(&s.text, format+"\n", args...) }
	switch e := e.(type) {
	case port.OpenStore:
		s.tags["opened"] = e.Tag
		w("OpenStore nonce=%d known=%d", e.Open.Nonce, e.Open.Known)
	case port.RetireStore:
		s.tags["retired"] = e.Tag
		w("RetireStore %d/%d", e.Fence.Epoch, e.Fence.Nonce)
	case port.ReleaseStore:
		s.tags["released"] = e.Tag
		w("ReleaseStore %d/%d", e.Fence.Epoch, e.Fence.Nonce)
	case port.ConfirmStore:
		s.tags["confirmed"] = e.Tag
		w("ConfirmStore %d/%d", e.Fence.Epoch, e.Fence.Nonce)
	case port.ReadStore:
		s.tags["readback"] = e.Tag
		w("ReadStore keys=%d ranges=%d", len(e.Keys), len(e.Ranges))
	case port.FlushStore:
		s.tags["flushed"] = e.Tag
		fmt.Fprintf(&s.text, "FlushStore %d/%d number=%d", e.Flush.Fence.Epoch, e.Flush.Fence.Nonce, e.Flush.Number)
		for _, d := range e.Flush.Deleted {
			fmt.Fprintf(&s.text, " drop:%s@%d.%d", d.Partition.Partition, d.Version.Epoch(), d.Version.Seq())
		}
		for _, r := range e.Flush.Rows {
			fmt.Fprintf(&s.text, " %s", rowText(r))
		}
		w("")
	case port.Reply:
		if e.Refusal != nil {
			w("refused %d: %s", e.Call.ID, e.Refusal.Message)
		} else {
			w("replied %d", e.Call.ID)
		}
	case port.Send:
		switch in := e.In.(type) {
		case port.Dirty:
			w("Dirty")
		case port.Gone:
			w("sent %d", in.Call.ID)
		case port.Record:
			w("%s", recordText(in.Append))
		}
	}
}

func recordText(a store.Append) string {
	if a.Record == nil && a.Trim == 0 {
		return "Record: nothing"
	}
	text := fmt.Sprintf("Record %d/%d seq=%d trim=%d", a.Fence.Epoch, a.Fence.Nonce, a.Seq, a.Trim)
	if a.Record == nil {
		return text + " only trims"
	}
	r, err := DecodeRecord(a.Record)
	if err != nil {
		return err.Error()
	}
	for _, p := range r.Deleted {
		text += " drop:" + p.Partition
	}
	for _, row := range r.Rows {
		text += " " + rowText(row)
	}
	return text
}

// TestCommitterStories tells what the Committer does.
//
//	dirty <shard> | record <shard> <seq> <bytes> [trim=n] | nothing <shard> | done <outcome>... | failed | bound <bytes>
func TestCommitterStories(t *testing.T) {
	datadriven.Walk(t, "testdata/committer", func(t *testing.T, path string) {
		c := NewCommitter(port.Address{Role: port.RoleCommitter})
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			var text strings.Builder
			for _, line := range strings.Split(d.Input, "\n") {
				opts, words := options(strings.Fields(line))
				stepCommitter(c, opts, words, &text)
			}
			return text.String()
		})
	})
}

func stepCommitter(c *Committer, opts map[string]string, words []string, text *strings.Builder) {
	var out port.Effects
	arg := func(i int) uint64 { return number(words[i]) }
	shard := func() port.Address { return port.ShardAddress(1, store.ShardID(arg(1))) }
	switch words[0] {
	case "bound":
		c.AppendBytes = int(arg(1))
	case "dirty":
		c.Step(port.Clock{}, port.Dirty{Shard: shard()}, &out)
	case "record":
		a := store.Append{Fence: store.Fence{Shard: store.ShardID(arg(1))}, Seq: store.Seq(arg(2)), Trim: store.Seq(number(opts["trim"]))}
		if n := arg(3); n > 0 {
			a.Record = make([]byte, n)
		}
		c.Step(port.Clock{}, port.Record{Shard: shard(), Append: a}, &out)
	case "nothing":
		c.Step(port.Clock{}, port.Record{Shard: shard()}, &out)
	case "failed":
		c.Step(port.Clock{}, &port.Completed{Tag: c.tag, Err: store.ErrUnavailable}, &out)
	case "done":
		done := &port.Completed{Tag: c.tag}
		outcomes := map[string]store.Outcome{"done": store.Done, "unknown": store.Unknown, "fenced": store.Fenced}
		for _, w := range words[1:] {
			done.Outcomes = append(done.Outcomes, outcomes[w])
		}
		c.Step(port.Clock{}, done, &out)
	}
	for _, e := range out.List {
		switch e := e.(type) {
		case port.Send:
			switch in := e.In.(type) {
			case port.TakeRecord:
				fmt.Fprintf(text, "take %d\n", e.To.Index)
			case port.Appended:
				fmt.Fprintf(text, "appended %d seq=%d %s\n", e.To.Index, in.Seq, in.Outcome)
			}
		case port.AppendStore:
			fmt.Fprintf(text, "AppendStore")
			for _, a := range e.Batch {
				fmt.Fprintf(text, " %d:seq=%d,%dB,trim=%d", a.Fence.Shard, a.Seq, len(a.Record), a.Trim)
			}
			text.WriteString("\n")
		}
	}
}

// TestPartitionAgainstMap checks the overlay's partition against a sorted map.
func TestPartitionAgainstMap(t *testing.T) {
	testPartition(t, 2000, 50)
	testPartition(t, 5000, 4)
	testPartition(t, 20000, 3000)
}

func testPartition(t *testing.T, steps, keys int) {
	var o overlay
	o.reset()
	truth := map[string]bool{}
	random := uint32(1)
	for range steps {
		random = random*1664525 + 1013904223
		key := fmt.Sprint(random >> 8 % uint32(keys))
		p := o.ensure(store.Partition{Partition: "p"})
		e := p.find(key)
		if (e != nil) != truth[key] {
			t.Fatalf("key %s found: %v", key, e != nil)
		}
		switch random >> 5 % 8 {
		case 0, 1, 2, 3:
			if e == nil {
				e = o.insert(p, key)
				o.set(e, 1, 0, put, []byte(key))
				truth[key] = true
			}
		case 4, 5, 6:
			if e != nil {
				o.remove(e)
				delete(truth, key)
			}
		default:
			sameWindow(t, p, truth, key, "7")
			sameWindow(t, p, truth, key, "")
		}
	}
	for key := range truth {
		o.remove(o.get(store.Partition{Partition: "p"}).find(key))
	}
	if o.bytes != 0 || len(o.parts) != 0 {
		t.Fatalf("%d bytes, %d partitions left", o.bytes, len(o.parts))
	}
}

func sameWindow(t *testing.T, p *partition, truth map[string]bool, from, to string) {
	t.Helper()
	var want, got []string
	for _, k := range slices.Sorted(maps.Keys(truth)) {
		if k >= from && (to == "" || k < to) {
			want = append(want, k)
		}
	}
	for _, e := range p.window(from, to) {
		got = append(got, e.key)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("window [%s,%s) is %v, must be %v", from, to, got, want)
	}
}
