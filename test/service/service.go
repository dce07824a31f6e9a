// Package service runs the databases of the tests with the scripts of
// scripts/services. They are started once and left running: the next test finds them.
package service

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// cannot is the exit code of a script whose database cannot be had on this platform.
const cannot = 3

// Stores are the databases that a test is played on: those of the variable
// PERDURE_TEST_STORES, names of scripts with commas between, or the default.
func Stores(otherwise ...string) []string {
	if text, set := os.LookupEnv("PERDURE_TEST_STORES"); set {
		return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
	}
	return otherwise
}

// Fresh makes an empty database and returns its URL. Where the kind of database
// cannot be had the test is skipped, except in CI, which must run on all of them.
func Fresh(t testing.TB, kind, name string) (url string) {
	t.Helper()
	url, err := Do(kind, "fresh", name)
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == cannot && os.Getenv("CI") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return url
}

// Do runs a command of the database's script.
func Do(kind string, command ...string) (out string, err error) {
	_, here, _, _ := runtime.Caller(0)
	script := filepath.Join(filepath.Dir(here), "..", "..", "scripts", "services", kind)
	var stdout, stderr bytes.Buffer
	c := exec.Command(script, command...)
	c.Stdout, c.Stderr = &stdout, &stderr
	if err := c.Run(); err != nil {
		return "", errors.Join(err, errors.New(strings.TrimSpace(stderr.String())))
	}
	return strings.TrimSpace(stdout.String()), nil
}
