package shard

import (
	"strings"
	"testing"

	ws "go.temporal.io/api/workflowservice/v1"

	"perdure/core/port"
)

// A run that breaks an invariant is set aside; others go on, and a restart gives
// it another chance with what was last recorded.
func TestPoisonRunIsSetAside(t *testing.T) {
	s := newStory(t)
	var told []port.RunKey
	s.boot(Config{Quarantined: func(k port.RunKey, _ string) { told = append(told, k) }})
	s.start("sick", "qs", 0)
	s.start("well", "qw", 0)
	for k, e := range s.shard.cache.runs { //ordered: one of two
		if k.WorkflowID == "sick" {
			e.run.S.WorkflowType = "\xff" // which cannot be encoded
		}
	}
	if text := s.signal("sick"); !strings.Contains(text, "is set aside") {
		t.Errorf("a signal to the sick run: %q", text)
	}
	if len(told) != 1 || told[0].WorkflowID != "sick" {
		t.Errorf("told of %v", told)
	}
	if text := s.signal("sick"); !strings.Contains(text, "is set aside") {
		t.Errorf("a second signal to the sick run: %q", text)
	}
	if got := s.take("qs"); got != "" {
		t.Errorf("a worker got the task of %q", got)
	}
	if text := s.signal("well"); strings.Contains(text, "code") {
		t.Errorf("a signal to the other run: %q", text)
	}
	if got := s.take("qw"); got != "well" {
		t.Errorf("a worker got the task of %q", got)
	}
	s.boot(Config{})
	if text := s.signal("sick"); strings.Contains(text, "code") {
		t.Errorf("a signal after a restart: %q", text)
	}
	if got := s.take("qs"); got != "sick" {
		t.Errorf("after a restart a worker got the task of %q", got)
	}
}

func (s *story) signal(id string) string {
	s.text.Reset()
	s.post(shardAt, s.request("signal", id, "", &ws.SignalWorkflowExecutionRequest{SignalName: "s"}, 0))
	s.settle()
	return s.text.String()
}
