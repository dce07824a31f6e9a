package schema

import (
	"errors"
	"testing"
)

// toy is a schema of three versions.
type toy struct {
	have    int
	broken  error
	applied bool
}

const newest = 3

func (x *toy) Versions() (have, want int, err error) { return x.have, newest, x.broken }
func (x *toy) Plan() ([]string, error)               { return []string{"a step"}, nil }
func (x *toy) Apply() error                          { x.applied, x.have = true, newest; return nil }
func (x *toy) Close() error                          { return nil }

func TestOnlyAnEmptyDatabaseIsSetUpOnStart(t *testing.T) {
	broken := errors.New("broken")
	for _, c := range []struct {
		have          int
		broken        error
		start         error
		applied       bool
		setup, update error
		steps         [2]int // of setup, update
	}{
		{have: 0, applied: true, update: ErrMissing, steps: [2]int{1, 0}},
		{have: 2, start: ErrOlder, setup: ErrOlder, steps: [2]int{0, 1}},
		{have: 3},
		{have: 4, start: ErrNewer, setup: ErrNewer, update: ErrNewer},
		{have: 3, broken: broken, start: broken, setup: broken, update: broken},
	} {
		setup, errSetup := ForSetup(&toy{have: c.have, broken: c.broken})
		update, errUpdate := ForUpdate(&toy{have: c.have, broken: c.broken})
		if !errors.Is(errSetup, c.setup) || !errors.Is(errUpdate, c.update) || [2]int{len(setup), len(update)} != c.steps {
			t.Errorf("version %d: setup %q, %v; update %q, %v", c.have, setup, errSetup, update, errUpdate)
		}
		x := &toy{have: c.have, broken: c.broken}
		if err := Prepare(x); !errors.Is(err, c.start) || x.applied != c.applied {
			t.Errorf("version %d: start: %v, applied %v", c.have, err, x.applied)
		}
	}
}
