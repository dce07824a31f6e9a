package port

import (
	"sort"
	"time"

	enumspb "go.temporal.io/api/enums/v1"

	"perdure/core/store"
)

// Namespace is what the machines need to know of a namespace. Values of it are
// frozen: a change makes a new one.
type Namespace struct {
	ID, Name         string
	State            enumspb.NamespaceState
	Description      string
	OwnerEmail       string
	Data             map[string]string
	Retention        time.Duration
	SearchAttributes map[string]enumspb.IndexedValueType // custom ones
}

// Key is a secret that signs task tokens.
type Key struct {
	ID     uint32
	Secret []byte
}

// ShardRange says which strips a shard of the layout owns.
type ShardRange struct {
	Shard  store.ShardID
	Strips store.Strips
}

// Snapshot is one state of the registry. It is frozen: machines and frontends share it.
type Snapshot struct {
	Version  uint64
	Cluster  string // cluster id, a UUID
	Level    Level  // that everybody writes at
	ByName   map[string]*Namespace
	ByID     map[string]*Namespace
	Keys     []Key // the last one signs, all verify
	Layout   []ShardRange
	LayoutID uint64
	Going    []store.ShardID // of the layout: they are to be ended, for a layout that comes
}

// Slots, strips and the slots in a strip: the fixed partition of all rows.
const (
	Slots         = 16384
	SlotsPerStrip = 16
	Strips        = Slots / SlotsPerStrip
)

// ShardOf is the shard that owns a slot.
func (s *Snapshot) ShardOf(slot uint16) store.ShardID {
	strip := slot / SlotsPerStrip
	i := sort.Search(len(s.Layout), func(i int) bool { return s.Layout[i].Strips.To > strip })
	return s.Layout[i].Shard
}
