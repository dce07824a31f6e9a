package check

import (
	"slices"

	"google.golang.org/protobuf/proto"

	"perdure/core/port"
	"perdure/core/run/runpb"
)

// P18 answered_by_its_holder: an answer to a task is accepted from who was given
// it last, and from nobody who had it before. Starts are told apart by nonces.

// start names an attempt at a task: its scheduled event and its number. What the
// scheduled event of a transient workflow task would be can be another task's in the end.
type start struct {
	scheduled int64
	activity  bool
	attempt   int32
}

// nobody holds a task that was given out and came back.
const nobody = 0

// noteStart notes who has a task, as the state of a run shows it.
func (r *Run) noteStart(s start, nonce uint64) {
	if r.starts == nil {
		r.starts, r.attempts = map[start][]uint64{}, map[int64]int32{}
	}
	if s.activity && nonce != nobody {
		r.attempts[s.scheduled] = max(r.attempts[s.scheduled], s.attempt)
	}
	have := r.starts[s]
	if len(have) == 0 && nonce != nobody || len(have) > 0 && have[len(have)-1] != nonce {
		r.starts[s] = append(have, nonce)
	}
}

func (r *Run) noteTask() {
	if t := r.Row.GetTask(); t != nil {
		holder := t.Nonce
		if t.StartedId == 0 || t.Reoffered {
			holder = nobody
		}
		r.noteStart(start{t.ScheduledId, false, t.Attempt}, holder)
	}
}

func (r *Run) noteActivity(value []byte) {
	a := &runpb.Activity{}
	if proto.Unmarshal(value, a) == nil {
		holder := a.Nonce
		if a.StartedTime == 0 {
			holder = nobody
		}
		r.noteStart(start{a.ScheduledId, true, a.Attempt}, holder)
	}
}

// heldBy holds an accepted answer to the nonces seen. One that was never seen was
// given out and answered within one record, after those seen: then nobody held the task before.
func (l *Ledger) heldBy(token *port.Token) *Breach {
	r := l.runs[token.Run.RunID]
	if r == nil {
		return nil
	}
	s := start{token.ScheduledID, token.StartedID == 0, token.Attempt}
	if last := r.attempts[s.scheduled]; s.activity && s.attempt < last {
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
