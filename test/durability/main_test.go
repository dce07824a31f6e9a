// Package durability kills the built server under load and looks for what it
// acknowledged, through the raw API: nothing acknowledged is lost, nothing is
// applied twice. It also holds the server to its words at start and stop.
//
// With -short every test is small enough for every change.
package durability

import (
	"os"
	"testing"

	"perdure/test/server"
)

func TestMain(m *testing.M) {
	code := m.Run()
	server.RemoveBinary()
	os.Exit(code)
}
