package workload

import (
	"errors"
	"fmt"
	"strings"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	_ "go.temporal.io/api/operatorservice/v1" // its requests can be in a script
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"perdure/sim/cluster"
	"perdure/sim/program"
)

// Op is one thing that a client does. Clients draw what they do; what they drew
// can be written down as a script and done again, all of it or in part.
type Op struct {
	ID      string        // client and number, as client-0.5: names its stream of chance and the run that it starts
	At      time.Duration // since the beginning; if After, since clients went on when the faults were over
	After   bool
	Bad     bool          // nothing but a refusal may come of it
	Of      string        // the op that started the run that is meant, by its ID
	GiveUp  time.Duration // the client gives the call up after this time, unless 0,
	Repeat  bool          // and makes it again
	Request proto.Message
}

// String is the op on one line, as Parse reads it.
func (o *Op) String() string {
	words := []string{o.At.String(), o.ID}
	for _, x := range []struct {
		is   bool
		text string
	}{{o.After, "after"}, {o.Bad, "bad"}, {o.Of != "", "of " + o.Of}, {o.GiveUp > 0, "giveup " + o.GiveUp.String()}, {o.Repeat, "repeat"}} {
		if x.is {
			words = append(words, x.text)
		}
	}
	text := prototext.MarshalOptions{}.Format(o.Request)
	return strings.Join(append(words, string(o.Request.ProtoReflect().Descriptor().Name()), strings.ReplaceAll(text, "  ", " ")), " ")
}

// ParseOp reads an op.
func ParseOp(line string) (*Op, error) {
	o := &Op{}
	rest := line
	word := func() string {
		var w string
		w, rest, _ = strings.Cut(strings.TrimLeft(rest, " "), " ")
		return w
	}
	var errs []error
	duration := func() time.Duration {
		d, err := time.ParseDuration(word())
		errs = append(errs, err)
		return d
	}
	o.At, o.ID = duration(), word()
	for o.Request == nil && rest != "" {
		switch w := word(); w {
		case "after":
			o.After = true
		case "bad":
			o.Bad = true
		case "of":
			o.Of = word()
		case "giveup":
			o.GiveUp = duration()
		case "repeat":
			o.Repeat = true
		default:
			var err error
			o.Request, err = parseRequest(w, rest)
			if errs = append(errs, err); err != nil {
				return nil, fmt.Errorf("op %q: %w", line, err)
			}
		}
	}
	if o.Request == nil {
		errs = append(errs, errors.New("no request"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("op %q: %w", line, err)
	}
	return o, nil
}

func parseRequest(name, text string) (proto.Message, error) {
	for _, service := range []string{"workflowservice", "operatorservice"} {
		kind, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName("temporal.api." + service + ".v1." + name))
		if err == nil {
			m := kind.New().Interface()
			return m, prototext.Unmarshal([]byte(text), m)
		}
	}
	return nil, fmt.Errorf("there is no request %s", name)
}

// executionIn is the run that a request names, nil if it names none.
func executionIn(req proto.Message) *commonpb.WorkflowExecution {
	switch q := req.(type) {
	case interface {
		GetWorkflowExecution() *commonpb.WorkflowExecution
	}:
		return q.GetWorkflowExecution()
	case interface {
		GetExecution() *commonpb.WorkflowExecution
	}:
		return q.GetExecution()
	}
	return nil
}

// deed is an op under way.
type deed struct {
	actor
	op   *Op
	done func()
}

// perform does an op and calls done when its client may go on.
func (w *World) perform(o *Op, done func()) {
	client, _, _ := strings.Cut(o.ID, ".")
	d := &deed{actor: actor{world: w, rand: w.U.Rand("op " + o.ID), name: client}, op: o, done: done}
	if w.U.Tracing() {
		w.tell("%s", strings.TrimPrefix(o.String(), o.At.String()+" "))
	}
	req := proto.Clone(o.Request)
	if e := executionIn(req); e != nil && e.RunId == "" && o.Of != "" {
		e.RunId = w.started[o.Of]
	}
	switch q := req.(type) {
	case *workflowservice.GetWorkflowExecutionHistoryRequest:
		if !o.Bad && o.Of != "" && q.Execution.RunId != "" {
			d.follow(q)
			return
		}
	case *workflowservice.QueryWorkflowRequest:
		if !o.Bad && q.Execution.GetRunId() != "" {
			d.query(q)
			return
		}
	}
	switch {
	case o.Bad:
		d.nonsense(req)
	case o.GiveUp > 0:
		d.abandon(req)
	default:
		d.repeat(req)
	}
}

// abandon gives the call up after a while.
func (d *deed) abandon(req proto.Message) {
	call := d.call(proto.Clone(req), callTimeout, func(cluster.Result) {})
	d.world.U.After(d.op.GiveUp, func() {
		if call != nil {
			call.GiveUp()
		}
		if d.op.Repeat {
			d.repeat(req)
			return
		}
		d.done()
	})
}

// repeat sends the request until it is answered.
func (d *deed) repeat(req proto.Message) {
	d.retry(func() proto.Message { return proto.Clone(req) }, func(r cluster.Result) {
		d.answered(req, r)
		d.done()
	})
}

func (d *deed) answered(req proto.Message, r cluster.Result) {
	if d.world.U.Tracing() {
		if r.Refusal != nil {
			d.world.tell("%s was refused: %s", d.op.ID, r.Refusal.Message)
		} else {
			d.world.tell("%s was answered: %v", d.op.ID, r.Message)
		}
	}
	switch m := r.Message.(type) {
	case *workflowservice.StartWorkflowExecutionResponse:
		d.world.know(d.op, req.(*workflowservice.StartWorkflowExecutionRequest).WorkflowId, m.RunId)
		if x := d.world.workers; m.EagerWorkflowTask != nil && d.rand.IntN(4) > 0 && len(x) > 0 {
			x[d.rand.IntN(len(x))].eager(m.EagerWorkflowTask)
		}
	case *workflowservice.SignalWithStartWorkflowExecutionResponse:
		d.world.know(d.op, req.(*workflowservice.SignalWithStartWorkflowExecutionRequest).WorkflowId, m.RunId)
	}
}

// Simpler makes an op start a smaller program, if it starts one.
func Simpler(o *Op) {
	q, ok := o.Request.(interface{ GetInput() *commonpb.Payloads })
	var in program.Input
	if !ok || q.GetInput() == nil || !program.Value(q.GetInput(), &in) || in.ID == "" {
		return
	}
	switch {
	case in.Left > 0 || in.Depth > 0 || in.Cron:
		in.Left, in.Depth, in.Cron = 0, 0, false
	case in.Most == 0:
		in.Most = 4
	default:
		in.Most = max(in.Most/2, 1)
	}
	q.GetInput().Payloads = program.Payloads(in).Payloads
}
