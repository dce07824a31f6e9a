package postgres

import (
	"embed"
	"io/fs"
	"maps"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3/database"
	"github.com/pressly/goose/v3/lock"

	"perdure/adapters/store/schema"
	"perdure/adapters/store/sqlschema"
	"perdure/adapters/store/target"
)

//go:embed migrations/*.sql
var migrations embed.FS

// OpenSchema opens the tables for `perdure schema`.
func OpenSchema(at *target.Target) (schema.Schema, error) {
	set, err := settingsOf(at)
	if err != nil {
		return nil, err
	}
	return newTables(set)
}

// newTables uses connections without the time limits of a store: a migration may take long.
func newTables(set settings) (*sqlschema.Tables, error) {
	config := set.config.Copy()
	config.RuntimeParams = maps.Clone(config.RuntimeParams)
	delete(config.RuntimeParams, "statement_timeout")
	delete(config.RuntimeParams, "lock_timeout")
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 600), lock.WithUnlockTimeout(1, 10))
	if err != nil {
		return nil, err
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	return &sqlschema.Tables{
		DB: stdlib.OpenDB(*config), Dialect: database.DialectPostgres, Migrations: files, Locker: locker,
		List: "SELECT table_name::text FROM information_schema.tables WHERE table_schema = current_schema() ORDER BY table_name",
	}, nil
}
