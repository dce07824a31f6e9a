package house

import (
	"bytes"
	"go/format"
	"go/token"
	"testing"
)

func TestFilesAreFormatted(t *testing.T) {
	for name, source := range files(t) {
		report(t, unformatted(name, source))
	}
}

func unformatted(name string, source []byte) []finding {
	formatted, err := format.Source(source)
	switch {
	case err != nil:
		return []finding{{token.Position{Filename: name}, err.Error()}}
	case !bytes.Equal(formatted, source):
		return []finding{{token.Position{Filename: name}, "run gofmt -w " + name}}
	}
	return nil
}

func TestFormatSnippets(t *testing.T) {
	for source, want := range map[string]int{"package x\n\nvar y = 1\n": 0, "package x\nvar  y = 1\n": 1, "package x\nvar y = {\n": 1} {
		if found := unformatted("x.go", []byte(source)); len(found) != want {
			t.Errorf("%q: found %v, want %d", source, found, want)
		}
	}
}
