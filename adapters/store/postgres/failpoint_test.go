package postgres

import (
	"bytes"
	"database/sql"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/pingcap/failpoint"

	"perdure/adapters/store/proxy"
	"perdure/core/store"
	"perdure/core/store/conformance"
)

// What goes wrong in every fifth round trip; the build must have failpoints (scripts/failpoints).
var failpoints = []string{"cutBeforeSend", "cutAfterSend", "cutAtCommit", "duplicate", "late"}

func TestConformanceWithFailpoints(t *testing.T) {
	if os.Getenv("PERDURE_TEST_FAILPOINTS") == "" {
		t.Skip("failpoints are not in this build; run scripts/failpoints ./adapters/store/postgres")
	}
	for _, name := range failpoints {
		t.Run(name, func(t *testing.T) {
			point := "perdure/adapters/store/postgres/" + name
			conformance.Run(t, func(t testing.TB) conformance.Subject { return unreliable(t, point) })
		})
	}
}

// unreliable is a subject whose failpoint is on while the suite calls it.
func unreliable(t testing.TB, point string) conformance.Subject {
	x, url := subjectAt(t, Options{})
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	has := func(id store.ShardID, seq store.Seq) (body []byte, ok bool) {
		err := db.QueryRow("SELECT body FROM record WHERE shard = $1 AND seq = $2", int64(id), int64(seq)).Scan(&body)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			t.Fatal(err)
		}
		return bytes.Clone(body), err == nil
	}
	discard := x.Discard
	x.Discard = func() { db.Close(); discard() }
	on := func() {
		if err := failpoint.Enable(point, "20%return(true)"); err != nil {
			t.Fatal(err)
		}
	}
	off := func() {
		if err := failpoint.Disable(point); err != nil {
			t.Fatal(err)
		}
	}
	return conformance.Unreliable(x, on, off, conformance.Stubborn{Has: has})
}

func TestConnectionsCutAndHeld(t *testing.T) {
	x, url := subjectAt(t, Options{})
	defer x.Discard()
	p := proxy.Start(t, at(t, url).Hosts)
	through := strings.Replace(url, at(t, url).Hosts, p.Addr(), 1) + "?sslmode=disable&timeout=2s"
	proxy.Cases(t, p, func() (store.Store, error) { return Open(at(t, through), Options{}) }, x.Join)
}
