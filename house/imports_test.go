package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
)

// directions says which of our own folders the files of a folder may import.
// What is not listed may import everything. Tests of sim and adapters may bring both together.
var directions = []struct {
	from  string
	tests bool // the rule holds for test files too
	may   []string
}{
	{"core", true, []string{"core"}},
	{"adapters", false, []string{"core", "adapters"}},
	{"sim", false, []string{"core", "sim"}},
	{"adapters", true, []string{"core", "adapters", "sim"}},
	{"sim", true, []string{"core", "adapters", "sim"}},
}

// outside are the packages that core never imports, with everything below them.
var outside = map[string]string{
	"C":                               "core is Go alone",
	"context":                         "a caller that goes is an input (port.Gone)",
	"crypto/rand":                     "randomness comes from a generator handed in at construction",
	"google.golang.org/grpc":          "refusals are core types, adapters/grpc turns them into statuses",
	"go.temporal.io/api/serviceerror": "refusals are core types, adapters/grpc turns them into statuses",
	"hash/maphash":                    "its hashes differ from process to process",
	"log":                             "what is worth telling is an effect or a reply",
	"math/rand":                       "randomness comes from a generator handed in at construction",
	"net":                             "the network is an adapter",
	"os":                              "the system is an adapter",
	"runtime":                         "the system is an adapter",
	"sync":                            "one caller at a time steps a machine: there is nothing to lock",
	"syscall":                         "the system is an adapter",
	"unsafe":                          "core is safe Go alone",
}

// libraries are the modules of others that core may use: data and pure functions.
var libraries = []string{
	"go.temporal.io/api",         // the vocabulary
	"google.golang.org/protobuf", // its encoding
	"github.com/cespare/xxhash/v2",
	"github.com/klauspost/compress/s2",
	"github.com/robfig/cron/v3",
	"github.com/blang/semver/v4",
	"github.com/tidwall/btree", // ordered containers
	"pgregory.net/rapid",       // of suites that tests call: core/store/conformance
}

// badImports are the imports of one file that its place in the tree forbids.
func badImports(name string, source []byte) (found []finding) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, source, parser.ImportsOnly|parser.ParseComments)
	if err != nil {
		return []finding{{token.Position{Filename: name}, err.Error()}}
	}
	test, generated := strings.HasSuffix(name, "_test.go"), ast.IsGenerated(file)
	for _, spec := range file.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue
		}
		text := badDirection(name, path, test)
		if text == "" && strings.HasPrefix(name, "core/") && !test && !generated {
			text = badLibrary(path)
		}
		if text != "" {
			found = append(found, finding{fset.Position(spec.Pos()), text})
		}
	}
	return found
}

func badDirection(name, path string, test bool) string {
	ours, ok := strings.CutPrefix(path, module+"/")
	if !ok {
		return ""
	}
	for _, d := range directions {
		if !below(name, d.from) || test && !d.tests {
			continue
		}
		allowed := false
		for _, may := range d.may {
			allowed = allowed || below(ours, may)
		}
		if !allowed {
			return d.from + " never imports " + path + ": it may import " + strings.Join(d.may, ", ")
		}
	}
	return ""
}

func badLibrary(path string) string {
	for forbidden, why := range outside {
		if below(path, forbidden) {
			return "core never imports " + path + ": " + why
		}
	}
	first, _, _ := strings.Cut(path, "/")
	if !strings.Contains(first, ".") {
		return "" // ours or the standard library's
	}
	for _, library := range libraries {
		if below(path, library) {
			return ""
		}
	}
	return "core does not use " + path + " so far: if it is data or pure functions, add it to libraries in house/imports_test.go"
}

// below reports whether path is folder or in it.
func below(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, folder+"/")
}
