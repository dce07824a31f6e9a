package port

// Level counts the changes of what is stored: a server reads everything up to the
// newest level that it knows, and writes at the level of its cluster, which the
// registry keeps. That is raised once all nodes know a higher one, and never goes
// back. So nodes of two versions can work side by side while a cluster is upgraded.
type Level uint32

// The levels, by what came with them.
const (
	FirstLevel  Level = iota + 1
	LayoutLevel       // the layout of shards may change (core/registry, relayout.go)
	PackedLevel       // large records are compressed (core/journal, pack.go)

	NewestLevel = PackedLevel
)
