package port

import (
	"time"

	"google.golang.org/protobuf/proto"

	"perdure/core/store"
)

// Input is what a machine is stepped with: a request, a completion of something
// it asked for, a message of another machine, an alarm. The set is closed.
type Input interface{ input() }

// Start is the first input of every machine.
type Start struct{}

// Alarmed says that the time of the last Alarm has come.
type Alarmed struct{}

// Wake gives a run the time; a shard parks it while the run is loaded.
type Wake struct{ Run RunKey }

// Drain asks a machine to end what can be ended: polls and long polls are answered empty.
type Drain struct{}

// Published carries a new snapshot of the registry.
type Published struct{ Snapshot *Snapshot }

// Between the machines of one shard at different nodes (core/ownership), and of the registry's.
type (
	// Claim asks the owner of a shard to leave it: the sender should own it.
	Claim struct{ From Address }
	// Claimed answers: granted once the owner has left, or has nothing to leave; else it stays.
	Claimed struct {
		From    Address
		Granted bool
	}
	// Yours tells the node that should own a shard that the sender has it, and would leave it.
	Yours struct{ From Address }
	// Elsewhere answers a message about a shard that is not, or no longer, here: a Subscribe, a Pull, a Taken.
	// It comes unasked to who subscribed when the shard leaves.
	Elsewhere struct {
		Shard Address // whose place was asked
		To    NodeID  // who may have it; 0: unknown
	}
	// Fetch asks the registry's owner for a snapshot that is newer than Version, and says
	// which level the sender knows.
	Fetch struct {
		From    Address
		Tag     uint64
		Version uint64
		Level   Level
	}
	// Fetched answers a Fetch of that Tag, without a Snapshot if there is no newer
	// one; with Tag 0 it comes unasked, as the registry has changed.
	Fetched struct {
		Tag      uint64
		Snapshot *Snapshot
	}
	// Relayout is the body of a Request to the registry: make the layout one of so many shards. It is
	// answered once that is recorded for good; the change itself goes on.
	Relayout struct{ Shards int }
	// Emptied says that the journal of a shard which is to go is empty, and asks
	// the registry whether the owner of that epoch may end it.
	Emptied struct {
		From  Address
		Epoch store.Epoch
	}
	// Retire answers: it may.
	Retire struct{ Epoch store.Epoch }
	// Retired tells the registry that the shard is ended.
	Retired struct{ From Address }
	// Refresh asks a node's own registry machine to get whatever was published before
	// now; the reply says that it has, or that it could not find out. It carries nothing.
	Refresh struct{ Call Call }
)

// Request is a call of the API, admitted by a frontend. Body is the request
// message as the frontend filled it in; Token the verified task token if the call has one.
type Request struct {
	Call      Call
	Deadline  time.Time // of the caller; zero: none
	Namespace *Namespace
	Run       RunKey
	Body      any
	Token     *Token
	Page      *PageToken // of a history call that goes on; nil on its first page
	// Key makes a repetition of the call harmless: its request id, or one that the
	// frontend made because the caller gave none.
	Key string
	// Reply, if set, is the answer when Body succeeds, instead of Body's own: the
	// frontend put another request in the place of one with too large a payload.
	Reply  proto.Message
	Client Client
}

// Token is the content of a task token. Its encoding and MAC belong to core/token.
type Token struct {
	Run         RunKey
	Kind        TaskKind
	ScheduledID int64
	StartedID   int64
	Attempt     int32
	Nonce       uint64 // of the start; a task that was given out again has another
	Query       uint64 // number of the query
	ActivityID  string
}

// Gone says that the caller does not wait any more.
type Gone struct{ Call Call }

// Undelivered says that a reply found its caller gone. A node says so of callers
// of its present life only: what answers one of an earlier life may be the copy of
// a reply that arrived then, and what was given to that caller is not given again.
type Undelivered struct{ Reply Reply }

// Completed answers a store effect of the same Tag. Which field is set follows from the effect.
type Completed struct {
	Tag      uint64
	Err      error
	Opened   store.Opened
	Outcomes []store.Outcome
	Rows     []store.Row   // of Keys
	Scans    [][]store.Row // of Ranges
	Owner    bool          // of Confirm
	Held     store.Owner   // of AskOwner
}

// Between shards and their node's committer (core/journal).
type (
	// Dirty says that the shard has a record to write.
	Dirty struct{ Shard Address }
	// TakeRecord asks the shard for everything it has to write, as one record.
	TakeRecord struct{}
	// Record is the answer; a nil Record with Trim only trims, and neither means nothing to write.
	Record struct {
		Shard  Address
		Append store.Append
	}
	// Appended tells the shard what became of the record with that Seq.
	Appended struct {
		Seq     store.Seq
		Outcome store.Outcome
	}
)

// Between shards and task queues (core/taskqueue).
type (
	// Poll is a worker's wait for a task; it goes to the queue's owner and, when
	// a task is found, on to the task's shard, which answers it.
	Poll struct {
		Call     Call
		ID       string // identifies the poll: a start by it is idempotent
		Queue    QueueKey
		Deadline time.Time // when the poll ends empty
		Identity string
		Body     any // *workflowservice.PollWorkflowTaskQueueRequest or PollActivityTaskQueueRequest
		Client   Client
	}
	// Subscribe tells a shard that the queue has pollers; it is renewed while they
	// wait. The shard answers Backlog and offers new tasks to From until Until.
	Subscribe struct {
		From  Address
		Queue QueueKey
		Until time.Time
	}
	// Backlog answers Subscribe and Pull: the oldest tasks of the queue at that shard, in
	// order, and whether there are more. After is that of the Pull; empty for Subscribe.
	Backlog struct {
		Shard Address
		Queue QueueKey
		After string
		Tasks []Task
		More  bool
		Epoch store.Epoch // of the shard's owner
	}
	// Pull asks a shard for the oldest tasks of a queue whose Key is above After.
	Pull struct {
		From  Address
		Queue QueueKey
		After string
		Max   int
	}
	// Offer is a hint that a task can be taken now. Expect asks for Declined if
	// nobody takes it. Announce says that the shard knows of no subscription.
	Offer struct {
		Task   Task
		Expect bool
		Epoch  store.Epoch // of the shard's owner

		Announce bool
	}
	// Declined answers an Offer: nobody waits. Dead says that the (sticky) queue saw
	// no poller for 10 s.
	// Moved says that the queue has another owner now, to whom a query must be offered anew.
	Declined struct {
		Task  Task
		Dead  bool
		Moved bool
	}
	// Taken asks the shard to give the task to the poll.
	Taken struct {
		From Address
		Task Task
		Poll *Poll
	}
	// Untaken gives a poll back: the task was gone, or its shard is. The queue serves the poll again, first in line.
	Untaken struct {
		Task Task
		Poll *Poll
	}
	// Withdrawn says that a task that was offered or listed is gone (a query that timed out).
	Withdrawn struct{ Task Task }
)

// Between shards: messages of one run to another (core/shard, message.go).
type (
	// Message carries an effect of one run to another until its Outcome is recorded.
	Message struct {
		From   RunKey
		Sender Address
		To     RunKey
		Kind   MessageKind
		ID     int64  // initiated event id at the sender
		Key    string // idempotency key at the receiver
		Body   any    // one of the run package's message bodies

		Sent     time.Time // of this copy, wall time of the sender; old copies are dropped
		Repeated bool      // there may have been copies before this one
		Checked  bool      // the receiver's own note: the run to start is not stored
		Hops     uint8     // nodes that passed it on because the receiver had moved
	}
	// Outcome is the answer to a Message; it leaves after it is durable at the receiver.
	Outcome struct {
		To   RunKey // the run that sent the message
		Kind MessageKind
		ID   int64
		Body any
		Hops uint8 // as of a Message
	}
)

// MessageKind tells what a message wants.
type MessageKind uint8

// The message kinds.
const (
	StartChild MessageKind = iota + 1
	SignalExternal
	CancelExternal
	ParentClosed
	ChildStarted // first workflow task of the child may be scheduled
	ChildClosed
	ChildWaits // has the parent recorded the start?
)

func (Start) input()       {}
func (Alarmed) input()     {}
func (Wake) input()        {}
func (Drain) input()       {}
func (Published) input()   {}
func (*Members) input()    {}
func (Claim) input()       {}
func (Claimed) input()     {}
func (Yours) input()       {}
func (Elsewhere) input()   {}
func (Fetch) input()       {}
func (Fetched) input()     {}
func (Emptied) input()     {}
func (Retire) input()      {}
func (Retired) input()     {}
func (Refresh) input()     {}
func (*Request) input()    {}
func (Gone) input()        {}
func (Undelivered) input() {}
func (*Completed) input()  {}
func (Dirty) input()       {}
func (TakeRecord) input()  {}
func (Record) input()      {}
func (Appended) input()    {}
func (*Poll) input()       {}
func (Subscribe) input()   {}
func (Backlog) input()     {}
func (Pull) input()        {}
func (Offer) input()       {}
func (Declined) input()    {}
func (Taken) input()       {}
func (Untaken) input()     {}
func (Withdrawn) input()   {}
func (*Message) input()    {}
func (*Outcome) input()    {}
