package check

import (
	"google.golang.org/protobuf/proto"

	"perdure/core/port"
	"perdure/core/registry/registrypb"
	"perdure/core/store"
)

// P31 published_is_durable: what the registry tells the other machines of a
// namespace is durable.

// Published holds a snapshot against the rows of the registry.
func (l *Ledger) Published(s *port.Snapshot) *Breach {
	durable := map[string]*registrypb.Namespace{}
	for p, rows := range l.parts { //ordered: looked up only
		if p.Table != store.Metadata {
			continue
		}
		for _, image := range rows { //ordered: looked up only
			row := &registrypb.Namespace{}
			if proto.Unmarshal(image.value, row) == nil && row.Name != "" {
				durable[row.Id] = row
			}
		}
	}
	for id, n := range s.ByID { //ordered: any of them is a breach
		row := durable[id]
		if row == nil || row.Name != n.Name || row.Description != n.Description || row.Retention != n.Retention.Nanoseconds() || row.State != int32(n.State) {
			return breach(PublishedIsDurable, "", "namespace %s, %q, was published and is not durable so", id, n.Description)
		}
	}
	return nil
}
