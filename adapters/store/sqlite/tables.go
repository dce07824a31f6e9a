package sqlite

import (
	"errors"
	"sync"
	"sync/atomic"

	"zombiezen.com/go/sqlite"

	"perdure/core/store"
)

// A transaction of a flush is at most this big, some 20 ms, so that flushes of
// other shards and blobs get their turn. Appends (another file) and reads (of
// the state before) never wait for one. Fewer are cheaper: each commit writes
// the pages that the next one changes as well, and makes readers forget theirs.
const (
	rowsPerCommit  = 1024
	bytesPerCommit = 4 << 20
)

// tables is tables.db. One connection writes, one copies the log into the file.
type tables struct {
	path    string
	mu      sync.Mutex // the writing connection and flushes
	conn    *sqlite.Conn
	writers []rowWriter // by table
	flushes map[store.ShardID]flushed
	key     []byte // scratch
	part    []byte

	settling sync.Mutex // side, covered
	side     *sqlite.Conn
	covered  uint64 // commits up to here are in the file, synced
	opts     Options

	commits atomic.Uint64 // finished; counted after the fact, so what is counted is in the log
	logged  atomic.Int64  // bytes written since the last complete checkpoint, about
}

// rowWriter is the statements of one table.
type rowWriter struct{ put, remove, clear *sqlite.Stmt }

// flushed is how far an owner's flushes got.
type flushed struct {
	fence  store.Fence
	number uint64
	done   bool
}

func openTables(path string, opts Options) (*tables, error) {
	set := settings{
		flags: sqlite.OpenReadWrite | sqlite.OpenCreate, pageBytes: 8192,
		cacheBytes: opts.CacheBytes / 2, keepLog: 2 * opts.TablesLogBytes,
		accept: accept(path, tablesSchema),
	}
	conn, err := connect(path, set)
	if err != nil {
		return nil, err
	}
	t := &tables{path: path, conn: conn, opts: opts, flushes: make(map[store.ShardID]flushed)}
	t.commits.Store(1) // what an earlier process left in the log
	if err := migrate(conn, tablesSchema); err != nil {
		return t.giveUp(explain(path, err))
	}
	if err := t.prepare(); err != nil {
		return t.giveUp(explain(path, err))
	}
	set.cacheBytes = 0
	if t.side, err = connect(path, set); err != nil {
		return t.giveUp(err)
	}
	return t, nil
}

func (t *tables) giveUp(err error) (*tables, error) {
	t.close()
	return nil, err
}

func (t *tables) prepare() error {
	t.writers = make([]rowWriter, len(store.Tables())+1)
	for _, name := range store.Tables() {
		w := &t.writers[name]
		for _, p := range []struct {
			s     **sqlite.Stmt
			query string
		}{
			{&w.put, "INSERT INTO " + name.String() + " (part, key, value) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value"},
			{&w.remove, "DELETE FROM " + name.String() + " WHERE part = ? AND key = ?"},
			{&w.clear, "DELETE FROM " + name.String() + " WHERE part = ?1 AND key IN (SELECT key FROM " + name.String() + " WHERE part = ?1 LIMIT ?2)"},
		} {
			s, err := t.conn.Prepare(p.query)
			if err != nil {
				return err
			}
			*p.s = s
		}
	}
	return nil
}

// used says whether any table has a row.
func (t *tables) used() (bool, error) {
	for _, name := range store.Tables() {
		n, err := number(t.conn, "SELECT EXISTS (SELECT 1 FROM "+name.String()+")")
		if err != nil || n > 0 {
			return n > 0, err
		}
	}
	return false, nil
}

// Flush writes rows in small transactions. Each checks the fence anew, under the
// lock that a newer owner's flush has to take: whatever this one still writes is
// overwritten, never the other way round. So rows carry no version and deletes
// leave no trace.
func (s *Store) Flush(f store.Flush) error {
	rows := f.Spared()
	for _, d := range f.Deleted {
		for more := true; more; {
			var err error
			more, err = s.flushPart(f, func(t *tables) (bool, error) { return t.clear(d.Partition) })
			if stop := endOfFlush(err); stop != nil {
				return stop.err
			}
		}
	}
	for done := false; !done; {
		_, err := s.flushPart(f, func(t *tables) (bool, error) {
			n, err := t.write(rows)
			if err == nil {
				rows = rows[n:]
			}
			return false, err
		})
		if stop := endOfFlush(err); stop != nil {
			return stop.err
		}
		done = len(rows) == 0
	}
	s.tables.finish(f)
	s.keeper.afterFlush(s.tables)
	return nil
}

// errBehind says that a flush is done already, or that a later one has begun.
var errBehind = errors.New("sqlite: flush is behind")

type end struct{ err error }

// endOfFlush is how a flush ends after a part: nil to go on.
func endOfFlush(err error) *end {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errBehind):
		return &end{}
	}
	return &end{err}
}

// flushPart runs one transaction of a flush, if the flush still may.
func (s *Store) flushPart(f store.Flush, write func(t *tables) (bool, error)) (more bool, err error) {
	t := s.tables
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.closed.Load() || t.conn == nil {
		return false, errClosed
	}
	if err := s.journal.check(f.Fence); err != nil {
		return false, err
	}
	if err := t.admit(f); err != nil {
		return false, err
	}
	err = inTransaction(t.conn, func() error {
		more, err = write(t)
		return err
	})
	if err != nil {
		return false, unavailable("flushing", err)
	}
	t.commits.Add(1)
	return more, nil
}

// admit lets through the owner's newest flush, until it is done.
func (t *tables) admit(f store.Flush) error {
	last := t.flushes[f.Fence.Shard]
	if last.fence != f.Fence {
		last = flushed{fence: f.Fence}
	}
	if f.Number < last.number || f.Number == last.number && last.done {
		return errBehind
	}
	if f.Number > last.number {
		last.number, last.done = f.Number, false
	}
	t.flushes[f.Fence.Shard] = last
	return nil
}

func (t *tables) finish(f store.Flush) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if last := t.flushes[f.Fence.Shard]; last.fence == f.Fence && last.number == f.Number {
		last.done = true
		t.flushes[f.Fence.Shard] = last
	}
}

// write puts the first rows, as many as one transaction takes.
func (t *tables) write(rows []store.Row) (n int, err error) {
	bytes := 0
	for n < len(rows) && n < rowsPerCommit && bytes < bytesPerCommit {
		if err := t.writeRow(rows[n]); err != nil {
			return n, err
		}
		bytes += len(rows[n].Value) + 64
		n++
	}
	t.logged.Add(int64(bytes))
	return n, nil
}

func (t *tables) writeRow(r store.Row) error {
	w := &t.writers[r.Key.Table]
	s := w.put
	if r.Value == nil {
		s = w.remove
	} else {
		s.BindBytes(3, r.Value)
	}
	t.part = append(t.part[:0], r.Key.Partition...)
	t.key = append(t.key[:0], r.Key.Key...)
	s.BindBytes(1, t.part)
	s.BindBytes(2, t.key)
	if err := run(s); err != nil {
		return err
	}
	return letGo(s, len(r.Value))
}

// clear removes some rows of a partition; more says that it was not all.
func (t *tables) clear(p store.Partition) (more bool, err error) {
	s := t.writers[p.Table].clear
	t.part = append(t.part[:0], p.Partition...)
	s.BindBytes(1, t.part)
	s.BindInt64(2, rowsPerCommit)
	if err := run(s); err != nil {
		return false, err
	}
	n := t.conn.Changes()
	t.logged.Add(int64(n) * 8192)
	return n == rowsPerCommit, nil
}

// Write stores blobs and returns once they are safe in the file itself: the
// record that will name them may be synced before the tables' log is.
func (s *Store) Write(rows []store.Row) error {
	for len(rows) > 0 {
		n, err := s.writeSome(rows)
		if err != nil {
			return err
		}
		rows = rows[n:]
	}
	_, err := s.tables.settle(true)
	return err
}

func (s *Store) writeSome(rows []store.Row) (n int, err error) {
	t := s.tables
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.closed.Load() || t.conn == nil {
		return 0, errClosed
	}
	err = inTransaction(t.conn, func() error {
		n, err = t.write(rows)
		return err
	})
	if err != nil {
		return 0, unavailable("writing blobs", err)
	}
	t.commits.Add(1)
	return n, nil
}

// settle brings what is committed now into the file, synced, and says whether
// all of it is. Without force it waits for nobody, so a reader may prevent it.
func (t *tables) settle(force bool) (bool, error) {
	want := t.commits.Load()
	t.settling.Lock()
	defer t.settling.Unlock()
	if t.covered >= want { // also by a checkpoint that others waited for meanwhile
		return true, nil
	}
	if t.side == nil {
		return false, errClosed
	}
	t.opts.settling(true)
	defer t.opts.settling(false)
	complete, err := t.copyLog("PASSIVE")
	if err == nil && !complete && force {
		complete, err = t.copyLogAlone("FULL")
	}
	if err == nil && force && !complete {
		err = errors.New("a checkpoint did not come to its end")
	}
	return complete, unavailable("checkpoint of the tables", err)
}

// copyLog runs a checkpoint; complete, it covers what was committed before it began.
func (t *tables) copyLog(mode string) (complete bool, err error) {
	began, logged := t.commits.Load(), t.logged.Load()
	done, err := checkpoint(t.side, mode)
	if err != nil || !done.complete {
		return false, err
	}
	t.covered = max(t.covered, began)
	t.logged.Add(-logged)
	if mode == "RESTART" || done.frames*8192 <= 4*t.opts.TablesLogBytes {
		return true, nil
	}
	// Readers kept the log from starting over for long.
	if mode == "FULL" { // alone already
		return t.copyLog("RESTART")
	}
	return t.copyLogAlone("RESTART")
}

// copyLogAlone keeps flushes out meanwhile; readers are waited for.
func (t *tables) copyLogAlone(mode string) (bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.copyLog(mode)
}

func (t *tables) close() error {
	t.settling.Lock()
	defer t.settling.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	side, conn := t.side, t.conn
	t.side, t.conn = nil, nil
	return closeAll(side, conn)
}

func closeAll(conns ...*sqlite.Conn) error {
	var errs []error
	for _, c := range conns {
		if c != nil {
			errs = append(errs, c.Close())
		}
	}
	return errors.Join(errs...)
}
