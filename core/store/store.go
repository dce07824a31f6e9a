// Package store holds the contract that every database must keep for Perdure:
// rows with versions, and one fenced journal a shard. It is data and one
// interface; the implementations are adapters, the rules are tests (the
// conformance suite in core/store/conformance).
//
// Bytes: a store copies what it is given before the call returns and hands out
// bytes that it keeps no second reference to.
//
// Fault model of an implementation: any call may fail before its effect, after
// it, or with its effect still to come. What a caller may conclude from an
// error is said at each error below and nowhere else.
package store

import "errors"

// ShardID names a journal. Ids are never reused. RegistryShard is outside the layout.
type ShardID uint32

// RegistryShard is the shard of namespaces and other cluster-wide records.
const RegistryShard ShardID = 0

// Epoch counts the owners of a shard; each Open makes a higher one. 23 bits.
type Epoch uint64

// Seq numbers the records of a shard's journal, from 1, without gaps, across owners. 40 bits.
type Seq uint64

// Nonce tells two owners apart that would otherwise carry the same epoch.
type Nonce uint64

// Version orders writes of one row: a higher one wins, also over deletes.
type Version uint64

const seqBits = 40

// MakeVersion is epoch<<40 | seq.
func MakeVersion(e Epoch, s Seq) Version { return Version(uint64(e)<<seqBits | uint64(s)) }

// Epoch is the version's owner.
func (v Version) Epoch() Epoch { return Epoch(v >> seqBits) }

// Seq is the version's record.
func (v Version) Seq() Seq { return Seq(v & (1<<seqBits - 1)) }

// Table names one of the tables of rows.
type Table uint8

// The tables. Partition and key layouts belong to core/shard and core/registry.
const (
	Executions Table = iota + 1
	Pending
	History
	Due
	Visibility
	Metadata
	Blob
	tables
)

// Tables lists all tables in order.
func Tables() []Table {
	var all []Table
	for t := Executions; t < tables; t++ {
		all = append(all, t)
	}
	return all
}

func (t Table) String() string {
	switch t {
	case Executions:
		return "executions"
	case Pending:
		return "pending"
	case History:
		return "history"
	case Due:
		return "due"
	case Visibility:
		return "visibility"
	case Metadata:
		return "metadata"
	case Blob:
		return "blob"
	}
	return "unknown"
}

// Key names a row. Partition and Key are arbitrary bytes, Key at most MaxKey of
// them; scans stay inside a partition and follow the byte order of Key.
type Key struct {
	Table     Table
	Partition string
	Key       string
}

// MaxKey is the longest Key.Key in bytes.
const MaxKey = 3000

// Row is one value with its version. A nil Value deletes; an empty one does not.
// The version is for writing: a store that fences flushes keeps none, so the
// Version of a row that was read means nothing.
type Row struct {
	Key     Key
	Version Version
	Value   []byte
}

// Partition names all rows of one partition of a table.
type Partition struct {
	Table     Table
	Partition string
}

// Range is From <= key < To inside one partition; an empty To has no end.
// At most Limit rows (0: all) come back.
type Range struct {
	Table     Table
	Partition string
	From, To  string
	Limit     int
}

// Strips is the half-open range of strips a shard owns.
type Strips struct{ From, To uint16 }

// Fence is an owner's proof: both must match what Open left in the store.
type Fence struct {
	Shard ShardID
	Epoch Epoch
	Nonce Nonce
}

// Owner is who holds a shard. The zero Owner is nobody.
type Owner struct {
	Fence   Fence
	Address string // as given to Open
}

// Open takes a shard over.
type Open struct {
	Shard ShardID
	Owner string // address of the node, for others to follow
	Nonce Nonce
	Known Seq // records up to this one are not wanted
}

// Opened is the answer to Open.
type Opened struct {
	Epoch     Epoch   // this owner's, above every earlier one
	Displaced Fence   // the owner before; zero if none, or if it released the shard
	Address   string  // of the displaced owner, else empty
	Strips    Strips  // the range given at Create
	Records   []Entry // records after Known, in order, without gaps, up to Last; see Append.Trim
	Last      Seq     // seq of the last record ever appended, 0 if none
}

// Entry is one record of a journal.
type Entry struct {
	Seq    Seq
	Record []byte
}

// Append asks for one record of one shard; a batch holds at most one a shard.
// With a nil Record it only trims.
type Append struct {
	Fence  Fence
	Seq    Seq // must be the last one + 1 (ignored if Record is nil)
	Trim   Seq // records up to here were flushed; a store drops them when it likes, but what one Trim covered as a whole: Open shows all of it or nothing
	Record []byte
}

// Outcome answers one Append. Done: durable. Fenced: not written, never will
// be, and the owner has been displaced, has left, or the shard is gone. Unknown:
// written, not written, or written later; only Open tells. A Seq that does not
// follow the last one is Unknown too: nothing is written, Open shows where the journal stands.
type Outcome uint8

// The outcomes of an append.
const (
	Unknown Outcome = iota
	Done
	Fenced
)

func (o Outcome) String() string { return [...]string{"unknown", "done", "fenced"}[o] }

// Flush writes rows of acknowledged records to their tables. Number grows from 1
// with each new flush of an owner; a repeat carries the same number and the same
// rows, and a new number is used only after the one before was acknowledged. The
// versions of an owner's flushes of one row never go back. Partitions are deleted
// before rows are put, in a repeat and in one that comes late too.
type Flush struct {
	Fence   Fence
	Number  uint64
	Rows    []Row // sorted by table, partition, key; one a key
	Deleted []DeletedPartition
}

// DeletedPartition removes every row of a partition whose version is not above
// Version, rows of the same flush included.
type DeletedPartition struct {
	Partition Partition
	Version   Version
}

// Spared are the rows of the flush that its own deleted partitions do not take along.
func (f Flush) Spared() []Row {
	if len(f.Deleted) == 0 {
		return f.Rows
	}
	gone := make(map[Partition]Version, len(f.Deleted))
	for _, d := range f.Deleted {
		gone[d.Partition] = max(gone[d.Partition], d.Version)
	}
	spared := make([]Row, 0, len(f.Rows))
	for _, r := range f.Rows {
		v, ok := gone[Partition{Table: r.Key.Table, Partition: r.Key.Partition}]
		if !ok || r.Version > v {
			spared = append(spared, r)
		}
	}
	return spared
}

// Errors. Anything else an implementation returns is treated as ErrUnavailable.
var (
	// ErrFenced: another owner opened the shard. Nothing of this call counts.
	ErrFenced = errors.New("store: fenced by a newer owner")
	// ErrRetired: the shard does not exist any more.
	ErrRetired = errors.New("store: shard is retired")
	// ErrNoShard: the shard was never created.
	ErrNoShard = errors.New("store: no such shard")
	// ErrExists: Create of a shard that is there (or was).
	ErrExists = errors.New("store: shard exists")
	// ErrNotEmpty: Retire of a shard whose journal holds records that are not trimmed.
	ErrNotEmpty = errors.New("store: journal is not empty")
	// ErrUnavailable: whether the call took effect is unknown; repeat it.
	ErrUnavailable = errors.New("store: unavailable")
)

// Store is what a database gives. Calls block and may run side by side; the
// adapters' runtime and the simulator decide where they wait.
type Store interface {
	// Create makes a shard; its first epoch will be above floor. ErrExists if it is there.
	Create(s ShardID, strips Strips, floor Epoch) error
	// Retire ends a shard for good: every later Open and Append of it fails. The
	// journal must be empty (ErrNotEmpty). Repeating it gives ErrRetired.
	Retire(f Fence) error
	// Release says that the owner leaves in good order; a later Open need not wait for it.
	// It fences the owner itself; repeating it gives ErrFenced.
	Release(f Fence) error
	// Open fences every earlier owner for good, then reads the tail.
	Open(o Open) (Opened, error)
	// Append makes records durable, each atomic and on its own; a record is the caller's again once it is answered; outcomes are in the order of the arguments.
	Append(batch []Append) []Outcome
	// Write stores blob rows, durably, before an append names them. It may be repeated.
	Write(rows []Row) error
	// Flush writes rows with their versions. It need not be atomic and may be
	// repeated; an older version never overwrites a newer one, deletes included.
	Flush(f Flush) error
	// Get reads rows as last flushed; a missing row has a nil Value. One answer a key, in order.
	Get(keys []Key) ([]Row, error)
	// Scan reads ranges as last flushed, each in key order, one answer a range.
	Scan(ranges []Range) ([][]Row, error)
	// Confirm says of each owner whether it is still the last one.
	Confirm(fences []Fence) ([]bool, error)
	// Owners says of each shard who opened it last and has not left it, in the order of the
	// arguments: nobody if it was released, retired or never made. It changes nothing, so a
	// node can look whom it would displace before it does. The answer may be old when it
	// comes, but never older than the call. One answer a shard, in order.
	Owners(shards []ShardID) ([]Owner, error)
	// Exclusive says that one process alone holds the store, so that no Confirm is ever needed.
	Exclusive() bool
	// Apart says that appends of different shards are better made side by side, one a
	// shard, than gathered into one: there each is a transaction of its own.
	Apart() bool
	// Close releases everything. Calls under way may fail.
	Close() error
}

// ConfirmBy is Confirm for a store whose Owners is as good.
func ConfirmBy(owners func([]ShardID) ([]Owner, error), fences []Fence) ([]bool, error) {
	shards := make([]ShardID, len(fences))
	for i, f := range fences {
		shards[i] = f.Shard
	}
	found, err := owners(shards)
	if err != nil {
		return nil, err
	}
	still := make([]bool, len(fences))
	for i, f := range fences {
		still[i] = found[i].Fence == f && found[i] != Owner{} // nobody holds the registry's shard: its id is 0
	}
	return still, nil
}
