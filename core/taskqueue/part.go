package taskqueue

import (
	"github.com/cespare/xxhash/v2"

	"perdure/core/port"
)

// PartOf says which of the parts of all task queues a queue belongs to (the Index
// of its owner's address). A sticky queue lives where its normal queue does.
func PartOf(q port.QueueKey, parts int) uint32 {
	name := q.Name
	if q.Sticky() {
		name = q.Normal
	}
	var d xxhash.Digest
	d.Reset()
	d.WriteString(q.NamespaceID)
	d.Write([]byte{0, byte(q.Type)})
	d.WriteString(name)
	return uint32(d.Sum64() % uint64(parts))
}
