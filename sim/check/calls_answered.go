package check

import (
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/proto"
)

// P28 calls_answered: once all is well, every call but a long poll is answered
// well before its caller gives up; a long poll ends, with or without what it waited
// for. A query may have to wait for its run to begin, so it is excused.

// Called is a call that came to its end.
type Called struct {
	Request proto.Message
	Within  time.Duration // the caller waited no longer
	Lost    bool          // no answer came
	Well    bool          // nothing was wrong from its beginning to its end
}

// CallAnswered holds the end of a call to the promise.
func CallAnswered(c Called) *Breach {
	if _, query := c.Request.(*workflowservice.QueryWorkflowRequest); !c.Lost || !c.Well || query {
		return nil
	}
	return breach(CallsAnswered, "", "%s had no answer within %v, and nothing was wrong", c.Request.ProtoReflect().Descriptor().Name(), c.Within)
}
