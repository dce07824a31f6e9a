package registry

import (
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"google.golang.org/protobuf/proto"

	"perdure/core/port"
	"perdure/core/registry/registrypb"
	"perdure/core/store"
)

// All rows are in one partition: change, cluster, key/<id>, layout, namespace/<uuid>.
const (
	partition    = "registry"
	keyCluster   = "cluster"
	keyLayout    = "layout"
	keyChange    = "change" // of the layout, while it goes on
	keyKeys      = "key/"
	keyNamespace = "namespace/"
)

// state is the content of the rows. Its maps are looked up and, where order does not show, copied.
type state struct {
	cluster string
	level   port.Level
	keys    []port.Key // by id
	layout  *registrypb.Layout
	change  *registrypb.Change // frozen; nil: none is under way
	byID    map[string]*namespace
	byName  map[string]*namespace
}

// namespace is a row and what the others see of it. Both are frozen.
type namespace struct {
	row  *registrypb.Namespace
	seen *port.Namespace
}

// load reads the rows, as far as a level goes. A registry that cannot be read cannot be guessed.
func load(rows []store.Row, level port.Level) (state, error) {
	s := state{level: port.FirstLevel, layout: &registrypb.Layout{}}
	for _, row := range rows {
		if err := s.loadRow(row.Key.Key, row.Value, level); err != nil {
			return s, fmt.Errorf("the registry cannot be read: row %q: %w", row.Key.Key, err)
		}
	}
	slices.SortFunc(s.keys, func(a, b port.Key) int { return int(int64(a.ID) - int64(b.ID)) })
	return s, nil
}

func (s *state) loadRow(key string, value []byte, level port.Level) error {
	decode := func(row formatted) error { return decode(value, row, level) }
	kind, _, _ := strings.Cut(key, "/")
	switch kind {
	case keyCluster:
		row := &registrypb.Cluster{}
		err := decode(row)
		s.cluster, s.level = row.Id, max(port.Level(row.Level), port.FirstLevel)
		return err
	case keyLayout:
		s.layout = &registrypb.Layout{}
		return decode(s.layout)
	case keyChange:
		s.change = &registrypb.Change{}
		return decode(s.change)
	case "key":
		row := &registrypb.Key{}
		err := decode(row)
		s.keys = append(s.keys, port.Key{ID: row.Id, Secret: row.Secret})
		return err
	case "namespace":
		row := &registrypb.Namespace{}
		err := decode(row)
		s.set(row)
		return err
	}
	return nil // of a newer server: not ours to touch
}

type formatted interface {
	proto.Message
	GetFormat() uint32
}

func decode(value []byte, row formatted, level port.Level) error {
	if err := proto.Unmarshal(value, row); err != nil {
		return err
	}
	if f := port.Level(row.GetFormat()); f > level {
		return fmt.Errorf("it has format level %d, this server knows up to %d: start a newer version of the server", f, level)
	}
	return nil
}

func encode(row proto.Message) []byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(row)
	if err != nil {
		panic(fmt.Sprintf("registry: row cannot be encoded: %v", err))
	}
	return b
}

func (s *state) set(row *registrypb.Namespace) {
	if s.byID == nil {
		s.byID, s.byName = map[string]*namespace{}, map[string]*namespace{}
	}
	types := map[string]enumspb.IndexedValueType{}
	for name, t := range row.SearchAttributes {
		types[name] = enumspb.IndexedValueType(t)
	}
	n := &namespace{row: row, seen: &port.Namespace{
		ID: row.Id, Name: row.Name, State: enumspb.NamespaceState(row.State), Description: row.Description, OwnerEmail: row.OwnerEmail,
		Data: row.Data, Retention: time.Duration(row.Retention), SearchAttributes: types,
	}}
	s.byID[row.Id], s.byName[row.Name] = n, n
}

// snapshot copies the maps: the state changes on, a snapshot does not.
func (s *state) snapshot(version uint64) *port.Snapshot {
	out := &port.Snapshot{
		Version: version, Cluster: s.cluster, Level: s.level, Keys: slices.Clone(s.keys), LayoutID: s.layout.Generation, Going: s.going(),
		ByName: make(map[string]*port.Namespace, len(s.byName)), ByID: make(map[string]*port.Namespace, len(s.byID)),
	}
	for name, n := range s.byName {
		out.ByName[name] = n.seen
	}
	for id, n := range s.byID {
		out.ByID[id] = n.seen
	}
	for _, shard := range s.layout.Shards {
		out.Layout = append(out.Layout, port.ShardRange{Shard: store.ShardID(shard.Id), Strips: store.Strips{From: uint16(shard.From), To: uint16(shard.To)}})
	}
	return out
}

// sorted lists the namespaces by name.
func (s *state) sorted() []*namespace {
	all := make([]*namespace, 0, len(s.byName))
	for _, name := range slices.Sorted(maps.Keys(s.byName)) {
		all = append(all, s.byName[name])
	}
	return all
}

// The put functions change memory and journal together.

// format of new rows. A row of a higher level than a reader knows is refused by it.
func (r *Registry) format() uint32 { return uint32(r.state.level) }

func (r *Registry) putCluster(row *registrypb.Cluster, fresh bool) {
	row.Format = r.format()
	r.state.cluster = row.Id
	r.put(keyCluster, row, fresh)
}

func (r *Registry) putKey(row *registrypb.Key) {
	row.Format = r.format()
	r.state.keys = append(r.state.keys, port.Key{ID: row.Id, Secret: row.Secret})
	r.put(keyKeys+strconv.FormatUint(uint64(row.Id), 10), row, true)
}

func (r *Registry) putLayout(row *registrypb.Layout) {
	row.Format = r.format()
	r.state.layout = row
	r.put(keyLayout, row, !row.Created)
}

func (r *Registry) putChange(row *registrypb.Change) {
	row.Format = r.format()
	r.state.change = row
	r.put(keyChange, row, false) // an earlier change had the key
}

func (r *Registry) putNamespace(row *registrypb.Namespace, fresh bool) {
	row.Format = r.format()
	r.state.set(row)
	r.put(keyNamespace+row.Id, row, fresh)
}

func (r *Registry) put(key string, row proto.Message, fresh bool) {
	r.log.Put(store.Key{Table: store.Metadata, Partition: partition, Key: key}, encode(row), fresh)
}

// uuid writes 16 random bytes as a UUID of version 4.
func uuid(b [16]byte) string {
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	text := make([]byte, 0, 36)
	for i, end := range [...]int{4, 6, 8, 10, 16} {
		if i > 0 {
			text = append(text, '-')
		}
		start := [...]int{0, 4, 6, 8, 10}[i]
		text = hex.AppendEncode(text, b[start:end])
	}
	return string(text)
}
