package main

import (
	"fmt"
	"io"
	"net"
	"os/exec"
	"slices"
	"strings"

	"perdure/adapters/config"
)

// greet prints where the server is and what to do next.
func greet(out io.Writer, s *config.Settings, at net.Addr, unserved []string) error {
	var text strings.Builder
	fmt.Fprintf(&text, "Perdure serves the Temporal API on %s, namespace %s.\n", at, strings.Join(s.Namespace, ", "))
	fmt.Fprintf(&text, "Its data is in %s; Ctrl-C stops it, nothing acknowledged is lost.\n", place(s))
	fmt.Fprintf(&text, "Try in another terminal, from the repository's root, a worker and its first workflow:\n")
	fmt.Fprintf(&text, "  cd docs/quickstart && go run .%s\n", quickstartFlags(s, at))
	if _, err := exec.LookPath("temporal"); err == nil {
		fmt.Fprintf(&text, "  temporal --address %s workflow show --workflow-id ID\n", at)
	}
	if len(unserved) > 0 {
		fmt.Fprintf(&text, "Not served yet: %s.\n", strings.Join(unserved, ", "))
	}
	_, err := io.WriteString(out, text.String())
	return err
}

// quickstartFlags are what the quickstart has to be told because it is not its default.
func quickstartFlags(s *config.Settings, at net.Addr) (flags string) {
	if at.String() != "127.0.0.1:7233" {
		flags += " -address " + at.String()
	}
	if len(s.Namespace) > 0 && !slices.Contains(s.Namespace, "default") {
		flags += " -namespace " + s.Namespace[0]
	}
	return flags
}
