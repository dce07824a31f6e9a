// Package sqlschema carries embedded migrations out on a database/sql database.
package sqlschema

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
	"github.com/pressly/goose/v3/lock"

	"perdure/adapters/store/schema"
)

// versionTable says which migrations the database has.
const versionTable = "perdure_schema"

// Tables are those of one SQL database.
type Tables struct {
	DB         *sql.DB
	Dialect    database.Dialect
	Migrations fs.FS              // files named NNNNN_what.sql
	Locker     lock.SessionLocker // lets one process at a time migrate
	List       string             // a query for the names of all tables that are there
}

var _ schema.Schema = (*Tables)(nil)

// patience bounds a look at the database; migrations take as long as they take.
const patience = 15 * time.Second

// Versions looks, and changes nothing.
func (t *Tables) Versions() (have, want int, err error) {
	p, err := t.provider()
	if err != nil {
		return 0, 0, err
	}
	for _, s := range p.ListSources() {
		want = max(want, int(s.Version))
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	names, err := t.names(ctx)
	switch {
	case err != nil:
		return 0, 0, err
	case len(names) == 0:
		return 0, want, nil
	case !slices.Contains(names, versionTable):
		return 0, 0, fmt.Errorf("%w (%s, ...): give this server a database of its own", schema.ErrForeign, names[0])
	}
	err = t.DB.QueryRowContext(ctx, "SELECT COALESCE(MAX(version_id), 0) FROM "+versionTable).Scan(&have)
	return have, want, err
}

func (t *Tables) names(ctx context.Context) (names []string, err error) {
	rows, err := t.DB.QueryContext(ctx, t.List)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, rows.Err()
}

func (t *Tables) provider() (*goose.Provider, error) {
	versions, err := database.NewStore(t.Dialect, versionTable)
	if err != nil {
		return nil, err
	}
	options := []goose.ProviderOption{goose.WithStore(versions), goose.WithDisableGlobalRegistry(true)}
	if t.Locker != nil {
		options = append(options, goose.WithSessionLocker(t.Locker))
	}
	return goose.NewProvider("", t.DB, t.Migrations, options...)
}

// Plan names the files of the migrations that are missing.
func (t *Tables) Plan() ([]string, error) {
	have, _, err := t.Versions()
	if err != nil {
		return nil, err
	}
	p, err := t.provider()
	if err != nil {
		return nil, err
	}
	var steps []string
	for _, s := range p.ListSources() {
		if int(s.Version) > have {
			steps = append(steps, path.Base(s.Path))
		}
	}
	return steps, nil
}

// Apply carries the missing migrations out.
func (t *Tables) Apply() error {
	p, err := t.provider()
	if err != nil {
		return err
	}
	_, err = p.Up(context.Background())
	var partial *goose.PartialError
	if errors.As(err, &partial) && partial.Failed != nil {
		return fmt.Errorf("migration %s: %w", path.Base(partial.Failed.Source.Path), partial.Err)
	}
	return err
}

// Close ends the connections.
func (t *Tables) Close() error { return t.DB.Close() }
