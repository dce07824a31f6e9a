package house

import (
	"go/ast"
	"go/token"
	"go/types"
)

// impureFunctions are functions and variables of pure enough packages that core must not use.
var impureFunctions = map[string]string{
	"time.Now":           "time is an argument (port.Clock)",
	"time.Since":         "time is an argument (port.Clock)",
	"time.Until":         "time is an argument (port.Clock)",
	"time.After":         "waiting is an effect (port.Alarm)",
	"time.AfterFunc":     "waiting is an effect (port.Alarm)",
	"time.NewTimer":      "waiting is an effect (port.Alarm)",
	"time.NewTicker":     "waiting is an effect (port.Alarm)",
	"time.Tick":          "waiting is an effect (port.Alarm)",
	"time.Sleep":         "waiting is an effect (port.Alarm)",
	"time.Local":         "the zone of the machine is not an input; use UTC",
	"time.LoadLocation":  "it reads files",
	"(time.Time).Local":  "the zone of the machine is not an input; use UTC",
	"fmt.Print":          "output is an effect",
	"fmt.Printf":         "output is an effect",
	"fmt.Println":        "output is an effect",
	"reflect.MapKeys":    "the order of a map shows",
	"path/filepath.Walk": "files are an adapter's",
}

// purity refuses goroutines, channels and impure functions.
func (u *unit) purity(file *ast.File) {
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			u.refuse(n, "core starts no goroutines: whatever takes time is an effect that comes back as an input")
		case *ast.SelectStmt:
			u.refuse(n, "core has no select: whatever waits is a struct with a phase")
		case *ast.ChanType:
			u.refuse(n, "core has no channels: whatever waits is a struct with a phase")
		case *ast.FuncDecl:
			if n.Recv == nil && n.Name.Name == "init" {
				u.refuse(n, "core has no init functions: a package-level variable gets its value where it is declared")
			}
		case *ast.Ident:
			u.impureName(n)
		case ast.Expr:
			u.channel(n)
		}
		return true
	})
}

func (u *unit) channel(e ast.Expr) {
	if x, ok := e.(*ast.UnaryExpr); ok && x.Op == token.ARROW {
		u.refuse(e, "core receives from no channel: whatever waits is a struct with a phase")
	}
	if call, ok := e.(*ast.CallExpr); ok {
		if t := u.typeOf(call); t != nil {
			if _, ok := t.Underlying().(*types.Chan); ok {
				u.refuse(e, "core uses no channels: whatever waits is a struct with a phase")
			}
		}
	}
}

func (u *unit) impureName(id *ast.Ident) {
	obj := u.pkg.TypesInfo.Uses[id]
	if obj == nil || obj.Pkg() == nil {
		return
	}
	name := obj.Pkg().Path() + "." + obj.Name()
	if f, ok := obj.(*types.Func); ok {
		name = f.FullName()
	}
	if why, ok := impureFunctions[name]; ok {
		u.refuse(id, "core never uses %s: %s", name, why)
	}
}
