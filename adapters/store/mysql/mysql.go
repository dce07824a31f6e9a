// Package mysql keeps the store contract in a database of MySQL 8 or MariaDB
// that several processes may share.
//
// Every change is one message: a transaction with all its statements and
// values, or a prepared statement. So an owner that is stopped in its middle holds no lock that its
// successor has to wait for. Neither server can tell which rows a statement
// changed, so statements are made such that the number of changed rows tells, or
// that they fail as a whole.
//
//	shard   who owns it; an append holds the row in share mode
//	fence   the owner again for flushes, in a row of its own, so that a flush never makes an append wait
//	record  the journal
//	...     one table for each of store.Tables
//
// Rows have no version: a flush is a row of numbered steps, each of which
// checks owner and number under the lock of the fence and takes effect once. So
// what an older flush or owner sends late finds itself outnumbered.
//
// An append whose answer did not come is Unknown, whatever the reason was.
package mysql

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	driver "github.com/go-sql-driver/mysql"

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
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

const (
	journalConns = 3 // appends, opens, confirmations
	dialTimeout  = 5 * time.Second
	lockShare    = 4 // of the timeout: when the server gives up waiting for a lock
	leastPacket  = 16 << 20
)

// Store is one database. Its methods may be called side by side.
type Store struct {
	journal *pool // appends and owners: never waits for rows
	rows    *pool
	packet  int // bytes of one message that the server takes
	closed  atomic.Bool
	known   step.Known
}

var _ store.Store = (*Store)(nil)

// Open connects, sets the schema up if the database is empty, and refuses a schema of another version.
func Open(at *target.Target, opts Options) (*Store, error) {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	set, err := settingsOf(at, opts)
	if err != nil {
		return nil, err
	}
	s := &Store{}
	if s.packet, err = set.learn(opts.Logger); err != nil {
		return nil, err
	}
	if err := prepareSchema(set); err != nil {
		return nil, err
	}
	if s.journal, err = newPool(set, journalConns); err != nil {
		return nil, err
	}
	if s.rows, err = newPool(set, max(set.connections-journalConns, 1)); err != nil {
		return nil, errors.Join(err, s.journal.Close())
	}
	return s, nil
}

func prepareSchema(set *settings) error {
	tables, err := newTables(set)
	if err != nil {
		return err
	}
	return errors.Join(schema.Prepare(tables), tables.Close())
}

// Exclusive is false: other processes may open the same database.
func (s *Store) Exclusive() bool { return false }

// Apart is false: one transaction, and one sync of the disk, serves all shards.
func (s *Store) Apart() bool { return false }

// Close ends all connections.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	return errors.Join(s.journal.Close(), s.rows.Close())
}

// unavailable marks an error as one that says nothing about the effect.
func unavailable(doing string, err error) error {
	if err == nil || errors.Is(err, store.ErrUnavailable) {
		return err
	}
	return fmt.Errorf("%w: MySQL: %s: %w", store.ErrUnavailable, doing, err)
}

// quiet keeps the driver from logging by itself: it returns what went wrong as well.
var quiet = &driver.NopLogger{}
