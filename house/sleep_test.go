package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
)

// sleeps are the places where a test file waits for time instead of an event.
func sleeps(name string, source []byte) (found []finding) {
	if !strings.HasSuffix(name, "_test.go") {
		return nil
	}
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, source, parser.SkipObjectResolution)
	if err != nil {
		return []finding{{token.Position{Filename: name}, err.Error()}}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok && s.Sel.Name == "Sleep" {
			if x, ok := s.X.(*ast.Ident); ok && x.Name == "time" {
				found = append(found, finding{fset.Position(n.Pos()), "a test never sleeps: wait for what should happen (a channel, a reply)"})
			}
		}
		return true
	})
	return found
}
