package store

import (
	"slices"
	"testing"
)

func TestRowsOfDeletedPartitionsAreSparedByVersion(t *testing.T) {
	key := func(table Table, p string) Key { return Key{Table: table, Partition: p, Key: "k"} }
	f := Flush{Rows: []Row{{Key: key(Pending, "p"), Version: 1}, {Key: key(Due, "p"), Version: 5}, {Key: key(Due, "q"), Version: 1}}}
	part := Partition{Table: Due, Partition: "p"}
	for deleted, want := range map[Version]int{4: 3, 5: 2, 6: 2} {
		f.Deleted = []DeletedPartition{{Partition: part, Version: deleted}, {Partition: part, Version: 2}}
		got := f.Spared()
		if len(got) != want || got[0].Key.Table != Pending || got[want-1].Key.Partition != "q" {
			t.Errorf("deleted at %d: %v stayed", deleted, got)
		}
	}
	f.Deleted = nil
	if got := f.Spared(); len(got) != 3 {
		t.Errorf("nothing deleted: %v stayed", got)
	}
}

func TestConfirmByOwners(t *testing.T) {
	mine := Fence{Shard: 1, Epoch: 2, Nonce: 3}
	owners := func(shards []ShardID) ([]Owner, error) {
		found := make([]Owner, len(shards))
		for i, id := range shards {
			if id == mine.Shard {
				found[i] = Owner{Fence: mine, Address: "here"}
			}
		}
		return found, nil
	}
	older, twin := mine, mine
	older.Epoch--
	twin.Nonce++
	still, err := ConfirmBy(owners, []Fence{older, mine, twin, {}, {Shard: 9, Epoch: 1}})
	if err != nil || !slices.Equal(still, []bool{false, true, false, false, false}) {
		t.Errorf("%v, %v", still, err)
	}
	lost := func([]ShardID) ([]Owner, error) { return nil, ErrUnavailable }
	if _, err := ConfirmBy(lost, []Fence{mine}); err != ErrUnavailable {
		t.Errorf("no answer: %v", err)
	}
}
