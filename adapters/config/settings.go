// Package config holds the settings of a server: their names, units, defaults
// and limits, and the YAML file that may hold them. The same names serve as
// flags (--grpc-addr), environment variables (PERDURE_GRPC_ADDR) and keys of
// the file (grpc-addr); a flag wins over the environment, that over the file.
package config

import (
	"fmt"
	"log/slog"
	"math"
	"net"
	"os"
	"runtime/debug"
	"time"
)

// Settings are those of one server. The tags are what --help prints.
type Settings struct {
	Data          string        `placeholder:"FOLDER" default:"perdure-data" env:"PERDURE_DATA" help:"Folder of the database files, if there is no --store; made if it is missing. Default: ${default}."`
	Store         string        `placeholder:"URL" env:"PERDURE_STORE" help:"Database that holds everything, such as postgres://USER@HOST:PORT/NAME. Default: SQLite in the data folder."`
	StorePassword string        `placeholder:"TEXT" env:"PERDURE_STORE_PASSWORD" help:"Password of the database, if its URL has none; better given by the variable than as a flag, which other users see. Default: none."`
	GRPCAddr      string        `name:"grpc-addr" placeholder:"HOST:PORT" default:"127.0.0.1:7233" env:"PERDURE_GRPC_ADDR" help:"Where the API listens. Default: ${default}."`
	DebugAddr     string        `placeholder:"HOST:PORT" env:"PERDURE_DEBUG_ADDR" help:"Where Go's profiles (/debug/pprof) can be read. Default: nowhere."`
	Namespace     []string      `placeholder:"NAME" default:"default" env:"PERDURE_NAMESPACE" help:"Namespaces to register if they are missing, separated by commas. Default: ${default}."`
	Retention     time.Duration `placeholder:"DURATION" default:"72h" env:"PERDURE_RETENTION" help:"How long closed workflows of those namespaces are kept, at least --min-retention. Default: ${default}."`
	MinRetention  time.Duration `placeholder:"DURATION" default:"24h" env:"PERDURE_MIN_RETENTION" help:"Shortest retention that a namespace may have, at least 1m. Default: ${default}."`
	MemoryLimit   Bytes         `placeholder:"SIZE" default:"0" env:"PERDURE_MEMORY_LIMIT" help:"Memory the server may use, with a unit (MiB, GiB), at least 64MiB; caches get a part of it. Default: that of GOMEMLIMIT, else 1GiB."`
	Shards        int           `placeholder:"NUMBER" default:"0" env:"PERDURE_SHARDS" help:"Shards of a new store, 1 to 1024 of them: parts that are owned one by one; about 30 for each node of a cluster. A store that is there keeps its own number. Default: 4."`
	DrainTimeout  time.Duration `placeholder:"DURATION" default:"5s" env:"PERDURE_DRAIN_TIMEOUT" help:"How long calls under way may take to end when the server is told to stop, 0s to 5m. Default: ${default}."`
	LogLevel      slog.Level    `placeholder:"LEVEL" default:"info" env:"PERDURE_LOG_LEVEL" help:"Least important log lines to write: debug, info, warn or error. Default: ${default}."`
	LogFormat     string        `placeholder:"FORMAT" default:"text" enum:"text,json" env:"PERDURE_LOG_FORMAT" help:"Form of log lines: text or json. Default: ${default}."`
}

// The limits that Validate keeps.
const (
	leastMemory   = 64 << 20
	defaultMemory = 1 << 30
	leastKept     = time.Minute
	longestDrain  = 5 * time.Minute
	mostShards    = 1024 // one strip each
)

// Validate refuses a wrong setting by its name.
func (s *Settings) Validate() error {
	if err := addr("--grpc-addr", s.GRPCAddr); err != nil {
		return err
	}
	if s.DebugAddr != "" {
		if err := addr("--debug-addr", s.DebugAddr); err != nil {
			return err
		}
	}
	switch {
	case s.Data == "" && s.Store == "":
		return fmt.Errorf("--data: name a folder")
	case s.MemoryLimit != 0 && s.MemoryLimit < leastMemory:
		return fmt.Errorf("--memory-limit: %v is too little, at least 64MiB are needed", s.MemoryLimit)
	case s.MinRetention < leastKept:
		return fmt.Errorf("--min-retention: %v is too short, at least 1m is needed", s.MinRetention)
	case s.Retention < s.MinRetention:
		return fmt.Errorf("--retention: %v is less than --min-retention, %v", s.Retention, s.MinRetention)
	case s.Shards < 0 || s.Shards > mostShards:
		return fmt.Errorf("--shards: %d is not between 1 and %d", s.Shards, mostShards)
	case s.DrainTimeout < 0 || s.DrainTimeout > longestDrain:
		return fmt.Errorf("--drain-timeout: %v is not between 0s and 5m", s.DrainTimeout)
	}
	for _, name := range s.Namespace {
		if name == "" {
			return fmt.Errorf("--namespace: a name is empty")
		}
	}
	return nil
}

func addr(setting, value string) error {
	if _, _, err := net.SplitHostPort(value); err != nil {
		return fmt.Errorf("%s: %q is not HOST:PORT", setting, value)
	}
	return nil
}

// Memory is the limit that holds, and whether it was chosen here rather than by GOMEMLIMIT.
func (s *Settings) Memory() (limit Bytes, chosen bool) {
	if s.MemoryLimit != 0 {
		return s.MemoryLimit, true
	}
	if set := debug.SetMemoryLimit(-1); set != math.MaxInt64 {
		return Bytes(set), false
	}
	return defaultMemory, true
}

// Logger writes as the settings say, to stderr.
func (s *Settings) Logger() *slog.Logger {
	options := &slog.HandlerOptions{Level: s.LogLevel}
	if s.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(os.Stderr, options))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, options))
}
