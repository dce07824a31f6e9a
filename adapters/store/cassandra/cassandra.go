// Package cassandra keeps the store contract in an Apache Cassandra keyspace
// that several servers may share.
//
// Two kinds of rows that never mix their clocks:
//
//   - A shard is one partition of the table journal: static columns say who owns
//     it and where its journal stands, rows are slots that hold one record each.
//     It is written by lightweight transactions alone and read at SERIAL, so it
//     behaves like one register (Cassandra's own ballots are its timestamps).
//   - All other rows are plain writes and reads at QUORUM, USING TIMESTAMP
//     version: deletes too. So the clock of no machine decides what wins, a write
//     that comes late or twice changes nothing, and a zombie's flush is harmless.
//
// Fault model: every call may fail before its effect, after it, or take effect
// later (a timeout of the driver or of the coordinator, a cut connection, a node
// that dies). What a lightweight transaction answered counts, nothing else: any
// error of an append is Unknown, and only Open, whose own transaction raises the
// epoch, ends that. The driver repeats nothing and speculates on nothing.
package cassandra

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
	"github.com/pingcap/failpoint"

	"perdure/adapters/store/schema"
	"perdure/core/store"
)

// Options of a store. Zero values mean the defaults.
type Options struct {
	// Hosts are some nodes of the cluster, host or host:port (default port 9042). The others are found.
	Hosts    []string
	Keyspace string
	User     string // default: no authentication
	Password string
	// Local keeps quorums and lightweight transactions inside the data centre of
	// the nodes named: then all servers must use that one.
	Local bool
	// Datacenter is asked first; needed if Local is set and the cluster has several.
	Datacenter string
	// Replication is how many copies each data centre holds, if the keyspace has to be made. Default 3.
	Replication int
	TLS         *tls.Config // default: none
	// Timeout of one request; at least that of the cluster's own write timeouts. Default 10 s; 1 s to 5 min.
	Timeout time.Duration
	// Connections to each node. Default 2; 1 to 16.
	Connections int
	// Logger hears what the driver says, at debug level. Default: nobody does.
	Logger *slog.Logger

	dialer gocql.Dialer // of tests that cut connections
	space  uint32       // of tests that share a keyspace: puts shards and partitions apart
}

// PortDefault is Cassandra's own.
const PortDefault = 9042

func (o Options) withDefaults() Options {
	if o.Replication == 0 {
		o.Replication = 3
	}
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Connections == 0 {
		o.Connections = 2
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Store is one session. Its methods may be called side by side.
type Store struct {
	session *gocql.Session
	cql     *statements
	quorum  gocql.Consistency
	serial  gocql.Consistency
	space   uint32
	ctx     context.Context // ends with Close
	end     context.CancelFunc

	mu     sync.Mutex
	owners map[store.ShardID]*owner
}

var _ store.Store = (*Store)(nil)

// Open connects to the keyspace. An empty one, or none, is set up; one of another version is refused.
func Open(opts Options) (*Store, error) {
	opts = opts.withDefaults()
	tables, err := OpenSchema(opts)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(schema.Prepare(tables), tables.Close()); err != nil {
		return nil, err
	}
	return open(opts)
}

// open connects to a keyspace whose tables are there.
func open(opts Options) (*Store, error) {
	session, err := connect(opts, opts.Keyspace, opts.Timeout)
	if err != nil {
		return nil, err
	}
	s := &Store{session: session, cql: newStatements(opts.Keyspace), quorum: opts.quorum(), serial: opts.serial(), space: opts.space, owners: map[store.ShardID]*owner{}}
	s.ctx, s.end = context.WithCancel(context.Background())
	return s, nil
}

// Exclusive is false: other servers may use the keyspace.
func (s *Store) Exclusive() bool { return false }

// Apart is true: a transaction is one partition, and each shard has its own.
func (s *Store) Apart() bool { return true }

// Close ends calls under way and the connections.
func (s *Store) Close() error {
	s.end()
	s.session.Close()
	return nil
}

func (o Options) quorum() gocql.Consistency {
	if o.Local {
		return gocql.LocalQuorum
	}
	return gocql.Quorum
}

func (o Options) serial() gocql.Consistency {
	if o.Local {
		return gocql.LocalSerial
	}
	return gocql.Serial
}

// connect opens a session whose requests take at most that long; keyspace may be empty.
func connect(o Options, keyspace string, most time.Duration) (*gocql.Session, error) {
	c := gocql.NewCluster(o.Hosts...)
	c.Port = PortDefault
	c.Keyspace = keyspace
	c.Consistency, c.SerialConsistency = o.quorum(), o.serial()
	c.Timeout, c.WriteTimeout, c.ConnectTimeout = most, most, o.Timeout
	c.NumConns = o.Connections
	c.DefaultTimestamp = false // versions are the only timestamps of ours
	c.RetryPolicy = nil        // also the default: nothing is sent twice
	c.NextPagePrefetch = 0
	c.ReconnectInterval = time.Second // looks only at nodes that are down
	c.Metadata.CacheMode = gocql.KeyspaceOnly
	c.Logger = quietLogger{o.Logger}
	c.Dialer = o.dialer
	if o.User != "" {
		c.Authenticator = gocql.PasswordAuthenticator{Username: o.User, Password: o.Password}
	}
	if o.TLS != nil {
		c.SslOpts = &gocql.SslOptions{Config: o.TLS, EnableHostVerification: !o.TLS.InsecureSkipVerify}
	}
	nodes := gocql.RoundRobinHostPolicy()
	if o.Datacenter != "" {
		nodes = gocql.DCAwareRoundRobinPolicy(o.Datacenter)
	}
	c.PoolConfig.HostSelectionPolicy = gocql.TokenAwareHostPolicy(nodes)
	session, err := c.CreateSession()
	if err != nil {
		return nil, fmt.Errorf("%w: cassandra: cannot connect to %v: %w; check that a node listens there, and user, password and TLS", store.ErrUnavailable, o.Hosts, err)
	}
	return session, nil
}

// shardKey is the partition of a shard in the table journal.
func (s *Store) shardKey(id store.ShardID) int64 { return int64(s.space)<<32 | int64(id) }

// partitionKey is a partition's name in the database, which takes no empty one.
func (s *Store) partitionKey(name string) []byte {
	b := make([]byte, 0, len(name)+5)
	if s.space != 0 {
		b = append(b, 1, byte(s.space>>24), byte(s.space>>16), byte(s.space>>8), byte(s.space))
	} else {
		b = append(b, 0)
	}
	return append(b, name...)
}

// prefix is how many bytes of a partition key are not the name.
func (s *Store) prefix() int { return len(s.partitionKey("")) }

// query is one statement, answered by a quorum.
func (s *Store) query(cql string, args ...any) *gocql.Query {
	return s.session.Query(cql, args...).WithContext(s.ctx)
}

// swap runs a lightweight transaction. found holds the columns of its condition if it was not applied.
func (s *Store) swap(what effect, cql string, args ...any) (applied bool, found map[string]any, err error) {
	err = s.trip("lightweight transaction", what, func() error {
		found = map[string]any{}
		applied, err = s.query(cql, args...).MapScanCAS(found)
		return err
	})
	return applied, found, err
}

// effect is what a round trip does to the database, for tests that let round trips go wrong.
type effect int

const (
	reads   effect = iota
	changes        // doing it twice is told apart from doing it once
	settles        // doing it twice, or later, comes to the same
)

var errInjected = errors.New("a test lets this round trip fail")

// trip does one round trip; an error of it says nothing about its effect.
func (s *Store) trip(doing string, what effect, do func() error) error {
	failpoint.Inject("cutBeforeSend", func() { failpoint.Return(s.unavailable(doing, errInjected)) })
	failpoint.Inject("late", func() { // the effect comes when the caller has given up
		if what == settles {
			go do()
			failpoint.Return(s.unavailable(doing, errInjected))
		}
	})
	err := do()
	failpoint.Inject("duplicate", func() {
		if what == settles && err == nil {
			err = do()
		}
	})
	failpoint.Inject("cutAfterSend", func() { failpoint.Return(s.unavailable(doing, errInjected)) })
	return s.unavailable(doing, err)
}

// unavailable marks an error of the database as one that says nothing about the effect.
func (s *Store) unavailable(doing string, err error) error {
	if s.ctx.Err() != nil {
		if err == nil {
			return nil
		}
		return fmt.Errorf("%w: cassandra: the store is closed", store.ErrUnavailable)
	}
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: cassandra: %s: %w", store.ErrUnavailable, doing, err)
}
