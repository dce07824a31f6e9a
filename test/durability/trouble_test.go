package durability

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"perdure/adapters/store/proxy"
	"perdure/adapters/store/service"
)

// trouble is one way in which a database takes no changes.
type trouble struct {
	name   string
	reason string // what the server's log must say of it, in lower case
	home   func(t *testing.T, kind string) *database
	begin  func(t *testing.T, db *database) (end func())
	partly bool // some changes are made all the same: the outage may come and go
}

// database is one, and the server that works on it.
type database struct {
	kind, name string
	folder     string   // of the server's data
	args       []string // of the server
	proxy      *proxy.Proxy
	small      string // the file system that it is on, if that is small
}

// embedded stands for SQLite, which is no service: its files are the server's.
const embedded = "sqlite"

func troublesOf(kind string) []trouble {
	stopped := trouble{name: "stopped", reason: "connect", home: plain, begin: stop}
	slow := trouble{name: "slow", home: behindProxy, begin: stall}
	full := trouble{name: "disk_full", home: onSmallDisk, begin: fill} // it may crash of it, then nobody can tell the server why
	switch kind {
	case "postgres":
		full.partly = true // small records find room where others were, and in a log that is made in advance
		return []trouble{
			stopped,
			{name: "read_only", reason: "read-only", home: plain, begin: readOnlyPostgres},
			{name: "no_connections", reason: "too many connections", home: plain, begin: noConnectionsPostgres},
			slow,
			full,
		}
	case "mysql", "mariadb":
		full.partly = kind == "mariadb" // it changes what is there, and takes its time to give up what is not
		return []trouble{
			stopped,
			{name: "read_only", reason: "read-only", home: plain, begin: readOnlyMySQL},
			{name: "no_connections", reason: "max_user_connections", home: plain, begin: noConnectionsMySQL},
			slow,
			full,
		}
	}
	stopped.reason = ""
	return []trouble{stopped, {name: "frozen", home: plain, begin: freeze}, full}
}

// quickly makes the server give up calls soon.
const quickly = "timeout=2s"

// plain is a database as it comes. The server is not its administrator there.
func plain(t *testing.T, kind string) *database {
	name := databaseName(t)
	url := service.Fresh(t, kind, name)
	switch kind {
	case "postgres":
		do(t, kind, "sql", `DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname='guest') THEN CREATE ROLE guest LOGIN PASSWORD 'guest'; END IF; END $$;
			ALTER ROLE guest CONNECTION LIMIT -1; ALTER DATABASE `+name+` OWNER TO guest`)
	case "mysql":
		do(t, kind, "sql", `CREATE USER IF NOT EXISTS guest@'%' IDENTIFIED WITH mysql_native_password BY 'guest';
			ALTER USER guest@'%' WITH MAX_USER_CONNECTIONS 0; GRANT ALL ON `+name+`.* TO guest@'%'`)
	case "mariadb":
		do(t, kind, "sql", `CREATE USER IF NOT EXISTS guest@'%' IDENTIFIED BY 'guest';
			ALTER USER guest@'%' WITH MAX_USER_CONNECTIONS 0; GRANT ALL ON `+name+`.* TO guest@'%'`)
	}
	return inDatabase(t, kind, name, strings.Replace(url, "perdure:perdure@", "guest:guest@", 1))
}

func inDatabase(t *testing.T, kind, name, url string) *database {
	parameter := "?" + quickly
	if strings.Contains(url, "?") {
		parameter = "&" + quickly
	}
	return &database{kind: kind, name: name, folder: filepath.Join(t.TempDir(), "data"), args: []string{"--store", url + parameter}}
}

// behindProxy is a database that the server reaches through a proxy.
func behindProxy(t *testing.T, kind string) *database {
	name := databaseName(t)
	url := service.Fresh(t, kind, name)
	_, rest, _ := strings.Cut(url, "@")
	host, _, _ := strings.Cut(rest, "/")
	p := proxy.Start(t, host)
	db := inDatabase(t, kind, name, strings.Replace(url, host, p.Addr(), 1))
	db.proxy = p
	return db
}

func stop(t *testing.T, db *database) func() {
	do(t, db.kind, "stop")
	return func() { do(t, db.kind, "start") }
}

// stall holds what is under way for so long that it is given up; then it comes all the same, late.
func stall(t *testing.T, db *database) func() {
	release := db.proxy.Stall()
	t.Cleanup(release)
	return release
}

// freeze stops the database in whatever it does, and lets it go on.
func freeze(t *testing.T, db *database) func() {
	pids, err := service.Do(db.kind, "pids")
	if err != nil {
		t.Fatal(err)
	}
	signal := func(what string) {
		if out, err := exec.Command("kill", append([]string{what}, strings.Fields(pids)...)...).CombinedOutput(); err != nil {
			t.Errorf("kill %s: %v: %s", what, err, out)
		}
	}
	signal("-STOP")
	ended := false
	end := func() {
		if !ended {
			ended = true
			signal("-CONT")
		}
	}
	t.Cleanup(end)
	return end
}

func readOnlyPostgres(t *testing.T, db *database) func() {
	return statements(t, db, "ALTER SYSTEM SET default_transaction_read_only = on; SELECT pg_reload_conf()",
		"ALTER SYSTEM RESET default_transaction_read_only; SELECT pg_reload_conf()")
}

func readOnlyMySQL(t *testing.T, db *database) func() {
	name := "super_read_only"
	if db.kind == "mariadb" {
		name = "read_only" // which the server's user cannot pass over
	}
	return statements(t, db, "SET GLOBAL "+name+"=1", "SET GLOBAL "+name+"=0; SET GLOBAL read_only=0")
}

func noConnectionsPostgres(t *testing.T, db *database) func() {
	end := statements(t, db, "ALTER ROLE guest CONNECTION LIMIT 0", "ALTER ROLE guest CONNECTION LIMIT -1")
	do(t, db.kind, "sql", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'guest'")
	return end
}

// noConnectionsMySQL leaves the server's user a single connection, which another client has.
func noConnectionsMySQL(t *testing.T, db *database) func() {
	const hold = "SELECT SLEEP(100000)"
	do(t, db.kind, "sql", "ALTER USER guest@'%' WITH MAX_USER_CONNECTIONS 1000") // who came while there was no limit is not counted
	held := make(chan error, 1)
	go func() {
		_, err := service.Do(db.kind, "sql", hold, "guest")
		held <- err
	}()
	all := "SELECT id FROM information_schema.processlist WHERE user='guest' AND IFNULL(info,'')"
	var holder string
	for holder == "" {
		holder = answer(t, db, all+"='"+hold+"'")
	}
	end := statements(t, db, "ALTER USER guest@'%' WITH MAX_USER_CONNECTIONS 1", "ALTER USER guest@'%' WITH MAX_USER_CONNECTIONS 0; KILL "+holder)
	t.Cleanup(func() { <-held })
	for _, id := range strings.Fields(answer(t, db, all+"<>'"+hold+"'")) {
		_, _ = service.Do(db.kind, "sql", "KILL "+id) // it may have gone by itself
	}
	return end
}

func answer(t *testing.T, db *database, query string) string {
	t.Helper()
	out, err := service.Do(db.kind, "sql", query)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// statements are carried out, and others at the end.
func statements(t *testing.T, db *database, begin, end string) func() {
	t.Helper()
	do(t, db.kind, "sql", begin)
	ended := false
	undo := func() {
		if !ended {
			ended = true
			do(t, db.kind, "sql", end)
		}
	}
	t.Cleanup(undo)
	return undo
}

// onSmallDisk is a database, or SQLite's files, on a file system of its own.
func onSmallDisk(t *testing.T, kind string) *database {
	size := map[string]string{embedded: "64m", "postgres": "200m", "mysql": "1g", "mariadb": "600m", "cassandra": "600m", "cassandra4": "600m", "cassandra-three": "1800m"}[kind]
	folder, err := filepath.Abs(filepath.Join("..", "..", "build", "small"))
	if err != nil {
		t.Fatal(err)
	}
	mount(t, folder, size)
	if kind == embedded {
		return &database{kind: kind, folder: filepath.Join(folder, "data"), small: folder}
	}
	t.Setenv("SERVICES_DIR", folder)
	name := databaseName(t)
	url := service.Fresh(t, kind, name)
	t.Cleanup(func() { do(t, kind, "kill") })
	db := inDatabase(t, kind, name, url)
	db.small = folder
	return db
}

// mount makes a file system in memory. Nobody but root can; the test says that it was not played.
func mount(t *testing.T, folder, size string) {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "mode=755,size="+size, "perdure-test", folder).CombinedOutput(); err != nil {
		message := "a full disk needs a small file system, which only root may mount: " + strings.TrimSpace(string(out))
		if os.Getenv("CI") != "" {
			t.Fatal(message)
		}
		t.Skip(message)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "--lazy", folder).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
}

// fill leaves not a byte of the file system. In the end a database that gave up is started again.
func fill(t *testing.T, db *database) func() {
	name := filepath.Join(db.small, "filler")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 1<<20); len(block) > 0; {
		if _, err := f.Write(block); errors.Is(err, syscall.ENOSPC) {
			block = block[:len(block)/2]
		} else if err != nil {
			t.Fatal(err)
		}
	}
	return func() {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
		if db.kind != embedded {
			do(t, db.kind, "start")
		}
	}
}
