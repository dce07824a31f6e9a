package e2e

import (
	"strings"
	"testing"

	"perdure/adapters/store/service"
	"perdure/test/server"
)

// TestSchemaCommandsOnStores sets each database up by hand, in steps that may be
// repeated, and has a newer one refused.
func TestSchemaCommandsOnStores(t *testing.T) {
	for _, kind := range service.Stores("postgres", "mysql", "mariadb", "cassandra") {
		t.Run(kind, func(t *testing.T) {
			const name = "e2e_schema"
			url := service.Fresh(t, kind, name)
			newest := map[string]string{"postgres": "1", "mysql": "2", "mariadb": "2", "cassandra": "1", "cassandra4": "1", "cassandra-three": "1"}[kind]
			schemaSays(t, url, "version", "database: 0, server: "+newest)
			schemaRefuses(t, url, "update", "run `perdure schema setup`")
			schemaSays(t, url, "setup --dry-run", "Nothing was changed.")
			schemaSays(t, url, "version", "database: 0, server: "+newest)
			schemaSays(t, url, "setup", "Done.")
			schemaSays(t, url, "version", "database: "+newest+", server: "+newest)
			for _, command := range []string{"setup", "update", "setup --dry-run", "update --dry-run"} {
				schemaSays(t, url, command, "Nothing to do")
			}
			server.Start(t, "--store", url)
			if !makeNewer(t, kind, name) {
				return
			}
			schemaSays(t, url, "version", "database: 99, server: "+newest)
			for _, command := range []string{"setup", "update"} {
				schemaRefuses(t, url, command, "newer than this server")
			}
			if err := server.New(t.TempDir(), "--store", url).Start(); err == nil || !strings.Contains(err.Error(), "newer than this server") {
				t.Errorf("a server on a newer schema: %v", err)
			}
		})
	}
}

func runSchema(t *testing.T, url, command string) (out string, err error) {
	t.Helper()
	c, err := server.Command(append(append([]string{"schema"}, strings.Fields(command)...), "--store", url)...)
	if err != nil {
		t.Fatal(err)
	}
	text, err := c.CombinedOutput()
	return string(text), err
}

func schemaSays(t *testing.T, url, command, want string) {
	t.Helper()
	if out, err := runSchema(t, url, command); err != nil || !strings.Contains(out, want) {
		t.Errorf("schema %s: %v: %s, want %q", command, err, out, want)
	}
}

func schemaRefuses(t *testing.T, url, command, want string) {
	t.Helper()
	if out, err := runSchema(t, url, command); err == nil || !strings.Contains(out, want) {
		t.Errorf("schema %s: %v: %s, want a failure with %q", command, err, out, want)
	}
}

// makeNewer writes a version of the future. Cassandra has no client here: its own tests do it.
func makeNewer(t *testing.T, kind, name string) bool {
	t.Helper()
	insert := "INSERT INTO perdure_schema (version_id, is_applied) VALUES (99, true)"
	switch kind {
	case "postgres":
		insert = "\\connect " + name + "\n" + insert
	case "mysql", "mariadb":
		insert = "USE " + name + "; " + insert
	default:
		return false
	}
	if _, err := service.Do(kind, "sql", insert); err != nil {
		t.Fatal(err)
	}
	return true
}
