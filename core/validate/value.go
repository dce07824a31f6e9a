package validate

import (
	"strings"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"google.golang.org/protobuf/proto"

	"perdure/core/port"
)

const (
	fairnessKeyMax = 64
	reservedQueues = "/_sys/"
)

// Priority refuses a negative key or weight and a long fairness key; nil is fine.
func Priority(p *commonpb.Priority) *port.Refusal {
	switch {
	case p.GetPriorityKey() < 0:
		return port.Invalid("priority key can't be negative")
	case len(p.GetFairnessKey()) > fairnessKeyMax:
		return port.Invalid("fairness key length exceeds limit")
	case p.GetFairnessWeight() < 0:
		return port.Invalid("must be greater than zero")
	}
	return nil
}

// TaskQueue refuses a queue without a usable name.
func TaskQueue(l *Limits, q *taskqueuepb.TaskQueue) *port.Refusal {
	if q == nil {
		return port.Invalid("taskQueue is not set")
	}
	return QueueName(l, q.Name)
}

// QueueName refuses an empty, long or reserved name of a task queue.
func QueueName(l *Limits, name string) *port.Refusal {
	switch {
	case name == "":
		return port.Invalid("missing task queue name")
	case len(name) > l.ID:
		return port.Invalid("taskQueue length exceeds limit")
	case strings.HasPrefix(name, reservedQueues):
		return port.Invalid("task queue name cannot start with reserved prefix %s", reservedQueues)
	}
	return nil
}

// Blob refuses a message over the blob limit.
func Blob(l *Limits, m proto.Message) *port.Refusal {
	if proto.Size(m) > l.Blob {
		return port.Invalid("Blob data size exceeds limit.")
	}
	return nil
}

// Memo refuses a memo over its limit.
func Memo(l *Limits, m *commonpb.Memo) *port.Refusal {
	if m != nil && proto.Size(m) > l.Memo {
		return port.Invalid("Memo size exceeds limit.")
	}
	return nil
}

// UUID reports whether s is a UUID in one of the four forms that clients may
// send: plain, with dashes, in braces, as a URN.
func UUID(s string) bool {
	switch len(s) {
	case 32:
		return allHex(s)
	case 36:
	case 38:
		// The peer's parser looks at neither bracket.
		s = s[1:37]
	case 45:
		if !strings.EqualFold(s[:9], "urn:uuid:") {
			return false
		}
		s = s[9:]
	default:
		return false
	}
	if s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return false
	}
	return allHex(s[:8]) && allHex(s[9:13]) && allHex(s[14:18]) && allHex(s[19:23]) && allHex(s[24:])
}

func allHex(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F') {
			return false
		}
	}
	return true
}

// Links refuses too many, too large and incomplete links.
func Links(l *Limits, links []*commonpb.Link) *port.Refusal {
	if len(links) > l.Links {
		return port.Invalid("cannot attach more than %d links per request, got %d", l.Links, len(links))
	}
	for _, link := range links {
		if n := proto.Size(link); n > l.Link {
			return port.Invalid("link exceeds allowed size of %d, got %d", l.Link, n)
		}
		if r := linkFields(link); r != nil {
			return r
		}
	}
	return nil
}

func linkFields(link *commonpb.Link) *port.Refusal {
	type field struct{ name, value string }
	var kind string
	var fields []field
	switch v := link.GetVariant().(type) {
	case *commonpb.Link_WorkflowEvent_:
		e := v.WorkflowEvent
		kind, fields = "workflow event", []field{{"namespace field", e.GetNamespace()}, {"workflow ID field", e.GetWorkflowId()}, {"run ID field", e.GetRunId()}}
	case *commonpb.Link_BatchJob_:
		kind, fields = "batch job", []field{{"job ID", v.BatchJob.GetJobId()}}
	case *commonpb.Link_Activity_:
		a := v.Activity
		kind, fields = "activity", []field{{"namespace field", a.GetNamespace()}, {"activity ID field", a.GetActivityId()}, {"run ID field", a.GetRunId()}}
	case *commonpb.Link_NexusOperation_:
		o := v.NexusOperation
		kind, fields = "nexus operation", []field{{"namespace field", o.GetNamespace()}, {"operation ID field", o.GetOperationId()}, {"run ID field", o.GetRunId()}}
	case *commonpb.Link_Workflow_:
		w := v.Workflow
		kind, fields = "workflow", []field{{"namespace field", w.GetNamespace()}, {"workflow ID field", w.GetWorkflowId()}, {"run ID field", w.GetRunId()}}
	default:
		return port.Invalid("unsupported link variant")
	}
	for _, f := range fields {
		if f.value == "" {
			return port.Invalid("%s link must not have an empty %s", kind, f.name)
		}
	}
	ref := link.GetWorkflowEvent().GetEventRef()
	if ref.GetEventType() == enumspb.EVENT_TYPE_UNSPECIFIED && ref.GetEventId() != 0 {
		return port.Invalid("workflow event link ref cannot have an unspecified event type and a non-zero event ID")
	}
	return nil
}
