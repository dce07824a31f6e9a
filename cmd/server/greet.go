package main

import (
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strings"

	"perdure/adapters/config"
)

// greet prints where the server is and what to do next.
func greet(out io.Writer, s *config.Settings, at net.Addr, unserved []string) error {
	folder, err := filepath.Abs(s.Data)
	if err != nil {
		folder = s.Data
	}
	var text strings.Builder
	fmt.Fprintf(&text, "Perdure serves the Temporal API on %s, namespace %s.\n", at, strings.Join(s.Namespace, ", "))
	fmt.Fprintf(&text, "Its data is in %s; Ctrl-C stops it, nothing acknowledged is lost.\n", folder)
	fmt.Fprintf(&text, "Try in another terminal:\n")
	fmt.Fprintf(&text, "  go run ./docs/quickstart           a worker and its first workflow\n")
	if _, err := exec.LookPath("temporal"); err == nil {
		fmt.Fprintf(&text, "  temporal --address %s workflow show --workflow-id ID\n", at)
	}
	if len(unserved) > 0 {
		fmt.Fprintf(&text, "Not served yet: %s.\n", strings.Join(unserved, ", "))
	}
	_, err = io.WriteString(out, text.String())
	return err
}
