package mutants

import (
	"go/ast"
	"go/parser"
	"go/types"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/go/packages"
)

const (
	root  = "../.."
	least = 40 // mutants there must be
)

// TestAllMutantsApplyAndCompile: a mutant that the code has outgrown finds nothing.
func TestAllMutantsApplyAndCompile(t *testing.T) {
	all, err := Load(".")
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < least {
		t.Errorf("%d mutants, want %d", len(all), least)
	}
	pkgs, err := packages.Load(&packages.Config{
		Mode: packages.NeedName | packages.NeedFiles | packages.NeedImports | packages.NeedTypes | packages.NeedExportFile | packages.NeedSyntax | packages.NeedTypesInfo | packages.NeedDeps,
		Dir:  root,
	}, "./core/...")
	if err != nil {
		t.Fatal(err)
	}
	core := map[string]*packages.Package{} // by folder
	for _, p := range pkgs {
		core["core"+strings.TrimPrefix(p.PkgPath, "perdure/core")] = p
	}
	seen := map[string]int{}
	for _, m := range all {
		source, err := os.ReadFile(filepath.Join(root, m.File))
		if err != nil {
			t.Errorf("mutant %s: %v", m.Name, err)
			continue
		}
		mutated, err := m.Apply(string(source))
		if err != nil {
			t.Error(err)
			continue
		}
		p := core[filepath.Dir(m.File)]
		if p == nil {
			t.Errorf("mutant %s: %s is not in core", m.Name, m.File)
			continue
		}
		seen[filepath.Dir(m.File)]++
		if err := compile(p, filepath.Base(m.File), mutated); err != nil {
			t.Errorf("mutant %s does not compile: %v", m.Name, err)
		}
	}
	for _, folder := range []string{"core/journal", "core/shard", "core/run", "core/history", "core/taskqueue", "core/registry", "core/token", "core/frontend", "core/node", "core/validate"} {
		if seen[folder] == 0 {
			t.Errorf("no mutant of %s", folder)
		}
	}
}

// compile checks the types of a package with one of its files replaced.
func compile(p *packages.Package, file, source string) error {
	mutated, err := parser.ParseFile(p.Fset, file, source, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	var files []*ast.File
	for i, f := range p.Syntax {
		if filepath.Base(p.GoFiles[i]) == file {
			f = mutated
		}
		files = append(files, f)
	}
	_, err = (&types.Config{Importer: imports(p.Imports)}).Check(p.PkgPath, p.Fset, files, nil)
	return err
}

// imports are the packages that a package imports, loaded already.
type imports map[string]*packages.Package

func (i imports) Import(path string) (*types.Package, error) {
	if path == "unsafe" {
		return types.Unsafe, nil
	}
	return i[path].Types, nil
}

func TestParse(t *testing.T) {
	m, err := Parse("x", "# Swaps\n# two lines.\n\nfile core/a.go\n one\n-two\n+2\n@@\n-four\n")
	if err != nil || m.What != "Swaps two lines." || m.File != "core/a.go" {
		t.Fatalf("%+v, %v", m, err)
	}
	got, err := m.Apply("zero\none\ntwo\nthree\nfour\n")
	if err != nil || got != "zero\none\n2\nthree\n" {
		t.Errorf("%q, %v", got, err)
	}
	for _, source := range []string{"one\nfour\n", "one\ntwo\nfour\none\ntwo\n", ""} {
		if _, err := m.Apply(source); err == nil {
			t.Errorf("applied to %q", source)
		}
	}
	for _, bad := range []string{"", "# x\n", "file a\n-x\n", "# x\nfile a\n", "# x\nfile a\n-x\n+x\n", "# x\nfile a\nx\n", "x\nfile a\n-x\n"} {
		if _, err := Parse("bad", bad); err == nil {
			t.Errorf("parsed %q", bad)
		}
	}
}
