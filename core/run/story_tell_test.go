package run

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	historypb "go.temporal.io/api/history/v1"

	"perdure/core/port"
)

// tell writes a line of the story's answer.
func (s *story) tell(format string, args ...any) {
	fmt.Fprintf(&s.out, format+"\n", args...)
}

// changed applies what a transition did, and tells it.
func (s *story) changed(c *Changes, refused *port.Refusal) error {
	if refused != nil {
		s.tell("refused: %s", showRefusal(refused))
	}
	if c == nil {
		if refused == nil {
			s.tell("nothing happened")
		}
		return nil
	}
	k, n := s.k, len(s.runs)
	if err := s.apply(k, c); err != nil {
		s.tell("%s", s.out.String())
		return fmt.Errorf("%w\n%s", err, s.out.String())
	}
	s.tellChanges(k, c)
	if len(s.runs) > n && c.Next != nil {
		s.tell("then run %d, %s", len(s.runs), c.Next.S.RunId)
		s.k = s.runs[len(s.runs)-1]
		s.tellChanges(s.k, c.NextRun)
	}
	return nil
}

func showRefusal(f *port.Refusal) string {
	text := f.Message
	if len(text) > 400 {
		text = short(text)
	}
	return fmt.Sprintf("code %d, %s", f.Code, text)
}

func (s *story) tellChanges(k *kept, c *Changes) {
	for i, b := range c.Batches {
		if i > 0 {
			s.tell("--")
		}
		events, err := b.Decode()
		if err != nil {
			s.t.Fatal(err)
		}
		s.tellEvents(events)
	}
	for _, d := range c.Dropped {
		s.tell("- %s", showTask(d))
	}
	for _, d := range c.Added {
		s.tell("+ %s", showTask(d))
	}
	s.tellRows(c)
	if n := len(k.run.buffer); n > 0 {
		s.tell("buffered: %s", s.bufferNames(k.run))
	}
	if c.Closed {
		s.tell("closed: %s", k.run.Status())
	}
	if c.Oversize != "" {
		s.tell("oversize: %s", c.Oversize)
	}
	s.tellMessages(k)
	s.tell("deadline %s", s.deadline(k.run))
	if got := k.due; s.flushed && got != k.run.Deadline() { // else when it moves is a matter of cost
		s.tell("due row %s", since(got))
	}
}

// tellEvents shows events; many alike become one line.
func (s *story) tellEvents(events []*historypb.HistoryEvent) {
	const most = 4
	alike, before := 0, ""
	for _, e := range events {
		line := showEvent(e, s.now)
		_, text, _ := strings.Cut(line, " ")
		if text == before {
			alike++
		} else {
			if alike >= most {
				s.tell("... %d more like it", alike-most+1)
			}
			alike, before = 0, text
		}
		if alike < most {
			s.tell("%s", line)
		}
	}
	if alike >= most {
		s.tell("... %d more like it", alike-most+1)
	}
}

func (s *story) deadline(r *Run) string {
	if at := r.Deadline(); at != 0 {
		return since(at)
	}
	return "none"
}

func showTask(d Dispatch) string {
	kind := "workflow task"
	if d.Kind == port.ActivityTask {
		kind = "activity"
	}
	q := d.Queue.Name
	if d.Queue.Sticky() {
		q += "(sticky)"
	}
	text := fmt.Sprintf("%s %d in %s, attempt %d", kind, d.ID, q, d.Attempt)
	if d.Priority != 3 {
		text += fmt.Sprintf(", priority %d", d.Priority)
	}
	return text
}

func (s *story) tellRows(c *Changes) {
	last := map[string]bool{} // key -> put
	for _, p := range c.Pending {
		last[p.Key] = p.Value != nil
	}
	var rows []string
	for _, key := range slices.Sorted(maps.Keys(last)) {
		sign := "-"
		if last[key] {
			sign = "+"
		}
		rows = append(rows, sign+keyName(key))
	}
	switch {
	case len(rows) > 12:
		s.tell("rows %s ... %d in all", strings.Join(rows[:3], " "), len(rows))
	case len(rows) > 0:
		s.tell("rows %s", strings.Join(rows, " "))
	}
}

func (s *story) bufferNames(r *Run) string {
	if len(r.buffer) > 12 {
		return fmt.Sprintf("%d events", len(r.buffer))
	}
	var names []string
	for _, e := range r.buffer {
		names = append(names, e.EventType.String())
	}
	return strings.Join(names, " ")
}

// tellMessages sends what the run owes, as a shard does after every transition.
func (s *story) tellMessages(k *kept) {
	for _, m := range k.run.Owed(s.env(), k.lastBatch) {
		s.tell("> %s %d to %s%s", messageName(m.Kind), m.ID, m.To.WorkflowID, messageBody(m))
	}
}

func messageName(k port.MessageKind) string {
	return [...]string{port.StartChild: "start-child", port.SignalExternal: "signal", port.CancelExternal: "cancel",
		port.ParentClosed: "parent-closed", port.ChildStarted: "child-started", port.ChildClosed: "child-closed",
		port.ChildWaits: "child-waits"}[k]
}

func messageBody(m *port.Message) string {
	to := ""
	if m.To.RunID != "" {
		to = "/" + m.To.RunID
	}
	switch b := m.Body.(type) {
	case *StartChildBody:
		return to + " as " + b.RunID + ", parent " + showMessage(b.Parent.ProtoReflect()) + ", root " + showMessage(b.Root.ProtoReflect())
	case *SignalBody:
		if b.Signal == nil {
			return ": which run to signal" + onlyChild(b.ChildOnly)
		}
		return to + " " + b.Signal.Name + onlyChild(b.ChildOnly) + ", key " + m.Key
	case *CancelBody:
		if b.Cancel == nil {
			return ": which run to cancel" + onlyChild(b.ChildOnly)
		}
		return to + " " + strconv.Quote(b.Cancel.Reason) + onlyChild(b.ChildOnly)
	case *ParentClosedBody:
		return to + " of chain " + b.FirstRunID + ": " + b.Policy.String()
	case *ChildClosedBody:
		return to + " of chain " + b.FirstRunID + ": " + b.Status.String() + " " + b.Execution.RunId
	}
	return to
}

func onlyChild(yes bool) string {
	if yes {
		return ", child only"
	}
	return ""
}

// Beginning.
