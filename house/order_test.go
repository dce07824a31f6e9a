package house

import (
	"go/ast"
	"go/token"
	"go/types"
	"strings"
)

// ordered marks a range over a map whose order cannot show in a way that this test
// does not see. A reason follows it; it stands above the loop or behind its head.
const ordered = "//ordered:"

// order refuses every range over a map that is not harmless at sight. Harmless:
//
//	for k := range m { delete(n, x) }          and any mix of these three, also
//	for k, v := range m { n[k] = x }           inside an if, where x is
//	for k, v := range m { i += x }             is plain (below) and i is an integer
//	for k := range m { s = append(s, x) }      followed at once by sorting s
//	for range m { ... }                        which does not see the map
//
// and the iterators of package maps as arguments of slices.Sorted* or maps.Collect.
func (u *unit) order(file *ast.File) {
	marks := u.marks(file)
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CompositeLit:
			u.orderOfOptions(n, marks)
		case *ast.BlockStmt:
			u.orderOfBlock(n.List, marks)
		case *ast.CaseClause:
			u.orderOfBlock(n.Body, marks)
		case *ast.CallExpr:
			u.orderOfCall(n, marks)
		}
		return true
	})
}

func (u *unit) orderOfBlock(list []ast.Stmt, marks map[int]bool) {
	for i, s := range list {
		if labeled, ok := s.(*ast.LabeledStmt); ok {
			s = labeled.Stmt
		}
		loop, ok := s.(*ast.RangeStmt)
		if !ok || !isMap(u.typeOf(loop.X)) || blank(loop.Key) && blank(loop.Value) || marks[u.line(loop)] {
			continue
		}
		body := &loopBody{unit: u, key: loop.Key, value: loop.Value}
		if !body.harmless(loop.Body.List) || !body.sortedBy(list[i+1:]) {
			u.refuse(loop, "the order of a map shows: range over slices.Sorted(maps.Keys(m)), use an ordered container, or say in %s why it cannot", ordered)
		}
	}
}

// marks are the lines whose loops carry the mark, with a reason.
func (u *unit) marks(file *ast.File) map[int]bool {
	lines := map[int]bool{}
	for _, group := range file.Comments {
		for _, c := range group.List {
			if reason, ok := strings.CutPrefix(c.Text, ordered); ok && strings.TrimSpace(reason) != "" {
				lines[u.line(c)] = true
				lines[u.pkg.Fset.Position(group.End()).Line+1] = true
			}
		}
	}
	return lines
}

func (u *unit) line(n ast.Node) int { return u.pkg.Fset.Position(n.Pos()).Line }

func isMap(t types.Type) bool {
	if t == nil {
		return false
	}
	_, ok := t.Underlying().(*types.Map)
	if p, isParam := t.(*types.TypeParam); isParam {
		if u, isUnion := p.Constraint().Underlying().(*types.Interface); isUnion {
			for e := range u.EmbeddedTypes() {
				ok = ok || strings.Contains(e.String(), "map[")
			}
		}
	}
	return ok
}

func blank(e ast.Expr) bool {
	id, ok := e.(*ast.Ident)
	return e == nil || ok && id.Name == "_"
}

// loopBody is the body of a range over a map while it is looked at.
type loopBody struct {
	*unit
	key       ast.Expr
	value     ast.Expr
	collected []string // slices that were appended to
}

func (b *loopBody) harmless(list []ast.Stmt) bool {
	for _, s := range list {
		if !b.harmlessOne(s) {
			return false
		}
	}
	return true
}

func (b *loopBody) harmlessOne(s ast.Stmt) bool {
	switch s := s.(type) {
	case *ast.ExprStmt:
		call, ok := s.X.(*ast.CallExpr)
		return ok && b.builtin(call.Fun) == "delete" && b.plain(call.Args...)
	case *ast.IncDecStmt:
		return b.integer(s.X) && b.plain(s.X)
	case *ast.BranchStmt:
		return s.Tok == token.CONTINUE && s.Label == nil
	case *ast.IfStmt:
		if s.Init != nil || !b.plain(s.Cond) || !b.harmless(s.Body.List) {
			return false
		}
		return s.Else == nil || b.harmlessOne(s.Else)
	case *ast.BlockStmt:
		return b.harmless(s.List)
	case *ast.AssignStmt:
		return len(s.Lhs) == 1 && len(s.Rhs) == 1 && b.harmlessAssign(s, s.Lhs[0], s.Rhs[0])
	}
	return false
}

func (b *loopBody) harmlessAssign(s *ast.AssignStmt, left, right ast.Expr) bool {
	switch s.Tok {
	case token.ADD_ASSIGN, token.OR_ASSIGN, token.XOR_ASSIGN, token.AND_ASSIGN:
		return b.integer(left) && b.plain(left, right)
	case token.ASSIGN:
	default:
		return false
	}
	if index, ok := left.(*ast.IndexExpr); ok {
		// Each pass sets another entry, so that none overwrites what another set.
		return isMap(b.typeOf(index.X)) && same(index.Index, b.key) && b.plain(index.X, right)
	}
	call, ok := right.(*ast.CallExpr)
	if ok && b.builtin(call.Fun) == "append" && same(left, call.Args[0]) && b.plain(call.Args[1:]...) {
		b.collected = append(b.collected, types.ExprString(left))
		return true
	}
	return false
}

// sortedBy reports whether the statements begin with sorting all that was collected.
func (b *loopBody) sortedBy(after []ast.Stmt) bool {
	for _, slice := range b.collected {
		if len(after) == 0 {
			return false
		}
		s, ok := after[0].(*ast.ExprStmt)
		if !ok {
			return false
		}
		call, ok := s.X.(*ast.CallExpr)
		if !ok || len(call.Args) == 0 || types.ExprString(call.Args[0]) != slice {
			return false
		}
		f := b.called(call.Fun)
		if !inside(f, "sort") && !(inside(f, "slices") && strings.HasPrefix(f.Name(), "Sort")) {
			return false
		}
		after = after[1:]
	}
	return true
}

func same(a, b ast.Expr) bool {
	return a != nil && b != nil && types.ExprString(a) == types.ExprString(b)
}

func (b *loopBody) integer(e ast.Expr) bool {
	basic, ok := b.typeOf(e).Underlying().(*types.Basic)
	return ok && basic.Info()&types.IsInteger != 0
}

// plain reports whether expressions call nothing that could see other passes of the loop:
// conversions, len, cap, min, max, and functions (no methods) of nothing but this pass's
// key and value. They could tell each other something only through package-level variables, which core does not change.
func (b *loopBody) plain(list ...ast.Expr) bool {
	ok := true
	for _, e := range list {
		ast.Inspect(e, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncLit:
				ok = false
			case *ast.CallExpr:
				ok = ok && b.plainCall(n)
			}
			return ok
		})
	}
	return ok
}

func (b *loopBody) plainCall(call *ast.CallExpr) bool {
	if b.pkg.TypesInfo.Types[call.Fun].IsType() {
		return true
	}
	switch b.builtin(call.Fun) {
	case "len", "cap", "min", "max":
		return true
	}
	if f := b.called(call.Fun); f == nil || f.Signature().Recv() != nil {
		return false
	}
	for _, arg := range call.Args {
		if !b.ofThisPass(arg) {
			return false
		}
	}
	return true
}

// ofThisPass reports whether an argument is a constant, or the loop's key or value or a part of them.
func (b *loopBody) ofThisPass(e ast.Expr) bool {
	if b.pkg.TypesInfo.Types[e].Value != nil {
		return true
	}
	for {
		switch x := ast.Unparen(e).(type) {
		case *ast.SelectorExpr:
			e = x.X
		case *ast.Ident:
			return same(x, b.key) || same(x, b.value)
		default:
			return false
		}
	}
}

// unordered are functions that hand out the entries of a map in an order of their own.
var unordered = map[string]bool{
	"maps.Keys": true, "maps.Values": true, "maps.All": true,
	"(google.golang.org/protobuf/reflect/protoreflect.Map).Range":     true,
	"(google.golang.org/protobuf/reflect/protoreflect.Message).Range": true,
	"(reflect.Value).MapRange":                                        true, "(reflect.Value).MapKeys": true,
	"google.golang.org/protobuf/proto.Marshal":                               true,
	"google.golang.org/protobuf/encoding/protojson.Marshal":                  true,
	"google.golang.org/protobuf/encoding/prototext.Marshal":                  true,
	"(google.golang.org/protobuf/encoding/protojson.MarshalOptions).Marshal": true,
}

// harmlessWith are functions whose result does not show the order of an iterator.
var harmlessWith = map[string]bool{"Sorted": true, "SortedFunc": true, "SortedStableFunc": true, "Collect": true, "Insert": true}

// orderOfCall looks at calls whose results come in the order of a map.
func (u *unit) orderOfCall(call *ast.CallExpr, marks map[int]bool) {
	if f := u.called(call.Fun); inside(f, "slices") || inside(f, "maps") {
		if harmlessWith[f.Name()] && (f.Name() != "Collect" || inside(f, "maps")) {
			for _, arg := range call.Args {
				if inner, ok := ast.Unparen(arg).(*ast.CallExpr); ok {
					u.sorted = append(u.sorted, inner)
				}
			}
		}
	}
	f := u.called(call.Fun)
	if f == nil || !unordered[f.Origin().FullName()] || marks[u.line(call)] {
		return
	}
	for _, inner := range u.sorted {
		if inner == call {
			return
		}
	}
	if strings.HasSuffix(f.Name(), "Marshal") {
		u.refuse(call, "%s writes maps in any order: use proto.MarshalOptions{Deterministic: true}, or say in %s why it cannot show", f.Name(), ordered)
		return
	}
	u.refuse(call, "%s hands out a map's entries in any order: sort them at once (slices.Sorted), or say in %s why it cannot show", f.FullName(), ordered)
}

const marshalOptions = "google.golang.org/protobuf/proto.MarshalOptions"

// orderOfOptions refuses encodings of messages that do not sort their maps.
func (u *unit) orderOfOptions(lit *ast.CompositeLit, marks map[int]bool) {
	named, ok := u.typeOf(lit).(*types.Named)
	if !ok || named.Obj().Pkg() == nil || named.Obj().Pkg().Path()+"."+named.Obj().Name() != marshalOptions || marks[u.line(lit)] {
		return
	}
	for _, e := range lit.Elts {
		if field, ok := e.(*ast.KeyValueExpr); ok && types.ExprString(field.Key) == "Deterministic" && types.ExprString(field.Value) == "true" {
			return
		}
	}
	u.refuse(lit, "this writes maps in any order: set Deterministic: true, or say in %s why it cannot show", ordered)
}
