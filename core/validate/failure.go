package validate

import (
	failurepb "go.temporal.io/api/failure/v1"
	"google.golang.org/protobuf/proto"

	"perdure/core/port"
)

// Messages of the failures that stand for a payload over the blob limit.
const (
	FailureTooLarge   = "Failure exceeds size limit."
	ResultTooLarge    = "Complete result exceeds size limit."
	DetailsTooLarge   = "Cancel details exceed size limit."
	HeartbeatTooLarge = "Heartbeat details exceed size limit."
)

// ServerFailure is a failure that the server itself reports.
func ServerFailure(message string, nonRetryable bool) *failurepb.Failure {
	return &failurepb.Failure{Message: message, FailureInfo: &failurepb.Failure_ServerFailureInfo{ServerFailureInfo: &failurepb.ServerFailureInfo{NonRetryable: nonRetryable}}}
}

// Failure is the failure itself, or, if it is over the blob limit, a server
// failure with what is left of it as its cause; replaced says which.
func Failure(l *Limits, f *failurepb.Failure) (kept *failurepb.Failure, replaced bool) {
	if f == nil || proto.Size(f) <= l.Blob {
		return f, false
	}
	short := ServerFailure(FailureTooLarge, true)
	short.Cause = CutFailure(f, l.BlobCut)
	return short, true
}

// Overhead of the encoding that is reckoned for a text and for a failure info, and how deep causes are kept.
const (
	textCost        = 4
	applicationCost = 8
	serverCost      = 4
	causeDepth      = 20
)

// CutFailure is a copy of at most about max bytes: the texts are cut, payloads
// left out, of the info only what retries look at stays.
func CutFailure(f *failurepb.Failure, max int) *failurepb.Failure {
	return cutFailure(f, max, causeDepth)
}

func cutFailure(f *failurepb.Failure, left, depth int) *failurepb.Failure {
	if f == nil || depth == 0 || left <= 0 {
		return nil
	}
	cut := func(s string) string {
		if s = cutText(s, left); s != "" {
			left -= len(s) + textCost
		}
		return s
	}
	short := &failurepb.Failure{}
	switch info := f.FailureInfo.(type) {
	case *failurepb.Failure_ApplicationFailureInfo:
		kept := &failurepb.ApplicationFailureInfo{Type: cut(info.ApplicationFailureInfo.GetType()), NonRetryable: info.ApplicationFailureInfo.GetNonRetryable()}
		short.FailureInfo = &failurepb.Failure_ApplicationFailureInfo{ApplicationFailureInfo: kept}
		left -= applicationCost
	case *failurepb.Failure_ServerFailureInfo:
		short.FailureInfo = &failurepb.Failure_ServerFailureInfo{ServerFailureInfo: &failurepb.ServerFailureInfo{NonRetryable: info.ServerFailureInfo.GetNonRetryable()}}
		left -= serverCost
	}
	short.Source = cut(f.Source)
	short.Message = cut(f.Message)
	short.StackTrace = cut(f.StackTrace)
	short.Cause = cutFailure(f.Cause, left-textCost, depth-1)
	return short
}

// cutText cuts between characters, not inside one.
func cutText(s string, max int) string {
	if max <= 0 {
		return ""
	}
	if len(s) <= max {
		return s
	}
	for max > 0 && s[max]&0xc0 == 0x80 {
		max--
	}
	return s[:max]
}

// Execution checks what names a run in a request.
func Execution(workflowID, runID string) *port.Refusal {
	if workflowID == "" {
		return port.Invalid("WorkflowId is not set on request.")
	}
	if runID != "" && !UUID(runID) {
		return port.Invalid("Invalid RunId.")
	}
	return nil
}
