package sim

import (
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"perdure/sim/workload"
)

// Shrink makes a failing scenario smaller as long as it still fails in the same
// way: it leaves out faults and operations, half of them at once, then fewer, takes
// fields of the plan back to their quiet values and clears fields of requests.
// fails says whether a scenario breaks the promise; it is asked no more than tries times.
func Shrink(x *Scenario, tries int, fails func(*Scenario) bool) *Scenario {
	s := &shrinker{best: x, left: tries, fails: fails}
	for before := -1; before != s.size() && s.left > 0; {
		before = s.size()
		s.lists()
		s.plan()
		s.lists()
		s.requests()
		s.times()
	}
	return s.best
}

type shrinker struct {
	best  *Scenario
	left  int
	fails func(*Scenario) bool
}

// seedsTried: what is left out changes what chance brings, so each candidate gets some.
const seedsTried = 4

// try keeps a candidate if it fails.
func (s *shrinker) try(y *Scenario) bool {
	seed := y.Seed
	for i := uint64(0); i < seedsTried && s.left > 0; i++ {
		s.left--
		y.Seed = seed + i
		if s.fails(y) {
			s.best = y
			return true
		}
	}
	return false
}

// size is what is to become smaller.
func (s *shrinker) size() int { return len(s.best.Text()) }

func (s *shrinker) lists() {
	cutList(s, func(x *Scenario) *[]Fault { return &x.Faults })
	cutList(s, func(x *Scenario) *[]*workload.Op { return &x.Ops })
}

// cutList leaves out runs of a list, long ones first.
func cutList[T any](s *shrinker, list func(*Scenario) *[]T) {
	for n := len(*list(s.best)); n > 0; n /= 2 {
		for from := 0; from < len(*list(s.best)) && s.left > 0; {
			y := s.best.Clone()
			l := list(y)
			*l = slices.Delete(*l, from, min(from+n, len(*l)))
			if !s.try(y) {
				from += n
			}
		}
	}
}

// plan takes fields back: all of them, then each.
func (s *shrinker) plan() {
	quiet := Quiet()
	all := s.best.Clone()
	quiet.World.Queues = all.Plan.World.Queues // workers poll the queues that operations name
	all.Plan = quiet
	if s.try(all) {
		return
	}
	base := fields(&quiet)
	for i := range base {
		y := s.best.Clone()
		mine := fields(&y.Plan)[i]
		if mine.text() == base[i].text() {
			continue
		}
		mine.value.Set(base[i].value)
		if !s.try(y) && mine.value.Type() == base[i].value.Type() {
			s.round(i)
		}
	}
}

// round makes a duration of the plan easier to read.
func (s *shrinker) round(i int) {
	y := s.best.Clone()
	f := fields(&y.Plan)[i]
	d, ok := f.value.Interface().(time.Duration)
	if r := rounded(d); ok && r != d {
		f.value.SetInt(int64(r))
		s.try(y)
	}
}

// rounded keeps two digits.
func rounded(d time.Duration) time.Duration {
	unit := time.Duration(1)
	for d/unit >= 100 {
		unit *= 10
	}
	return d.Round(unit)
}

// keptFields are what runs and where, and what is looked for; without its id a request
// that is repeated is another one.
var keptFields = map[protoreflect.Name]bool{"input": true, "signal_input": true, "request_id": true, "task_queue": true}

// requests clears what need not be set.
func (s *shrinker) requests() {
	for i := range s.best.Ops {
		var set []protoreflect.FieldDescriptor
		s.best.Ops[i].Request.ProtoReflect().Range(func(f protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
			set = append(set, f)
			return true
		})
		slices.SortFunc(set, func(a, b protoreflect.FieldDescriptor) int { return int(a.Number()) - int(b.Number()) })
		for _, f := range set {
			if keptFields[f.Name()] {
				continue
			}
			s.edit(i, func(o *workload.Op) { o.Request.ProtoReflect().Clear(f) })
		}
		s.edit(i, func(o *workload.Op) { o.GiveUp, o.Repeat = 0, false })
		s.edit(i, workload.Simpler)
	}
}

// edit tries a change of one op.
func (s *shrinker) edit(i int, change func(*workload.Op)) {
	y := s.best.Clone()
	o := *y.Ops[i]
	o.Request = proto.Clone(o.Request)
	change(&o)
	if y.Ops[i] = &o; o.String() != s.best.Ops[i].String() {
		s.try(y)
	}
}

// times makes times easier to read.
func (s *shrinker) times() {
	for i := range s.best.Ops {
		s.edit(i, func(o *workload.Op) { o.At = rounded(o.At) })
	}
	for i := range s.best.Faults {
		y := s.best.Clone()
		if r := rounded(y.Faults[i].At); r != y.Faults[i].At {
			y.Faults[i].At = r
			s.try(y)
		}
	}
}
