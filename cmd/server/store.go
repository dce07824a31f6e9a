package main

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"perdure/adapters/config"
	"perdure/adapters/store/cassandra"
	"perdure/adapters/store/mysql"
	"perdure/adapters/store/postgres"
	"perdure/adapters/store/schema"
	"perdure/adapters/store/sqlite"
	"perdure/adapters/store/target"
	"perdure/core/store"
)

// database is one kind of database that --store can name by its scheme.
type database struct {
	// open opens the store of a server; it sets up an empty database and refuses a wrong schema.
	open func(at *target.Target, log *slog.Logger) (store.Store, error)
	// schema opens what `perdure schema` works on.
	schema func(at *target.Target) (schema.Schema, error)
}

var databases = map[string]database{
	"cassandra": {
		open: func(at *target.Target, log *slog.Logger) (store.Store, error) {
			opts, err := cassandra.FromTarget(at)
			if err != nil {
				return nil, err
			}
			opts.Logger = log
			return cassandra.Open(opts)
		},
		schema: func(at *target.Target) (schema.Schema, error) {
			opts, err := cassandra.FromTarget(at)
			if err != nil {
				return nil, err
			}
			return cassandra.OpenSchema(opts)
		},
	},
	"mysql": {
		open: func(at *target.Target, log *slog.Logger) (store.Store, error) {
			return mysql.Open(at, mysql.Options{Logger: log})
		},
		schema: mysql.OpenSchema,
	},
	"postgres": {
		open: func(at *target.Target, log *slog.Logger) (store.Store, error) {
			return postgres.Open(at, postgres.Options{Logger: log})
		},
		schema: postgres.OpenSchema,
	},
}

// openStore opens what --store names, by default SQLite in the data folder.
func openStore(s *config.Settings, log *slog.Logger) (store.Store, error) {
	if s.Store == "" {
		limit, _ := s.Memory()
		return sqlite.Open(s.Data, sqlite.Options{CacheBytes: int(limit) / storeShare, Logger: log})
	}
	at, kind, err := findStore(s.Store, s.StorePassword)
	if err != nil {
		return nil, err
	}
	opened, err := kind.open(at, log)
	if err != nil {
		return nil, fmt.Errorf("--store %s: %w", at, oneLine{err})
	}
	return opened, nil
}

// oneLine is an error whose text a driver spread over several lines.
type oneLine struct{ error }

func (e oneLine) Error() string { return strings.Join(strings.Fields(e.error.Error()), " ") }
func (e oneLine) Unwrap() error { return e.error }

func findStore(text, password string) (*target.Target, database, error) {
	at, err := target.Parse(text, password)
	if err != nil {
		return nil, database{}, fmt.Errorf("--store: %w", err)
	}
	kind, known := databases[at.Scheme]
	if !known {
		return nil, database{}, fmt.Errorf("--store: there is no kind of store %q; there are %s, and nothing for SQLite in --data",
			at.Scheme, strings.Join(slices.Sorted(maps.Keys(databases)), ", "))
	}
	return at, kind, nil
}

// place tells people where the data is.
func place(s *config.Settings) string {
	if s.Store == "" {
		return absolute(s.Data)
	}
	if at, err := target.Parse(s.Store, ""); err == nil {
		return at.String()
	}
	return s.Store
}
