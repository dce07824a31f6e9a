package registry

import (
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/proto"

	"perdure/core/port"
)

// request answers a call. Every answer, of a reader too, waits until what it shows is durable.
func (r *Registry) request(in *port.Request) {
	if r.members != nil && (r.phase != serving || r.leaving) {
		r.out.Add(port.Reply{Call: in.Call, Refusal: port.MovedTo(r.elsewhere())})
		return
	}
	if r.phase != serving {
		r.seat.Asked()
		r.out.Add(port.Reply{Call: in.Call, Refusal: port.Refuse(port.Unavailable, "the registry is opening: try again")})
		return
	}
	if r.log.Full() {
		r.out.Add(port.Reply{Call: in.Call, Refusal: port.Refuse(port.Unavailable, "the registry cannot write at the moment: try again")})
		return
	}
	message, refusal := r.answer(in.Body)
	reply := port.Reply{Call: in.Call, Refusal: refusal}
	if refusal == nil {
		reply.Body = &port.Answer{Message: message}
	}
	r.log.Reply(reply, max(r.changed, r.log.Durable()), r.out)
}

func (r *Registry) answer(body any) (proto.Message, *port.Refusal) {
	switch req := body.(type) {
	case port.Relayout:
		return r.relayout(req)
	case *workflowservice.RegisterNamespaceRequest:
		return r.register(req)
	case *workflowservice.DescribeNamespaceRequest:
		return r.describe(req)
	case *workflowservice.ListNamespacesRequest:
		return r.list(req), nil
	case *workflowservice.UpdateNamespaceRequest:
		return r.update(req)
	case *workflowservice.DeprecateNamespaceRequest:
		return r.deprecate(req)
	case *operatorservice.AddSearchAttributesRequest:
		return r.addAttributes(req)
	case *operatorservice.RemoveSearchAttributesRequest:
		return r.removeAttributes(req)
	case *operatorservice.ListSearchAttributesRequest:
		return r.listAttributes(req)
	}
	return nil, port.Refuse(port.Unimplemented, "the registry does not know %T", body)
}

// named finds a namespace.
func (r *Registry) named(name string) (*namespace, *port.Refusal) {
	if n := r.state.byName[name]; n != nil {
		return n, nil
	}
	return nil, port.NamespaceMissing(name)
}
