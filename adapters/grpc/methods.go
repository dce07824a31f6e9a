package grpc

import (
	operator "go.temporal.io/api/operatorservice/v1"
	workflow "go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// services are the descriptors of the API's services.
func services() []protoreflect.ServiceDescriptor {
	return []protoreflect.ServiceDescriptor{
		workflow.File_temporal_api_workflowservice_v1_service_proto.Services().ByName("WorkflowService"),
		operator.File_temporal_api_operatorservice_v1_service_proto.Services().ByName("OperatorService"),
	}
}

// describe makes gRPC's table of a service. All calls are registered as
// streams of one message each way, because a stream's handler sees whether its answer could be sent.
func (s *Server) describe(service protoreflect.ServiceDescriptor) *grpc.ServiceDesc {
	d := &grpc.ServiceDesc{ServiceName: string(service.FullName()), HandlerType: (*any)(nil), Metadata: service.ParentFile().Path()}
	for i := range service.Methods().Len() {
		d.Streams = append(d.Streams, grpc.StreamDesc{
			StreamName: string(service.Methods().Get(i).Name()),
			Handler:    s.handler(service.Methods().Get(i)),
		})
	}
	return d
}

// requestType makes empty requests of a call.
func requestType(m protoreflect.MethodDescriptor) protoreflect.MessageType {
	t, err := protoregistry.GlobalTypes.FindMessageByName(m.Input().FullName())
	if err != nil {
		panic(err) // the generated code of the API is incomplete
	}
	return t
}

func (s *Server) handler(m protoreflect.MethodDescriptor) grpc.StreamHandler {
	request := requestType(m)
	return func(_ any, stream grpc.ServerStream) error {
		req := request.New().Interface()
		if err := stream.RecvMsg(req); err != nil {
			return err
		}
		return s.call(stream, req)
	}
}
