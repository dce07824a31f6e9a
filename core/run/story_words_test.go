package run

import (
	"slices"
	"strings"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	failurepb "go.temporal.io/api/failure/v1"
)

// arguments are the words behind a command; taking one removes it.
type arguments struct{ words []string }

// first takes the first word.
func (a *arguments) first() string {
	if len(a.words) == 0 {
		return ""
	}
	w := a.words[0]
	a.words = a.words[1:]
	return w
}

// flag takes a word that stands alone.
func (a *arguments) flag(name string) bool {
	i := slices.Index(a.words, name)
	if i < 0 {
		return false
	}
	a.words = slices.Delete(a.words, i, i+1)
	return true
}

// value takes name=value.
func (a *arguments) value(name string) (string, bool) {
	for i, w := range a.words {
		if v, ok := strings.CutPrefix(w, name+"="); ok {
			a.words = slices.Delete(a.words, i, i+1)
			return v, true
		}
	}
	return "", false
}

func (a *arguments) or(name, otherwise string) string {
	if v, ok := a.value(name); ok {
		return v
	}
	return otherwise
}

func (a *arguments) payloads(name string) *commonpb.Payloads {
	if v, ok := a.value(name); ok {
		return payloads(v)
	}
	return nil
}

func (a *arguments) failure(name string) (*failurepb.Failure, error) {
	v, ok := a.value(name)
	if !ok {
		return nil, nil
	}
	f, err := failure(v)
	if err != nil {
		return nil, err
	}
	return f.(*failurepb.Failure), nil
}

func (a *arguments) rest() []string {
	w := a.words
	a.words = nil
	return w
}

func (a *arguments) duration(name string) (time.Duration, error) {
	v, ok := a.value(name)
	if !ok {
		return 0, nil
	}
	return time.ParseDuration(v)
}
