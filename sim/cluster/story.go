package cluster

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"perdure/core/port"
)

// The trace is for people: one line an input, one an effect.

const storyMax = 420 // characters of one message

func stamp(d time.Duration) string { return fmt.Sprintf("%12.6f", d.Seconds()) }

func (c *Cluster) tell(format string, args ...any) {
	if c.U.Tracing() {
		c.U.Trace(stamp(c.U.Now()) + " " + fmt.Sprintf(format, args...))
	}
}

func name(a port.Address) string { return fmt.Sprintf("n%d.%v%d", a.Node, a.Role, a.Index) }

// brief is a message on one line, cut if it is long.
func brief(m any) string {
	p, ok := m.(proto.Message)
	if !ok {
		return fmt.Sprintf("%T", m)
	}
	text := strings.ReplaceAll(prototext.MarshalOptions{}.Format(p), "  ", " ")
	if len(text) > storyMax {
		text = strings.ToValidUTF8(text[:storyMax], "") + "..."
	}
	return string(p.ProtoReflect().Descriptor().Name()) + "{" + text + "}"
}

func runStory(k port.RunKey) string { return k.WorkflowID + "/" + k.RunID }

func taskStory(t *port.Task) string {
	kind := [...]string{"", "workflow", "activity", "query"}[t.Kind]
	return fmt.Sprintf("%s task %d of %s in %s, attempt %d, stamp %d", kind, t.ID, runStory(t.Run), t.Queue.Name, t.Attempt, t.Stamp)
}

func inputStory(in port.Input) string {
	switch in := in.(type) {
	case port.Wake:
		return "wake " + runStory(in.Run)
	case port.Published:
		return fmt.Sprintf("published, version %d", in.Snapshot.Version)
	case *port.Request:
		return fmt.Sprintf("request %d of %s: %s", in.Call.ID, runStory(in.Run), brief(in.Body))
	case port.Gone:
		return fmt.Sprintf("gone: call %d", in.Call.ID)
	case port.Undelivered:
		return fmt.Sprintf("undelivered: reply to call %d", in.Reply.Call.ID)
	case *port.Completed:
		return completedStory(in)
	case port.Record:
		return fmt.Sprintf("record %d of %s, %d bytes, trim %d", in.Append.Seq, name(in.Shard), len(in.Append.Record), in.Append.Trim)
	case port.Appended:
		return fmt.Sprintf("record %d appended: %v", in.Seq, in.Outcome)
	case *port.Poll:
		return fmt.Sprintf("poll %d of %s by %s", in.Call.ID, in.Queue.Name, in.Identity)
	case port.Subscribe:
		return "subscribe " + in.Queue.Name
	case port.Backlog:
		return fmt.Sprintf("backlog of %s: %d tasks, more %t", in.Queue.Name, len(in.Tasks), in.More)
	case port.Offer:
		return "offer: " + taskStory(&in.Task)
	case port.Declined:
		return fmt.Sprintf("declined (dead %t): %s", in.Dead, taskStory(&in.Task))
	case port.Taken:
		return fmt.Sprintf("taken by poll %d: %s", in.Poll.Call.ID, taskStory(&in.Task))
	case port.Untaken:
		return fmt.Sprintf("untaken, poll %d: %s", in.Poll.Call.ID, taskStory(&in.Task))
	case *port.Members:
		text := "view:"
		for _, m := range in.All {
			text += fmt.Sprintf(" %d", m.Node)
		}
		return text
	case port.Claim:
		return "claim by " + name(in.From)
	case port.Claimed:
		return fmt.Sprintf("claim answered by %s: granted %t", name(in.From), in.Granted)
	case port.Yours:
		return name(in.From) + " has this shard and would leave it"
	case port.Elsewhere:
		return fmt.Sprintf("%s is not there; perhaps at node %d", name(in.Shard), in.To)
	case port.Emptied:
		return fmt.Sprintf("%s is empty, may it end under epoch %d?", name(in.From), in.Epoch)
	case port.Retire:
		return fmt.Sprintf("it may end under epoch %d", in.Epoch)
	case port.Retired:
		return name(in.From) + " is ended"
	case port.Fetch:
		return fmt.Sprintf("fetch %d by %s, which has version %d", in.Tag, name(in.From), in.Version)
	case port.Fetched:
		if in.Snapshot == nil {
			return fmt.Sprintf("fetched %d: nothing newer", in.Tag)
		}
		return fmt.Sprintf("fetched %d: version %d", in.Tag, in.Snapshot.Version)
	case port.Withdrawn:
		return "withdrawn: " + taskStory(&in.Task)
	case *port.Message:
		return fmt.Sprintf("message %d of kind %d from %s to %s, key %s", in.ID, in.Kind, runStory(in.From), runStory(in.To), in.Key)
	case *port.Outcome:
		return fmt.Sprintf("outcome of message %d of kind %d to %s: %+v", in.ID, in.Kind, runStory(in.To), in.Body)
	}
	return strings.TrimPrefix(fmt.Sprintf("%T", in), "port.")
}

func completedStory(c *port.Completed) string {
	text := fmt.Sprintf("completed %d", c.Tag&(1<<63-1))
	if c.Err != nil {
		text += ": " + c.Err.Error()
	}
	if c.Opened.Epoch > 0 {
		text += fmt.Sprintf(": epoch %d, displaced epoch %d, %d records up to %d", c.Opened.Epoch, c.Opened.Displaced.Epoch, len(c.Opened.Records), c.Opened.Last)
	}
	for _, o := range c.Outcomes {
		text += " " + o.String()
	}
	return text
}

func effectStory(e port.Effect) string {
	switch e := e.(type) {
	case port.Send:
		return "send to " + name(e.To) + ": " + inputStory(e.In)
	case port.Reply:
		if e.Refusal != nil {
			return fmt.Sprintf("reply to call %d: refused, code %d: %s", e.Call.ID, e.Refusal.Code, e.Refusal.Message)
		}
		if e.Body == nil {
			return fmt.Sprintf("reply to call %d: nothing more to tell", e.Call.ID)
		}
		m, err := Decode(e.Body)
		if err != nil {
			return "reply that cannot be decoded: " + err.Error()
		}
		return fmt.Sprintf("reply to call %d: %s", e.Call.ID, brief(m))
	case port.Alarm:
		return "alarm at " + e.At.Format("15:04:05.000000")
	case port.AppendStore:
		var parts []string
		for _, a := range e.Batch {
			parts = append(parts, fmt.Sprintf("shard %d record %d (%d bytes, epoch %d)", a.Fence.Shard, a.Seq, len(a.Record), a.Fence.Epoch))
		}
		return "append " + strings.Join(parts, ", ")
	case port.FlushStore:
		return fmt.Sprintf("flush %d: %d rows, %d partitions deleted", e.Flush.Number, len(e.Flush.Rows), len(e.Flush.Deleted))
	case port.ReadStore:
		return fmt.Sprintf("read %d: ", e.Tag&(1<<63-1)) + readStory(e)
	case port.OpenStore:
		return fmt.Sprintf("open shard %d, known %d", e.Open.Shard, e.Open.Known)
	case port.AskOwner:
		return fmt.Sprintf("ask who owns shard %d", e.Shard)
	case port.ConfirmStore:
		return fmt.Sprintf("confirm shard %d", e.Fence.Shard)
	case port.RetireStore:
		return fmt.Sprintf("end shard %d", e.Fence.Shard)
	case port.CreateShard:
		return fmt.Sprintf("make shard %d of strips %d to %d, above epoch %d", e.Shard, e.Strips.From, e.Strips.To, e.Floor)
	case port.Halt:
		return "halt: " + e.Why
	}
	return strings.TrimPrefix(fmt.Sprintf("%T", e), "port.")
}

// readStory names the first of each.
func readStory(e port.ReadStore) string {
	text := fmt.Sprintf("%d keys, %d ranges", len(e.Keys), len(e.Ranges))
	if len(e.Keys) > 0 {
		text += fmt.Sprintf(", %v %q %q", e.Keys[0].Table, e.Keys[0].Partition, e.Keys[0].Key)
	}
	if len(e.Ranges) > 0 {
		r := e.Ranges[0]
		text += fmt.Sprintf(", %v %q from %q to %q", r.Table, r.Partition, r.From, r.To)
	}
	return text
}
