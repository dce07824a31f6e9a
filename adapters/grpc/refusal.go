package grpc

import (
	"context"
	"hash/fnv"

	"go.temporal.io/api/errordetails/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"

	"perdure/core/port"
)

// Headers that tell a client more of ResourceExhausted than the code does.
const (
	exhaustedCause = "X-Resource-Exhausted-Cause"
	exhaustedScope = "X-Resource-Exhausted-Scope"
)

// refuse turns a refusal of the core into a gRPC status.
func (s *Server) refuse(ctx context.Context, r *port.Refusal) error {
	if d, ok := r.Detail.(*errordetails.ResourceExhaustedFailure); ok {
		_ = grpc.SetHeader(ctx, metadata.Pairs(exhaustedCause, d.Cause.String(), exhaustedScope, d.Scope.String()))
	}
	if r.Code == port.Internal || r.Code == port.Unknown {
		return s.mask(ctx, r)
	}
	st := status.New(codes.Code(r.Code), r.Message)
	if r.Detail == nil {
		return st.Err()
	}
	detailed, err := st.WithDetails(protoadapt.MessageV1Of(r.Detail))
	if err != nil {
		s.log.Error("details of an error cannot be encoded", "error", err, "message", r.Message)
		return st.Err()
	}
	return detailed.Err()
}

// mask keeps what went wrong inside from clients: they get a number by which the log has it.
func (s *Server) mask(ctx context.Context, r *port.Refusal) error {
	h := fnv.New32a()
	h.Write([]byte(r.Message))
	method, _ := grpc.Method(ctx)
	s.log.Error("call failed inside", "method", method, "id", h.Sum32(), "message", r.Message)
	return status.Errorf(codes.Code(r.Code), "something went wrong inside the server; its log has the details under id %d", h.Sum32())
}
