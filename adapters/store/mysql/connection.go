package mysql

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	driver "github.com/go-sql-driver/mysql"
	"github.com/pingcap/failpoint"
)

// pool is a bounded number of connections, made when they are needed.
type pool struct {
	*sql.DB
	timeout time.Duration
}

// idleTime is shorter than the time after which a server may hang up on its own.
const idleTime = 4 * time.Minute

func newPool(set *settings, connections int) (*pool, error) {
	connector, err := driver.NewConnector(set.config)
	if err != nil {
		return nil, fmt.Errorf("these settings make no connection: %w", err)
	}
	db := sql.OpenDB(preparing{connector})
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	db.SetConnMaxIdleTime(idleTime)
	return &pool{db, set.timeout}, nil
}

// message is one message to the server: statements and the values for their question marks.
type message struct {
	text     strings.Builder
	args     []any
	prepared bool // a single statement that is worth to be prepared
}

func (m *message) add(text string, args ...any) {
	m.text.WriteString(text)
	m.args = append(m.args, args...)
}

// bytes adds a value of any bytes. The driver escapes byte by byte, so what
// would nearly double is sent in base64: a message grows by a third at most.
func (m *message) bytes(b []byte) {
	if len(b) > 1<<20 && escapes(b) > len(b)/4 {
		m.add("FROM_BASE64(?)", base64.StdEncoding.EncodeToString(b))
		return
	}
	m.add("?", b)
}

func escapes(b []byte) (n int) {
	for _, c := range b {
		switch c {
		case 0, '\n', '\r', 0x1a, '\'', '"', '\\':
			n++
		}
	}
	return n
}

// list adds question marks for n values, with commas between.
func (m *message) list(n int, of func(i int) any) {
	for i := range n {
		if i > 0 {
			m.text.WriteByte(',')
		}
		m.add("?", of(i))
	}
}

// lend gives a connection for one call. The driver itself never repeats what it
// sends on a connection that was lent.
func (p *pool) lend(use func(ctx context.Context, c *sql.Conn) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), p.timeout)
	c, err := p.Conn(ctx)
	cancel()
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	err = use(context.Background(), c) // the connection has time limits of its own
	if err != nil {
		// It may be in the middle of a transaction.
		c.Raw(func(any) error { return sqldriver.ErrBadConn })
	}
	return errors.Join(err, ignoreDone(c.Close()))
}

func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrConnDone) || errors.Is(err, sqldriver.ErrBadConn) {
		return nil
	}
	return err
}

// change sends a message and returns how many rows each of its statements
// changed; statements that give rows are not counted.
func (p *pool) change(m *message) (changed []int64, err error) {
	failpoint.Inject("cutBeforeSend", func() { failpoint.Return(nil, errInjected) })
	failpoint.Inject("late", func() { // the effect comes after the time limit
		if strings.Contains(m.text.String(), "UPDATE fence SET") {
			go p.trip(m)
			failpoint.Return(nil, errInjected)
		}
	})
	changed, err = p.trip(m)
	failpoint.Inject("duplicate", func() {
		if !strings.Contains(m.text.String(), "epoch=epoch+1") {
			p.trip(m)
		}
	})
	failpoint.Inject("cutAfterSend", func() { failpoint.Return(nil, errInjected) })
	return changed, err
}

var errInjected = errors.New("injected by a test")

func (p *pool) trip(m *message) (changed []int64, err error) {
	err = p.lend(func(ctx context.Context, c *sql.Conn) error {
		return c.Raw(func(raw any) error {
			values := make([]sqldriver.NamedValue, len(m.args))
			for i, a := range m.args {
				values[i] = sqldriver.NamedValue{Ordinal: i + 1, Value: a}
			}
			execute := raw.(*connection).ExecContext
			if m.prepared {
				execute = raw.(*connection).executePrepared
			}
			result, err := execute(ctx, m.text.String(), values)
			if err == nil {
				changed = result.(driver.Result).AllRowsAffected()
			}
			return err
		})
	})
	return changed, err
}

// read sends a message of queries and hands over the rows of each.
func (p *pool) read(m *message, row func(query int, r *sql.Rows) error) error {
	failpoint.Inject("cutRead", func() { failpoint.Return(errInjected) })
	return p.lend(func(ctx context.Context, c *sql.Conn) error {
		rows, err := c.QueryContext(ctx, m.text.String(), m.args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for query := 0; ; query++ {
			for rows.Next() {
				if err := row(query, rows); err != nil {
					return err
				}
			}
			if !rows.NextResultSet() {
				return rows.Err()
			}
		}
	})
}
