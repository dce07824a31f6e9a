package shard

import (
	"slices"
	"strings"
	"testing"
	"time"

	ws "go.temporal.io/api/workflowservice/v1"

	"perdure/core/store"
)

// S8: a run whose retention is over is not found, however late its wake comes.
func TestOutlivedRunIsNotFoundBeforeItsWake(t *testing.T) {
	s, _ := ended(t)
	s.now += 2 * time.Hour // no alarm rang meanwhile
	if text := s.describe("w", ""); !strings.Contains(text, "not found") {
		t.Errorf("described as %q", text)
	}
	s.start("w", "q", 0)
	if text := s.describe("w", ""); !strings.Contains(text, "Running") {
		t.Errorf("a new run of the id is described as %q", text)
	}
}

// A database that was not repaired may bring rows back that were removed: all of a run, or its first row alone.
func TestRemovedRunThatComesBackIsNotFound(t *testing.T) {
	for name, some := range map[string]func(store.Row) bool{
		"all rows": func(store.Row) bool { return true },
		"run row":  func(r store.Row) bool { return r.Key.Table == store.Executions && r.Key.Key[0] == keyRun },
		"no run row": func(r store.Row) bool {
			return r.Key.Table != store.Executions || r.Key.Key[0] != keyRun
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, rows := ended(t)
			s.advance(2 * time.Hour)
			s.evict()
			if left := s.rowsOf("w"); len(left) != 0 {
				t.Fatalf("after its retention there is still %v", left)
			}
			var back []store.Row
			for _, r := range rows {
				if some(r) {
					back = append(back, r)
				}
			}
			s.store.Overwrite(back, nil)
			for _, run := range []string{s.runs["w"], ""} {
				if text := s.describe("w", run); !strings.Contains(text, "not found") {
					t.Errorf("run %q is described as %q", run, text)
				}
			}
			for k := range s.shard.sick { //ordered: at most one
				t.Errorf("%v was set aside", k)
			}
		})
	}
}

// ended is a story of one run that was terminated, and the rows that it left.
func ended(t *testing.T) (*story, []store.Row) {
	s := newStory(t)
	s.boot(Config{})
	s.start("w", "q", 0)
	s.text.Reset()
	s.post(shardAt, s.request("end", "w", "", &ws.TerminateWorkflowExecutionRequest{}, 0))
	s.settle()
	s.advance(time.Minute)
	rows := s.rowsOf("w")
	s.boot(Config{})
	if len(rows) == 0 || !strings.Contains(s.describe("w", ""), "Terminated") {
		t.Fatalf("rows %v", rows)
	}
	return s, rows
}

// rowsOf are the rows in the tables of the run that was started as id.
func (s *story) rowsOf(id string) (rows []store.Row) {
	run, strip := s.runs[id], stripPartition(stripOf(storyNamespace, id))
	scans, err := s.store.Scan([]store.Range{
		{Table: store.Executions, Partition: strip}, {Table: store.Pending, Partition: run}, {Table: store.History, Partition: run},
		{Table: store.Due, Partition: strip, From: string(rune(keyDeadline))},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return slices.Concat(scans...)
}

func (s *story) describe(id, run string) string {
	s.text.Reset()
	s.post(shardAt, s.request("describe", id, run, &ws.DescribeWorkflowExecutionRequest{}, 0))
	s.settle()
	return s.text.String()
}
