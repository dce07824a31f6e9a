package mysql

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	driver "github.com/go-sql-driver/mysql"
	"github.com/pressly/goose/v3/database"

	"perdure/adapters/store/schema"
	"perdure/adapters/store/sqlschema"
	"perdure/adapters/store/target"
)

//go:embed migrations/*.sql
var migrations embed.FS

// OpenSchema opens the tables for `perdure schema`.
func OpenSchema(at *target.Target) (schema.Schema, error) {
	set, err := settingsOf(at, Options{})
	if err != nil {
		return nil, err
	}
	if _, err := set.learn(slog.New(slog.DiscardHandler)); err != nil {
		return nil, err
	}
	return newTables(set)
}

// newTables uses connections without the time limits of a store: a migration may take long.
func newTables(set *settings) (*sqlschema.Tables, error) {
	config := set.config.Clone()
	config.ReadTimeout, config.WriteTimeout = 0, 0
	config.MultiStatements = false
	config.ParseTime = true // of the table of versions
	connector, err := driver.NewConnector(config)
	if err != nil {
		return nil, fmt.Errorf("these settings make no connection: %w", err)
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	return &sqlschema.Tables{
		DB: sql.OpenDB(connector), Dialect: database.DialectMySQL, Migrations: files, Locker: locker{},
		List: "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY table_name",
	}, nil
}

// locker lets one process at a time migrate a database.
type locker struct{}

const lockName = "CONCAT('perdure_schema_', DATABASE())"

func (locker) SessionLock(ctx context.Context, c *sql.Conn) error {
	var got sql.Null[int]
	if err := c.QueryRowContext(ctx, "SELECT GET_LOCK("+lockName+", 600)").Scan(&got); err != nil {
		return err
	}
	if got.V != 1 {
		return errors.New("another process has been migrating this database for 10 minutes; look what it does, then repeat")
	}
	return nil
}

func (locker) SessionUnlock(ctx context.Context, c *sql.Conn) error {
	_, err := c.ExecContext(ctx, "DO RELEASE_LOCK("+lockName+")")
	return err
}
