package house

import (
	"fmt"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Ids that docs and code share: an invariant or a promise that only one of them
// knows is either not kept or not said.

var (
	rowID      = regexp.MustCompile(`(?m)^\| ([JOQRSW][0-9]+) \|`)
	codeID     = regexp.MustCompile(`\b[JOQRSW][0-9]+\b`)
	rowPromise = regexp.MustCompile(`(?m)^\| (P[0-9]+ [a-z_]+) \|`)
	promise    = regexp.MustCompile(`"(P[0-9]+ [a-z_]+)"`)
)

func TestInvariantsAreNamedInDocsAndCode(t *testing.T) {
	text := map[string]string{}
	for name, source := range files(t) {
		if below(name, "core") || below(name, "adapters") || below(name, "sim") {
			text[name] = string(source)
		}
	}
	report(t, unmatched("docs/invariants.md", rowID, doc(t, "docs/invariants.md"), codeID, text))
}

func TestPromisesAreNamedInDocsAndCode(t *testing.T) {
	const checkers = "sim/check/check.go"
	text := map[string]string{checkers: string(files(t)[checkers])}
	report(t, unmatched("docs/simulator.md", rowPromise, doc(t, "docs/simulator.md"), promise, text))
}

func doc(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// unmatched compares the ids of a document's rows with those in the code, by file.
func unmatched(name string, row *regexp.Regexp, doc string, id *regexp.Regexp, code map[string]string) (found []finding) {
	rows, used := map[string]bool{}, map[string]bool{}
	for _, m := range row.FindAllStringSubmatch(doc, -1) {
		rows[m[1]] = true
	}
	for file, source := range code {
		for line, text := range strings.Split(source, "\n") {
			for _, m := range id.FindAllStringSubmatch(text, -1) {
				word := m[len(m)-1]
				if used[word] = true; !rows[word] {
					found = append(found, finding{token.Position{Filename: file, Line: line + 1}, fmt.Sprintf("%s is not in the tables of %s: add it there", word, name)})
				}
			}
		}
	}
	for line, text := range strings.Split(doc, "\n") {
		if m := row.FindStringSubmatch(text); m != nil && !used[m[1]] {
			found = append(found, finding{token.Position{Filename: name, Line: line + 1}, fmt.Sprintf("%s is named nowhere in the code: name it where it is kept or checked", m[1])})
		}
	}
	return found
}

func TestUnmatchedWords(t *testing.T) {
	const table = "| id | what |\n|---|---|\n| J1 | kept |\n| Q22 | not kept |\nJ3 is no row\n"
	code := map[string]string{"core/a.go": "// J1: kept\nx := J12\n// J3 and XJ4, J5x\n"}
	var got []string
	for _, f := range unmatched("docs/x.md", rowID, table, codeID, code) {
		got = append(got, fmt.Sprintf("%s:%d %s", f.at.Filename, f.at.Line, strings.Fields(f.text)[0]))
	}
	want := "core/a.go:2 J12, core/a.go:3 J3, docs/x.md:4 Q22"
	if strings.Join(got, ", ") != want {
		t.Errorf("found %s, want %s", strings.Join(got, ", "), want)
	}
	if found := unmatched("docs/x.md", rowPromise, "| P1 effects_once | all |\n", promise, map[string]string{"c.go": `EffectsOnce = "P1 effects_once"`}); len(found) != 0 {
		t.Errorf("found %v", found)
	}
}
