package sqlschema_test

import (
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	driver "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3/database"

	"perdure/adapters/store/mysql"
	"perdure/adapters/store/postgres"
	"perdure/adapters/store/schema"
	"perdure/adapters/store/service"
	"perdure/adapters/store/sqlschema"
	"perdure/adapters/store/target"
)

// server is an empty database of one kind, looked at behind the schema's back.
type server struct {
	*testing.T
	db      *sql.DB
	open    func() (schema.Schema, error)
	dialect database.Dialect
	list    string // a query for the names of all tables
}

// onServers plays a test on the kinds of database that make test starts.
func onServers(t *testing.T, name string, play func(s *server)) {
	for _, kind := range []string{"postgres", "mysql"} {
		t.Run(kind, func(t *testing.T) {
			url := service.Fresh(t, kind, "schema_"+name)
			at, err := target.Parse(url, "")
			if err != nil {
				t.Fatal(err)
			}
			s := &server{T: t}
			const list = "SELECT table_name FROM information_schema.tables WHERE table_schema = %s ORDER BY table_name"
			if kind == "postgres" {
				s.dialect, s.list = database.DialectPostgres, fmt.Sprintf(list, "current_schema()")
				s.open = func() (schema.Schema, error) { return postgres.OpenSchema(at) }
				s.db, err = sql.Open("pgx", url)
			} else {
				s.dialect, s.list = database.DialectMySQL, fmt.Sprintf(list, "DATABASE()")
				s.open = func() (schema.Schema, error) { return mysql.OpenSchema(at) }
				config := driver.Config{User: at.User, Passwd: at.Password, Net: "tcp", Addr: at.Hosts, DBName: at.Name}
				s.db, err = sql.Open("mysql", config.FormatDSN())
			}
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.db.Close() })
			play(s)
		})
	}
}

func (s *server) schema() schema.Schema {
	s.Helper()
	x, err := s.open()
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { x.Close() })
	return x
}

func (s *server) execute(statement string) {
	s.Helper()
	if _, err := s.db.Exec(statement); err != nil {
		s.Fatal(err)
	}
}

// tables are the names of all tables.
func (s *server) tables() (names []string) {
	s.Helper()
	rows, err := s.db.Query(s.list)
	if err != nil {
		s.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			s.Fatal(err)
		}
		names = append(names, name)
	}
	return names
}

func (s *server) has(x schema.Schema, version, missing int) {
	s.Helper()
	have, want, err := x.Versions()
	plan, planErr := x.Plan()
	if err != nil || planErr != nil || have != version || want != version+missing || len(plan) != missing {
		s.Fatalf("version %d of %d, plan %q, %v, %v; want version %d and %d steps", have, want, plan, err, planErr, version, missing)
	}
}

func TestAPlanChangesNothingAndApplyingItTwiceIsApplyingItOnce(t *testing.T) {
	onServers(t, "plan", func(s *server) {
		x := s.schema()
		_, newest, err := x.Versions()
		if err != nil || newest == 0 {
			s.Fatalf("newest version %d, %v", newest, err)
		}
		s.has(x, 0, newest)
		if steps, err := x.Plan(); err != nil || !slices.IsSorted(steps) || !strings.HasPrefix(steps[0], "00001_") {
			s.Fatalf("the plan is %q, %v", steps, err)
		}
		if got := s.tables(); len(got) != 0 {
			s.Fatalf("the plan made tables: %q", got)
		}
		for range 2 {
			if err := x.Apply(); err != nil {
				s.Fatal(err)
			}
			s.has(x, newest, 0)
		}
	})
}

func TestANewerSchemaIsRefusedAndLeftAlone(t *testing.T) {
	onServers(t, "newer", func(s *server) {
		x := s.schema()
		if err := schema.Prepare(x); err != nil {
			s.Fatal(err)
		}
		before := s.tables()
		s.execute("INSERT INTO perdure_schema (version_id, is_applied) VALUES (99, true)")
		_, setup := schema.ForSetup(x)
		_, update := schema.ForUpdate(x)
		for what, err := range map[string]error{"start": schema.Prepare(x), "setup": setup, "update": update} {
			if !errors.Is(err, schema.ErrNewer) || !strings.Contains(err.Error(), "99") {
				s.Errorf("%s: %v", what, err)
			}
		}
		if after := s.tables(); !slices.Equal(before, after) {
			s.Errorf("tables %q became %q", before, after)
		}
	})
}

func TestTablesOfAnotherProgramAreRefusedAndLeftAlone(t *testing.T) {
	onServers(t, "foreign", func(s *server) {
		s.execute("CREATE TABLE theirs (x int)")
		x := s.schema()
		_, setup := schema.ForSetup(x)
		_, update := schema.ForUpdate(x)
		for what, err := range map[string]error{"start": schema.Prepare(x), "setup": setup, "update": update} {
			if !errors.Is(err, schema.ErrForeign) || !strings.Contains(err.Error(), "theirs") {
				s.Errorf("%s: %v", what, err)
			}
		}
		if got := s.tables(); !slices.Equal(got, []string{"theirs"}) {
			s.Errorf("the tables are now %q", got)
		}
	})
}

// Servers that meet an empty database at the same moment set it up once.
func TestSeveralSetUpOneDatabase(t *testing.T) {
	onServers(t, "together", func(s *server) {
		var all sync.WaitGroup
		for range 4 {
			x := s.schema()
			all.Go(func() {
				if err := schema.Prepare(x); err != nil {
					s.Error(err)
				}
			})
		}
		all.Wait()
		var times int
		if err := s.db.QueryRow("SELECT count(*) FROM perdure_schema WHERE version_id = 1").Scan(&times); err != nil || times != 1 {
			s.Errorf("the first migration was carried out %d times, %v", times, err)
		}
	})
}

// A migration that fails is named, the ones before it stay, and the next try goes on from there.
func TestAMigrationThatFailsIsNamedAndRepeated(t *testing.T) {
	onServers(t, "failing", func(s *server) {
		files := fstest.MapFS{}
		step := func(name, statement string) {
			files[name] = &fstest.MapFile{Data: []byte("-- +goose Up\n" + statement + ";\n")}
		}
		tables := func(files fs.FS) *sqlschema.Tables {
			return &sqlschema.Tables{DB: s.db, Dialect: s.dialect, Migrations: files, List: s.list}
		}
		step("00001_one.sql", "CREATE TABLE one (x int)")
		step("00002_two.sql", "CREATE TABLE two (x nonsense)")
		if err := tables(files).Apply(); err == nil || !strings.Contains(err.Error(), "00002_two.sql") {
			s.Fatalf("a migration that cannot be done: %v", err)
		}
		s.has(tables(files), 1, 1)
		step("00002_two.sql", "CREATE TABLE two (x int)")
		if err := tables(files).Apply(); err != nil {
			s.Fatal(err)
		}
		s.has(tables(files), 2, 0)
		if got := s.tables(); !slices.Equal(got, []string{"one", "perdure_schema", "two"}) {
			s.Errorf("tables %q", got)
		}
	})
}
