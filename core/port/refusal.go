package port

import (
	"fmt"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/errordetails/v1"
	failurepb "go.temporal.io/api/failure/v1"
	"google.golang.org/protobuf/proto"
)

// Code is the class of a refusal; values are those of gRPC status codes.
type Code uint32

// The codes a refusal can have.
const (
	Canceled           Code = 1
	Unknown            Code = 2
	InvalidArgument    Code = 3
	DeadlineExceeded   Code = 4
	NotFound           Code = 5
	AlreadyExists      Code = 6
	PermissionDenied   Code = 7
	ResourceExhausted  Code = 8
	FailedPrecondition Code = 9
	Aborted            Code = 10
	OutOfRange         Code = 11
	Unimplemented      Code = 12
	Internal           Code = 13
	Unavailable        Code = 14
)

// Refusal is a typed answer that is not a success. Detail is the message of
// go.temporal.io/api/errordetails that SDKs turn into their error types; nil if the code has none.
type Refusal struct {
	Code    Code
	Message string
	Detail  proto.Message
	Moved   *Moved // set if the call only went to the wrong place
}

func (r *Refusal) Error() string { return r.Message }

// Refuse makes a refusal without details.
func Refuse(c Code, format string, args ...any) *Refusal {
	if len(args) == 0 {
		return &Refusal{Code: c, Message: format}
	}
	return &Refusal{Code: c, Message: fmt.Sprintf(format, args...)}
}

// Invalid refuses a request whose fields are wrong.
func Invalid(format string, args ...any) *Refusal { return Refuse(InvalidArgument, format, args...) }

// Missing refuses because what was named is not there.
func Missing(format string, args ...any) *Refusal {
	r := Refuse(NotFound, format, args...)
	r.Detail = &errordetails.NotFoundFailure{}
	return r
}

// NamespaceMissing refuses an unknown namespace.
func NamespaceMissing(name string) *Refusal {
	return &Refusal{Code: NotFound, Message: fmt.Sprintf("Namespace %s is not found.", name), Detail: &errordetails.NamespaceNotFoundFailure{Namespace: name}}
}

// NotReady refuses what a workflow can do only later (WorkflowNotReady).
func NotReady(format string, args ...any) *Refusal {
	r := Refuse(FailedPrecondition, format, args...)
	r.Detail = &errordetails.WorkflowNotReadyFailure{}
	return r
}

// Exhausted refuses because a limit was reached.
func Exhausted(cause enumspb.ResourceExhaustedCause, scope enumspb.ResourceExhaustedScope, message string) *Refusal {
	return &Refusal{Code: ResourceExhausted, Message: message, Detail: &errordetails.ResourceExhaustedFailure{Cause: cause, Scope: scope}}
}

// Busy refuses while a close of the workflow is being tried (BUSY_WORKFLOW).
func Busy(message string) *Refusal {
	return Exhausted(enumspb.RESOURCE_EXHAUSTED_CAUSE_BUSY_WORKFLOW, enumspb.RESOURCE_EXHAUSTED_SCOPE_NAMESPACE, message)
}

// AlreadyStarted refuses a start because of the current run.
func AlreadyStarted(message, requestID, runID, firstRunID string) *Refusal {
	return &Refusal{Code: AlreadyExists, Message: message, Detail: &errordetails.WorkflowExecutionAlreadyStartedFailure{StartRequestId: requestID, RunId: runID, FirstExecutionRunId: firstRunID}}
}

// QueryFailure carries the failure of a query handler.
func QueryFailure(message string, f *failurepb.Failure) *Refusal {
	return &Refusal{Code: InvalidArgument, Message: message, Detail: &errordetails.QueryFailedFailure{Failure: f}}
}
