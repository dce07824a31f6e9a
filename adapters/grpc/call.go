package grpc

import (
	"context"
	"encoding/hex"
	"math/rand/v2"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"perdure/adapters/runtime"
	"perdure/core/frontend"
	"perdure/core/port"
)

// call carries one request to its machine and the answer back.
func (s *Server) call(stream grpc.ServerStream, req proto.Message) error {
	ctx := stream.Context()
	w := s.runtime.Begin()
	if w == nil {
		return s.refuse(ctx, port.Exhausted(enumspb.RESOURCE_EXHAUSTED_CAUSE_CONCURRENT_LIMIT, enumspb.RESOURCE_EXHAUSTED_SCOPE_SYSTEM, "too many calls at once"))
	}
	defer w.End()
	answer, refusal, err := s.answer(ctx, w, req)
	if err != nil {
		return status.FromContextError(err).Err()
	}
	if err := ctx.Err(); err != nil {
		w.Undelivered()
		return status.FromContextError(err).Err()
	}
	if refusal != nil {
		return s.refuse(ctx, refusal)
	}
	if err := stream.SendMsg(answer); err != nil {
		w.Undelivered()
		return err
	}
	return nil
}

// Do makes a call from inside this process.
func (s *Server) Do(ctx context.Context, req proto.Message) (*port.Answer, *port.Refusal, error) {
	w := s.runtime.Begin()
	if w == nil {
		return nil, port.Refuse(port.Unavailable, "too many calls at once"), nil
	}
	defer w.End()
	return s.answer(ctx, w, req)
}

func (s *Server) answer(ctx context.Context, w *runtime.Waiter, req proto.Message) (*port.Answer, *port.Refusal, error) {
	snapshot := s.runtime.Snapshot()
	if snapshot == nil {
		return nil, port.Refuse(port.Unavailable, "server is starting"), nil
	}
	plan, refusal := s.frontend.Admit(snapshot, caller(ctx, w.Call()), req)
	if refusal != nil || plan.Answer != nil {
		return plan.Answer, refusal, nil
	}
	return w.Do(ctx, plan.To, plan.In)
}

func caller(ctx context.Context, c port.Call) frontend.Caller {
	deadline, _ := ctx.Deadline()
	return frontend.Caller{
		Now:      time.Now().Round(0).UTC(),
		Deadline: deadline.Round(0).UTC(),
		Call:     c,
		Client:   client(ctx),
		NewID:    newID,
	}
}

func client(ctx context.Context) port.Client {
	c := port.Client{Name: header(ctx, "client-name"), Version: header(ctx, "client-version"), Servers: header(ctx, "supported-server-versions")}
	if features := header(ctx, "supported-features"); features != "" {
		c.Features = strings.Split(features, ",")
	}
	return c
}

func header(ctx context.Context, key string) string {
	if values := metadata.ValueFromIncomingContext(ctx, key); len(values) > 0 {
		return values[0]
	}
	return ""
}

// newID is a random UUID (version 4). It names requests and tells nobody anything, so it needs no secret.
func newID() string {
	var id [16]byte
	for i := 0; i < len(id); i += 8 {
		for v, j := rand.Uint64(), i; j < i+8; v, j = v>>8, j+1 {
			id[j] = byte(v)
		}
	}
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	text := make([]byte, 0, 36)
	for _, part := range [][]byte{id[:4], id[4:6], id[6:8], id[8:10], id[10:]} {
		if len(text) > 0 {
			text = append(text, '-')
		}
		text = hex.AppendEncode(text, part)
	}
	return string(text)
}
