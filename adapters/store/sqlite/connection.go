package sqlite

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

var errReadOnly error = syscall.EROFS

// settings of one connection.
type settings struct {
	flags      sqlite.OpenFlags
	pageBytes  int // of a new file
	cacheBytes int
	full       bool  // sync every commit
	keepLog    int64 // the write-ahead log is cut to this size when it starts over
	// accept is asked before anything is changed: the file may be somebody else's.
	accept func(c *sqlite.Conn) error
}

// connect opens one connection and reads back what durability rests on.
func connect(path string, set settings) (*sqlite.Conn, error) {
	c, err := sqlite.OpenConn(path, set.flags)
	if err != nil {
		return nil, explain(path, err)
	}
	if set.accept != nil {
		err = set.accept(c)
	}
	if err == nil {
		err = set.apply(c)
	}
	if err != nil {
		return nil, errors.Join(explain(path, err), c.Close())
	}
	return c, nil
}

func (set settings) apply(c *sqlite.Conn) error {
	synchronous := 1
	if set.full {
		synchronous = 2
	}
	pragmas := []string{
		fmt.Sprintf("PRAGMA page_size = %d", set.pageBytes),
		"PRAGMA journal_mode = WAL",
		fmt.Sprintf("PRAGMA synchronous = %d", synchronous),
		"PRAGMA wal_autocheckpoint = 0", // the keeper runs them
		fmt.Sprintf("PRAGMA journal_size_limit = %d", set.keepLog),
		fmt.Sprintf("PRAGMA cache_size = -%d", max(set.cacheBytes>>10, 64)),
		"PRAGMA mmap_size = 0",
		"PRAGMA temp_store = MEMORY",
	}
	if set.flags&sqlite.OpenReadOnly != 0 {
		pragmas = pragmas[4:]
	}
	for _, p := range pragmas {
		if err := sqlitex.ExecuteTransient(c, p, nil); err != nil {
			return err
		}
	}
	return readBack(c, int64(synchronous), set.flags&sqlite.OpenReadOnly != 0)
}

func readBack(c *sqlite.Conn, synchronous int64, readOnly bool) error {
	mode, err := word(c, "PRAGMA journal_mode")
	if err != nil {
		return err
	}
	if mode != "wal" {
		return fmt.Errorf("journal_mode is %q, must be wal: the file system may lack shared memory; use a local disk", mode)
	}
	if readOnly {
		return nil
	}
	got, err := number(c, "PRAGMA synchronous")
	if err == nil && got != synchronous {
		err = fmt.Errorf("synchronous is %d, must be %d", got, synchronous)
	}
	return err
}

// number is the one integer that a query gives.
func number(c *sqlite.Conn, query string) (n int64, err error) {
	err = sqlitex.ExecuteTransient(c, query, &sqlitex.ExecOptions{ResultFunc: func(s *sqlite.Stmt) error {
		n = s.ColumnInt64(0)
		return nil
	}})
	return n, err
}

// word is the one text that a query gives.
func word(c *sqlite.Conn, query string) (w string, err error) {
	err = sqlitex.ExecuteTransient(c, query, &sqlitex.ExecOptions{ResultFunc: func(s *sqlite.Stmt) error {
		w = s.ColumnText(0)
		return nil
	}})
	return w, err
}

// explain turns what SQLite says of a file into what its owner can do.
func explain(path string, err error) error {
	if errors.Is(err, ErrForeign) || errors.Is(err, ErrNewer) {
		return err // says it all
	}
	switch sqlite.ErrCode(err).ToPrimary() {
	case sqlite.ResultNotADB, sqlite.ResultCorrupt:
		return fmt.Errorf("%w: %s is damaged or not a database of this server; restore the whole folder from a backup, or choose another one: %w",
			ErrForeign, path, err)
	case sqlite.ResultReadOnly, sqlite.ResultCantOpen, sqlite.ResultPerm:
		return fmt.Errorf("sqlite: %s cannot be written: let the server's user write there, or choose another folder: %w", path, err)
	}
	return fmt.Errorf("sqlite: opening %s: %w", path, err)
}

// run executes a statement that returns no rows.
func run(s *sqlite.Stmt) error {
	if _, err := s.Step(); err != nil {
		return err
	}
	return s.Reset()
}

// inTransaction runs write between BEGIN and COMMIT; if it fails nothing of it stays.
func inTransaction(c *sqlite.Conn, write func() error) error {
	if err := run(c.Prep("BEGIN IMMEDIATE")); err != nil {
		return err
	}
	err := write()
	if err == nil {
		err = run(c.Prep("COMMIT"))
	}
	if err != nil && !c.AutocommitEnabled() {
		err = errors.Join(err, run(c.Prep("ROLLBACK")))
	}
	return err
}

// columnBytes copies a blob out; it is never nil.
func columnBytes(s *sqlite.Stmt, column int) []byte {
	b := make([]byte, s.ColumnLen(column))
	s.ColumnBytes(column, b)
	return b
}

// bigBinding is the size from which a bound value is worth letting go of.
const bigBinding = 64 << 10

// letGo frees the copy that a statement keeps of a big value.
func letGo(s *sqlite.Stmt, size int) error {
	if size < bigBinding {
		return nil
	}
	return s.ClearBindings()
}

// checkpointed is what a checkpoint reports.
type checkpointed struct {
	complete bool
	frames   int64 // in the write-ahead log
}

// checkpoint copies the write-ahead log into the file and syncs both. PASSIVE
// waits for nobody; FULL waits for writers and readers; RESTART also makes the
// next write begin a new log.
func checkpoint(c *sqlite.Conn, mode string) (done checkpointed, err error) {
	seen := false
	err = sqlitex.ExecuteTransient(c, "PRAGMA wal_checkpoint("+strings.ToUpper(mode)+")", &sqlitex.ExecOptions{ResultFunc: func(s *sqlite.Stmt) error {
		busy, frames, copied := s.ColumnInt64(0), s.ColumnInt64(1), s.ColumnInt64(2)
		done = checkpointed{complete: busy == 0 && frames >= 0 && frames == copied, frames: frames}
		seen = true
		return nil
	}})
	if err == nil && !seen {
		err = errors.New("wal_checkpoint reported nothing")
	}
	return done, err
}
