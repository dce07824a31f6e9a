package cassandra

import (
	"log/slog"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
)

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
