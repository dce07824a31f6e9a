package house

import (
	"go/ast"
	"go/token"
	"go/types"
)

// globals refuses whatever changes a package-level variable, or lets something else change it.
func (u *unit) globals(file *ast.File) {
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			if n.Tok != token.DEFINE {
				for _, e := range n.Lhs {
					u.notGlobal(e, "assigns to")
				}
			}
		case *ast.IncDecStmt:
			u.notGlobal(n.X, "assigns to")
		case *ast.RangeStmt:
			if n.Tok == token.ASSIGN {
				u.notGlobal(n.Key, "assigns to")
				u.notGlobal(n.Value, "assigns to")
			}
		case *ast.UnaryExpr:
			if n.Op == token.AND {
				u.notGlobal(n.X, "takes the address of")
			}
		case *ast.SliceExpr:
			if _, ok := u.typeOf(n.X).Underlying().(*types.Array); ok {
				u.notGlobal(n.X, "takes the address of")
			}
		case *ast.CallExpr:
			u.globalsOfCall(n)
		}
		return true
	})
}

// globalsOfCall looks at calls that change an argument or take the address of their receiver.
func (u *unit) globalsOfCall(call *ast.CallExpr) {
	switch u.builtin(call.Fun) {
	case "delete", "clear", "copy":
		u.notGlobal(call.Args[0], "changes")
	}
	if f := u.called(call.Fun); len(call.Args) > 0 && (inside(f, "maps") && (f.Name() == "Copy" || f.Name() == "Insert" || f.Name() == "DeleteFunc") ||
		inside(f, "sort") || inside(f, "slices") && (f.Name() == "Sort" || f.Name() == "SortFunc" || f.Name() == "SortStableFunc" || f.Name() == "Reverse")) {
		u.notGlobal(call.Args[0], "changes")
	}
	method, ok := ast.Unparen(call.Fun).(*ast.SelectorExpr)
	if !ok {
		return
	}
	selection := u.pkg.TypesInfo.Selections[method]
	if selection == nil || selection.Kind() != types.MethodVal {
		return
	}
	receiver := selection.Obj().(*types.Func).Signature().Recv()
	_, byPointer := receiver.Type().(*types.Pointer)
	_, isPointer := u.typeOf(method.X).Underlying().(*types.Pointer)
	if byPointer && !isPointer {
		u.notGlobal(method.X, "takes the address of")
	}
}

// notGlobal refuses an expression that is a package-level variable or a part of one.
func (u *unit) notGlobal(e ast.Expr, does string) {
	for {
		switch x := e.(type) {
		case *ast.ParenExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.SliceExpr:
			e = x.X
		case *ast.SelectorExpr:
			if v, ok := u.pkg.TypesInfo.Uses[x.Sel].(*types.Var); ok && !v.IsField() {
				e = x.Sel // a variable of another package
				continue
			}
			e = x.X
		case *ast.Ident:
			if v, ok := u.pkg.TypesInfo.Uses[x].(*types.Var); ok && v.Pkg() != nil && v.Parent() == v.Pkg().Scope() {
				u.refuse(x, "core %s the package-level variable %s: state belongs to a machine", does, v.Name())
			}
			return
		default:
			return
		}
	}
}
