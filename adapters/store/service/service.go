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

// Start makes sure that the database runs and returns its URL. Where it cannot
// be had the test is skipped, except in CI, which must run on all of them.
func Start(t testing.TB, name string) (url string) {
	t.Helper()
	url, err := Do(name, "start")
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == cannot && os.Getenv("CI") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return url
}

// Do runs a command of the database's script: start, stop, kill, pids, url.
func Do(name, command string) (out string, err error) {
	_, here, _, _ := runtime.Caller(0)
	script := filepath.Join(filepath.Dir(here), "..", "..", "..", "scripts", "services", name)
	var stdout, stderr bytes.Buffer
	c := exec.Command(script, command)
	c.Stdout, c.Stderr = &stdout, &stderr
	if err := c.Run(); err != nil {
		return "", errors.Join(err, errors.New(strings.TrimSpace(stderr.String())))
	}
	return strings.TrimSpace(stdout.String()), nil
}
