package check

import (
	"google.golang.org/protobuf/proto"

	"perdure/core/port"
)

// P11 no_panic: nothing that clients, workers, the store or the clock do breaks an
// invariant of the core. (A panic is caught where the universe is run; a run that
// was set aside because of one is seen by the refusal of whoever asks for it.)

// Refused holds a refusal to the promise: the server never blames itself.
func Refused(req proto.Message, r *port.Refusal) *Breach {
	if r.Code != port.Internal {
		return nil
	}
	return breach(NoPanic, "", "%s was refused: %s", req.ProtoReflect().Descriptor().Name(), r.Message)
}
