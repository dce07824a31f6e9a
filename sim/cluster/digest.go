package cluster

import (
	"google.golang.org/protobuf/proto"

	"perdure/core/port"
	"perdure/core/run"
	"perdure/core/store"
	"perdure/sim/universe"
)

// The hash sees every input and every effect in an encoding that is the same in
// every run of one build: no pointers, no order of maps.

type digest struct{ u *universe.Universe }

func (d digest) message(m proto.Message) {
	if m == nil {
		d.u.Number(0)
		return
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		d.u.Text(err.Error())
		return
	}
	d.u.Bytes(b)
}

func (d digest) run(k port.RunKey) {
	d.u.Text(k.WorkflowID)
	d.u.Text(k.RunID)
}

func (d digest) task(t *port.Task) {
	d.run(t.Run)
	d.u.Text(t.Queue.Name)
	d.u.Number(uint64(t.Kind)<<32 | uint64(uint32(t.Attempt)))
	d.u.Number(uint64(t.ID))
	d.u.Number(t.Stamp)
	d.u.Text(t.Key)
}

func (d digest) address(a port.Address) {
	d.u.Number(uint64(a.Node)<<40 | uint64(a.Role)<<32 | uint64(a.Index))
}

// input hashes one input; the numbers tell the kinds apart.
func (d digest) input(in port.Input) {
	switch in := in.(type) {
	case port.Start:
		d.u.Number(1)
	case port.Alarmed:
		d.u.Number(2)
	case port.Wake:
		d.u.Number(3)
		d.run(in.Run)
	case port.Drain:
		d.u.Number(4)
	case port.Published:
		d.u.Number(5)
		d.u.Number(in.Snapshot.Version)
	case *port.Request:
		d.u.Number(6)
		d.u.Number(in.Call.ID)
		d.run(in.Run)
		d.u.Text(in.Key)
		if m, ok := in.Body.(proto.Message); ok {
			d.message(m)
		}
	case port.Gone:
		d.u.Number(7)
		d.u.Number(in.Call.ID)
	case port.Undelivered:
		d.u.Number(8)
		d.u.Number(in.Reply.Call.ID)
	case *port.Completed:
		d.u.Number(9)
		d.completed(in)
	default:
		d.between(in)
	}
}

func (d digest) completed(c *port.Completed) {
	d.u.Number(c.Tag)
	if c.Err != nil {
		d.u.Text(c.Err.Error())
	}
	for _, o := range c.Outcomes {
		d.u.Number(uint64(o))
	}
	d.u.Number(uint64(c.Opened.Epoch)<<24 | uint64(len(c.Opened.Records)))
	d.u.Number(uint64(c.Opened.Last))
	d.u.Number(uint64(c.Held.Fence.Epoch))
	for _, r := range c.Rows {
		d.u.Bytes(r.Value)
	}
	for _, s := range c.Scans {
		d.u.Number(uint64(len(s)))
	}
}

// between hashes what machines send each other.
func (d digest) between(in port.Input) {
	switch in := in.(type) {
	case port.Dirty:
		d.u.Number(20)
		d.address(in.Shard)
	case port.TakeRecord:
		d.u.Number(21)
	case port.Record:
		d.u.Number(22)
		d.u.Number(uint64(in.Append.Seq))
	case port.Appended:
		d.u.Number(23)
		d.u.Number(uint64(in.Seq)<<8 | uint64(in.Outcome))
	case *port.Poll:
		d.u.Number(24)
		d.u.Number(in.Call.ID)
		d.u.Text(in.ID)
		d.u.Text(in.Queue.Name)
	case port.Subscribe:
		d.u.Number(25)
		d.u.Text(in.Queue.Name)
	case port.Backlog:
		d.u.Number(26)
		d.u.Text(in.After)
		for i := range in.Tasks {
			d.u.Text(in.Tasks[i].Key)
		}
	case port.Pull:
		d.u.Number(27)
		d.u.Text(in.After)
	case port.Offer:
		d.u.Number(28)
		d.task(&in.Task)
	case port.Declined:
		d.u.Number(29)
		d.task(&in.Task)
	case port.Taken:
		d.u.Number(30)
		d.task(&in.Task)
		d.u.Number(in.Poll.Call.ID)
	case port.Untaken:
		d.u.Number(31)
		d.task(&in.Task)
		d.u.Number(in.Poll.Call.ID)
	case port.Withdrawn:
		d.u.Number(32)
		d.task(&in.Task)
	case *port.Message:
		d.u.Number(33)
		d.run(in.From)
		d.run(in.To)
		d.u.Number(uint64(in.Kind))
		d.u.Number(uint64(in.ID))
		d.u.Text(in.Key)
		d.body(in.Body)
	case *port.Outcome:
		d.u.Number(34)
		d.run(in.To)
		d.u.Number(uint64(in.Kind))
		d.u.Number(uint64(in.ID))
		d.body(in.Body)
	default:
		d.amongNodes(in)
	}
}

// amongNodes hashes what nodes tell each other of the cluster.
func (d digest) amongNodes(in port.Input) {
	switch in := in.(type) {
	case *port.Members:
		d.u.Number(60)
		for _, m := range in.All {
			d.u.Number(uint64(m.Node))
		}
	case port.Claim:
		d.u.Number(61)
		d.address(in.From)
	case port.Claimed:
		d.u.Number(62)
		d.address(in.From)
		if in.Granted {
			d.u.Number(1)
		}
	case port.Yours:
		d.u.Number(67)
		d.address(in.From)
	case port.Elsewhere:
		d.u.Number(63)
		d.address(in.Shard)
		d.u.Number(uint64(in.To))
	case port.Fetch:
		d.u.Number(64)
		d.address(in.From)
		d.u.Number(in.Tag)
		d.u.Number(in.Version)
		d.u.Number(uint64(in.Level))
	case port.Fetched:
		d.u.Number(65)
		d.u.Number(in.Tag)
		if in.Snapshot != nil {
			d.u.Number(in.Snapshot.Version)
		}
	case port.Emptied:
		d.u.Number(68)
		d.address(in.From)
		d.u.Number(uint64(in.Epoch))
	case port.Retire:
		d.u.Number(69)
		d.u.Number(uint64(in.Epoch))
	case port.Retired:
		d.u.Number(70)
		d.address(in.From)
	case port.Refresh:
		d.u.Number(66)
		d.u.Number(in.Call.ID)
	default:
		panic("cluster: an input of an unknown kind cannot be hashed")
	}
}

func (d digest) body(b any) {
	switch b := b.(type) {
	case *run.StartChildBody:
		d.message(b.Initiated)
		d.u.Text(b.RunID)
	case *run.SignalBody:
		if b.Signal != nil {
			d.u.Text(b.Signal.Name)
			d.u.Text(b.Signal.RequestID)
			d.message(b.Signal.Input)
		}
	case *run.CancelBody:
		if b.Cancel != nil {
			d.u.Text(b.Cancel.RequestID)
		}
	case *run.ParentClosedBody:
		d.u.Text(b.FirstRunID)
	case *run.ChildClosedBody:
		d.u.Text(b.FirstRunID)
		d.message(b.Close)
	case *run.Result:
		d.u.Text(b.Of)
		d.u.Text(b.RunID)
		d.u.Number(uint64(b.Cause))
	}
}

// effect hashes an effect; what is sent is hashed where it arrives.
func (d digest) effect(e port.Effect) {
	switch e := e.(type) {
	case port.Send:
		d.u.Number(40)
		d.address(e.To)
	case port.Reply:
		d.u.Number(41)
		d.u.Number(e.Call.ID)
		if e.Refusal != nil {
			d.u.Number(uint64(e.Refusal.Code))
			d.u.Text(e.Refusal.Message)
		}
		d.answer(e.Body)
	case port.Alarm:
		d.u.Number(42)
		d.u.Number(uint64(e.At.UnixNano()))
	case port.Publish:
		d.u.Number(43)
		d.u.Number(e.Snapshot.Version)
	case port.AppendStore:
		d.u.Number(44)
		for _, a := range e.Batch {
			d.u.Number(uint64(a.Fence.Shard)<<32 | uint64(a.Fence.Epoch))
			d.u.Number(uint64(a.Seq))
			d.u.Number(uint64(a.Trim))
			d.u.Bytes(a.Record)
		}
	case port.FlushStore:
		d.u.Number(45)
		d.rows(e.Flush.Rows)
		d.u.Number(uint64(len(e.Flush.Deleted)))
	default:
		d.storeCall(e)
	}
}

func (d digest) rows(rows []store.Row) {
	for i := range rows {
		d.u.Text(rows[i].Key.Partition)
		d.u.Text(rows[i].Key.Key)
		d.u.Number(uint64(rows[i].Version))
		d.u.Bytes(rows[i].Value)
	}
}

func (d digest) storeCall(e port.Effect) {
	switch e := e.(type) {
	case port.ReadStore:
		d.u.Number(46)
		for i := range e.Keys {
			d.u.Text(e.Keys[i].Key)
		}
		for i := range e.Ranges {
			d.u.Text(e.Ranges[i].Partition)
			d.u.Text(e.Ranges[i].From)
		}
	case port.OpenStore:
		d.u.Number(47)
		d.u.Number(uint64(e.Open.Shard))
		d.u.Number(uint64(e.Open.Nonce))
	case port.CreateShard:
		d.u.Number(48)
		d.u.Number(uint64(e.Shard))
	case port.WriteStore:
		d.u.Number(49)
		d.rows(e.Rows)
	case port.ConfirmStore:
		d.u.Number(50)
		d.u.Number(uint64(e.Fence.Shard))
	case port.AskOwner:
		d.u.Number(52)
		d.u.Number(uint64(e.Shard))
	case port.ReleaseStore:
		d.u.Number(51)
		d.u.Number(uint64(e.Fence.Shard))
	case port.RetireStore:
		d.u.Number(54)
		d.u.Number(uint64(e.Fence.Shard))
	case port.Halt:
		d.u.Number(53)
	default:
		panic("cluster: an effect of an unknown kind cannot be hashed")
	}
}

func (d digest) answer(a *port.Answer) {
	if a == nil {
		return
	}
	d.message(a.Message)
	for _, f := range a.Fragments {
		d.u.Bytes(f)
	}
	d.answer(a.Inner)
}
