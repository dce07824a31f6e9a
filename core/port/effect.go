package port

import (
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"perdure/core/store"
)

// Effect is what a machine wants done. The caller of Step executes effects in order.
type Effect interface{ effect() }

// Send hands an input to another machine (or to itself, later).
type Send struct {
	To Address
	In Input
}

// Reply answers a caller. If the caller has gone, the executor of its node sends
// Undelivered with the reply back to the machine that made it.
type Reply struct {
	Call    Call
	Body    *Answer
	Refusal *Refusal
	// Token is whatever the machine wants to see again in Undelivered; nil if it does not care.
	Token any
}

// Answer is a response message, with events that were encoded long before it:
// the fragments are concatenated and appended as field Field of the message.
// Inner, if set, is one more answer embedded as field InnerField.
type Answer struct {
	Message    proto.Message
	Field      protowire.Number
	Fragments  [][]byte
	Inner      *Answer
	InnerField protowire.Number
}

// Store calls; each completes as Completed with the same Tag, sent to the machine that asked.
type (
	// OpenStore asks for store.Open.
	OpenStore struct {
		Tag  uint64
		Open store.Open
	}
	// CreateShard asks for store.Create.
	CreateShard struct {
		Tag    uint64
		Shard  store.ShardID
		Strips store.Strips
		Floor  store.Epoch
	}
	// AppendStore asks for store.Append.
	AppendStore struct {
		Tag   uint64
		Batch []store.Append
	}
	// FlushStore asks for store.Flush.
	FlushStore struct {
		Tag   uint64
		Flush store.Flush
	}
	// WriteStore asks for store.Write.
	WriteStore struct {
		Tag  uint64
		Rows []store.Row
	}
	// ReadStore asks for store.Get and store.Scan in one go.
	ReadStore struct {
		Tag    uint64
		Keys   []store.Key
		Ranges []store.Range
	}
	// ConfirmStore asks for store.Confirm.
	ConfirmStore struct {
		Tag   uint64
		Fence store.Fence
	}
	// AskOwner asks for store.Owners of one shard.
	AskOwner struct {
		Tag   uint64
		Shard store.ShardID
	}
	// RetireStore asks for store.Retire.
	RetireStore struct {
		Tag   uint64
		Fence store.Fence
	}
	// ReleaseStore asks for store.Release.
	ReleaseStore struct {
		Tag   uint64
		Fence store.Fence
	}
)

// Alarm asks for an Alarmed input at a wall time; it replaces the machine's
// earlier one. The zero time asks for none.
type Alarm struct{ At time.Time }

// Publish hands a new snapshot of the registry to the node's frontends and machines.
type Publish struct{ Snapshot *Snapshot }

// Halt asks for the end of the process: this server cannot do its work, for a
// reason that people must hear of. The machine does nothing more.
type Halt struct{ Why string }

func (Halt) effect()         {}
func (Send) effect()         {}
func (Reply) effect()        {}
func (OpenStore) effect()    {}
func (CreateShard) effect()  {}
func (AppendStore) effect()  {}
func (FlushStore) effect()   {}
func (WriteStore) effect()   {}
func (ReadStore) effect()    {}
func (ConfirmStore) effect() {}
func (AskOwner) effect()     {}
func (RetireStore) effect()  {}
func (ReleaseStore) effect() {}
func (Alarm) effect()        {}
func (Publish) effect()      {}

// Effects collects the effects of one step.
type Effects struct{ List []Effect }

// Add appends an effect.
func (e *Effects) Add(x Effect) { e.List = append(e.List, x) }

// Send appends a Send.
func (e *Effects) Send(to Address, in Input) { e.List = append(e.List, Send{to, in}) }

// Reset empties the list and keeps its memory.
func (e *Effects) Reset() {
	clear(e.List)
	e.List = e.List[:0]
}

// Machine is a deterministic state machine; it is stepped by one caller at a time.
type Machine interface {
	Step(now Clock, in Input, out *Effects)
}
