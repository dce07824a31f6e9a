package check

import (
	"slices"

	"google.golang.org/protobuf/proto"

	"perdure/core/port"
	"perdure/core/run/runpb"
)

// P18 answered_by_its_holder: an answer to a task is accepted from who was given
// it last, and from nobody who had it before. Starts are told apart by nonces.

// start names an attempt at a task: its scheduled and started event and its number.
type start struct {
	scheduled, started int64
	attempt            int32
}

// nobody holds a task that was given out and came back.
const nobody = 0

// noteStart notes the nonces that the state of a run shows.
func (r *Run) noteStart(s start, nonce uint64) {
	if r.starts == nil {
		r.starts, r.attempts = map[start][]uint64{}, map[int64]int32{}
	}
	if s.started == 0 {
		r.attempts[s.scheduled] = max(r.attempts[s.scheduled], s.attempt)
	}
	if have := r.starts[s]; len(have) == 0 || have[len(have)-1] != nonce {
		r.starts[s] = append(have, nonce)
	}
}

func (r *Run) noteTask() {
	switch t := r.Row.GetTask(); {
	case t.GetStartedId() == 0:
	case t.Reoffered:
		r.noteStart(start{t.ScheduledId, t.StartedId, t.Attempt}, nobody)
	default:
		r.noteStart(start{t.ScheduledId, t.StartedId, t.Attempt}, t.Nonce)
	}
}

func (r *Run) noteActivity(value []byte) {
	a := &runpb.Activity{}
	if proto.Unmarshal(value, a) == nil && a.StartedTime != 0 {
		r.noteStart(start{a.ScheduledId, 0, a.Attempt}, a.Nonce)
	}
}

// heldBy holds an accepted answer to the nonces seen. One that was never seen was
// given out and answered within one record, after those seen: then nobody held the task before.
func (l *Ledger) heldBy(token *port.Token) *Breach {
	r := l.runs[token.Run.RunID]
	if r == nil {
		return nil
	}
	s := start{token.ScheduledID, token.StartedID, token.Attempt}
	if last := r.attempts[s.scheduled]; s.started == 0 && s.attempt < last {
		return breach(AnsweredByItsHolder, r.Key.RunID, "attempt %d of the task scheduled as event %d was answered, attempt %d had begun", s.attempt, s.scheduled, last)
	}
	have := r.starts[s]
	if len(have) == 0 || have[len(have)-1] == token.Nonce {
		return nil
	}
	if i := slices.Index(have, token.Nonce); i >= 0 {
		return breach(AnsweredByItsHolder, r.Key.RunID, "attempt %d of the task scheduled as event %d was answered with a token that %d others have followed", token.Attempt, token.ScheduledID, len(have)-1-i)
	}
	if have[len(have)-1] != nobody {
		return breach(AnsweredByItsHolder, r.Key.RunID, "attempt %d of the task scheduled as event %d was answered with a token that no record knows, while somebody else held it", token.Attempt, token.ScheduledID)
	}
	return nil
}
