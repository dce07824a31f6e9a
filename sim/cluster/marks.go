package cluster

import (
	"errors"
	"strings"

	"perdure/core/port"
	"perdure/core/store"
)

// Rare paths, seen by what passes between machines. A path that no seed takes is
// not tested, whatever the seeds say.

func (c *Cluster) mark(name string) {
	if c.Marks == nil {
		c.Marks = map[string]int{}
	}
	c.Marks[name]++
}

func (c *Cluster) markInput(in port.Input) {
	switch in := in.(type) {
	case port.Untaken:
		c.mark("poll given back: its task was gone")
	case port.Declined:
		if in.Dead {
			c.mark("offer declined: nobody polls the queue")
		}
		if in.Moved {
			c.mark("query given back: its queue moved")
		}
	case port.Claim:
		c.mark("shard claimed from its owner")
	case port.Claimed:
		if in.Granted {
			c.mark("claim granted")
		} else {
			c.mark("claim refused: the owner stays")
		}
	case port.Yours:
		c.mark("owner offers a shard that its view has moved")
	case port.Elsewhere:
		c.mark("queue told that a shard is elsewhere")
	case port.Fetched:
		if in.Tag == 0 {
			c.mark("registry pushed to another node")
		} else if in.Snapshot != nil {
			c.mark("registry fetched by a node that missed it")
		}
	case port.Refresh:
		c.mark("registry read through for an unknown namespace")
	case *port.Outcome:
		if in.Hops > 0 {
			c.mark("outcome passed on to where its shard went")
		}
	case port.Undelivered:
		c.mark("reply undelivered")
	case port.Appended:
		if in.Outcome != store.Done {
			c.mark("record " + in.Outcome.String())
		}
	case port.Withdrawn:
		c.mark("task withdrawn from its queue")
	case *port.Message:
		if in.Repeated {
			c.mark("message repeated: " + messageKinds[in.Kind])
		}
		if in.Hops > 0 {
			c.mark("message passed on to where its shard went")
		}
		c.mark("message: " + messageKinds[in.Kind])
	case *port.Completed:
		c.markOpened(in)
	}
}

var messageKinds = map[port.MessageKind]string{
	port.StartChild: "start a child", port.SignalExternal: "signal", port.CancelExternal: "cancel", port.ParentClosed: "the parent closed",
	port.ChildStarted: "the start is recorded", port.ChildClosed: "the child closed", port.ChildWaits: "is the start recorded?",
}

func (c *Cluster) markOpened(in *port.Completed) {
	switch {
	case errors.Is(in.Err, store.ErrRetired):
		c.mark("shard found ended")
	case in.Opened.Epoch == 0:
	case len(in.Opened.Records) > 0 && in.Opened.Displaced.Epoch > 0:
		c.mark("opened: an owner displaced, records replayed")
	case in.Opened.Displaced.Epoch > 0:
		c.mark("opened: an owner displaced, no records")
	}
}

func (c *Cluster) markEffect(e port.Effect) {
	switch e := e.(type) {
	case port.OpenStore:
		if e.Open.Known > 0 {
			c.mark("journal reopened, memory kept")
		}
	case port.RetireStore:
		c.mark("shard of a layout that goes ended")
	case port.CreateShard:
		if e.Floor > 0 {
			c.mark("shard of a layout that comes made")
		}
	case port.ReleaseStore:
		c.mark("shard released in good order")
	case port.AppendStore:
		for _, a := range e.Batch {
			if a.Record == nil && a.Trim < a.Seq {
				c.mark("idle journal trimmed while more is flushed")
			}
		}
	case port.FlushStore:
		if len(e.Flush.Deleted) > 0 {
			c.mark("flush deletes partitions")
		}
	case port.ReadStore:
		c.markRead(e)
	case port.Reply:
		if e.Refusal != nil && strings.Contains(e.Refusal.Message, "does not keep up") {
			c.mark("caller pushed back: the store does not keep up")
		}
		if e.Refusal != nil && e.Refusal.Code == port.Unavailable && strings.Contains(e.Refusal.Message, "moved") {
			c.mark("caller told that the shard moved")
		}
	}
}

// markRead tells reads apart that happen only when memory is full, or after a start.
func (c *Cluster) markRead(e port.ReadStore) {
	if len(e.Ranges) > 0 { // all of one read are alike
		r := &e.Ranges[0]
		switch {
		case r.Table == store.History && r.Limit == 0, r.Table == store.History && r.Limit > 1:
			c.mark("history read from its table")
		case r.Table == store.Pending:
			c.mark("run read from its tables")
		case r.Table == store.Due && strings.HasPrefix(r.From, "q") && len(r.From) > 1:
			c.mark("backlog read from its table")
		case r.Table == store.Due && strings.HasPrefix(r.From, "d") && len(r.From) > 1:
			c.mark("deadlines read on")
		}
	}
}
