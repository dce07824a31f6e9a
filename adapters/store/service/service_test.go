package service

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// bare leaves the scripts a machine with a shell, and with nothing that a database could be installed with.
func bare(t *testing.T) {
	t.Helper()
	bin := t.TempDir()
	for _, tool := range []string{"bash", "cat", "dirname", "env", "flock", "grep", "head", "ls", "mkdir", "seq", "sort", "tail", "tr", "uname"} {
		path, err := exec.LookPath(tool)
		if err == nil {
			err = os.Symlink(path, filepath.Join(bin, tool))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin)
	t.Setenv("SERVICES_DIR", t.TempDir())
	t.Setenv("SERVICES_INSTALLS", t.TempDir())
}

// asked hears how a test ended that asked for a database.
type asked struct {
	testing.TB
	skipped, failed string
}

func (a *asked) Helper()         {}
func (a *asked) Skip(why ...any) { a.skipped = fmt.Sprint(why...); runtime.Goexit() }
func (a *asked) Fatal(why ...any) {
	a.failed = fmt.Sprint(why...)
	runtime.Goexit()
}
func (a *asked) Fatalf(format string, args ...any) { a.Fatal(fmt.Sprintf(format, args...)) }

func ask(t *testing.T, need func(t testing.TB)) *asked {
	a := &asked{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		need(a)
	}()
	<-done
	return a
}

// Without a database tests are skipped for a developer and fail in CI, and both are told what is missing.
func TestDatabasesThatCannotBeHad(t *testing.T) {
	bare(t)
	for kind, missing := range map[string]string{"mysql": "mvn", "mariadb": "mariadb-server", "cassandra": "java"} {
		start := func(t testing.TB) { Start(t, kind) }
		t.Setenv("CI", "")
		if a := ask(t, start); a.failed != "" || !strings.Contains(a.skipped, kind+": cannot be had on this platform") || !strings.Contains(a.skipped, missing) {
			t.Errorf("%s, no CI: skipped %q, failed %q", kind, a.skipped, a.failed)
		}
		t.Setenv("CI", "true")
		if a := ask(t, start); a.skipped != "" || !strings.Contains(a.failed, "CI is set") || !strings.Contains(a.failed, missing) {
			t.Errorf("%s, CI: skipped %q, failed %q", kind, a.skipped, a.failed)
		}
	}
}

// Whatever else goes wrong fails the test, in CI or not.
func TestMistakesAreNoReasonToSkip(t *testing.T) {
	bare(t)
	t.Setenv("CI", "")
	for _, c := range []struct {
		need func(t testing.TB)
		says string
	}{
		{func(t testing.TB) { Fresh(t, "postgres", "No Name") }, "usage: "},
		{func(t testing.TB) { Start(t, "nosuch") }, "scripts/services/nosuch start"},
	} {
		if a := ask(t, c.need); a.skipped != "" || !strings.Contains(a.failed, c.says) {
			t.Errorf("skipped %q, failed %q, want a failure that says %q", a.skipped, a.failed, c.says)
		}
	}
	if _, err := Do("mysql", "dance"); err == nil || errors.Is(err, ErrCannot) || !strings.Contains(err.Error(), "usage: ") {
		t.Errorf("an unknown command: %v", err)
	}
}

func TestStoresAreNamedByTheEnvironment(t *testing.T) {
	t.Setenv("PERDURE_TEST_STORES", "") // which puts it back
	os.Unsetenv("PERDURE_TEST_STORES")
	if got := Stores("a", "b"); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("not set: %q", got)
	}
	for text, want := range map[string][]string{"": nil, "mysql": {"mysql"}, "mysql, mariadb": {"mysql", "mariadb"}} {
		t.Setenv("PERDURE_TEST_STORES", text)
		if got := Stores("a"); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
