package check

import (
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"perdure/core/port"
	"perdure/core/registry/registrypb"
	"perdure/core/store"
)

// P31 published_is_durable: what the registry tells the other machines of a
// namespace is durable, and once all is well they are told of what is durable
// within staleness.
const staleness = 10 * time.Second

// Published holds a snapshot against the rows of the registry.
func (l *Ledger) Published(s *port.Snapshot) *Breach {
	durable := l.namespaces()
	for id, n := range s.ByID { //ordered: any of them is a breach
		if !sameNamespace(durable[id], n) {
			return breach(PublishedIsDurable, "", "namespace %s, %q, was published and is not durable so", id, n.Description)
		}
	}
	return nil
}

// Known holds what a node that is well knows of the namespaces against the rows of the registry.
func (l *Ledger) Known(s *port.Snapshot) *Breach {
	if l.now()-l.changed <= staleness {
		return nil
	}
	for id, row := range l.namespaces() { //ordered: any of them is a breach
		if n := s.ByID[id]; n == nil || !sameNamespace(row, n) {
			return breach(PublishedIsDurable, "", "namespace %s has been %q for %v, a node does not know it", row.Name, row.Description, l.now()-l.changed)
		}
	}
	return nil
}

func sameNamespace(row *registrypb.Namespace, n *port.Namespace) bool {
	return row != nil && row.Name == n.Name && row.Description == n.Description && row.Retention == n.Retention.Nanoseconds() && row.State == int32(n.State)
}

func (l *Ledger) namespaces() map[string]*registrypb.Namespace {
	durable := map[string]*registrypb.Namespace{}
	for p, rows := range l.parts { //ordered: looked up only
		if p.Table != store.Metadata {
			continue
		}
		for key, image := range rows { //ordered: looked up only
			row := &registrypb.Namespace{}
			if strings.HasPrefix(key, "namespace/") && proto.Unmarshal(image.value, row) == nil {
				durable[row.Id] = row
			}
		}
	}
	return durable
}
