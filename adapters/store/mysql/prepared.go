package mysql

import (
	"context"
	"database/sql/driver"
)

// preparing makes connections that keep what they prepared.
type preparing struct{ driver.Connector }

// Connect connects.
func (p preparing) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := p.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &connection{whole: c.(whole), prepared: map[string]driver.StmtExecContext{}}, nil
}

// whole is all that database/sql asks a connection of the driver for.
type whole interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.NamedValueChecker
	driver.Pinger
	driver.QueryerContext
	driver.SessionResetter
	driver.Validator
}

// connection keeps prepared statements by their text, one for each number of
// shards in an append, until it ends. The server does not parse them again, and
// takes their values as they are.
type connection struct {
	whole
	prepared map[string]driver.StmtExecContext
}

func (c *connection) executePrepared(ctx context.Context, text string, values []driver.NamedValue) (driver.Result, error) {
	st := c.prepared[text]
	if st == nil {
		made, err := c.PrepareContext(ctx, text)
		if err != nil {
			return nil, err
		}
		st = made.(driver.StmtExecContext)
		c.prepared[text] = st
	}
	return st.ExecContext(ctx, values)
}
