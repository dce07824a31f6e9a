package cassandra

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"perdure/adapters/store/schema"
	"perdure/core/store"
)

// version is one step of the schema. Each statement may be repeated.
type version struct {
	about      string
	statements []string
}

// versions lists all steps; the first one makes version 1. A step that was released never changes.
var versions = []version{
	{about: "make the tables of journals and rows", statements: firstTables()},
}

func firstTables() []string {
	// Overwritten in place and read as a whole: few, small files are best.
	all := []string{
		`CREATE TABLE IF NOT EXISTS %s.journal (
			shard bigint, slot int,
			epoch bigint STATIC, nonce bigint STATIC, owner text STATIC, state tinyint STATIC,
			last bigint STATIC, trim bigint STATIC, strip_from int STATIC, strip_to int STATIC,
			seq bigint, wrote bigint, pieces int, record blob,
			PRIMARY KEY (shard, slot)
		) WITH compaction = {'class': 'LeveledCompactionStrategy'}`,
		`CREATE TABLE IF NOT EXISTS %s.piece (
			shard bigint, epoch bigint, seq bigint, n int, body blob,
			PRIMARY KEY ((shard, epoch, seq), n))`,
	}
	for _, t := range store.Tables() {
		with := ""
		if t == store.Due {
			// Rows of due come and go, and one that comes back is recognised and removed:
			// so what is deleted may be forgotten soon, and scans find little of it.
			with = ` WITH gc_grace_seconds = 600 AND compaction = {'class': 'LeveledCompactionStrategy', 'unchecked_tombstone_compaction': 'true', 'tombstone_compaction_interval': '600'}`
		}
		all = append(all, fmt.Sprintf("CREATE TABLE IF NOT EXISTS %%s.%s (part blob, key blob, value blob, PRIMARY KEY (part, key))%s", t, with))
	}
	return all
}

// Schema is the tables of one keyspace.
type Schema struct {
	session     *gocql.Session
	keyspace    string
	serial      gocql.Consistency
	replication int
}

var _ schema.Schema = (*Schema)(nil)

var nameForm = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_]{0,47}$`)

// changeTime is what one change of the tables may take: all nodes hear of it first, and a cluster that was just started, or is busy, is slow at that.
const changeTime = time.Minute

// OpenSchema connects to the cluster; the keyspace need not be there.
func OpenSchema(opts Options) (*Schema, error) {
	opts = opts.withDefaults()
	if !nameForm.MatchString(opts.Keyspace) {
		return nil, fmt.Errorf("cassandra: %q cannot be the name of a keyspace: up to 48 letters, digits and underscores, a letter first", opts.Keyspace)
	}
	session, err := connect(opts, "", changeTime)
	if err != nil {
		return nil, err
	}
	return &Schema{session: session, keyspace: opts.Keyspace, serial: opts.serial(), replication: opts.Replication}, nil
}

// Close ends the connections.
func (s *Schema) Close() error {
	s.session.Close()
	return nil
}

// Versions reads what the keyspace has.
func (s *Schema) Versions() (have, want int, err error) {
	want = len(versions)
	tables, err := s.tables()
	if err != nil || len(tables) == 0 {
		return 0, want, err
	}
	if !tables[versionTable] {
		return 0, want, fmt.Errorf("%w: keyspace %s; give this server a keyspace of its own", schema.ErrForeign, s.keyspace)
	}
	err = again(func() error {
		return s.session.Query("SELECT version FROM " + s.name(versionTable) + " WHERE what = 'tables'").Consistency(s.serial).Scan(&have)
	})
	if errors.Is(err, gocql.ErrNotFound) {
		err = nil
	}
	return have, want, s.explain("reading the version", err)
}

func (s *Schema) tables() (map[string]bool, error) {
	found := map[string]bool{}
	iter := s.session.Query("SELECT table_name FROM system_schema.tables WHERE keyspace_name = ?", strings.ToLower(s.keyspace)).Iter()
	var name string
	for iter.Scan(&name) {
		found[name] = true
	}
	return found, s.explain("reading the tables", iter.Close())
}

// Plan names the steps that are left.
func (s *Schema) Plan() ([]string, error) {
	have, want, err := s.Versions()
	if err != nil || have >= want {
		return nil, err
	}
	var steps []string
	if have == 0 {
		steps = append(steps, fmt.Sprintf("make keyspace %s with %d copies in each data centre, unless it is there", s.keyspace, s.replication))
	}
	for i := have; i < want; i++ {
		steps = append(steps, fmt.Sprintf("version %d: %s", i+1, versions[i].about))
	}
	return steps, nil
}

// The table of the version also holds the lock of whoever changes tables:
// Cassandra lets two of them make one table twice at the same moment, so they go
// one after another. Only this table is made without the lock; its fixed id
// makes both of two makers make the same one.
const (
	versionTable = "schema_version"
	lockFor      = 120 // seconds after which the lock of one that died is free
	lockTries    = 2 * lockFor
)

// Apply takes the steps that are left, under a lock.
func (s *Schema) Apply() error {
	if err := s.begin(); err != nil {
		return err
	}
	holder, err := s.lock()
	if err != nil {
		return err
	}
	err = s.steps(holder)
	_, free := s.swap("holder", nil, "DELETE FROM "+s.name(versionTable)+" WHERE what = 'lock' IF holder = ?", holder)
	return errors.Join(err, free)
}

func (s *Schema) begin() error {
	err := s.change(fmt.Sprintf("CREATE KEYSPACE IF NOT EXISTS %s WITH replication = {'class': 'NetworkTopologyStrategy', 'replication_factor': %d}", s.keyspace, s.replication))
	if err != nil {
		return err
	}
	id := sha256.Sum256([]byte("perdure " + strings.ToLower(s.keyspace)))
	return s.change(fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s (what text PRIMARY KEY, version int, holder text) WITH id = %x-%x-%x-%x-%x",
		s.name(versionTable), id[:4], id[4:6], id[6:8], id[8:10], id[10:16]))
}

func (s *Schema) steps(holder string) error {
	have, want, err := s.Versions()
	if err != nil {
		return err
	}
	for i := have; i < want; i++ {
		for _, text := range versions[i].statements {
			if err := s.keepLock(holder); err != nil {
				return err
			}
			if err := s.change(fmt.Sprintf(text, s.keyspace)); err != nil {
				return err
			}
		}
		applied, err := s.swap("version", i+1, "UPDATE "+s.name(versionTable)+" SET version = ? WHERE what = 'tables' IF version = ?", i+1, known(i))
		if err == nil && !applied {
			err = errors.New("cassandra: somebody else changed the version of the schema meanwhile: repeat it")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// known is null before there is a version.
func known(version int) *int {
	if version == 0 {
		return nil
	}
	return &version
}

func (s *Schema) lock() (holder string, err error) {
	host, _ := os.Hostname()
	holder = fmt.Sprintf("%s %d %d", host, os.Getpid(), time.Now().UnixNano())
	cql := fmt.Sprintf("INSERT INTO %s (what, holder) VALUES ('lock', ?) IF NOT EXISTS USING TTL %d", s.name(versionTable), lockFor)
	for range lockTries {
		applied, err := s.swap("holder", holder, cql, holder)
		if err != nil || applied {
			return holder, err
		}
		time.Sleep(time.Second)
	}
	return "", fmt.Errorf("cassandra: somebody else has been changing the tables of keyspace %s for %d s: look for other servers that start, then repeat it", s.keyspace, lockTries)
}

// keepLock has the lock last for one more change, which takes half as long at most.
func (s *Schema) keepLock(holder string) error {
	kept, err := s.swap("holder", holder, fmt.Sprintf("UPDATE %s USING TTL %d SET holder = ? WHERE what = 'lock' IF holder = ?", s.name(versionTable), lockFor), holder, holder)
	if err == nil && !kept {
		err = fmt.Errorf("cassandra: the tables of keyspace %s took too long to change, somebody else may change them now: repeat it", s.keyspace)
	}
	return err
}

func (s *Schema) name(table string) string { return s.keyspace + "." + table }

func (s *Schema) change(cql string) error {
	return s.explain("changing the schema", s.session.Query(cql).Exec())
}

// swap carries a transaction out that makes a column this value; one that was
// carried out although nobody said so is not repeated.
func (s *Schema) swap(column string, value any, cql string, args ...any) (applied bool, err error) {
	err = again(func() error {
		row := map[string]any{}
		done, err := s.session.Query(cql, args...).MapScanCAS(row)
		applied = done || row[column] == value
		return err
	})
	return applied && err == nil, s.explain("changing the schema", err)
}

// again asks for ten seconds, as long as an answer decides nothing: a table that
// somebody else makes is listed a moment before the node that is asked can use
// it, and transactions that meet keep each other from being carried out.
func again(ask func() error) error {
	for begun := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		err := ask()
		var refused gocql.RequestError
		if !errors.As(err, &refused) || time.Since(begun) > 10*time.Second {
			return err
		}
		switch refused.Code() {
		case gocql.ErrCodeInvalid, gocql.ErrCodeReadTimeout, gocql.ErrCodeWriteTimeout, gocql.ErrCodeCASWriteUnknown:
		default:
			return err
		}
	}
}

func (s *Schema) explain(doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("cassandra: %s of keyspace %s: %w", doing, s.keyspace, err)
}
