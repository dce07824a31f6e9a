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
// namespace is durable, or was until it changed (nodes hear of changes late), and
// once all is well they are told of what is durable within staleness.
const staleness = 10 * time.Second

// namespaceWas is what a row of the registry said.
type namespaceWas struct {
	id, name, description string
	retention             int64
	state                 int32
}

// putNamespace notes a row that just became durable.
func (l *Ledger) putNamespace(value []byte) {
	row := &registrypb.Namespace{}
	if proto.Unmarshal(value, row) == nil && row.Name != "" {
		l.were[namespaceWas{row.Id, row.Name, row.Description, row.Retention, row.State}] = true
	}
}

// Published holds a snapshot against the rows that the registry has and had.
func (l *Ledger) Published(s *port.Snapshot) *Breach {
	for _, n := range s.ByID { //ordered: any of them is a breach
		if !l.were[namespaceWas{n.ID, n.Name, n.Description, n.Retention.Nanoseconds(), int32(n.State)}] {
			return breach(PublishedIsDurable, "", "namespace %s, %q, was published and is not durable so", n.ID, n.Description)
		}
	}
	return nil
}

// Shown holds a snapshot against the one that the same life of a node showed before: no node goes back.
func (l *Ledger) Shown(boot uint64, s *port.Snapshot) *Breach {
	if was := l.shown[boot]; s.Version < was {
		return breach(PublishedIsDurable, "", "a node shows version %d of the registry after version %d", s.Version, was)
	}
	l.shown[boot] = s.Version
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
