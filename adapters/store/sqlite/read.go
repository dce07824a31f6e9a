package sqlite

import (
	"errors"
	"sync"

	"zombiezen.com/go/sqlite"

	"perdure/core/store"
)

// readers is a pool of connections that only read tables.db. The one that was
// used last is lent first: after a flush each connection reads its pages anew,
// so the fewer are at work the better.
type readers struct {
	free chan struct{} // a token for each connection that is idle
	gone chan struct{} // closed when the store is
	mu   sync.Mutex
	idle []*reader
}

// reader is one connection and its statements by table.
type reader struct {
	conn       *sqlite.Conn
	begin, end *sqlite.Stmt
	tables     []rowReader
	part, key  []byte // scratch
}

type rowReader struct{ get, scan, scanTo *sqlite.Stmt }

func openReaders(path string, opts Options) (*readers, error) {
	r := &readers{free: make(chan struct{}, opts.Readers), gone: make(chan struct{})}
	set := settings{flags: sqlite.OpenReadOnly, cacheBytes: opts.CacheBytes * 3 / 8 / opts.Readers}
	for range opts.Readers {
		one, err := openReader(path, set)
		if err != nil {
			opened := len(r.free)
			return nil, errors.Join(err, r.closeSome(opened))
		}
		r.give(one)
	}
	return r, nil
}

func (r *readers) give(one *reader) {
	r.mu.Lock()
	r.idle = append(r.idle, one)
	r.mu.Unlock()
	r.free <- struct{}{}
}

// take is for holders of a token.
func (r *readers) take() *reader {
	r.mu.Lock()
	defer r.mu.Unlock()
	one := r.idle[len(r.idle)-1]
	r.idle = r.idle[:len(r.idle)-1]
	return one
}

func openReader(path string, set settings) (*reader, error) {
	conn, err := connect(path, set)
	if err != nil {
		return nil, err
	}
	r := &reader{conn: conn, tables: make([]rowReader, len(store.Tables())+1)}
	if err := r.prepare(); err != nil {
		return nil, errors.Join(explain(path, err), conn.Close())
	}
	return r, nil
}

func (r *reader) prepare() error {
	var err error
	prepare := func(query string) (s *sqlite.Stmt) {
		if err == nil {
			s, err = r.conn.Prepare(query)
		}
		return s
	}
	r.begin, r.end = prepare("BEGIN"), prepare("COMMIT")
	for _, t := range store.Tables() {
		from := " FROM " + t.String() + " WHERE part = ?1 AND key "
		r.tables[t] = rowReader{
			get:    prepare("SELECT value" + from + "= ?2"),
			scan:   prepare("SELECT key, value" + from + ">= ?2 ORDER BY key LIMIT ?3"),
			scanTo: prepare("SELECT key, value" + from + ">= ?2 AND key < ?4 ORDER BY key LIMIT ?3"),
		}
	}
	return err
}

// with lends a connection; several reads share one snapshot.
func (r *readers) with(reads int, read func(*reader) error) error {
	if reads == 0 {
		return nil
	}
	select {
	case <-r.gone:
		return errClosed
	default:
	}
	select {
	case <-r.gone:
		return errClosed
	case <-r.free:
		one := r.take()
		err := one.snapshot(reads, read)
		r.give(one)
		return unavailable("reading rows", err)
	}
}

// snapshot puts BEGIN and COMMIT around more than one read; that also saves the
// locks of the reads between.
func (r *reader) snapshot(reads int, read func(*reader) error) error {
	if reads == 1 {
		return read(r)
	}
	if err := run(r.begin); err != nil {
		return err
	}
	return errors.Join(read(r), run(r.end))
}

// Get reads rows one by one from one snapshot.
func (s *Store) Get(keys []store.Key) ([]store.Row, error) {
	rows := make([]store.Row, len(keys))
	err := s.readers.with(len(keys), func(r *reader) error {
		for i, k := range keys {
			value, err := r.get(k)
			if err != nil {
				return err
			}
			rows[i] = store.Row{Key: k, Value: value}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return rows, nil
}

func (r *reader) get(k store.Key) ([]byte, error) {
	s := r.tables[k.Table].get
	r.bind(s, k.Partition, k.Key)
	found, err := s.Step()
	if err != nil || !found {
		return nil, errors.Join(err, s.Reset())
	}
	value := columnBytes(s, 0)
	return value, s.Reset()
}

func (r *reader) bind(s *sqlite.Stmt, partition, key string) {
	r.part = append(r.part[:0], partition...)
	r.key = append(r.key[:0], key...)
	s.BindBytes(1, r.part)
	s.BindBytes(2, r.key)
}

// Scan reads ranges from one snapshot.
func (s *Store) Scan(ranges []store.Range) ([][]store.Row, error) {
	found := make([][]store.Row, len(ranges))
	err := s.readers.with(len(ranges), func(r *reader) error {
		for i, asked := range ranges {
			rows, err := r.scan(asked)
			if err != nil {
				return err
			}
			found[i] = rows
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

func (r *reader) scan(asked store.Range) ([]store.Row, error) {
	s := r.tables[asked.Table].scan
	if asked.To != "" {
		s = r.tables[asked.Table].scanTo
		s.BindBytes(4, []byte(asked.To))
	}
	r.bind(s, asked.Partition, asked.From)
	limit := int64(-1)
	if asked.Limit > 0 {
		limit = int64(asked.Limit)
	}
	s.BindInt64(3, limit)
	var rows []store.Row
	for {
		more, err := s.Step()
		if err != nil || !more {
			return rows, errors.Join(err, s.Reset())
		}
		key := store.Key{Table: asked.Table, Partition: asked.Partition, Key: string(columnBytes(s, 0))}
		rows = append(rows, store.Row{Key: key, Value: columnBytes(s, 1)})
	}
}

// close waits for the reads under way.
func (r *readers) close() error {
	close(r.gone)
	return r.closeSome(cap(r.free))
}

func (r *readers) closeSome(n int) error {
	var errs []error
	for range n {
		<-r.free
		errs = append(errs, r.take().conn.Close())
	}
	return errors.Join(errs...)
}
