package mysql

import (
	"testing"
	"testing/fstest"

	"perdure/adapters/store/schema"
	"perdure/adapters/store/service"
	"perdure/adapters/store/sqlschema"
	"perdure/core/store"
)

// Version 1 had the last record's seq in the shard's row. A database of it, with
// a journal that is empty and one that is not, is brought up to date, also by a
// run that follows an interrupted one.
func TestUpdateFromVersion1KeepsTheJournals(t *testing.T) {
	for _, kind := range both {
		t.Run(kind, func(t *testing.T) {
			url := service.Fresh(t, kind, "update_from_1")
			x, err := OpenSchema(at(t, url))
			if err != nil {
				t.Fatal(err)
			}
			defer x.Close()
			tables := x.(*sqlschema.Tables)
			all := tables.Migrations
			first, err := migrations.ReadFile("migrations/00001_tables.sql")
			if err != nil {
				t.Fatal(err)
			}
			tables.Migrations = fstest.MapFS{"00001_tables.sql": {Data: first}}
			if err := tables.Apply(); err != nil {
				t.Fatal(err)
			}
			for _, statement := range []string{
				"INSERT INTO shard (id,strips_from,strips_to,epoch,address,old_address,last,trimmed) VALUES (1,0,16,3,'','',5,5),(2,16,32,3,'','',7,5)",
				"INSERT INTO fence (shard,epoch) VALUES (1,3),(2,3)",
				"INSERT INTO record (shard,seq,body) VALUES (2,6,'six'),(2,7,'seven')",
			} {
				if _, err := tables.DB.Exec(statement); err != nil {
					t.Fatal(err)
				}
			}
			tables.Migrations = all
			if _, err := Open(at(t, url), Options{}); err == nil {
				t.Fatal("a server changed a database that is in use")
			}
			if plan, err := schema.ForUpdate(x); err != nil || len(plan) != 1 {
				t.Fatalf("the plan is %q, %v", plan, err)
			}
			for range 2 { // the second time as if the first had ended before it was noted
				if err := x.Apply(); err != nil {
					t.Fatal(err)
				}
				if _, err := tables.DB.Exec("DELETE FROM perdure_schema WHERE version_id=2"); err != nil {
					t.Fatal(err)
				}
			}
			if err := x.Apply(); err != nil {
				t.Fatal(err)
			}
			s, err := Open(at(t, url), Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			for id, want := range map[store.ShardID]struct {
				last    store.Seq
				records int
			}{1: {5, 0}, 2: {7, 2}} {
				opened, err := s.Open(store.Open{Shard: id, Owner: "here:1", Nonce: 7})
				if err != nil || opened.Last != want.last || len(opened.Records) != want.records {
					t.Fatalf("shard %d: %+v, %v", id, opened, err)
				}
				f := store.Fence{Shard: id, Epoch: opened.Epoch, Nonce: 7}
				if got := s.Append([]store.Append{{Fence: f, Seq: want.last + 1, Record: []byte("next")}}); got[0] != store.Done {
					t.Fatalf("shard %d: the next record is %v", id, got[0])
				}
			}
		})
	}
}
