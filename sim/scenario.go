package sim

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"perdure/sim/check"
	"perdure/sim/weakstore"
	"perdure/sim/workload"
)

// Scenario is a universe that is written out: its plan, what clients do and which
// faults of nodes happen. What is left to chance comes from the seed. Unlike a
// seed, a scenario keeps its meaning when the code around it changes.
//
// As text it has one thing a line: # and words for people; "promise" and the one
// that broke, or nothing if none must; "seed" and the number; "plan" with a field
// and its value, where it is not that of Quiet; "fault" with time, kind and
// number; "op" with time, name and request (workload.Op).
type Scenario struct {
	Words   []string
	Promise check.Promise
	Seed    uint64
	Plan    Plan
	Ops     []*workload.Op
	Faults  []Fault
}

// Quiet is the plan that scenarios begin with: one of each, large enough, and no faults.
func Quiet() Plan {
	p := Draw(1, true)
	c, w := &p.Cluster, &p.World
	c.Shards, c.QueueParts, c.QueueWindow, c.MemoryBytes = 1, 1, 0, 192<<20
	c.Hop, c.Wire, c.FlushBytes, c.FlushAge = time.Millisecond, time.Millisecond, 1<<20, 100*time.Millisecond
	c.HistoryRows = 0
	p.Store.Kind, p.Store.Step, p.Store.Slow = weakstore.SQL, 0, time.Millisecond
	w.Queues, w.Workers, w.Clients, w.Starts, w.Pool, w.Depth, w.Query = 1, 1, 1, 1, 1, 0, 0
	w.Retention, w.Pace = minRetention, time.Second
	p.Faults = Faults{For: 10 * time.Second, DownTime: time.Second}
	return p
}

// Text is the scenario as a file holds it.
func (x *Scenario) Text() string {
	var b strings.Builder
	for _, w := range x.Words {
		fmt.Fprintf(&b, "# %s\n", w)
	}
	fmt.Fprintf(&b, "promise %s\nseed %d\n", x.Promise, x.Seed)
	quiet := Quiet()
	base := fields(&quiet)
	for i, f := range fields(&x.Plan) {
		if text := f.text(); text != base[i].text() {
			fmt.Fprintf(&b, "plan %s %s\n", f.name, text)
		}
	}
	for _, f := range x.Faults {
		fmt.Fprintf(&b, "fault %v %s %d\n", f.At, f.Kind, f.Number)
	}
	for _, o := range x.Ops {
		fmt.Fprintf(&b, "op %s\n", o)
	}
	return b.String()
}

// ParseScenario reads a scenario.
func ParseScenario(text string) (*Scenario, error) {
	x := &Scenario{Plan: Quiet()}
	known := fields(&x.Plan)
	for line := range strings.Lines(text) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		var err error
		switch word {
		case "":
		case "#":
			x.Words = append(x.Words, rest)
		case "promise":
			x.Promise = check.Promise(rest)
		case "seed":
			x.Seed, err = strconv.ParseUint(rest, 10, 64)
		case "plan":
			name, value, _ := strings.Cut(rest, " ")
			i := slices.IndexFunc(known, func(f field) bool { return f.name == name })
			if i < 0 {
				err = errors.New("the plan has no such field")
			} else {
				err = known[i].set(value)
			}
		case "fault":
			err = x.parseFault(rest)
		case "op":
			var o *workload.Op
			o, err = workload.ParseOp(rest)
			x.Ops = append(x.Ops, o)
		default:
			err = errors.New("a line begins with #, promise, seed, plan, fault or op")
		}
		if err != nil {
			return nil, fmt.Errorf("scenario, line %q: %w", strings.TrimSpace(line), err)
		}
	}
	return x, nil
}

func (x *Scenario) parseFault(text string) error {
	words := strings.Fields(text)
	if len(words) != 3 {
		return errors.New("a fault has a time, a kind and a number")
	}
	at, err := time.ParseDuration(words[0])
	n, err2 := strconv.Atoi(words[2])
	x.Faults = append(x.Faults, Fault{at, words[1], n})
	return errors.Join(err, err2)
}

// Clone copies what a shrinker changes; requests are shared.
func (x *Scenario) Clone() *Scenario {
	y := *x
	y.Ops, y.Faults, y.Words = slices.Clone(x.Ops), slices.Clone(x.Faults), slices.Clone(x.Words)
	return &y
}

// field is one number, duration, flag or text of a plan.
type field struct {
	name  string
	value reflect.Value
}

// fields lists them, named as in Cluster.Shards.
func fields(p *Plan) (all []field) {
	var walk func(name string, v reflect.Value)
	walk = func(name string, v reflect.Value) {
		if v.Kind() != reflect.Struct {
			all = append(all, field{name, v})
			return
		}
		for i := range v.NumField() {
			walk(strings.TrimPrefix(name+"."+v.Type().Field(i).Name, "."), v.Field(i))
		}
	}
	walk("", reflect.ValueOf(p).Elem())
	return all
}

func (f field) text() string { return fmt.Sprint(f.value.Interface()) }

// set reads what text writes.
func (f field) set(text string) error {
	if f.value.Type() == reflect.TypeFor[time.Duration]() {
		d, err := time.ParseDuration(text)
		f.value.SetInt(int64(d))
		return err
	}
	switch f.value.Kind() {
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		f.value.SetBool(b)
		return err
	case reflect.Int, reflect.Int32, reflect.Int64:
		n, err := strconv.ParseInt(text, 10, 64)
		f.value.SetInt(n)
		return err
	case reflect.Float64:
		n, err := strconv.ParseFloat(text, 64)
		f.value.SetFloat(n)
		return err
	case reflect.String:
		f.value.SetString(text)
		return nil
	}
	return fmt.Errorf("a field of kind %v cannot be written", f.value.Kind())
}
