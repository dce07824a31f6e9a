package check

import "google.golang.org/protobuf/proto"

// P29 nonsense_refused: a request that makes no sense, or carries a token that no
// server made, is refused. Not hearing of it is no breach; being told that it was
// done is one.

// Bent is the tokens that no server made.
type Bent map[string]bool

// NonsenseAccepted holds the answer to a request that makes no sense to the promise.
func NonsenseAccepted(req proto.Message, accepted bool) *Breach {
	if !accepted {
		return nil
	}
	return breach(NonsenseRefused, "", "this was accepted: %s %v", req.ProtoReflect().Descriptor().Name(), req)
}

// Accepted holds the answer to any request to the promise.
func (b Bent) Accepted(req proto.Message, accepted bool) *Breach {
	q, ok := req.(interface{ GetTaskToken() []byte })
	if !ok || !accepted || !b[string(q.GetTaskToken())] {
		return nil
	}
	return breach(NonsenseRefused, "", "%s was accepted with a token that no server made", req.ProtoReflect().Descriptor().Name())
}
