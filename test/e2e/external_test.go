package e2e

import (
	"errors"
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

var externalCases = []testCase{
	{"external_signal", externalSignal},
	{"external_cancel", externalCancel},
	{"external_unknown_and_closed", externalUnknownAndClosed},
	{"external_ping_pong", externalPingPong},
}

func externalSignal(s *scene) {
	s.work(flows{"target": collect, "source": func(ctx workflow.Context) error {
		for n := range 6 {
			if n == 3 {
				workflow.GetSignalChannel(ctx, "go").Receive(ctx, nil)
			}
			if err := workflow.SignalExternalWorkflow(ctx, s.id("target"), "", "number", n).Get(ctx, nil); err != nil {
				return err
			}
		}
		return workflow.SignalExternalWorkflow(ctx, s.id("target"), "", "stop", nil).Get(ctx, nil)
	}}, nil)
	target, source := s.start("target"), s.start("source")
	s.await(source, enumspb.EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_SIGNALED)
	s.halfway()
	s.signal(source, "go", nil)
	s.must(source.Get(s.ctx, nil))
	s.same(result[[]int](s, target), []int{0, 1, 2, 3, 4, 5})
	for _, e := range s.history(target.GetID(), "") {
		if a := e.GetWorkflowExecutionSignaledEventAttributes(); a != nil {
			s.same(a.ExternalWorkflowExecution.GetWorkflowId(), source.GetID())
		}
	}
}

func externalCancel(s *scene) {
	s.work(flows{
		"target": func(ctx workflow.Context) error { return workflow.Sleep(ctx, time.Hour) },
		"source": func(ctx workflow.Context) error {
			workflow.GetSignalChannel(ctx, "go").Receive(ctx, nil)
			return workflow.RequestCancelExternalWorkflow(ctx, s.id("target"), "").Get(ctx, nil)
		},
	}, nil)
	target, source := s.start("target"), s.start("source")
	s.started(source)
	s.halfway()
	s.signal(source, "go", nil)
	s.must(source.Get(s.ctx, nil))
	s.check(temporal.IsCanceledError(s.failure(target)), "not canceled")
}

func externalUnknownAndClosed(s *scene) {
	s.work(flows{"closed": waitForSignal, "source": func(ctx workflow.Context) ([]string, error) {
		workflow.GetSignalChannel(ctx, "go").Receive(ctx, nil)
		var got []string
		for _, id := range []string{s.id("missing"), s.id("closed"), s.id("source")} {
			errs := []error{
				workflow.SignalExternalWorkflow(ctx, id, "", "number", 1).Get(ctx, nil),
				workflow.RequestCancelExternalWorkflow(ctx, id, "").Get(ctx, nil),
			}
			for _, err := range errs {
				var unknown *temporal.UnknownExternalWorkflowExecutionError
				switch {
				case err == nil:
					got = append(got, "ok")
				case errors.As(err, &unknown):
					got = append(got, "unknown")
				default:
					return nil, fmt.Errorf("%s: %w", id, err)
				}
			}
		}
		return got, nil
	}}, nil)
	closed := s.start("closed")
	s.signal(closed, "go", "end")
	result[string](s, closed)
	source := s.start("source")
	s.halfway()
	s.signal(source, "go", nil)
	// A cancel of a closed run is good; one's own id is as good as unknown.
	s.same(result[[]string](s, source), []string{"unknown", "unknown", "unknown", "ok", "unknown", "unknown"})
}

// externalPingPong lets two workflows signal each other many times.
func externalPingPong(s *scene) {
	const rounds = 30
	play := func(ctx workflow.Context, other string, serves bool) (n int, err error) {
		for ; n < rounds; n++ {
			if !serves || n > 0 {
				workflow.GetSignalChannel(ctx, "ball").Receive(ctx, nil)
			}
			if n == rounds/2 && serves {
				workflow.GetSignalChannel(ctx, "go").Receive(ctx, nil)
			}
			if err := workflow.SignalExternalWorkflow(ctx, other, "", "ball", n).Get(ctx, nil); err != nil {
				return n, err
			}
		}
		if serves {
			workflow.GetSignalChannel(ctx, "ball").Receive(ctx, nil)
		}
		return n, nil
	}
	s.work(flows{"ping": play, "pong": play}, nil)
	pong := s.start("pong", s.id("ping"), false)
	ping := s.start("ping", s.id("pong"), true)
	s.await(ping, enumspb.EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_SIGNALED)
	s.halfway()
	s.signal(ping, "go", nil)
	s.same([]int{result[int](s, ping), result[int](s, pong)}, []int{rounds, rounds})
}
