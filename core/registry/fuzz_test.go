package registry

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"perdure/core/port"
	"perdure/core/registry/registrypb"
)

// FuzzRow: a row of any key is read, refused, or left alone if it is of a newer
// server; what is read can be seen by others and encoded again.
func FuzzRow(f *testing.F) {
	for key, row := range map[string]proto.Message{
		keyCluster: &registrypb.Cluster{Format: uint32(port.FirstLevel), Id: "c"}, keyLayout: &registrypb.Layout{Format: uint32(port.FirstLevel), Generation: 1, Shards: []*registrypb.Layout_Shard{{Id: 1, To: 9}}},
		keyKeys + "1": &registrypb.Key{Format: uint32(port.FirstLevel), Id: 1, Secret: []byte("s")}, keyNamespace + "n": &registrypb.Namespace{Format: uint32(port.FirstLevel), Id: "n", Name: "n"},
		"later/1": &registrypb.Cluster{},
	} {
		f.Add(key, encode(row))
	}
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		s := state{layout: &registrypb.Layout{}}
		if s.loadRow(key, value, port.NewestLevel) != nil {
			return
		}
		s.snapshot(1)
		for _, n := range s.sorted() {
			row := &registrypb.Namespace{}
			if err := decode(encode(n.row), row, port.NewestLevel); err != nil || !proto.Equal(row, n.row) {
				t.Fatalf("%v became %v, %v", n.row, row, err)
			}
		}
		if row := (&registrypb.Layout{}); decode(encode(s.layout), row, port.NewestLevel) != nil || !proto.Equal(row, s.layout) {
			t.Fatalf("%v became %v", s.layout, row)
		}
	})
}
