// Package schema brings the tables of a database to the version that this
// server works with: on start where that is safe, else by `perdure schema`.
package schema

import (
	"errors"
	"fmt"
)

// Schema is the tables of one database. Version 0 has none of them.
type Schema interface {
	// Versions tells what the database has and what this server works with.
	Versions() (have, want int, err error)
	// Plan names the steps from what the database has to what this server works with, one line each.
	Plan() ([]string, error)
	// Apply takes these steps. It may be repeated, after a failure in its middle
	// too, and may run beside another one on the same database.
	Apply() error
	Close() error
}

// Errors of a schema that is not the one this server works with. Each comes with what to do.
var (
	// ErrNewer: a newer server wrote it.
	ErrNewer = errors.New("schema is newer than this server")
	// ErrOlder: it has to be updated first.
	ErrOlder = errors.New("schema is older than this server")
	// ErrMissing: there is none.
	ErrMissing = errors.New("database has no schema")
	// ErrForeign: there are tables of somebody else where this server's should be.
	ErrForeign = errors.New("database holds tables of another program")
)

// Prepare is for the start of a server: it sets up an empty database and
// accepts one of the right version. A database that is in use is never changed here.
func Prepare(s Schema) error {
	have, want, err := s.Versions()
	switch {
	case err != nil:
		return err
	case have == 0:
		return s.Apply()
	case have < want:
		return fmt.Errorf("%w: it has version %d, this server works with %d; stop all servers, take a backup, then run `perdure schema update` with the same --store", ErrOlder, have, want)
	}
	return notNewer(have, want)
}

func notNewer(have, want int) error {
	if have <= want {
		return nil
	}
	return fmt.Errorf("%w: it has version %d, this server works with %d; use the newer server", ErrNewer, have, want)
}

// ForSetup says what is left to be done to set the schema up; nothing if it is there already.
func ForSetup(s Schema) ([]string, error) {
	have, want, err := s.Versions()
	switch {
	case err != nil:
		return nil, err
	case have == 0:
		return s.Plan()
	case have < want:
		return nil, fmt.Errorf("%w: it has version %d, this server works with %d; run `perdure schema update`", ErrOlder, have, want)
	}
	return nil, notNewer(have, want)
}

// ForUpdate says what is left to be done to bring the schema up to date.
func ForUpdate(s Schema) ([]string, error) {
	have, want, err := s.Versions()
	switch {
	case err != nil:
		return nil, err
	case have == 0:
		return nil, fmt.Errorf("%w: run `perdure schema setup`", ErrMissing)
	case have < want:
		return s.Plan()
	}
	return nil, notNewer(have, want)
}
