package workload

import (
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/proto"

	"perdure/sim/check"
	"perdure/sim/cluster"
)

// badTask is the breach of an answer that does not say what it should.
func badTask(format string, args ...any) *check.Breach {
	return &check.Breach{Promise: check.AnswersHonest, Text: fmt.Sprintf(format, args...)}
}

// follower reads the history of one run to its end, as clients wait for results.
type follower struct {
	*deed
	run   string
	req   *workflowservice.GetWorkflowExecutionHistoryRequest
	next  int64
	polls int

	unsure int64 // events at the end that may not be recorded
}

const pollsMax = 8 // long polls of one history

// follow asks for the history of a run that is known.
func (c *client) follow() proto.Message {
	q := &workflowservice.GetWorkflowExecutionHistoryRequest{
		Namespace: c.world.cfg.Namespace, Execution: c.known(), MaximumPageSize: int32(1 + c.rand.IntN(10)), WaitNewEvent: c.rand.IntN(3) > 0,
	}
	if c.rand.IntN(3) == 0 {
		q.HistoryEventFilterType = enumspb.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT
		q.WaitNewEvent = true
	}
	return q
}

// follow reads it beside everything else that the client does.
func (d *deed) follow(q *workflowservice.GetWorkflowExecutionHistoryRequest) {
	(&follower{deed: d, run: q.Execution.RunId, next: 1, req: q}).poll()
	d.done()
}

func (f *follower) poll() {
	if f.polls++; f.polls > pollsMax {
		return
	}
	call := f.call(f.req, 30*time.Second, f.got)
	if f.op.GiveUp > 0 && call != nil {
		f.world.U.After(10*f.op.GiveUp, call.GiveUp)
	}
}

func (f *follower) got(r cluster.Result) {
	switch {
	case again(r):
		f.world.U.After(f.rand.Spread(10*time.Millisecond, time.Second), f.poll)
		return
	case !r.OK():
		return
	}
	m := r.Message.(*workflowservice.GetWorkflowExecutionHistoryResponse)
	if f.req.HistoryEventFilterType != enumspb.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT {
		f.consecutive(m.History.GetEvents())
	} else if n := len(m.History.GetEvents()); n > 1 {
		f.world.Fail(badTask("%d events where the close event of %s was asked for", n, f.run))
	}
	if len(m.NextPageToken) == 0 {
		return
	}
	f.req.NextPageToken = m.NextPageToken
	f.world.U.After(f.rand.Spread(time.Microsecond, 10*time.Millisecond), f.poll)
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
			f.world.Fail(badTask("history of %s: event %d came where event %d had to come", f.run, e.EventId, f.next))
			return
		}
		f.next++
	}
}
