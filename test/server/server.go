// Package server runs the built server as a process of its own, the way users
// do, and kills it the way machines do.
package server

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// Server is one process and the folder and address that it keeps across restarts.
type Server struct {
	Data string
	Addr string // HOST:PORT, known once it started
	args []string

	process *exec.Cmd
	ended   chan error // what Wait said, once
	stderr  logs
}

// Start runs a server on a folder of its own and a free port, until the test ends.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	return StartIn(t, filepath.Join(t.TempDir(), "data"), args...)
}

// StartIn is Start on a folder of the caller's.
func StartIn(t testing.TB, data string, args ...string) *Server {
	t.Helper()
	s := New(data, args...)
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Kill()
		if t.Failed() {
			t.Logf("the server's log:\n%s", s.Log())
		}
	})
	return s
}

// New describes a server that is not running yet. It takes a free port when it starts first.
func New(data string, args ...string) *Server {
	return &Server{Data: data, Addr: "127.0.0.1:0", args: args}
}

// binary is built once a process of tests.
var binary = sync.OnceValues(func() (string, error) {
	_, here, _, _ := runtime.Caller(0)
	folder, err := os.MkdirTemp("", "perdure-test-")
	if err != nil {
		return "", err
	}
	build := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(folder, "perdure"), "./cmd/server")
	build.Dir = filepath.Join(filepath.Dir(here), "..", "..")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("the server does not build: %w\n%s", err, out)
	}
	return filepath.Join(folder, "perdure"), nil
})

// RemoveBinary removes what was built; the last thing that a TestMain does.
func RemoveBinary() {
	if path, err := binary(); err == nil {
		os.RemoveAll(filepath.Dir(path))
	}
}

// Command is the server's command line, not yet started.
func Command(args ...string) (*exec.Cmd, error) {
	path, err := binary()
	if err != nil {
		return nil, err
	}
	c := exec.Command(path, args...)
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // no server outlives its tests
	return c, nil
}

var greeting = regexp.MustCompile(`^Perdure serves the Temporal API on ([^ ,]+),`)

// Start runs the process and waits until it says that it serves.
func (s *Server) Start() error {
	c, err := Command(append([]string{"serve", "--data", s.Data, "--grpc-addr", s.Addr}, s.args...)...)
	if err != nil {
		return err
	}
	c.Stderr = &s.stderr
	out, err := c.StdoutPipe()
	if err != nil {
		return err
	}
	if err := startOnItsThread(c); err != nil {
		return err
	}
	lines := bufio.NewReader(out)
	first, err := lines.ReadString('\n')
	if found := greeting.FindStringSubmatch(first); err == nil && found != nil {
		s.Addr = found[1]
		s.process, s.ended = c, make(chan error, 1)
		go func() {
			io.Copy(io.Discard, lines)
			s.ended <- c.Wait()
		}()
		return nil
	}
	c.Process.Kill()
	c.Wait()
	return fmt.Errorf("the server did not start: %q %v\n%s", first, err, s.Log())
}

// starter is the one thread that starts processes: a process with Pdeathsig
// dies with the thread that started it, and Go ends threads as it likes.
var starter = sync.OnceValue(func() chan func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range work {
			f()
		}
	}()
	return work
})

func startOnItsThread(c *exec.Cmd) error {
	started := make(chan error)
	starter() <- func() { started <- c.Start() }
	return <-started
}

// Kill ends the process as a power cut of its own would: no signal is seen, nothing is written any more.
func (s *Server) Kill() {
	if s.process == nil {
		return
	}
	s.process.Process.Kill()
	<-s.ended
	s.process = nil
}

// Signal sends the process a signal.
func (s *Server) Signal(t testing.TB, what syscall.Signal) {
	t.Helper()
	if err := s.process.Process.Signal(what); err != nil {
		t.Fatal(err)
	}
}

// Stop asks the process to end and waits until it has.
func (s *Server) Stop() error {
	if s.process == nil {
		return errors.New("the server does not run")
	}
	if err := s.process.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	err := <-s.ended
	s.process = nil
	return err
}

// Log is what the server wrote to stderr since it was made.
func (s *Server) Log() string { return s.stderr.String() }

// ResidentBytes is the process's memory as the system counts it.
func (s *Server) ResidentBytes() (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.process.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kib << 10, err
		}
	}
	return 0, errors.New("the system does not say how much memory the server has")
}

// logs keeps the end of what is written to it.
type logs struct {
	mu   sync.Mutex
	text bytes.Buffer
}

const keptLogs = 256 << 10 // bytes

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if over := l.text.Len() + len(b) - keptLogs; over > 0 {
		l.text.Next(over)
	}
	return l.text.Write(b)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
