// Package house holds the rules of this repository that a machine can check.
// It has tests only: go test ./house tells what is broken, where, and what to
// do instead.
//
//   - imports_test.go: which folder may import which, and what core may import at all.
//   - purity_test.go: inside core there is no goroutine, channel, clock or other outside.
//   - globals_test.go: inside core package-level variables are constant tables.
//   - order_test.go: inside core the order of a map never shows.
//   - sleep_test.go: tests wait for events, never for time.
//   - format_test.go: files are as gofmt writes them.
//   - words_test.go: docs and code name the same invariants and promises.
//
// snippets_test.go shows each rule code that it must refuse and code that it must accept.
//
// Test files inside core may do everything but import outside core; generated
// files are exempt from all but the import rules.
package house

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/go/packages"
)

const module = "perdure"

// root is the repository, seen from this folder.
const root = ".."

// finding is one broken rule.
type finding struct {
	at   token.Position
	text string
}

func (f finding) String() string {
	name := f.at.Filename
	if full, err := filepath.Abs(root); err == nil {
		if short, err := filepath.Rel(full, name); err == nil {
			name = short
		}
	}
	return fmt.Sprintf("%s:%d: %s", name, f.at.Line, f.text)
}

func report(t *testing.T, all []finding) {
	t.Helper()
	for _, f := range all {
		t.Error(f)
	}
}

// unit is one package, as a rule looks at it.
type unit struct {
	pkg    *packages.Package
	found  []finding
	sorted []*ast.CallExpr // iterators that are sorted where they are made
}

func (u *unit) refuse(at ast.Node, format string, args ...any) {
	u.found = append(u.found, finding{u.pkg.Fset.Position(at.Pos()), fmt.Sprintf(format, args...)})
}

func (u *unit) typeOf(e ast.Expr) types.Type { return u.pkg.TypesInfo.TypeOf(e) }

// called is the function or method that a call names, nil if it is none.
func (u *unit) called(e ast.Expr) *types.Func {
	switch e := ast.Unparen(e).(type) {
	case *ast.Ident:
		f, _ := u.pkg.TypesInfo.Uses[e].(*types.Func)
		return f
	case *ast.SelectorExpr:
		f, _ := u.pkg.TypesInfo.Uses[e.Sel].(*types.Func)
		return f
	case *ast.IndexExpr:
		return u.called(e.X)
	case *ast.IndexListExpr:
		return u.called(e.X)
	}
	return nil
}

// builtin is the name of the built-in function that a call names, "" if it is none.
func (u *unit) builtin(e ast.Expr) string {
	if id, ok := ast.Unparen(e).(*ast.Ident); ok {
		if b, ok := u.pkg.TypesInfo.Uses[id].(*types.Builtin); ok {
			return b.Name()
		}
	}
	return ""
}

// inside reports whether f is a function of the package with that path.
func inside(f *types.Func, path string) bool {
	return f != nil && f.Pkg() != nil && f.Pkg().Path() == path
}

const load = packages.NeedName | packages.NeedFiles | packages.NeedImports | packages.NeedTypes | packages.NeedExportFile | packages.NeedSyntax | packages.NeedTypesInfo

// impure are the broken rules of core's packages that match the patterns.
func impure(t *testing.T, overlay map[string][]byte, patterns ...string) []finding {
	t.Helper()
	pkgs, err := packages.Load(&packages.Config{Mode: load, Dir: root, Overlay: overlay}, patterns...)
	if err != nil {
		t.Fatal(err)
	}
	var found []finding
	for _, pkg := range pkgs {
		if len(pkg.Errors) > 0 {
			t.Errorf("%s does not compile: %v", pkg.PkgPath, pkg.Errors[0])
			continue
		}
		u := &unit{pkg: pkg}
		for _, file := range pkg.Syntax {
			if ast.IsGenerated(file) {
				continue
			}
			u.purity(file)
			u.globals(file)
			u.order(file)
		}
		found = append(found, u.found...)
	}
	return found
}

func TestCoreIsPure(t *testing.T) {
	report(t, impure(t, nil, "./core/..."))
}

func TestImportsKeepTheirDirection(t *testing.T) {
	for name, source := range files(t) {
		report(t, badImports(name, source))
	}
}

func TestTestsDoNotSleep(t *testing.T) {
	for name, source := range files(t) {
		report(t, sleeps(name, source))
	}
}

// files are all Go files of the repository, by path.
func files(t *testing.T) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || path == filepath.Join(root, "build")):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go"):
			return nil
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		all[filepath.ToSlash(name)], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
