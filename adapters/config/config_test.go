package config

import (
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
)

// parse is what cmd/server does with its arguments.
func parse(t *testing.T, args ...string) (Settings, error) {
	t.Helper()
	var cli struct {
		Config kong.ConfigFlag `env:"PERDURE_CONFIG"`
		Serve  Settings        `cmd:""`
	}
	p, err := kong.New(&cli, kong.Configuration(File), kong.Writers(io.Discard, io.Discard), kong.Exit(func(int) {}))
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.Parse(append([]string{"serve"}, args...))
	return cli.Serve, err
}

func write(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "perdure.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestFlagsWinOverEnvironmentOverFile(t *testing.T) {
	name := write(t, "grpc-addr: h:1\ndata: file\ndrain-timeout: 7s\nmemory-limit: 2GiB\nnamespace: [a, b]\nlog-format: json\n")
	t.Setenv("PERDURE_DATA", "env")
	t.Setenv("PERDURE_GRPC_ADDR", "h:2")
	got, err := parse(t, "--config", name, "--grpc-addr", "h:3")
	if err != nil {
		t.Fatal(err)
	}
	want := Settings{Data: "env", GRPCAddr: "h:3", DrainTimeout: 7 * time.Second, MemoryLimit: 2 << 30, Namespace: []string{"a", "b"}, LogFormat: "json", Retention: 72 * time.Hour, MinRetention: 24 * time.Hour}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v\nwant %+v", got, want)
	}
}

func TestFileFromEnvironment(t *testing.T) {
	t.Setenv("PERDURE_CONFIG", write(t, "data: 7\n"))
	if got, err := parse(t); err != nil || got.Data != "7" {
		t.Fatalf("%+v, %v", got, err)
	}
	t.Setenv("PERDURE_CONFIG", write(t, ""))
	if got, err := parse(t); err != nil || got.Data != "perdure-data" {
		t.Fatalf("%+v, %v", got, err)
	}
}

func TestWrongSettingsAreRefusedByName(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"--grpc-addr=nonsense", "--grpc-addr"},
		{"--debug-addr=7", "--debug-addr"},
		{"--memory-limit=3", "--memory-limit"},
		{"--memory-limit=3parsec", "--memory-limit"},
		{"--retention=1m", "--retention"},
		{"--min-retention=1s", "--min-retention"},
		{"--min-retention=100h", "--retention"},
		{"--shards=-1", "--shards"},
		{"--shards=1025", "--shards"},
		{"--drain-timeout=-1s", "--drain-timeout"},
		{"--drain-timeout=soon", "--drain-timeout"},
		{"--log-level=loud", "--log-level"},
		{"--log-format=prose", "--log-format"},
		{"--data=", "--data"},
		{"--nosuch=1", "--nosuch"},
		{"--config=" + write(t, "grpc-adr: x:1\n"), `no setting "grpc-adr"`},
		{"--config=" + write(t, "data: {a: b}\n"), "data"},
		{"--config=" + write(t, "retention: 1m\n"), "--retention"},
		{"--config=" + write(t, "- a\n"), "perdure.yaml"},
		{"--config=/nowhere/x.yaml", "/nowhere/x.yaml"},
	} {
		if _, err := parse(t, c.args); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.args, err)
		}
	}
}

func TestWrongEnvironmentIsRefusedByName(t *testing.T) {
	t.Setenv("PERDURE_DRAIN_TIMEOUT", "soon")
	if _, err := parse(t); err == nil || !strings.Contains(err.Error(), "--drain-timeout") {
		t.Fatal(err)
	}
}

func TestEverySettingHasHelpAndEnvironment(t *testing.T) {
	settings := reflect.TypeFor[Settings]()
	for i := range settings.NumField() {
		tag := settings.Field(i).Tag
		if !strings.Contains(tag.Get("help"), "Default: ") || !strings.HasPrefix(tag.Get("env"), "PERDURE_") {
			t.Errorf("%s: its tag lacks a default in words or a variable", settings.Field(i).Name)
		}
	}
}

func TestBytes(t *testing.T) {
	for text, want := range map[string]Bytes{"0": 0, "17": 17, "17B": 17, "2KiB": 2048, " 3 MiB ": 3 << 20, "1TiB": 1 << 40} {
		var got Bytes
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
		var again Bytes
		if err := again.UnmarshalText([]byte(got.String())); err != nil || again != got {
			t.Errorf("%v is read as %v", got, again)
		}
	}
	for _, text := range []string{"", "-1", "x", "1GB", "99999999999TiB", "1.5GiB"} {
		var got Bytes
		if err := got.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was read as %v", text, got)
		}
	}
}

func TestMemoryFollowsSettingThenGOMEMLIMIT(t *testing.T) {
	old := debug.SetMemoryLimit(math.MaxInt64)
	defer debug.SetMemoryLimit(old)
	if m, chosen := (&Settings{}).Memory(); m != defaultMemory || !chosen {
		t.Errorf("default %v %v", m, chosen)
	}
	debug.SetMemoryLimit(77 << 20)
	if m, chosen := (&Settings{}).Memory(); m != 77<<20 || chosen {
		t.Errorf("GOMEMLIMIT %v %v", m, chosen)
	}
	if m, chosen := (&Settings{MemoryLimit: 99 << 20}).Memory(); m != 99<<20 || !chosen {
		t.Errorf("setting %v %v", m, chosen)
	}
}

func FuzzBytes(f *testing.F) {
	f.Add("12MiB")
	f.Fuzz(func(t *testing.T, text string) {
		var b, again Bytes
		if b.UnmarshalText([]byte(text)) != nil {
			return
		}
		if b < 0 {
			t.Fatalf("%q is %d", text, b)
		}
		if err := again.UnmarshalText([]byte(b.String())); err != nil || again != b {
			t.Fatalf("%q: %v read as %v, %v", text, b, again, err)
		}
	})
}
