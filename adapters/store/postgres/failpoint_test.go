//go:build failpoints

package postgres

import (
	"bytes"
	"database/sql"
	"errors"
	"testing"

	"github.com/pingcap/failpoint"

	"perdure/core/store"
	"perdure/core/store/conformance"
)

// What goes wrong in every fifth round trip; scripts/failpoints builds and runs this.
var failpoints = []string{"cutBeforeSend", "cutAfterSend", "cutAtCommit", "duplicate", "late"}

func TestConformanceWithFailpoints(t *testing.T) {
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
