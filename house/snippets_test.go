package house

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// snippets are bodies of a file of core: a piece of a message that must come, or "" if the code is fine.
var snippets = []struct{ imports, code, want string }{
	// purity
	{"", `func f() { go f() }`, "starts no goroutines"},
	{"", `var c chan int`, "no channels"},
	{"", `type t struct{ c <-chan int }`, "no channels"},
	{"", `func f() { select {} }`, "no select"},
	{"", `func f[T ~chan int](c T) { <-c }`, "no channels"},
	{"io", `func f(r *io.PipeReader) { _ = r }`, ""},
	{"time", `func f() time.Time { return time.Now() }`, "time.Now"},
	{"time", `var now = time.Now`, "time.Now"},
	{"time", `func f(t time.Time) time.Duration { return time.Since(t) }`, "time.Since"},
	{"time", `func f(d time.Duration) { time.Sleep(d) }`, "time.Sleep"},
	{"time", `func f(d time.Duration) { <-time.After(d) }`, "time.After"},
	{"time", `func f(d time.Duration) { time.NewTimer(d).Stop() }`, "time.NewTimer"},
	{"time", `func f(t time.Time) time.Time { return t.Local() }`, "Local"},
	{"fmt", `func f() { fmt.Println() }`, "fmt.Println"},
	{"", `func init() {}`, "no init"},
	{"time fmt", `func f(t time.Time) string { return fmt.Sprint(t.Add(time.Hour).UTC(), time.Unix(1, 0)) }`, ""},
	{"", `type t struct{}; func (t) init() {}`, ""},

	// package-level variables
	{"", `var n int; func f() { n = 1 }`, "assigns to the package-level variable n"},
	{"", `var n int; func f() { n++ }`, "assigns to"},
	{"", `var n int; func f() { n += 2 }`, "assigns to"},
	{"", `var n int; func f() { for n = range 3 { } }`, "assigns to"},
	{"", `var n int; func f() *int { return &n }`, "takes the address of"},
	{"", `var n int; var p = &n`, "takes the address of"},
	{"", `var t struct{ a []int }; func f() { t.a[1] = 2 }`, "assigns to"},
	{"", `var t = &struct{ a int }{}; func f() { (*t).a = 2 }`, "assigns to"},
	{"", `var m = map[int]int{}; func f() { m[1] = 2 }`, "assigns to"},
	{"", `var m = map[int]int{}; func f() { delete(m, 1) }`, "changes"},
	{"", `var m = map[int]int{}; func f() { clear(m) }`, "changes"},
	{"", `var s = []int{1}; func f() { copy(s, s) }`, "changes"},
	{"slices", `var s = []int{1}; func f() { slices.Sort(s) }`, "changes"},
	{"maps", `var m = map[int]int{}; func f() { maps.Copy(m, m) }`, "changes"},
	{"", `var a [3]int; func f() []int { return a[:] }`, "takes the address of"},
	{"strings", `var b strings.Builder; func f() { b.WriteString("x") }`, "takes the address of"},
	{"time", `func f() { time.UTC = nil }`, "assigns to"},
	{"", `var n int; func f() { n := n; n = 2; _ = n }`, ""},
	{"", `var s = []int{1}; func f() int { return s[0] + len(s[1:]) }`, ""},
	{"strings", `var r = strings.NewReplacer("a", "b"); func f() string { return r.Replace("x") }`, ""},
	{"", `type t struct{ n int }; func (x *t) f() { x.n = 1; p := &x.n; *p = 3 }`, ""},

	// order of maps
	{"", `func f(m map[int]int) { for k := range m { println(k) } }`, "order of a map"},
	{"", `func f(m map[int]int) (s []int) { for k := range m { s = append(s, k) }; return }`, "order of a map"},
	{"", `func f(m map[int]int) int { for k := range m { return k }; return 0 }`, "order of a map"},
	{"", `func f(m map[int]int) (s float64) { for _, v := range m { s += float64(v) }; return }`, "order of a map"},
	{"", `func f(m map[int]string) (s string) { for _, v := range m { s += v }; return }`, "order of a map"},
	{"", `func f(m, n map[int]int) { for k, v := range m { n[v] = k } }`, "order of a map"},
	{"", `func f(m, n map[int]int, g func(int) int) { for k, v := range m { n[k] = g(v) } }`, "order of a map"},
	{"", `func f[M ~map[int]int](m M) { for k := range m { println(k) } }`, "order of a map"},
	{"", `type t map[int]int; func f(m t) { for k := range m { println(k) } }`, "order of a map"},
	{"", `func f(m map[int]int) { switch { case true: for k := range m { println(k) } } }`, "order of a map"},
	{"", `func f(m map[int]int) { a: for k := range m { println(k); continue a } }`, "order of a map"},
	{"", `func f(m map[int]int) {
		//ordered:
		for k := range m { println(k) } }`, "order of a map"},
	{"go.temporal.io/api/common/v1", `func f(m *common.Memo) { for k := range m.Fields { println(k) } }`, "order of a map"},
	{"go.temporal.io/api/common/v1", `func f(m *common.Memo) { for k := range m.GetFields() { println(k) } }`, "order of a map"},
	{"maps", `func f(m map[int]int) { for k := range maps.Keys(m) { println(k) } }`, "sort them at once"},
	{"maps slices", `func f(m map[int]int) []int { return slices.Collect(maps.Values(m)) }`, "sort them at once"},
	{"google.golang.org/protobuf/reflect/protoreflect", `func f(m protoreflect.Message) { m.Range(nil) }`, "sort them at once"},
	{"google.golang.org/protobuf/proto", `func f(m proto.Message) { proto.Marshal(m) }`, "Deterministic"},
	{"google.golang.org/protobuf/proto", `func f(m proto.Message) { proto.MarshalOptions{UseCachedSize: true}.Marshal(m) }`, "Deterministic"},
	{"google.golang.org/protobuf/proto", `func f(m proto.Message) { proto.MarshalOptions{Deterministic: true}.Marshal(m) }`, ""},
	{"maps slices", `func f(m map[int]int) []int { return slices.Sorted(maps.Keys(m)) }`, ""},
	{"maps", `func f(m, n map[int]int) { maps.Insert(n, maps.All(m)) }`, ""},
	{"slices", `func f(m map[int]int) (s []int) { for k := range m { s = append(s, k) }; slices.Sort(s); return }`, ""},
	{"sort", `func f(m map[string]int) (s []string) { for k := range m { if k != "" { s = append(s, k) } }; sort.Strings(s); return }`, ""},
	{"slices", `func f(m map[int]int) (s, z []int) { for k := range m { s = append(s, k) }; slices.Sort(z); return }`, "order of a map"},
	{"", `func f(m, n map[int]int) { for k, v := range m { if v > len(n) { n[k] = v + 1; continue }; delete(n, k) } }`, ""},
	{"", `func f(m map[int]int) (n int) { for range m { n++ }; for _, v := range m { n += v }; return }`, ""},
	{"", `func g(int) bool { return true }; func f(m, n map[int]int) { for k, v := range m { if g(v) { n[k] = v } } }`, ""},
	{"", `type t struct{}; func (t) g(int) bool { return true }; func f(m map[int]int, n map[int]int, x t) { for k, v := range m { if x.g(v) { n[k] = v } } }`, "order of a map"},
	{"", `func g(*int, int) bool { return true }; func f(m map[int]int, n map[int]int, x *int) { for k, v := range m { if g(x, v) { n[k] = v } } }`, "order of a map"},
	{"", `func f(s []int, n int) { for i := range s { println(i) }; for i := range n { println(i) } }`, ""},
	{"", `func f(m map[int]int) {
		//ordered: printed for a person
		for k := range m { println(k) }
		for k := range m { //ordered: printed for a person
			println(k)
		} }`, ""},
}

// TestSnippets lets the rules of core loose on packages that exist only here.
func TestSnippets(t *testing.T) {
	folder, err := filepath.Abs(filepath.Join(root, "core"))
	if err != nil {
		t.Fatal(err)
	}
	overlay := map[string][]byte{}
	var patterns []string
	for i, s := range snippets {
		var source strings.Builder
		fmt.Fprintf(&source, "package x\n")
		for _, path := range strings.Fields(s.imports) {
			fmt.Fprintf(&source, "import %q\n", path)
		}
		overlay[filepath.Join(folder, name(i), "x.go")] = []byte(source.String() + s.code + "\n")
		patterns = append(patterns, "./core/"+name(i))
	}
	got := map[string][]string{}
	for _, f := range impure(t, overlay, patterns...) {
		folder := filepath.Base(filepath.Dir(f.at.Filename))
		got[folder] = append(got[folder], f.text)
	}
	for i, s := range snippets {
		found := strings.Join(got[name(i)], "; ")
		if s.want == "" && found != "" || !strings.Contains(found, s.want) {
			t.Errorf("%s\n\tgot  %q\n\twant %q", s.code, found, s.want)
		}
	}
}

func name(i int) string { return fmt.Sprintf("snippet%02d", i) }

func TestImportSnippets(t *testing.T) {
	for _, c := range []struct{ file, path, want string }{
		{"core/run/x.go", "perdure/adapters/grpc", "core never imports perdure/adapters/grpc"},
		{"core/run/x.go", "perdure/sim", "core never imports"},
		{"core/run/x_test.go", "perdure/sim", "core never imports"},
		{"core/run/x.go", "perdure/core/port", ""},
		{"core/run/x.go", "perdure/corendure", "core never imports"},
		{"adapters/grpc/x.go", "perdure/sim", "adapters never imports"},
		{"adapters/grpc/x_test.go", "perdure/sim", ""},
		{"adapters/grpc/x.go", "perdure/core/run", ""},
		{"adapters/grpc/x.go", "perdure/adapters/runtime", ""},
		{"adapters/grpc/x.go", "perdure/cmd/server", "adapters never imports"},
		{"sim/x.go", "perdure/adapters/store/sqlite", "sim never imports"},
		{"sim/x_test.go", "perdure/adapters/store/sqlite", ""},
		{"sim/x.go", "perdure/core/node", ""},
		{"cmd/sim/x.go", "perdure/sim", ""},
		{"core/run/x.go", "sync", "core never imports sync"},
		{"core/run/x.go", "sync/atomic", "core never imports"},
		{"core/run/x.go", "context", "core never imports"},
		{"core/run/x.go", "os/exec", "core never imports"},
		{"core/run/x.go", "net/netip", "core never imports"},
		{"core/run/x.go", "math/rand/v2", "core never imports"},
		{"core/run/x.go", "crypto/rand", "core never imports"},
		{"core/run/x.go", "google.golang.org/grpc/codes", "core never imports"},
		{"core/run/x.go", "go.temporal.io/api/serviceerror", "core never imports"},
		{"core/run/x.go", "github.com/google/uuid", "does not use"},
		{"core/run/x.go", "go.temporal.io/api/workflowservice/v1", ""},
		{"core/run/x.go", "google.golang.org/protobuf/proto", ""},
		{"core/run/x.go", "math/bits", ""},
		{"core/run/x.go", "crypto/hmac", ""},
		{"core/run/x_test.go", "os", ""},
		{"adapters/grpc/x.go", "sync", ""},
	} {
		found := fmt.Sprint(badImports(c.file, fmt.Appendf(nil, "package x\nimport %q\n", c.path)))
		if c.want == "" && found != "[]" || !strings.Contains(found, c.want) {
			t.Errorf("%s imports %s: %s, want %q", c.file, c.path, found, c.want)
		}
	}
	generated := "// Code generated by protoc. DO NOT EDIT.\n\npackage x\nimport %q\n"
	if found := badImports("core/run/x.pb.go", fmt.Appendf(nil, generated, "sync")); len(found) != 0 {
		t.Errorf("generated file: %v", found)
	}
	if found := badImports("core/run/x.pb.go", fmt.Appendf(nil, generated, "perdure/sim")); len(found) != 1 {
		t.Errorf("generated file: %v", found)
	}
}

func TestSleepSnippets(t *testing.T) {
	const source = "package x\nimport \"time\"\nfunc f() { time.Sleep(1) }\n"
	if found := sleeps("sim/x_test.go", []byte(source)); len(found) != 1 || found[0].at.Line != 3 {
		t.Errorf("got %v", found)
	}
	if found := sleeps("cmd/x.go", []byte(source)); len(found) != 0 {
		t.Errorf("got %v", found)
	}
	if found := sleeps("sim/x_test.go", []byte("package x\nfunc f() { time.After(1) }\n")); len(found) != 0 {
		t.Errorf("got %v", found)
	}
}
