package shard

import (
	"fmt"

	"perdure/core/port"
)

// Quarantine. An assertion that fails while a run decides must not take the shard
// down, nor the next owner after it: the run is set aside as it was last
// recorded, its callers get an error with its id, its time stands still until the
// server is started again. Once a transition is being recorded a broken
// invariant is the shard's, and crashes the process.

// contain is deferred around the handling of one input.
func (s *Shard) contain(in port.Input) {
	if !s.deciding {
		return
	}
	what := recover()
	s.deciding = false
	if what == nil {
		return
	}
	s.setAside(s.moving, fmt.Sprint(what))
	s.turnAway(s.moving, in)
}

func (s *Shard) setAside(k port.RunKey, what string) {
	if s.sick == nil {
		s.sick = map[port.RunKey]string{}
	}
	s.sick[k] = what
	s.due.drop(k)
	if e := s.cache.runs[k]; e != nil {
		s.cache.remove(e)
	}
	if s.cfg.Quarantined != nil {
		s.cfg.Quarantined(k, what)
	}
}

// turnAway answers what comes for a run that is set aside. Its tasks leave the
// queues' memory, so that no poll gets them again and again.
func (s *Shard) turnAway(k port.RunKey, in port.Input) {
	switch in := in.(type) {
	case *port.Request:
		s.replyNow(in.Call, quarantined(k))
	case port.Taken:
		s.queues.remove(&in.Task)
		s.untaken(&in)
	}
}

func quarantined(k port.RunKey) *port.Refusal {
	return port.Refuse(port.Internal, "run %s of workflow %s is set aside because it broke an invariant of the server (see the log); nothing recorded is lost", k.RunID, k.WorkflowID)
}
