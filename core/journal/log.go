// Package journal makes changes of rows durable: one group commit for all
// shards of a node.
//
// A shard executes on memory and tells its Log which rows changed. The Log keeps
// them in an overlay until they are in their tables, packs them into one record
// when the Committer of the node asks, lets replies and messages out when their
// record is durable, and flushes rows in the background. The Committer puts the
// records of all shards into one append and has one append in flight.
//
// Fault model: every store call may fail before its effect, after it, or with
// its effect still to come; another node may take the shard at any time. The
// Log then either proves that its memory is the journal's, or reports Lost.
//
// Invariants (docs/invariants.md) are named J1.. where they are kept.
package journal

import (
	"time"

	"perdure/core/port"
	"perdure/core/store"
)

// LogConfig says what a Log belongs to and how it paces itself.
type LogConfig struct {
	Self, Committer port.Address
	Shard           store.ShardID
	Owner           string             // address of the node
	Nonce           func() store.Nonce // seeded generator
	Exclusive       bool               // store.Exclusive(): no Confirm needed

	FlushBytes int           // flush when acknowledged unflushed bytes exceed this, and little more at once; default 4 MiB, simulator 1 KiB to 8 MiB
	FlushAge   time.Duration // ... or the oldest of them is older; default 100 ms, simulator 1 ms to 10 s
	MaxBytes   int           // overlay bound, above it Full is true; default 64 MiB, simulator from 4 KiB
	PackBytes  int           // records of more bytes are compressed, see Pack; default 1 KiB, simulator from 16 bytes
	RetryMin   time.Duration // first wait before a failed store call is repeated; default 20 ms
	RetryMax   time.Duration // waits double up to this; default 2 s

	// Coalesce tries, at a flush, to merge next (same table and partition, the
	// following key) into *prev; prev.Value may be appended to. nil: never.
	Coalesce func(prev *store.Row, next store.Row) bool
}

func (c *LogConfig) defaults() {
	setDefault(&c.FlushBytes, 4<<20)
	setDefault(&c.FlushAge, 100*time.Millisecond)
	setDefault(&c.MaxBytes, 64<<20)
	setDefault(&c.PackBytes, 1<<10)
	setDefault(&c.RetryMin, 20*time.Millisecond)
	setDefault(&c.RetryMax, 2*time.Second)
}

func setDefault[T int | time.Duration](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

// EventKind tells the owner of a Log what happened.
type EventKind uint8

// The events.
const (
	None    EventKind = iota
	Opened            // the journal is open and its tail replayed: the owner may load
	Read              // a Read came back
	Durable           // Durable() advanced
	Lost              // memory must be dropped; the owner decides whether to Open again
	Retired           // the journal is ended for good (see Retire)
	Failed            // an open failed; it is retried by itself unless Err says that it is useless (see Open)
)

func (k EventKind) String() string {
	return [...]string{"none", "opened", "read", "durable", "lost", "retired", "failed"}[k]
}

// Event is what Handle reports. Of a Read: Rows are of the keys, in order (nil
// Value: no such row); Scans of the ranges; Next says of each scan where to go
// on (the From of the next range), "" if it is complete. A limited scan may
// come back short, even empty, and still not be complete. Err is set when the
// read failed; the owner repeats it.
type Event struct {
	Kind  EventKind
	Tag   uint64
	Rows  []store.Row
	Scans [][]store.Row
	Next  []string
	Err   error
}

// state of a Log.
type state uint8

const (
	closed    state = iota // no memory
	opening                // an Open is under way or will be tried again; no memory
	active                 // this node owns the journal as far as it knows
	reopening              // the fate of one record is open; memory stays for now
)

// ownTag marks the tags of a Log, so that its owner can use tags below it.
const ownTag = 1 << 63

// Log is the journal side of one shard. It is part of the shard's machine: the
// shard passes inputs to Handle and calls End at the end of each of its steps.
type Log struct {
	cfg    LogConfig
	state  state
	last   port.Clock // of the latest step
	tag    uint64     // last one issued
	fence  store.Fence
	under  store.Fence // the pair this owner last appended under
	strips store.Strips
	clock  shardClock
	tail   int // rows replayed at the last Open

	// J1: flushed <= durable <= seq <= durable+1, and trimmed <= flushed.
	seq     store.Seq // last record taken, or found at Open
	durable store.Seq
	flushed store.Seq // records up to here are in the tables
	trimmed store.Seq // ... and the journal was told so

	open      openRecord
	taken     []byte // record seq while it is not durable, else nil
	takenSize int
	spare     [][]byte // buffers of earlier records
	packs     bool     // see Pack
	handed    handed   // what the committer has of this log
	hold      int
	announced bool // a Dirty is out, its TakeRecord has not come
	asked     bool // a TakeRecord waits for its answer

	overlay  overlay
	reads    []pendingRead // in order of their tags
	lingers  []linger
	flush    flush
	waiting  []waiting
	proofs   proofs
	opens    openCall
	trimming retry
	doubts   retry // paces appends that are unknown one after another
	draining bool
	leaving  leaving
	retiring retiring
}

// NewLog makes a closed Log.
func NewLog(cfg LogConfig) *Log {
	cfg.defaults()
	l := &Log{cfg: cfg}
	l.overlay.reset()
	return l
}

// Bound changes LogConfig.FlushBytes and MaxBytes.
func (l *Log) Bound(flush, most int) { l.cfg.FlushBytes, l.cfg.MaxBytes = flush, most }

// Pack lets the log write compressed records: the cluster has port.PackedLevel.
func (l *Log) Pack() { l.packs = true }

// Active says that there is memory to work on. It stays true while the fate of a record is being found out.
func (l *Log) Active() bool { return l.state == active || l.state == reopening }

// Seq is the position of the last change made so far.
func (l *Log) Seq() store.Seq {
	if l.open.changed() {
		return l.seq + 1
	}
	return l.seq
}

// Durable is the last position that is in the journal for good.
func (l *Log) Durable() store.Seq { return l.durable }

// Fence is this owner's proof towards the store.
func (l *Log) Fence() store.Fence { return l.fence }

// Strips is the range that the shard was created with.
func (l *Log) Strips() store.Strips { return l.strips }

// TailRows counts the rows that the last Open replayed.
func (l *Log) TailRows() int { return l.tail }

// Bytes is the memory of the overlay.
func (l *Log) Bytes() int { return l.overlay.bytes }

// Full says that callers must be pushed back until a flush made room.
func (l *Log) Full() bool { return l.overlay.bytes > l.cfg.MaxBytes }

// FlushNow makes every End flush what is acknowledged, without waiting for age
// or size, until the log closes: for an owner that leaves in good order.
func (l *Log) FlushNow() { l.draining = true }

// Hold keeps the open record back: an offer to a local queue is unanswered, and
// what comes of it is to ride in the same record. Lost forgets all holds.
func (l *Log) Hold() { l.hold++ }

// Release ends one Hold.
func (l *Log) Release() {
	if l.hold > 0 {
		l.hold--
	}
}

// Handle takes the inputs that are the log's own: completions of its store
// calls, TakeRecord, Appended. Alarmed is left to the owner; End does the log's part.
func (l *Log) Handle(now port.Clock, in port.Input, out *port.Effects) (ev Event, handled bool) {
	l.last = now
	switch in := in.(type) {
	case *port.Completed:
		if in.Tag&ownTag == 0 {
			return Event{}, false
		}
		return l.completed(in, out), true
	case port.TakeRecord:
		l.announced, l.asked = false, true
		return Event{}, true
	case port.Appended:
		return l.appended(in, out), true
	}
	return Event{}, false
}

// completed finds the call that the tag belongs to. One that belongs to none was made before a Lost.
func (l *Log) completed(c *port.Completed, out *port.Effects) Event {
	switch c.Tag {
	case l.opens.tag:
		return l.openCompleted(c, out)
	case l.flush.tag:
		return l.flushCompleted(c, out)
	case l.proofs.tag:
		return l.confirmCompleted(c, out)
	case l.leaving.tag:
		return l.released()
	case l.retiring.tag:
		return l.retireCompleted(c)
	}
	return l.readCompleted(c)
}

// End closes a step of the owner: what became due is started, what can leave leaves.
func (l *Log) End(now port.Clock, out *port.Effects) {
	l.last = now
	if l.opens.due(now.Mono) {
		l.tryOpen(out)
	}
	if l.state == active {
		l.endFlush(out)
	}
	l.endRecord(out)
	if l.state == active {
		l.endConfirm(out)
	}
	l.endLeave(out)
	l.endRetire(out)
}

// NextAlarm is when End wants to be called, zero if it need not be.
func (l *Log) NextAlarm() time.Time {
	at, proof := time.Duration(0), time.Duration(0)
	if l.state == active { // else End asks for none, and a time that has passed would ring without end
		proof = l.proofs.at
	}
	leave := l.leaving.until
	if l.leaving.tag != 0 {
		leave = 0
	}
	for _, next := range [...]time.Duration{l.opens.at, l.flushAlarm(), proof, l.trimming.at, leave, l.retiring.at} {
		if next != 0 && (at == 0 || next < at) {
			at = next
		}
	}
	if at == 0 {
		return time.Time{}
	}
	return l.last.Wall.Add(at - l.last.Mono)
}

// Close drops the memory of an owner that leaves; its waiting callers are told that the shard moved.
func (l *Log) Close(out *port.Effects) { l.drop(out) }

// lost drops the memory because the journal is, or may be, another owner's.
func (l *Log) lost(err error, out *port.Effects) Event {
	l.drop(out)
	return Event{Kind: Lost, Err: err}
}

// drop forgets everything but what the committer still has to say: the answer
// of a record that is with it belongs to no one (J2), a TakeRecord on its way will be answered with nothing.
func (l *Log) drop(out *port.Effects) {
	l.refuseWaiting(out)
	l.state = closed
	l.opens, l.flush, l.trimming, l.doubts = openCall{}, flush{}, retry{}, retry{}
	l.proofs = proofs{ticket: l.proofs.ticket, proven: l.proofs.ticket}
	l.overlay.reset()
	l.open = openRecord{}
	l.reads, l.lingers = nil, nil
	l.taken, l.takenSize = nil, 0
	l.handed.stale = l.handed.out
	l.hold = 0
	l.draining = false
	l.leaving, l.retiring = leaving{}, retiring{}
}

func (l *Log) nextTag() uint64 {
	l.tag++
	return ownTag | l.tag
}

func (l *Log) lastTag() uint64 { return ownTag | l.tag }

// retry paces the repetition of a failed call. at is monotonic, 0 for none.
type retry struct{ at, wait time.Duration }

func (r *retry) again(l *Log) {
	r.wait = min(max(2*r.wait, l.cfg.RetryMin), l.cfg.RetryMax)
	r.at = l.last.Mono + r.wait
}

func (r *retry) due(mono time.Duration) bool { return r.at != 0 && mono >= r.at }

// assert crashes on a broken invariant: a wrong journal is worse than none.
func assert(ok bool, broken string) {
	if !ok {
		panic("journal: invariant broken: " + broken)
	}
}
