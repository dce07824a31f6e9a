package durability

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"perdure/test/server"
)

// amount is the short or the long form of a number.
func amount(short, long int) int {
	if testing.Short() {
		return short
	}
	return long
}

// TestNothingAcknowledgedIsLost kills the server at random moments under load.
// Every second time the write-ahead log of the tables is gone when it starts
// again, as a power cut would have it: the tables are not synced with every flush.
func TestNothingAcknowledgedIsLost(t *testing.T) {
	s := server.Start(t)
	l := startLoad(t, s.Addr)
	for n := range 20 {
		l.wait(1 + rand.IntN(amount(200, 2000)))
		s.Kill()
		if n%2 == 1 {
			loseUnsynced(t, s.Data)
		}
		if err := s.Start(); err != nil {
			t.Fatal(err)
		}
	}
	l.end()
	l.check()
}

func loseUnsynced(t *testing.T, folder string) {
	t.Helper()
	if err := os.Remove(filepath.Join(folder, "tables.db-wal")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
}

// TestStopLosesNothing ends the server in good order under load.
func TestStopLosesNothing(t *testing.T) {
	s := server.Start(t)
	l := startLoad(t, s.Addr)
	for range amount(2, 6) {
		l.wait(300)
		if err := s.Stop(); err != nil {
			t.Errorf("the server ended with %v\n%s", err, s.Log())
		}
		if err := s.Start(); err != nil {
			t.Fatal(err)
		}
	}
	l.end()
	l.check()
}
