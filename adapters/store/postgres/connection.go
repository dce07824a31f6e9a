package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/puddle/v2"
	"github.com/pingcap/failpoint"
)

// conn is one connection with every statement prepared on it.
type conn struct {
	*pgconn.PgConn
	statements [statementCount]*pgconn.StatementDescription
}

// sending is one statement of a round trip and its parameters, all in binary form.
type sending struct {
	statement statement
	params    [][]byte
}

var inBinary = []int16{1}

func connect(ctx context.Context, set settings) (*conn, error) {
	raw, err := pgconn.ConnectConfig(ctx, &set.config.Config)
	if err != nil {
		return nil, err
	}
	c := &conn{PgConn: raw}
	if err := c.prepare(ctx); err != nil {
		raw.Close(ctx)
		return nil, err
	}
	return c, nil
}

// prepare prepares every statement in one round trip.
func (c *conn) prepare(ctx context.Context) error {
	p := c.StartPipeline(ctx)
	for i := range c.statements {
		p.SendPrepare(nameOf(i), queries[i], nil)
	}
	err := p.Sync()
	for i := 0; err == nil && i < len(c.statements); i++ {
		var got any
		got, err = p.GetResults()
		if prepared, ok := got.(*pgconn.StatementDescription); ok {
			prepared.Name = nameOf(i)
			c.statements[i] = prepared
		}
	}
	return errors.Join(err, p.Close())
}

func nameOf(statement int) string { return fmt.Sprint("s", statement) }

// run sends statements in one round trip and hands over their rows, which are
// only valid until row returns. The statements are one transaction, or each its
// own if apart. After an error nothing is known of any of them.
func (c *conn) run(apart bool, list []sending, row func(i int, values [][]byte) error) error {
	p := c.StartPipeline(context.Background())
	for i, s := range list {
		p.SendQueryStatement(c.statements[s.statement], s.params, inBinary, inBinary)
		if apart || i == len(list)-1 {
			p.SendPipelineSync()
		}
	}
	err := p.Flush()
	for i := 0; err == nil && i < len(list); {
		var got any
		if got, err = p.GetResults(); err != nil {
			break
		}
		switch got := got.(type) {
		case *pgconn.ResultReader:
			for err == nil && got.NextRow() {
				err = row(i, got.Values())
			}
			if _, e := got.Close(); err == nil {
				err = e
			}
			i++
		case nil:
			err = errors.New("the answer ended early")
		}
	}
	failpoint.Inject("cutAtCommit", func() { c.Conn().Close() })
	if e := p.Close(); err == nil { // reads the end of the last transaction too
		err = e
	}
	return err
}

// setting reads a setting of the server.
func (c *conn) setting(name string) (value string, err error) {
	err = c.run(false, []sending{{showSetting, [][]byte{[]byte(name)}}}, func(_ int, v [][]byte) error {
		value = string(v[0])
		return nil
	})
	return value, err
}

// pool is a bounded number of connections, made when they are needed.
type pool struct {
	*puddle.Pool[*conn]
}

func newPool(set settings, connections int) *pool {
	p, err := puddle.NewPool(&puddle.Config[*conn]{
		MaxSize: int32(connections),
		Constructor: func(ctx context.Context) (*conn, error) {
			ctx, cancel := context.WithTimeout(ctx, set.config.ConnectTimeout)
			defer cancel()
			return connect(ctx, set)
		},
		Destructor: func(c *conn) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			c.Close(ctx)
		},
	})
	if err != nil {
		panic("postgres: " + err.Error()) // the size is not positive
	}
	return &pool{p}
}

// do lends a connection for one call and bounds the call: waiting for the
// connection and using it may each take that long. A connection that broke is
// thrown away, and so are those that idle: what broke one broke all of them.
func (p *pool) do(timeout time.Duration, use func(*conn) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	lent, err := p.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	c := lent.Value()
	if err := c.Conn().SetDeadline(time.Now().Add(timeout + timeout/2)); err != nil {
		lent.Destroy()
		return err
	}
	err = use(c)
	if c.IsClosed() {
		lent.Destroy()
		p.Reset()
		return err
	}
	lent.Release()
	return err
}

func (p *pool) close() { p.Close() }

// ask is do for one round trip.
func (p *pool) ask(timeout time.Duration, apart bool, list []sending, row func(i int, values [][]byte) error) error {
	failpoint.Inject("cutBeforeSend", func() { failpoint.Return(errInjected) })
	failpoint.Inject("late", func() { // the effect comes after the time limit
		if s := list[0].statement; s == flushRows || s == flushPartitions {
			go p.trip(timeout, apart, list, ignore)
			failpoint.Return(errInjected)
		}
	})
	err := p.trip(timeout, apart, list, row)
	failpoint.Inject("duplicate", func() {
		if s := list[0].statement; err == nil && s != raiseEpoch {
			err = p.trip(timeout, apart, list, ignore)
		}
	})
	failpoint.Inject("cutAfterSend", func() { failpoint.Return(errInjected) })
	return err
}

func (p *pool) trip(timeout time.Duration, apart bool, list []sending, row func(i int, values [][]byte) error) error {
	return p.do(timeout, func(c *conn) error { return c.run(apart, list, row) })
}

func ignore(int, [][]byte) error { return nil }

var errInjected = errors.New("injected by a test")
