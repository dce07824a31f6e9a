package cassandra

import (
	"log/slog"
	"sync/atomic"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
)

// health says once that the cluster does not answer as it should, and once that it does again.
type health struct {
	log     *slog.Logger
	failing atomic.Bool
}

func (h *health) note(err error) {
	switch {
	case err != nil && !h.failing.Swap(true):
		h.log.Warn("Cassandra cannot be used; calls that need it wait or are refused, and go on by themselves when it is back", "error", err)
	case err == nil && h.failing.Load() && h.failing.Swap(false):
		h.log.Info("Cassandra can be used again")
	}
}

// quietLogger lets the driver speak at debug level only: what matters comes back as errors of calls.
type quietLogger struct{ log *slog.Logger }

func (q quietLogger) say(msg string, fields []gocql.LogField) {
	attrs := make([]any, 0, 2*len(fields))
	for _, f := range fields {
		attrs = append(attrs, f.Name, f.Value.String())
	}
	q.log.Debug("cassandra driver: "+msg, attrs...)
}

func (q quietLogger) Error(msg string, fields ...gocql.LogField)   { q.say(msg, fields) }
func (q quietLogger) Warning(msg string, fields ...gocql.LogField) { q.say(msg, fields) }
func (q quietLogger) Info(msg string, fields ...gocql.LogField)    { q.say(msg, fields) }
func (q quietLogger) Debug(string, ...gocql.LogField)              {}
