//go:build failpoints

package cassandra

import (
	"testing"

	"github.com/pingcap/failpoint"

	"perdure/core/store"
	"perdure/core/store/conformance"
)

// What goes wrong in every hundredth round trip, of which a call makes up to some hundred; scripts/failpoints builds and runs this.
var failpoints = []string{"cutBeforeSend", "cutAfterSend", "duplicate", "late"}

func TestConformanceWithFailpoints(t *testing.T) {
	opts := ready(t)
	for _, name := range failpoints {
		t.Run(name, func(t *testing.T) {
			point := "perdure/adapters/store/cassandra/" + name
			conformance.Run(t, func(t testing.TB) conformance.Subject { return unreliable(t, fresh(opts), point) })
		})
	}
}

// unreliable is a subject whose failpoint is on while the suite calls it.
func unreliable(t testing.TB, opts Options, point string) conformance.Subject {
	x := subject(t, opts)
	behind, err := open(opts)
	if err != nil {
		t.Fatal(err)
	}
	has := func(id store.ShardID, seq store.Seq) ([]byte, bool) { return hasRecord(t, behind, id, seq) }
	discard := x.Discard
	x.Discard = func() { behind.Close(); discard() }
	on := func() {
		if err := failpoint.Enable(point, "1%return(true)"); err != nil {
			t.Fatal(err)
		}
	}
	off := func() {
		if err := failpoint.Disable(point); err != nil {
			t.Fatal(err)
		}
	}
	return conformance.Unreliable(x, on, off, conformance.Stubborn{Has: has, Tries: 60})
}

// hasRecord reads a record past the ways that fail. What comes late may get in the way of a read of several nodes.
func hasRecord(t testing.TB, s *Store, id store.ShardID, seq store.Seq) ([]byte, bool) {
	t.Helper()
	var err error
	for range maxContend {
		var found []byte
		var ok bool
		if found, ok, err = readRecord(s, id, seq); err == nil {
			return found, ok
		}
	}
	t.Fatal(err)
	return nil, false
}

func readRecord(s *Store, id store.ShardID, seq store.Seq) (found []byte, ok bool, err error) {
	iter := s.session.Query("SELECT seq, wrote, pieces, record FROM journal WHERE shard = ?", s.shardKey(id)).Consistency(s.serial).Iter()
	var at, wrote *int64
	var pieces *int
	var body []byte
	for iter.Scan(&at, &wrote, &pieces, &body) {
		if at != nil && store.Seq(*at) == seq {
			found, ok = append([]byte{}, body...), true
			for n := range *pieces {
				var piece []byte
				if err := s.session.Query(s.cql.readPiece, s.shardKey(id), *wrote, *at, n).Scan(&piece); err != nil {
					return nil, false, err
				}
				found = append(found, piece...)
			}
		}
		at, wrote, pieces, body = nil, nil, nil, nil
	}
	return found, ok, iter.Close()
}
