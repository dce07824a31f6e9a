package run

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	failurepb "go.temporal.io/api/failure/v1"
	historypb "go.temporal.io/api/history/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Text of stories: fields of messages are set from "name=value" words and shown
// the same way, so every field of every command and event can be told.

// words splits a line at spaces; quotes keep a word together.
func words(line string) []string {
	var out []string
	var word strings.Builder
	quoted, any := false, false
	for _, c := range line {
		switch {
		case c == '\'':
			quoted, any = !quoted, true
		case c == ' ' && !quoted:
			if any {
				out = append(out, word.String())
			}
			word.Reset()
			any = false
		default:
			word.WriteRune(c)
			any = true
		}
	}
	if any {
		out = append(out, word.String())
	}
	return out
}

// set gives fields of m their values: name=value, the name as in the proto file
// with dashes, or the end of it ("type" for activity_type); _timeout and _policy may be left out.
func set(m proto.Message, args []string) error {
	for _, arg := range args {
		name, value, _ := strings.Cut(arg, "=")
		f, err := field(m.ProtoReflect().Descriptor(), strings.ReplaceAll(name, "-", "_"))
		if err != nil {
			return err
		}
		if err := setField(m.ProtoReflect(), f, value); err != nil {
			return fmt.Errorf("%s: %w", arg, err)
		}
	}
	return nil
}

func field(d protoreflect.MessageDescriptor, name string) (protoreflect.FieldDescriptor, error) {
	if f := d.Fields().ByName(protoreflect.Name(name)); f != nil {
		return f, nil
	}
	var found protoreflect.FieldDescriptor
	for i := range d.Fields().Len() {
		f := d.Fields().Get(i)
		n := string(f.Name())
		if !strings.HasSuffix(n, "_"+name) && !strings.HasSuffix(strings.TrimSuffix(n, "_timeout"), "_"+name) && strings.TrimSuffix(n, "_timeout") != name && n != name+"_policy" {
			continue
		}
		if found == nil {
			found = f
		}
	}
	if found == nil {
		return nil, fmt.Errorf("%s has no field %q", d.Name(), name)
	}
	return found, nil
}

func setField(m protoreflect.Message, f protoreflect.FieldDescriptor, v string) error {
	switch {
	case f.IsMap():
		return setMap(m.Mutable(f).Map(), f, v)
	case f.Kind() == protoreflect.MessageKind:
		x, err := message(f.Message(), v)
		if err == nil {
			m.Set(f, protoreflect.ValueOfMessage(x.ProtoReflect()))
		}
		return err
	case f.Kind() == protoreflect.EnumKind:
		n, err := enum(f.Enum(), v)
		m.Set(f, protoreflect.ValueOfEnum(n))
		return err
	case f.Kind() == protoreflect.BoolKind:
		m.Set(f, protoreflect.ValueOfBool(v != "false"))
	case f.Kind() == protoreflect.StringKind:
		m.Set(f, protoreflect.ValueOfString(text(v)))
	case f.Kind() == protoreflect.Int32Kind:
		n, err := strconv.ParseInt(v, 10, 32)
		m.Set(f, protoreflect.ValueOfInt32(int32(n)))
		return err
	case f.Kind() == protoreflect.Int64Kind:
		n, err := strconv.ParseInt(v, 10, 64)
		m.Set(f, protoreflect.ValueOfInt64(n))
		return err
	default:
		return fmt.Errorf("a story cannot set a %s", f.Kind())
	}
	return nil
}

// setMap takes k:v,k:v.
func setMap(m protoreflect.Map, f protoreflect.FieldDescriptor, v string) error {
	for _, pair := range strings.Split(v, ",") {
		k, x, _ := strings.Cut(pair, ":")
		value, err := message(f.MapValue().Message(), x)
		if err != nil {
			return err
		}
		m.Set(protoreflect.ValueOfString(k).MapKey(), protoreflect.ValueOfMessage(value.ProtoReflect()))
	}
	return nil
}

// text is v, or that many letters for "@n".
func text(v string) string {
	if n, err := strconv.Atoi(strings.TrimPrefix(v, "@")); err == nil && strings.HasPrefix(v, "@") {
		return strings.Repeat("x", n)
	}
	return v
}

func enum(d protoreflect.EnumDescriptor, v string) (protoreflect.EnumNumber, error) {
	if n, err := strconv.Atoi(v); err == nil {
		return protoreflect.EnumNumber(n), nil
	}
	for i := range d.Values().Len() {
		if x := d.Values().Get(i); shortEnum(d, x.Number()) == v {
			return x.Number(), nil
		}
	}
	return 0, fmt.Errorf("%s has no value %s", d.Name(), v)
}

// shortEnum is the value's name without what all names of the enum begin with.
func shortEnum(d protoreflect.EnumDescriptor, n protoreflect.EnumNumber) string {
	v := d.Values().ByNumber(n)
	if v == nil {
		return strconv.Itoa(int(n))
	}
	return strings.TrimPrefix(string(v.Name()), strings.TrimSuffix(string(d.Values().Get(0).Name()), "UNSPECIFIED"))
}

// message makes a message from the short text that stories have for its type.
func message(d protoreflect.MessageDescriptor, v string) (proto.Message, error) {
	switch d.FullName() {
	case "google.protobuf.Duration":
		if v == "mixed" {
			return &durationpb.Duration{Seconds: 1, Nanos: -1}, nil
		}
		p, err := time.ParseDuration(v)
		return durationpb.New(p), err
	case "temporal.api.common.v1.Payloads":
		return payloads(v), nil
	case "temporal.api.common.v1.Payload":
		return payload(v), nil
	case "temporal.api.common.v1.ActivityType":
		return &commonpb.ActivityType{Name: text(v)}, nil
	case "temporal.api.common.v1.WorkflowType":
		return &commonpb.WorkflowType{Name: text(v)}, nil
	case "temporal.api.taskqueue.v1.TaskQueue":
		return &taskqueuepb.TaskQueue{Name: text(v)}, nil
	case "temporal.api.common.v1.WorkflowExecution":
		id, run, _ := strings.Cut(v, "/")
		return &commonpb.WorkflowExecution{WorkflowId: text(id), RunId: run}, nil
	case "temporal.api.failure.v1.Failure":
		return failure(v)
	case "temporal.api.common.v1.Memo":
		return within(&commonpb.Memo{}, "fields", v)
	case "temporal.api.common.v1.Header":
		return within(&commonpb.Header{}, "fields", v)
	case "temporal.api.common.v1.SearchAttributes":
		return within(&commonpb.SearchAttributes{}, "indexed_fields", v)
	case "temporal.api.common.v1.RetryPolicy":
		return retryPolicy(v)
	case "temporal.api.common.v1.Priority":
		n, err := strconv.ParseInt(v, 10, 32)
		return &commonpb.Priority{PriorityKey: int32(n)}, err
	}
	return nil, fmt.Errorf("a story cannot set a %s", d.FullName())
}

func within(m proto.Message, field, v string) (proto.Message, error) {
	if v == "" {
		return m, nil
	}
	return m, set(m, []string{field + "=" + v})
}

// payload is json: a bare word becomes a string.
func payload(v string) *commonpb.Payload {
	data := text(v)
	if data != "null" && data != "[]" && strings.Trim(data, "-0123456789") != "" {
		data = strconv.Quote(data)
	}
	return &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: []byte(data)}
}

func payloads(v string) *commonpb.Payloads {
	return &commonpb.Payloads{Payloads: []*commonpb.Payload{payload(v)}}
}

// failure takes message[:type[:final][:delay=d]], or timeout, canceled, activity.
func failure(v string) (proto.Message, error) {
	parts := strings.Split(v, ":")
	f := &failurepb.Failure{Message: text(parts[0])}
	switch {
	case v == "canceled":
		f.FailureInfo = &failurepb.Failure_CanceledFailureInfo{CanceledFailureInfo: &failurepb.CanceledFailureInfo{}}
		return f, nil
	case v == "activity":
		f.FailureInfo = &failurepb.Failure_ActivityFailureInfo{ActivityFailureInfo: &failurepb.ActivityFailureInfo{}}
		return f, nil
	case len(parts) == 1:
		return f, nil
	}
	info := &failurepb.ApplicationFailureInfo{Type: parts[1]}
	for _, p := range parts[2:] {
		if p == "final" {
			info.NonRetryable = true
			continue
		}
		d, err := time.ParseDuration(strings.TrimPrefix(p, "delay="))
		if err != nil {
			return nil, err
		}
		info.NextRetryDelay = durationpb.New(d)
	}
	f.FailureInfo = &failurepb.Failure_ApplicationFailureInfo{ApplicationFailureInfo: info}
	return f, nil
}

// retryPolicy takes initial/coefficient/maximum/attempts/type+type, each may be empty.
func retryPolicy(v string) (proto.Message, error) {
	p := &commonpb.RetryPolicy{}
	for i, x := range strings.Split(v, "/") {
		if x == "" {
			continue
		}
		var err error
		switch i {
		case 0, 2:
			var d time.Duration
			d, err = time.ParseDuration(x)
			if i == 0 {
				p.InitialInterval = durationpb.New(d)
			} else {
				p.MaximumInterval = durationpb.New(d)
			}
		case 1:
			p.BackoffCoefficient, err = strconv.ParseFloat(x, 64)
		case 3:
			var n int64
			n, err = strconv.ParseInt(x, 10, 32)
			p.MaximumAttempts = int32(n)
		case 4:
			p.NonRetryableErrorTypes = strings.Split(x, "+")
		}
		if err != nil {
			return nil, err
		}
	}
	return p, nil
}

// Showing.

// since is a time as the stories tell it.
func since(ns int64) string {
	if ns < epoch/2 {
		return strconv.FormatInt(ns, 10)
	}
	return "+" + time.Duration(ns-epoch).String()
}

// untold fields say nothing in a story, or the same in all of them.
func untold(name protoreflect.Name) bool {
	switch name {
	case "namespace_id", "workflow_task_completed_event_id", "parent_workflow_namespace_id", "history_size_bytes":
		return true
	}
	return false
}

func showEvent(e *historypb.HistoryEvent, now int64) string {
	m := e.ProtoReflect()
	d := m.WhichOneof(m.Descriptor().Oneofs().ByName("attributes"))
	line := fmt.Sprintf("%d %s%s", e.EventId, e.EventType, fields(m.Get(d).Message()))
	if at := e.EventTime.AsTime().UnixNano(); at != now {
		line += " @" + since(at)
	}
	if e.UserMetadata != nil {
		line += " metadata={" + strings.TrimSpace(fields(e.UserMetadata.ProtoReflect())) + "}"
	}
	for _, m := range e.EventGroupMarkers {
		line += " group={" + strings.TrimSpace(fields(m.ProtoReflect())) + "}"
	}
	if e.WorkerMayIgnore {
		line += " may-ignore"
	}
	return line
}

// fields shows what is set in m, each field behind a space.
func fields(m protoreflect.Message) string {
	out := ""
	for i := range m.Descriptor().Fields().Len() {
		f := m.Descriptor().Fields().Get(i)
		if m.Has(f) && !untold(f.Name()) {
			out += " " + f.JSONName() + "=" + show(f, m.Get(f))
		}
	}
	return out
}

func show(f protoreflect.FieldDescriptor, v protoreflect.Value) string {
	switch {
	case f.IsMap():
		var pairs []string
		v.Map().Range(func(k protoreflect.MapKey, x protoreflect.Value) bool {
			pairs = append(pairs, k.String()+":"+showOne(f.MapValue(), x))
			return true
		})
		slices.Sort(pairs)
		return "{" + strings.Join(pairs, " ") + "}"
	case f.IsList():
		var items []string
		for i := range v.List().Len() {
			items = append(items, showOne(f, v.List().Get(i)))
		}
		return "[" + strings.Join(items, " ") + "]"
	}
	return showOne(f, v)
}

func showOne(f protoreflect.FieldDescriptor, v protoreflect.Value) string {
	switch f.Kind() {
	case protoreflect.MessageKind:
		return showMessage(v.Message())
	case protoreflect.EnumKind:
		return shortEnum(f.Enum(), v.Enum())
	case protoreflect.StringKind:
		return short(v.String())
	}
	return v.String()
}

// short keeps long texts readable.
func short(s string) string {
	const most = 160
	if len(s) > most {
		return fmt.Sprintf("%s...(%d)", s[:12], len(s))
	}
	if strings.ContainsAny(s, " ") || s == "" {
		return strconv.Quote(s)
	}
	return s
}

func showMessage(m protoreflect.Message) string {
	switch x := m.Interface().(type) {
	case *durationpb.Duration:
		return x.AsDuration().String()
	case *timestamppb.Timestamp:
		return since(x.AsTime().UnixNano())
	case *commonpb.Payloads:
		return showAll(x.Payloads)
	case *commonpb.Payload:
		if t := string(x.Metadata["type"]); t != "" {
			return short(string(x.Data)) + "(" + t + ")"
		}
		return cmp.Or(short(string(x.Data)), "(empty)")
	case *commonpb.ActivityType:
		return x.Name
	case *commonpb.WorkflowType:
		return short(x.Name)
	case *commonpb.WorkflowExecution:
		return x.WorkflowId + "/" + x.RunId
	case *taskqueuepb.TaskQueue:
		if x.NormalName != "" {
			return x.Name + "(sticky)"
		}
		return x.Name
	}
	return "{" + strings.TrimSpace(fields(m)) + "}"
}

func showAll(ps []*commonpb.Payload) string {
	var items []string
	for _, p := range ps {
		items = append(items, showMessage(p.ProtoReflect()))
	}
	return "[" + strings.Join(items, " ") + "]"
}
