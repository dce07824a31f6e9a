package frontend

import (
	"time"

	"go.temporal.io/api/errordetails/v1"
	"go.temporal.io/api/workflowservice/v1"

	"perdure/core/port"
)

// Trip is the way of one admitted call to the machine that answers it, in a
// cluster: where it was sent, and where it is sent next when that machine has
// moved, its node left, or nothing is heard. Request ids were filled in before the
// first try and are the same in every other one, so a repetition changes nothing;
// a call of which this is not true is not repeated once it may have taken effect.
//
// A call inside a node that is alone needs none of this: it is answered by its machine.
type Trip struct {
	In port.Input
	To port.Address // of the latest try

	tries int // without a better place to go
	hops  int // followed since then
}

// Step is what to do with a call: send it to To after a while, or give up and
// hand the refusal to the caller.
type Step struct {
	Again bool
	After time.Duration
}

// Waits of a trip.
const (
	hopsMost    = 3 // places followed one after another without a pause
	leastPause  = 20 * time.Millisecond
	mostPause   = time.Second
	silent      = 2 * time.Second  // nothing is heard of a call that is answered at once
	silentWait  = 10 * time.Second // ... of one that may wait: a poll, a query, a history that grows
	leastReturn = 50 * time.Millisecond
)

// Depart begins the trip of a plan.
func Depart(p Plan) Trip { return Trip{In: p.In, To: p.To} }

// Refused says what to do after a refusal. left is the time that the caller has.
func (f *Frontend) Refused(t *Trip, r *port.Refusal, s *port.Snapshot, m *port.Members, left time.Duration) Step {
	if r.Moved == nil || m == nil || r.Moved.Maybe && !repeatable(t.In) {
		return Step{}
	}
	if n := r.Moved.To; n != 0 && n != t.To.Node && t.hops < hopsMost {
		t.hops++
		t.To.Node = n
		if at := f.Place(s, m, t.In); at.Node == n {
			t.To = at
		}
		return Step{Again: true}
	}
	t.hops = 0
	t.To = f.Place(s, m, t.In)
	pause := min(leastPause<<min(t.tries, 10), mostPause)
	t.tries++
	return Step{Again: left > pause+leastReturn, After: pause}
}

// Unheard says what to do after Patience, or when the node of the latest try has left the view.
func (f *Frontend) Unheard(t *Trip, s *port.Snapshot, m *port.Members, left time.Duration) Step {
	if m == nil || !repeatable(t.In) {
		return Step{}
	}
	t.hops = 0
	t.To = f.Place(s, m, t.In)
	return Step{Again: left > leastReturn}
}

// Patience is how long to wait for an answer of another node before asking again.
func (t *Trip) Patience() time.Duration {
	if t.To.Node == 0 { // it went nowhere: nobody in the view could own it
		return mostPause
	}
	switch in := t.In.(type) {
	case *port.Poll:
		return silentWait
	case *port.Request:
		switch q := in.Body.(type) {
		case *workflowservice.QueryWorkflowRequest:
			return silentWait
		case *workflowservice.GetWorkflowExecutionHistoryRequest:
			if q.WaitNewEvent {
				return silentWait
			}
		}
	}
	return silent
}

// Missed says that a refusal may come from a snapshot of the registry that is not
// the newest: the caller gets the newest (port.Refresh) and admits the call once more.
func Missed(r *port.Refusal) bool {
	_, namespace := r.Detail.(*errordetails.NamespaceNotFoundFailure)
	return namespace
}

// repeatable: doing it twice is doing it once. What ends or cancels "the current
// run" might meet the next one.
func repeatable(in port.Input) bool {
	r, ok := in.(*port.Request)
	if !ok {
		return true
	}
	switch q := r.Body.(type) {
	case *workflowservice.TerminateWorkflowExecutionRequest:
		return q.WorkflowExecution.GetRunId() != "" || q.FirstExecutionRunId != ""
	case *workflowservice.RequestCancelWorkflowExecutionRequest:
		return q.WorkflowExecution.GetRunId() != "" || q.FirstExecutionRunId != ""
	}
	return true
}
