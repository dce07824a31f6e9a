package program

import (
	"encoding/json"

	commonpb "go.temporal.io/api/common/v1"
)

// Input says which program a workflow runs. It is the workflow's input, so the
// history alone tells a worker what to do.
type Input struct {
	ID    string // unique among all starts
	Seed  uint64
	Depth int // of children below
	Left  int // runs to come by continue-as-new
	Cron  bool
	Pool  int // workflows wf-0 .. of the clients, to signal and to cancel
	Most  int `json:",omitempty"` // operations; 0: as many as are drawn
}

// Activity says how an activity behaves; it is the activity's input.
type Activity struct {
	ID        string // unique among all activities
	Fails     int    // attempts that fail before one succeeds
	Hangs     int    // attempts that are never answered, before those
	Millis    int    // it takes
	Heartbeat bool
	Final     bool // its failure is not to be retried
	ByID      bool // it is answered by its ids, not by its token
}

// Memory is what a workflow tells of itself when it is queried.
type Memory struct {
	Run     string
	Signals []string
	Turns   int
}

// Payload encodes a value as SDKs do.
func Payload(v any) *commonpb.Payload {
	data, err := json.Marshal(v)
	if err != nil {
		panic("program: a value cannot be encoded: " + err.Error())
	}
	return &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: data}
}

// Payloads is Payload for one value.
func Payloads(v any) *commonpb.Payloads {
	return &commonpb.Payloads{Payloads: []*commonpb.Payload{Payload(v)}}
}

// Value decodes the first payload into v; false if there is none that fits.
func Value(p *commonpb.Payloads, v any) bool {
	return len(p.GetPayloads()) > 0 && json.Unmarshal(p.Payloads[0].Data, v) == nil
}

// Text is the first payload if it is a text.
func Text(p *commonpb.Payloads) string {
	var s string
	Value(p, &s)
	return s
}
