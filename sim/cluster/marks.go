package cluster

import (
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
			c.mark("message repeated")
		}
	case *port.Completed:
		c.markOpened(in)
	}
}

func (c *Cluster) markOpened(in *port.Completed) {
	switch {
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
	case port.FlushStore:
		if len(e.Flush.Deleted) > 0 {
			c.mark("flush deletes partitions")
		}
	case port.Reply:
		if e.Refusal != nil && e.Refusal.Code == port.Unavailable && strings.Contains(e.Refusal.Message, "moved") {
			c.mark("caller told that the shard moved")
		}
	}
}
