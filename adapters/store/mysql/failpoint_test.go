//go:build failpoints

package mysql

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
var failpoints = []string{"cutBeforeSend", "cutAfterSend", "cutRead", "duplicate", "late"}

func TestConformanceWithFailpoints(t *testing.T) {
	for _, kind := range both {
		for _, name := range failpoints {
			t.Run(kind+" "+name, func(t *testing.T) {
				point := "perdure/adapters/store/mysql/" + name
				conformance.Run(t, func(t testing.TB) conformance.Subject { return unreliable(t, kind, point) })
			})
		}
	}
}

// unreliable is a subject whose failpoint is on while the suite calls it.
func unreliable(t testing.TB, kind, point string) conformance.Subject {
	x, url := subjectAt(t, kind, Options{})
	db, err := direct(url)
	if err != nil {
		t.Fatal(err)
	}
	has := func(id store.ShardID, seq store.Seq) (body []byte, ok bool) {
		err := db.QueryRow("SELECT body FROM record WHERE shard = ? AND seq = ?", int64(id), int64(seq)).Scan(&body)
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
