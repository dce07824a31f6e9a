// Package validate holds the rules for single values of requests and commands:
// ids, durations, retry policies, priorities, queues, links, search attributes,
// sizes. Every function takes values and answers nil or a refusal; texts and
// numbers are those that clients of the API know. It keeps no state and
// changes nothing that it is given.
package validate

import "time"

// Limits bounds what a namespace may ask for. Sizes are bytes of the protobuf encoding.
type Limits struct {
	Blob    int // 2 MiB: one input, result, details, failure
	BlobCut int // 512 KiB: what a failure over the blob limit is cut to
	Memo    int // 2 MiB
	ID      int // 1000: ids, types, queue and signal names
	Build   int // 255: build ids

	Attributes         int // 100: search attributes of one request
	AttributeValue     int // 2 KiB: data of one of them
	AttributesTotal    int // 40 KiB: all of them
	Links              int // 10 a request
	Link               int // 4000 bytes each
	Callbacks          int // 2000 an execution
	TaskCompletion     int // 40 MiB: RespondWorkflowTaskCompleted
	ActivityFailure    int // 4 KiB: kept of a failed attempt in the run's state
	ActivityFailureCut int // 4 KiB: what a longer one is cut to

	HistorySize        int   // 50 MiB: the run is terminated
	HistoryEvents      int64 // 51200: the run is terminated
	HistorySizeSuggest int   // 4 MiB: continue-as-new is suggested
	HistorySuggest     int64 // 4096 events
	State              int   // 8 MiB: mutable state
	Transaction        int   // 4 MiB: events of one transaction

	PendingActivities int // 2000
	PendingChildren   int // 2000
	PendingSignals    int // 2000: to other workflows
	PendingCancels    int // 2000: of other workflows
	BufferedEvents    int // 100
	BufferedSize      int // 2 MiB
	Signals           int // 10000 a run
	BufferedQueries   int // 1 a run

	HistoryPage int // 256 batches

	TaskTimeout        time.Duration // 10 s: default of the workflow task timeout
	TaskTimeoutMax     time.Duration // 120 s
	LongPoll           time.Duration // 60 s: of task polls
	HistoryLongPoll    time.Duration // 20 s
	LongPollTail       time.Duration // 1 s: a long poll ends at least this long before its caller's deadline
	LongPollLeast      time.Duration // 2 s: a task poll must have at least this long
	WorkflowIDInterval time.Duration // 1 s: least time between two runs of a chain
}

// Defaults are the limits of the peer.
func Defaults() Limits {
	const kib, mib = 1 << 10, 1 << 20
	return Limits{
		Blob: 2 * mib, BlobCut: 512 * kib, Memo: 2 * mib, ID: 1000, Build: 255,
		Attributes: 100, AttributeValue: 2 * kib, AttributesTotal: 40 * kib,
		Links: 10, Link: 4000, Callbacks: 2000, TaskCompletion: 40 * mib,
		ActivityFailure: 4 * kib, ActivityFailureCut: 4 * kib,
		HistorySize: 50 * mib, HistoryEvents: 51200, HistorySizeSuggest: 4 * mib, HistorySuggest: 4096,
		State: 8 * mib, Transaction: 4 * mib,
		PendingActivities: 2000, PendingChildren: 2000, PendingSignals: 2000, PendingCancels: 2000,
		BufferedEvents: 100, BufferedSize: 2 * mib, Signals: 10000, BufferedQueries: 1,
		HistoryPage: 256,
		TaskTimeout: 10 * time.Second, TaskTimeoutMax: 120 * time.Second,
		LongPoll: 60 * time.Second, HistoryLongPoll: 20 * time.Second,
		LongPollTail: time.Second, LongPollLeast: 2 * time.Second, WorkflowIDInterval: time.Second,
	}
}
