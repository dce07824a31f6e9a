// Package sqlite keeps the store contract in one folder of one process.
//
// Two files, so that a flush never makes an append wait:
//
//	journal.db  records and owners; every commit is synced (synchronous=FULL)
//	tables.db   rows; commits are not synced (synchronous=NORMAL), checkpoints are
//
// What keeps that sound: a record leaves the journal only after a complete,
// synced checkpoint of the tables that began after the record's rows were
// flushed. So the tables may lose their write-ahead log (a power cut loses what
// of it was not synced) and the journal still holds what is missing. Blobs are
// not in the journal: Write returns after such a checkpoint.
//
// The folder belongs to one process (a lock file says so): owners, flush numbers
// and the index of the journal live in memory, rows need no version.
//
// Locks, in the order they may be taken: tending; tables.settling, tables.mu; journal.mu,
// journal.look. The two groups are never held together.
package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"

	"perdure/core/store"
)

// The names of the files in the folder.
const (
	journalFile = "journal.db"
	tablesFile  = "tables.db"
	lockFile    = "lock"
)

// Errors of Open. Each comes with the path and what to do.
var (
	// ErrLocked: another process holds the folder.
	ErrLocked = errors.New("sqlite: folder is in use by another process")
	// ErrNewer: a newer server wrote the files.
	ErrNewer = errors.New("sqlite: file was written by a newer version")
	// ErrForeign: a file is damaged, or not one of ours, or of another store.
	ErrForeign = errors.New("sqlite: file does not belong to this store")
)

// Options of a store. Zero values mean the defaults.
type Options struct {
	// CacheBytes bounds the page caches of all connections together. Default 16 MiB; 1 MiB to 64 GiB.
	CacheBytes int
	// Readers is the number of connections for Get and Scan. Default 4; 1 to 64.
	Readers int
	// CheckpointAfter is how long flushed rows may stay in the write-ahead log, and
	// flushed records in the journal. Default 1 s; 1 ms to 1 min.
	CheckpointAfter time.Duration
	// TablesLogBytes of flushed rows make a checkpoint run at once. Default 32 MiB; 64 KiB to 1 GiB.
	TablesLogBytes int64
	// JournalLogBytes of records make a checkpoint of the journal run. Default 8 MiB; 64 KiB to 1 GiB.
	JournalLogBytes int64
	// Logger hears of trouble in the background. Default: nobody does.
	Logger *slog.Logger

	// settling is told before and after the tables' file is changed in place.
	settling func(begins bool)
}

func (o Options) withDefaults() Options {
	o.CacheBytes = orDefault(o.CacheBytes, 16<<20)
	o.Readers = orDefault(o.Readers, 4)
	o.CheckpointAfter = orDefault(o.CheckpointAfter, time.Second)
	o.TablesLogBytes = orDefault(o.TablesLogBytes, 32<<20)
	o.JournalLogBytes = orDefault(o.JournalLogBytes, 8<<20)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.settling == nil {
		o.settling = func(bool) {}
	}
	return o
}

func orDefault[T int | int64 | time.Duration](v, otherwise T) T {
	if v <= 0 {
		return otherwise
	}
	return v
}

// Store is one open folder. Its methods may be called side by side.
type Store struct {
	lock    *flock.Flock
	journal *journal
	tables  *tables
	readers *readers
	keeper  *keeper
	closed  atomic.Bool
	tending sync.Mutex
}

var _ store.Store = (*Store)(nil)

// Open opens the folder, which it makes if need be, and locks it until Close.
func Open(dir string, opts Options) (*Store, error) {
	opts = opts.withDefaults()
	lock, err := lockFolder(dir)
	if err != nil {
		return nil, err
	}
	s := &Store{lock: lock}
	if err := s.openFiles(dir, opts); err != nil {
		s.release()
		return nil, err
	}
	s.keeper = startKeeper(s, opts)
	return s, nil
}

func lockFolder(dir string) (*flock.Flock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, unwritable(dir, err)
	}
	lock := flock.New(filepath.Join(dir, lockFile), flock.SetPermissions(0o600))
	free, err := lock.TryLock()
	if err != nil {
		return nil, unwritable(dir, err)
	}
	if !free {
		return nil, fmt.Errorf("%w: %s; stop the other server, or give this one a folder of its own", ErrLocked, dir)
	}
	return lock, nil
}

func unwritable(dir string, err error) error {
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, errReadOnly) {
		return fmt.Errorf("sqlite: folder %s cannot be written: let the server's user write there, or choose another folder: %w", dir, err)
	}
	return fmt.Errorf("sqlite: folder %s cannot be used: %w", dir, err)
}

func (s *Store) openFiles(dir string, opts Options) error {
	var err error
	if s.tables, err = openTables(filepath.Join(dir, tablesFile), opts); err != nil {
		return err
	}
	if s.journal, err = openJournal(filepath.Join(dir, journalFile), opts); err != nil {
		return err
	}
	if err := matchFiles(s.journal, s.tables); err != nil {
		return err
	}
	s.readers, err = openReaders(filepath.Join(dir, tablesFile), opts)
	return err
}

// Exclusive is true: the lock file keeps other processes out.
func (s *Store) Exclusive() bool { return true }

// Apart is false: one commit, and one sync of the disk, serves all shards.
func (s *Store) Apart() bool { return false }

// Close settles the tables, drops what was trimmed and unlocks the folder.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	s.keeper.stop()
	_, err := s.tend(true)
	return errors.Join(err, s.release())
}

// release closes whatever is open, the lock last.
func (s *Store) release() error {
	var errs []error
	if s.readers != nil {
		errs = append(errs, s.readers.close())
	}
	if s.journal != nil {
		errs = append(errs, s.journal.close())
	}
	if s.tables != nil {
		errs = append(errs, s.tables.close())
	}
	return errors.Join(append(errs, s.lock.Close())...)
}

// Synchronous reads the setting of both files back: 2 is FULL, 1 is NORMAL.
func (s *Store) Synchronous() (journal, tables int64, err error) {
	s.journal.mu.Lock()
	journal, err = number(s.journal.conn, "PRAGMA synchronous")
	s.journal.mu.Unlock()
	if err != nil {
		return 0, 0, err
	}
	s.tables.mu.Lock()
	defer s.tables.mu.Unlock()
	tables, err = number(s.tables.conn, "PRAGMA synchronous")
	return journal, tables, err
}

// unavailable marks an error of SQLite as one that says nothing about the effect.
func unavailable(doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: sqlite: %s: %w", store.ErrUnavailable, doing, err)
}

var errClosed = fmt.Errorf("%w: sqlite: the store is closed", store.ErrUnavailable)
