package frontend

import (
	"fmt"
	"strings"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/errordetails/v1"

	"perdure/core/port"
	"perdure/core/token"
	"perdure/core/validate"
)

// enter finds the namespace of a request that names one. Its runs can be worked
// on in any state but deleted; new runs need more (enterToStart).
func (a *admission) enter(name string) *port.Refusal {
	return a.enterIn(name, enumspb.NAMESPACE_STATE_REGISTERED, enumspb.NAMESPACE_STATE_DEPRECATED)
}

func (a *admission) enterToStart(name string) *port.Refusal {
	return a.enterIn(name, enumspb.NAMESPACE_STATE_REGISTERED)
}

func (a *admission) enterIn(name string, states ...enumspb.NamespaceState) *port.Refusal {
	if name == "" {
		return port.Invalid("Namespace is empty.")
	}
	if r := a.namespaceLength(name); r != nil {
		return r
	}
	if a.ns = a.snapshot.ByName[name]; a.ns == nil {
		return port.NamespaceMissing(name)
	}
	return inState(a.ns, states...)
}

func (a *admission) namespaceLength(name string) *port.Refusal {
	if len(name) > a.limits().ID {
		return port.Invalid("Namespace length exceeds limit.")
	}
	return nil
}

func inState(ns *port.Namespace, states ...enumspb.NamespaceState) *port.Refusal {
	names := make([]string, len(states))
	for i, s := range states {
		if ns.State == s {
			return nil
		}
		names[i] = s.String()
	}
	return &port.Refusal{
		Code:    port.FailedPrecondition,
		Message: fmt.Sprintf("Namespace has invalid state: %s. Must be %s.", ns.State, strings.Join(names, " or ")),
		Detail:  &errordetails.NamespaceInvalidStateFailure{Namespace: ns.Name, State: ns.State, AllowedStates: states},
	}
}

// enterByToken finds the namespace of a task token. The request may leave its
// own out, but must not name another one.
func (a *admission) enterByToken(name string, raw []byte) (*port.Token, *port.Refusal) {
	if len(raw) == 0 {
		return nil, port.Invalid("Task token not set on request.")
	}
	t, ok := token.DecodeTask(a.snapshot.Keys, raw)
	if !ok {
		return nil, port.Invalid("Error deserializing task token.")
	}
	if a.ns = a.snapshot.ByID[t.Run.NamespaceID]; a.ns == nil {
		return nil, port.NamespaceMissing(t.Run.NamespaceID)
	}
	if name != "" && name != a.ns.Name {
		if r := a.namespaceLength(name); r != nil {
			return nil, r
		}
		if a.snapshot.ByName[name] == nil {
			return nil, port.NamespaceMissing(name)
		}
		return nil, port.Invalid("Operation requested with a token from a different namespace.")
	}
	return t, inState(a.ns, enumspb.NAMESPACE_STATE_REGISTERED, enumspb.NAMESPACE_STATE_DEPRECATED)
}

// execution checks what names a run in most requests.
func execution(e *commonpb.WorkflowExecution) *port.Refusal {
	if e == nil {
		return port.Invalid("Execution is not set on request.")
	}
	return validate.Execution(e.WorkflowId, e.RunId)
}

func (a *admission) identity(s string) *port.Refusal {
	if len(s) > a.limits().ID {
		return port.Invalid("Identity length exceeds limit.")
	}
	return nil
}

func (a *admission) requestID(s string) *port.Refusal {
	if len(s) > a.limits().ID {
		return port.Invalid("RequestId length exceeds limit.")
	}
	return nil
}

// orNew is the id, or a new one if the caller gave none.
func (a *admission) orNew(id string) string {
	if id == "" {
		return a.caller.NewID()
	}
	return id
}

// first is the first of the refusals that is one.
func first(refusals ...*port.Refusal) *port.Refusal {
	for _, r := range refusals {
		if r != nil {
			return r
		}
	}
	return nil
}
