// Package service runs the databases of the tests with the scripts of
// scripts/services. They are started once and left running: the next test finds them.
package service

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// Stores are the databases that a test is played on: those of the variable
// PERDURE_TEST_STORES, names of scripts with commas between, or the default.
func Stores(otherwise ...string) []string {
	if text, set := os.LookupEnv("PERDURE_TEST_STORES"); set {
		return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
	}
	return otherwise
}

// Start makes sure that the database runs and returns its URL. Where it cannot
// be had the test is skipped, except in CI, which must run on all of them.
func Start(t testing.TB, kind string) (url string) {
	t.Helper()
	return need(t, kind, "start")
}

// Fresh makes an empty database and returns its URL; skipped and failed as Start.
func Fresh(t testing.TB, kind, name string) (url string) {
	t.Helper()
	return need(t, kind, "fresh", name)
}

func need(t testing.TB, kind string, command ...string) (url string) {
	t.Helper()
	url, err := Do(kind, command...)
	switch {
	case errors.Is(err, ErrCannot) && os.Getenv("CI") == "":
		t.Skip(err)
	case errors.Is(err, ErrCannot):
		t.Fatalf("CI is set, and CI has to run on every database: %v", err)
	case err != nil:
		t.Fatal(err)
	}
	return url
}

// ErrCannot says that a database cannot be had on this platform.
var ErrCannot = errors.New("no such database here")

// exitCannot is the status of a script that says so.
const exitCannot = 3

// Do runs a command of the database's script (scripts/services/common.sh lists
// them) and returns what it prints. An error holds what the script said.
func Do(kind string, command ...string) (out string, err error) {
	_, here, _, _ := runtime.Caller(0)
	var stdout, stderr strings.Builder
	c := exec.Command(filepath.Join(filepath.Dir(here), "..", "..", "..", "scripts", "services", kind), command...)
	c.Stdout, c.Stderr = &stdout, &stderr
	if err := c.Run(); err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.ExitCode() == exitCannot {
			err = ErrCannot
		}
		return "", fmt.Errorf("scripts/services/%s %s: %w: %s", kind, strings.Join(command, " "), err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(stdout.String()), nil
}
