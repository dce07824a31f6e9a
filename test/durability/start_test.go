package durability

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"perdure/test/server"
)

// TestWhatKeepsAServerFromStartingIsOneLine names each obstacle, and what to do about it.
func TestWhatKeepsAServerFromStartingIsOneLine(t *testing.T) {
	running := server.Start(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	foreign := t.TempDir()
	if err := os.WriteFile(filepath.Join(foreign, "journal.db"), []byte(strings.Repeat("not a database", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	free := filepath.Join(t.TempDir(), "data")
	for _, c := range []struct {
		name, data, address string
		want                []string
	}{
		{"folder in use", running.Data, "127.0.0.1:0", []string{running.Data, "in use", "stop the other server"}},
		{"port taken", free, taken.Addr().String(), []string{"--grpc-addr", taken.Addr().String(), "choose another port"}},
		{"folder is a file", file, "127.0.0.1:0", []string{"--data", file, "cannot be written"}},
		{"folder not writable", "/proc/perdure", "127.0.0.1:0", []string{"--data", "/proc/perdure", "cannot be written"}},
		{"foreign files", foreign, "127.0.0.1:0", []string{foreign}},
	} {
		t.Run(c.name, func(t *testing.T) { refused(t, c.data, c.address, c.want) })
	}
	l := startLoad(t, running.Addr) // the one that runs is none the worse
	l.wait(20)
	l.end()
	l.check()
}

func refused(t *testing.T, data, address string, want []string) {
	c, err := server.Command("serve", "--data", data, "--grpc-addr", address)
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.CombinedOutput()
	if err == nil || c.ProcessState.ExitCode() != 1 {
		t.Errorf("it ended with %v", err)
	}
	text := strings.TrimRight(string(out), "\n")
	if strings.Contains(text, "\n") {
		t.Errorf("more than one line:\n%s", text)
	}
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("%q lacks %q", text, w)
		}
	}
}
