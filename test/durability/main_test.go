// Package durability kills the built server under load and looks for what it
// acknowledged, through the raw API: nothing acknowledged is lost, nothing is
// applied twice. It also holds the server to its words at start and stop.
//
// With -short every test is small enough for every change.
package durability

import (
	"os"
	"path/filepath"
	"testing"

	"perdure/test/server"
)

// TestMain gives these tests databases of their own: they kill them, which
// others that are played at the same time must not notice.
func TestMain(m *testing.M) {
	folder, err := filepath.Abs(filepath.Join("..", "..", "build", "services", "killed"))
	if err == nil {
		err = os.Setenv("SERVICES_DIR", folder)
	}
	if err != nil {
		panic(err)
	}
	code := m.Run()
	server.RemoveBinary()
	os.Exit(code)
}
