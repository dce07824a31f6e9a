package frontend

import (
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/proto"

	"perdure/core/port"
	"perdure/core/validate"
)

// Calls about namespaces and search attributes are the registry's to answer:
// its state decides, not the snapshot that a frontend happens to have.

// namespaceNamed is a call that must name a namespace, which need not exist.
func (a *admission) namespaceNamed(req proto.Message, name string) (Plan, *port.Refusal) {
	if name == "" {
		return Plan{}, port.Invalid("Namespace not set on request.")
	}
	if r := a.namespaceLength(name); r != nil {
		return Plan{}, r
	}
	return a.registry(req), nil
}

func (a *admission) describeNamespace(req *workflowservice.DescribeNamespaceRequest) (Plan, *port.Refusal) {
	switch {
	case req.Namespace == "" && req.Id == "":
		return Plan{}, port.Invalid("Namespace not set on request.")
	case len(req.Namespace) > a.limits().ID:
		return Plan{}, a.namespaceLength(req.Namespace)
	case req.Namespace != "" && req.Id != "":
		return Plan{}, port.Invalid("GetNamespace operation failed.  Both ID and Name specified in request.")
	case req.Id != "" && !validate.UUID(req.Id):
		return Plan{}, port.Invalid("Namespace id is not a UUID.")
	}
	return a.registry(req), nil
}

// searchAttributes are those of a namespace; the registry says what an empty name means.
func (a *admission) searchAttributes(req proto.Message, namespace string) (Plan, *port.Refusal) {
	if namespace != "" {
		if r := a.enter(namespace); r != nil {
			return Plan{}, r
		}
	}
	return a.registry(req), nil
}
