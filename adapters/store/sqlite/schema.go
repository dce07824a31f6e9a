package sqlite

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitemigration"
	"zombiezen.com/go/sqlite/sqlitex"

	"perdure/core/store"
)

// The two files carry application ids of their own, so that neither is taken
// for the other or for somebody else's. Migrations are only ever added.
var (
	journalSchema = sqlitemigration.Schema{AppID: 0x5044724a, Migrations: []string{journalSchema1, journalSchema2}}
	tablesSchema  = sqlitemigration.Schema{AppID: 0x50447254, Migrations: []string{tablesSchema1()}}
)

// The table of records is of the past: it is emptied into slots.
const journalSchema1 = `
CREATE TABLE identity (id TEXT NOT NULL);
CREATE TABLE shard (
	id          INTEGER PRIMARY KEY,
	strips_from INTEGER NOT NULL,
	strips_to   INTEGER NOT NULL,
	epoch       INTEGER NOT NULL, -- the highest given out, or the floor
	owned       INTEGER NOT NULL, -- 0: never opened, or released
	nonce       INTEGER NOT NULL,
	address     TEXT    NOT NULL,
	retired     INTEGER NOT NULL,
	trimmed     INTEGER NOT NULL  -- records up to here are garbage
);
CREATE TABLE record (
	id    INTEGER PRIMARY KEY,
	shard INTEGER NOT NULL,
	seq   INTEGER NOT NULL,
	body  BLOB    NOT NULL
);`

// See slots for what is in them.
const journalSchema2 = `
CREATE TABLE slot (
	id   INTEGER PRIMARY KEY,
	body BLOB NOT NULL
);`

func tablesSchema1() string {
	var b strings.Builder
	b.WriteString("CREATE TABLE identity (id TEXT NOT NULL);\n")
	for _, t := range store.Tables() {
		fmt.Fprintf(&b, "CREATE TABLE %s (part BLOB NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, PRIMARY KEY (part, key)) WITHOUT ROWID;\n", t)
	}
	return b.String()
}

// accept refuses files that this server did not make, or that are too new for it.
func accept(path string, schema sqlitemigration.Schema) func(*sqlite.Conn) error {
	return func(c *sqlite.Conn) error {
		things, err := number(c, "SELECT count(*) FROM sqlite_schema")
		if err != nil || things == 0 {
			return err
		}
		id, err := number(c, "PRAGMA application_id")
		if err != nil {
			return err
		}
		if int32(id) != schema.AppID {
			return fmt.Errorf("%w: %s is a database of another program; choose another folder", ErrForeign, path)
		}
		have, err := number(c, "PRAGMA user_version")
		if err == nil && have > int64(len(schema.Migrations)) {
			err = fmt.Errorf("%w: %s has schema %d, this server knows up to %d; use the newer server",
				ErrNewer, path, have, len(schema.Migrations))
		}
		return err
	}
}

// migrate brings an accepted file to the newest schema.
func migrate(c *sqlite.Conn, schema sqlitemigration.Schema) error {
	have, err := number(c, "PRAGMA user_version")
	if err != nil || have == int64(len(schema.Migrations)) {
		return err
	}
	return sqlitemigration.Migrate(context.Background(), c, schema)
}

// matchFiles makes sure that the two files were born together: tables without
// their journal, or beside a strange one, lack acknowledged work.
func matchFiles(j *journal, t *tables) error {
	ofJournal, err := word(j.conn, "SELECT id FROM identity")
	if err != nil {
		return explain(j.path, err)
	}
	ofTables, err := word(t.conn, "SELECT id FROM identity")
	if err != nil {
		return explain(t.path, err)
	}
	if ofJournal != "" && ofJournal == ofTables {
		return nil
	}
	if ofJournal != "" && len(j.heads) > 0 {
		return fmt.Errorf("%w: %s is missing or is not the one that belongs to %s; restore both from the same backup", ErrForeign, t.path, j.path)
	}
	if used, err := t.used(); used || err != nil {
		return errors.Join(err, fmt.Errorf("%w: %s is missing or is not the one that belongs to %s; restore both from the same backup", ErrForeign, j.path, t.path))
	}
	return marry(j, t)
}

// marry gives two empty files a common identity, durably.
func marry(j *journal, t *tables) error {
	var b [16]byte
	rand.Read(b[:])
	id := hex.EncodeToString(b[:])
	for _, c := range []*sqlite.Conn{t.conn, j.conn} {
		err := inTransaction(c, func() error {
			if err := sqlitex.ExecuteTransient(c, "DELETE FROM identity", nil); err != nil {
				return err
			}
			return sqlitex.ExecuteTransient(c, "INSERT INTO identity VALUES (?)", &sqlitex.ExecOptions{Args: []any{id}})
		})
		if err != nil {
			return fmt.Errorf("sqlite: preparing a new folder: %w", err)
		}
	}
	t.commits.Add(1)
	_, err := t.settle(true)
	return err
}
