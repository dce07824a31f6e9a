package workload

import (
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/workflowservice/v1"

	"perdure/sim/check"
	"perdure/sim/cluster"
)

// badTask is the breach of an answer that does not say what it should.
func badTask(format string, args ...any) *check.Breach {
	return &check.Breach{Promise: check.AnswersHonest, Text: fmt.Sprintf(format, args...)}
}

// follower reads the history of one run to its end, as clients wait for results.
type follower struct {
	c     *client
	run   string
	req   *workflowservice.GetWorkflowExecutionHistoryRequest
	next  int64
	polls int

	unsure int64 // events at the end that may not be recorded
}

const (
	followMax = 3 // histories that one client follows at once
	pollsMax  = 8 // long polls of one history
)

// follow begins to follow a run beside everything else.
func (c *client) follow() {
	defer c.next()
	if len(c.runs) == 0 || c.watch >= followMax {
		return
	}
	e := c.runs[c.rand.IntN(len(c.runs))]
	f := &follower{c: c, run: e.RunId, next: 1, req: &workflowservice.GetWorkflowExecutionHistoryRequest{
		Namespace: c.world.cfg.Namespace, Execution: e, MaximumPageSize: int32(1 + c.rand.IntN(10)), WaitNewEvent: c.rand.IntN(3) > 0,
	}}
	if c.rand.IntN(3) == 0 {
		f.req.HistoryEventFilterType = enumspb.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT
		f.req.WaitNewEvent = true
	}
	c.watch++
	f.poll()
}

func (f *follower) poll() {
	c := f.c
	f.polls++
	if f.polls > pollsMax {
		c.watch--
		return
	}
	call := c.call(f.req, 30*time.Second, f.got)
	if c.world.bad(c.rand, c.world.cfg.Abandon) && call != nil {
		c.world.U.After(c.rand.Spread(time.Millisecond, 10*time.Second), func() {
			call.GiveUp()
			c.watch--
		})
	}
}

func (f *follower) got(r cluster.Result) {
	c := f.c
	switch {
	case again(r):
		c.world.U.After(c.rand.Spread(10*time.Millisecond, time.Second), f.poll)
		return
	case !r.OK():
		c.watch--
		return
	}
	m := r.Message.(*workflowservice.GetWorkflowExecutionHistoryResponse)
	if f.req.HistoryEventFilterType != enumspb.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT {
		f.consecutive(m.History.GetEvents())
	} else if n := len(m.History.GetEvents()); n > 1 {
		c.world.Fail(badTask("%d events where the close event of %s was asked for", n, f.run))
	}
	if len(m.NextPageToken) == 0 {
		c.watch--
		return
	}
	f.req.NextPageToken = m.NextPageToken
	c.world.U.After(c.rand.Spread(time.Microsecond, 10*time.Millisecond), f.poll)
}

// consecutive: pages follow each other without gap or repetition. A workflow task
// that is tried again is shown though it is not recorded yet; what comes next may
// have its ids.
func (f *follower) consecutive(events []*historypb.HistoryEvent) {
	if len(events) > 0 && events[0].EventId < f.next && events[0].EventId >= f.next-f.unsure {
		f.next = events[0].EventId
	}
	if len(events) > 0 {
		f.unsure = 0
	}
	for _, e := range events {
		f.unsure++
		if e.EventType != enumspb.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED && e.EventType != enumspb.EVENT_TYPE_WORKFLOW_TASK_STARTED {
			f.unsure = 0
		}
		if e.EventId != f.next {
			f.c.world.Fail(badTask("history of %s: event %d came where event %d had to come", f.run, e.EventId, f.next))
			return
		}
		f.next++
	}
}
