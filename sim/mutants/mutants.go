// Package mutants holds small bugs, made on purpose: each is a change of a line or
// two of the product that compiles, looks harmless and breaks a promise. The
// simulator must find every one of them within a budget of seeds (sim mutants);
// one that it does not find shows that a checker is missing.
//
// A mutant is a file NAME.mutant. Lines that begin with # say what it breaks, one
// line names the file, and the rest are hunks as in a diff, without line numbers:
// a space before a line of context, - before one that goes, + before one that
// comes, @@ between hunks. What a hunk takes out must be in the file exactly once.
package mutants

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Mutant is one bug.
type Mutant struct {
	Name string
	What string // it breaks
	File string // from the root of the repository
	cuts []cut
}

// cut replaces one text by another.
type cut struct{ before, after string }

// Load reads all mutants of a folder, by name.
func Load(folder string) ([]*Mutant, error) {
	names, err := filepath.Glob(filepath.Join(folder, "*.mutant"))
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("no mutants in %s: run this in the root of the repository", folder)
	}
	all := make([]*Mutant, 0, len(names))
	for _, path := range names {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		m, err := Parse(strings.TrimSuffix(filepath.Base(path), ".mutant"), string(text))
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	return all, nil
}

// Parse reads one mutant.
func Parse(name, text string) (*Mutant, error) {
	m := &Mutant{Name: name}
	var what []string
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		file, names := strings.CutPrefix(line, "file ")
		switch {
		case names && m.File == "":
			m.File = file
			m.cuts = append(m.cuts, cut{})
		case m.File == "" && strings.HasPrefix(line, "#"):
			what = append(what, strings.TrimSpace(line[1:]))
		case m.File == "" && line == "":
		case m.File == "":
			return nil, m.bad("%q before the line that names the file", line)
		case line == "@@":
			m.cuts = append(m.cuts, cut{})
		case !m.cuts[len(m.cuts)-1].add(line):
			return nil, m.bad("%q is no line of a hunk: it begins with a space, - or +", line)
		}
	}
	m.What = strings.Join(what, " ")
	switch {
	case m.What == "":
		return nil, m.bad("nothing says what it breaks: begin with a line # ...")
	case m.File == "":
		return nil, m.bad("no line names the file: file core/...")
	}
	for _, c := range m.cuts {
		if c.before == "" || c.before == c.after {
			return nil, m.bad("a hunk that changes nothing")
		}
	}
	return m, nil
}

func (m *Mutant) bad(format string, args ...any) error {
	return fmt.Errorf("mutant %s: "+format, append([]any{m.Name}, args...)...)
}

// add takes one line of a hunk.
func (c *cut) add(line string) bool {
	if line == "" {
		line = " "
	}
	text := line[1:] + "\n"
	switch line[0] {
	case ' ':
		c.before, c.after = c.before+text, c.after+text
	case '-':
		c.before += text
	case '+':
		c.after += text
	default:
		return false
	}
	return true
}

// Apply makes the file with the bug from the file without.
func (m *Mutant) Apply(source string) (string, error) {
	for _, c := range m.cuts {
		if n := strings.Count(source, c.before); n != 1 {
			return "", m.bad("%s has this %d times, not once; write the mutant anew:\n%s", m.File, n, c.before)
		}
		source = strings.Replace(source, c.before, c.after, 1)
	}
	return source, nil
}
