// Package postgres keeps the store contract in a database of PostgreSQL that
// several processes may share.
//
// Every change is one statement that commits by itself, and its message is
// complete before the server takes a lock. So an owner that is stopped in its
// middle holds nothing that its successor has to wait for.
//
//	shard   who owns it; an append holds the row in share mode while it checks epoch and nonce
//	fence   the same for flushes, in a row of its own, so that a flush never makes an append wait
//	record  the journal
//	...     one table for each of store.Tables
//
// Rows have no version: a flush is a row of numbered steps, each of which
// checks owner and number under the lock of the fence and takes effect once. So
// what an older flush or owner sends late finds itself outnumbered.
//
// An append whose answer did not come is Unknown, whatever the reason was.
package postgres

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"perdure/adapters/store/schema"
	"perdure/adapters/store/step"
	"perdure/adapters/store/target"
	"perdure/core/store"
)

// Options of a store.
type Options struct {
	// Logger hears of settings that weaken durability. Default: nobody does.
	Logger *slog.Logger
	// Dial replaces the network. For tests.
	Dial pgconn.DialFunc
}

// Bounds of a call, on the server and here: first the lock is given up, then
// the statement, then the connection.
const (
	lockShare      = 4 // of the timeout
	journalConns   = 3 // appends, opens, confirmations
	dialTimeout    = 5 * time.Second
	idleInTxnLimit = 10 * time.Second
)

// Store is one database. Its methods may be called side by side.
type Store struct {
	journal *pool // appends and owners: never waits for rows
	rows    *pool
	timeout time.Duration
	closed  atomic.Bool
	known   step.Known
}

var _ store.Store = (*Store)(nil)

// Open connects, sets the schema up if the database is empty, and refuses a schema of another version.
func Open(at *target.Target, opts Options) (*Store, error) {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	set, err := settingsOf(at)
	if err != nil {
		return nil, err
	}
	if opts.Dial != nil {
		set.config.DialFunc = opts.Dial
	}
	if err := prepareSchema(set); err != nil {
		return nil, err
	}
	s := &Store{timeout: set.timeout, journal: newPool(set, journalConns), rows: newPool(set, max(set.connections-journalConns, 1))}
	if err := s.checkDurability(opts.Logger); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func prepareSchema(set settings) error {
	tables, err := newTables(set)
	if err != nil {
		return err
	}
	return errors.Join(schema.Prepare(tables), tables.Close())
}

// settings are what the URL says.
type settings struct {
	config      *pgx.ConnConfig
	timeout     time.Duration
	connections int
}

func settingsOf(at *target.Target) (settings, error) {
	set := settings{
		timeout:     at.Duration("timeout", 10*time.Second, 100*time.Millisecond, 10*time.Minute),
		connections: at.Number("connections", 16, journalConns+1, 1000),
	}
	params := url.Values{}
	params.Set("sslmode", at.Text("sslmode", "prefer", "disable", "prefer", "require", "verify-ca", "verify-full"))
	for _, name := range []string{"sslrootcert", "sslcert", "sslkey"} {
		if file := at.Text(name, ""); file != "" {
			params.Set(name, file)
		}
	}
	commit := at.Text("synchronous_commit", "on", "on", "remote_apply")
	if err := at.Err(); err != nil {
		return set, err
	}
	if at.Name == "" {
		return set, errors.New("the name of the database is missing: postgres://USER@HOST:PORT/NAME")
	}
	var err error
	where := url.URL{Scheme: "postgres", Host: withPort(at.Hosts), Path: "/" + at.Name, RawQuery: params.Encode()}
	if set.config, err = pgx.ParseConfig(where.String()); err != nil {
		return set, fmt.Errorf("these settings make no connection: %w", err)
	}
	set.config.User, set.config.Password = at.User, at.Password
	set.config.ConnectTimeout = min(dialTimeout, set.timeout)
	set.config.RuntimeParams = map[string]string{
		"application_name":                    "perdure",
		"client_encoding":                     "UTF8",
		"synchronous_commit":                  commit,
		"default_transaction_isolation":       "read committed",
		"statement_timeout":                   milliseconds(set.timeout),
		"lock_timeout":                        milliseconds(set.timeout / lockShare),
		"idle_in_transaction_session_timeout": milliseconds(idleInTxnLimit),
		// Plans are made once a connection, for tables that may be empty then: only those by the key will do.
		"plan_cache_mode":   "force_generic_plan",
		"enable_seqscan":    "off",
		"enable_bitmapscan": "off",
		"enable_hashjoin":   "off",
		"enable_mergejoin":  "off",
		"jit":               "off",
	}
	return set, nil
}

func withPort(hosts string) string {
	if strings.Contains(hosts, ",") {
		return hosts
	}
	if _, _, err := net.SplitHostPort(hosts); err != nil {
		return hosts + ":5432"
	}
	return hosts
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(max(d.Milliseconds(), 1), 10) }

// checkDurability warns of what a user may have switched off in the server.
func (s *Store) checkDurability(log *slog.Logger) error {
	return s.rows.do(s.timeout, func(c *conn) error {
		for _, name := range []string{"fsync", "full_page_writes"} {
			value, err := c.setting(name)
			if err != nil {
				return err
			}
			if value != "on" {
				log.Warn("PostgreSQL is set to lose acknowledged work when its machine fails; set it to on", "setting", name, "value", value)
			}
		}
		return nil
	})
}

// Exclusive is false: other processes may open the same database.
func (s *Store) Exclusive() bool { return false }

// Apart is false: one statement, one commit and one sync of the disk serve all shards.
func (s *Store) Apart() bool { return false }

// Close ends all connections, once the calls under way have ended.
func (s *Store) Close() error {
	if !s.closed.Swap(true) {
		s.journal.close()
		s.rows.close()
	}
	return nil
}

// unavailable marks an error as one that says nothing about the effect.
func unavailable(doing string, err error) error {
	if err == nil || errors.Is(err, store.ErrUnavailable) {
		return err
	}
	return fmt.Errorf("%w: PostgreSQL: %s: %w", store.ErrUnavailable, doing, err)
}
