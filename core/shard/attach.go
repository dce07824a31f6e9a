package shard

import (
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/workflowservice/v1"
)

// attached is what a start with USE_EXISTING adds to the running run.
type attached struct {
	requestID string
	callbacks []*commonpb.Callback
	links     []*commonpb.Link
}

func attachment(req *workflowservice.StartWorkflowExecutionRequest) (a attached) {
	o := req.OnConflictOptions
	if o.AttachRequestId {
		a.requestID = req.RequestId
	}
	if o.AttachCompletionCallbacks {
		a.callbacks = req.CompletionCallbacks
	}
	if o.AttachLinks {
		a.links = req.Links
	}
	return a
}

// terminatedBy are the details of a run that made way for another.
func terminatedBy(runID string) *commonpb.Payloads {
	return &commonpb.Payloads{Payloads: []*commonpb.Payload{{
		Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: []byte(`"terminated by new runID: ` + runID + `"`),
	}}}
}
