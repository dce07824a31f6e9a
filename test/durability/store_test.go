package durability

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"

	"perdure/adapters/store/service"
	"perdure/test/server"
)

// The same promises on real databases, which can be killed too. Which ones is
// the variable PERDURE_TEST_STORES.

func onStores(t *testing.T, play func(t *testing.T, kind, url string)) {
	for _, kind := range service.Stores("postgres") {
		t.Run(kind, func(t *testing.T) {
			play(t, kind, service.Fresh(t, kind, databaseName(t)))
		})
	}
}

// databaseName is the test's own.
func databaseName(t *testing.T) string {
	name := strings.ToLower(strings.Split(t.Name(), "/")[0])
	return name[max(0, len(name)-30):]
}

func do(t *testing.T, kind string, command ...string) {
	t.Helper()
	if _, err := service.Do(kind, command...); err != nil {
		t.Fatal(err)
	}
}

// TestServerKilledOnStores kills the server at random moments under load.
func TestServerKilledOnStores(t *testing.T) {
	onStores(t, func(t *testing.T, kind, url string) {
		s := server.Start(t, "--store", url)
		l := startLoad(t, s.Addr)
		for range amount(3, 20) {
			l.wait(1 + rand.IntN(amount(200, 1000)))
			s.Kill()
			if err := s.Start(); err != nil {
				t.Fatal(err)
			}
		}
		l.end()
		l.check()
	})
}

// TestDatabaseKilledOnStores kills the database under load; the server lives.
func TestDatabaseKilledOnStores(t *testing.T) {
	onStores(t, func(t *testing.T, kind, url string) {
		s := server.Start(t, "--store", url)
		l := startLoad(t, s.Addr)
		for range amount(2, 10) {
			l.wait(1 + rand.IntN(amount(200, 1000)))
			do(t, kind, "kill")
			do(t, kind, "start")
		}
		l.end()
		l.check()
	})
}

// TestNodesKilledOnStores kills one node after another of a database that has several: the others serve on.
func TestNodesKilledOnStores(t *testing.T) {
	onStores(t, func(t *testing.T, kind, url string) {
		nodes := strings.Count(strings.Split(url, "/")[2], ",") + 1
		if nodes == 1 {
			return // its death is the database's
		}
		s := server.Start(t, "--store", url)
		l := startLoad(t, s.Addr)
		for i := range amount(3, 10) {
			l.wait(1 + rand.IntN(amount(100, 500)))
			do(t, kind, fmt.Sprint("kill", i%nodes+1))
			l.wait(1 + rand.IntN(amount(50, 200))) // while it is dead
			do(t, kind, "start")
		}
		l.end()
		l.check()
	})
}

// TestTwoOwnersOnStores stops a server in whatever it does, lets a second one
// take all shards over, and lets the first go on, which believes to own them
// still. Then the second is stopped in its turn.
func TestTwoOwnersOnStores(t *testing.T) {
	onStores(t, func(t *testing.T, kind, url string) {
		now, next := server.Start(t, "--store", url), server.Start(t, "--store", url)
		api, move := dialMoving(t, now.Addr)
		l := startLoadThrough(t, api)
		for range amount(1, 8) {
			l.wait(1 + rand.IntN(amount(100, 500)))
			now.Signal(t, syscall.SIGSTOP)
			move(next.Addr)
			l.wait(1 + rand.IntN(amount(100, 500)))
			now.Signal(t, syscall.SIGCONT)
			now, next = next, now
		}
		l.end()
		l.check()
	})
}

// TestTwoServersAskedOnStores asks two servers that know nothing of each other in
// turns. They take the shards from each other, not without end: everything ends, and nothing is lost.
func TestTwoServersAskedOnStores(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a minute, most of it waits; make kill STORE=postgres plays it")
	}
	onStores(t, func(t *testing.T, kind, url string) {
		one, other := server.Start(t, "--store", url), server.Start(t, "--store", url)
		l := startLoadThrough(t, dialAll(t, one.Addr, other.Addr))
		l.wait(100)
		l.end()
		l.check()
		taken := strings.Count(one.Log()+other.Log(), "shard opened")
		t.Logf("shards were opened %d times", taken)
	})
}
