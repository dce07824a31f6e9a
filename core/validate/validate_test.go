package validate

import (
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"pgregory.net/rapid"

	"perdure/core/port"
)

func told(r *port.Refusal) string {
	if r == nil {
		return ""
	}
	return r.Message
}

func TestDuration(t *testing.T) {
	for _, x := range []struct {
		d    *durationpb.Duration
		want string
	}{
		{nil, ""},
		{&durationpb.Duration{}, ""},
		{&durationpb.Duration{Seconds: 1, Nanos: 1}, ""},
		{&durationpb.Duration{Seconds: 400000000000}, ""},
		{&durationpb.Duration{Seconds: -1}, "negative duration"},
		{&durationpb.Duration{Nanos: -1}, "negative duration"},
		{&durationpb.Duration{Seconds: 1, Nanos: -1}, "duration has seconds and nanos with different signs"},
		{&durationpb.Duration{Seconds: -1, Nanos: 1}, "duration has seconds and nanos with different signs"},
	} {
		if got := told(Duration(x.d)); got != x.want {
			t.Errorf("%v: %q, want %q", x.d, got, x.want)
		}
	}
	if got := Capped(&durationpb.Duration{Seconds: 400000000000}); got != MaxDuration || got.Seconds() != 3153600000 {
		t.Errorf("capped to %v", got)
	}
}

func TestFilledRetryPolicy(t *testing.T) {
	for _, x := range []struct {
		name       string
		given      *commonpb.RetryPolicy
		initial    time.Duration
		most       time.Duration
		coefficent float64
	}{
		{"none", nil, time.Second, 100 * time.Second, 2},
		{"empty", &commonpb.RetryPolicy{}, time.Second, 100 * time.Second, 2},
		{"initial", &commonpb.RetryPolicy{InitialInterval: durationpb.New(3 * time.Second)}, 3 * time.Second, 300 * time.Second, 2},
		{"all", &commonpb.RetryPolicy{InitialInterval: durationpb.New(3 * time.Second), MaximumInterval: durationpb.New(4 * time.Second), BackoffCoefficient: 1.5}, 3 * time.Second, 4 * time.Second, 1.5},
		{"too long to multiply", &commonpb.RetryPolicy{InitialInterval: durationpb.New(math.MaxInt64 / 50)}, math.MaxInt64 / 50, math.MaxInt64, 2},
	} {
		before := proto.CloneOf(x.given)
		got := FilledRetryPolicy(x.given)
		if got.InitialInterval.AsDuration() != x.initial || got.MaximumInterval.AsDuration() != x.most || got.BackoffCoefficient != x.coefficent {
			t.Errorf("%s: %v", x.name, got)
		}
		if r := RetryPolicy(got); r != nil {
			t.Errorf("%s: refused: %s", x.name, r.Message)
		}
		if !proto.Equal(before, x.given) {
			t.Errorf("%s: what was given has changed", x.name)
		}
	}
	if r := RetryPolicy(&commonpb.RetryPolicy{BackoffCoefficient: math.NaN()}); r == nil {
		t.Error("a coefficient that is no number is accepted")
	}
}

func TestUUID(t *testing.T) {
	for _, x := range []struct {
		s    string
		want bool
	}{
		{"01985b6e-7c9f-7aaa-8d83-5a02c2b6ba55", true},
		{"01985B6E-7C9F-7AAA-8D83-5A02C2B6BA55", true},
		{"01985b6e7c9f7aaa8d835a02c2b6ba55", true},
		{"{01985b6e-7c9f-7aaa-8d83-5a02c2b6ba55}", true},
		{"urn:uuid:01985b6e-7c9f-7aaa-8d83-5a02c2b6ba55", true},
		{"", false},
		{"x", false},
		{"01985b6e-7c9f-7aaa-8d83-5a02c2b6ba5", false},
		{"01985b6e-7c9f-7aaa-8d83-5a02c2b6ba5g", false},
		{"01985b6e-7c9f-7aaa-8d8305a02c2b6ba55", false},
		{"urn:nope:01985b6e-7c9f-7aaa-8d83-5a02c2b6ba55", false},
		{strings.Repeat("é", 16), false},
	} {
		if got := UUID(x.s); got != x.want {
			t.Errorf("%q: %v", x.s, got)
		}
	}
}

func TestLinks(t *testing.T) {
	l := Defaults()
	event := func(e *commonpb.Link_WorkflowEvent) *commonpb.Link {
		return &commonpb.Link{Variant: &commonpb.Link_WorkflowEvent_{WorkflowEvent: e}}
	}
	for _, x := range []struct {
		link *commonpb.Link
		want string
	}{
		{event(&commonpb.Link_WorkflowEvent{Namespace: "n", WorkflowId: "w", RunId: "r"}), ""},
		{event(&commonpb.Link_WorkflowEvent{WorkflowId: "w", RunId: "r"}), "workflow event link must not have an empty namespace field"},
		{event(&commonpb.Link_WorkflowEvent{Namespace: "n", WorkflowId: "w", RunId: "r", Reference: &commonpb.Link_WorkflowEvent_EventRef{EventRef: &commonpb.Link_WorkflowEvent_EventReference{EventId: 3}}}), "workflow event link ref cannot have an unspecified event type and a non-zero event ID"},
		{&commonpb.Link{Variant: &commonpb.Link_BatchJob_{BatchJob: &commonpb.Link_BatchJob{}}}, "batch job link must not have an empty job ID"},
		{&commonpb.Link{Variant: &commonpb.Link_BatchJob_{BatchJob: &commonpb.Link_BatchJob{JobId: "j"}}}, ""},
		{&commonpb.Link{Variant: &commonpb.Link_Activity_{Activity: &commonpb.Link_Activity{Namespace: "n"}}}, "activity link must not have an empty activity ID field"},
		{&commonpb.Link{Variant: &commonpb.Link_NexusOperation_{NexusOperation: &commonpb.Link_NexusOperation{Namespace: "n", OperationId: "o"}}}, "nexus operation link must not have an empty run ID field"},
		{&commonpb.Link{Variant: &commonpb.Link_Workflow_{Workflow: &commonpb.Link_Workflow{}}}, "workflow link must not have an empty namespace field"},
		{&commonpb.Link{}, "unsupported link variant"},
	} {
		if got := told(Links(&l, []*commonpb.Link{x.link})); got != x.want {
			t.Errorf("%v: %q, want %q", x.link, got, x.want)
		}
	}
}

func jsonText(data string) *commonpb.Payload {
	return &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: []byte(data)}
}

func TestDecodeAttribute(t *testing.T) {
	const (
		boolean  = enumspb.INDEXED_VALUE_TYPE_BOOL
		integer  = enumspb.INDEXED_VALUE_TYPE_INT
		double   = enumspb.INDEXED_VALUE_TYPE_DOUBLE
		datetime = enumspb.INDEXED_VALUE_TYPE_DATETIME
		keyword  = enumspb.INDEXED_VALUE_TYPE_KEYWORD
		list     = enumspb.INDEXED_VALUE_TYPE_KEYWORD_LIST
	)
	bad := "bad"
	for _, x := range []struct {
		t    enumspb.IndexedValueType
		data string
		want any
	}{
		{boolean, `true`, true},
		{boolean, `[true]`, true},
		{boolean, `"true"`, bad},
		{integer, `7`, int64(7)},
		{integer, `7.5`, bad},
		{integer, `9223372036854775808`, bad},
		{integer, `null`, nil},
		{integer, `[]`, nil},
		{double, `7`, 7.0},
		{double, `[7, 8]`, bad},
		{datetime, `"2026-08-01T12:00:00Z"`, time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)},
		{datetime, `"yesterday"`, bad},
		{keyword, `"a"`, "a"},
		{keyword, `["a"]`, "a"},
		{keyword, `["a","b"]`, bad},
		{keyword, `7`, bad},
		{keyword, "\"\xff\"", bad},
		{keyword, ``, bad},
		{list, `["a","b"]`, []string{"a", "b"}},
		{list, `"a"`, bad},
		{list, `null`, nil},
		{enumspb.INDEXED_VALUE_TYPE_UNSPECIFIED, `"a"`, bad},
	} {
		got, err := DecodeAttribute(jsonText(x.data), x.t)
		if err != nil {
			got = bad
		}
		if x.want == nil && got != nil || x.want != nil && !reflect.DeepEqual(got, x.want) {
			t.Errorf("%v %s: %#v, want %#v", x.t, x.data, got, x.want)
		}
	}
	for _, p := range []*commonpb.Payload{nil, {}, {Data: []byte("7")}, {Metadata: map[string][]byte{"encoding": []byte("binary/plain")}, Data: []byte("7")}} {
		if _, err := DecodeAttribute(p, integer); err == nil {
			t.Errorf("%v: accepted", p)
		}
	}
}

func namespace() *port.Namespace {
	types := map[string]enumspb.IndexedValueType{"K": enumspb.INDEXED_VALUE_TYPE_KEYWORD, "I": enumspb.INDEXED_VALUE_TYPE_INT}
	for i := range 101 {
		types["N"+strings.Repeat("x", i)] = enumspb.INDEXED_VALUE_TYPE_KEYWORD
	}
	return &port.Namespace{Name: "n", SearchAttributes: types}
}

func TestSearchAttributeLimits(t *testing.T) {
	l := Defaults()
	many := func(n int, data string) *commonpb.SearchAttributes {
		sa := &commonpb.SearchAttributes{IndexedFields: map[string]*commonpb.Payload{}}
		for i := range n {
			sa.IndexedFields["N"+strings.Repeat("x", i)] = jsonText(data)
		}
		return sa
	}
	for _, x := range []struct {
		name string
		sa   *commonpb.SearchAttributes
		want string
	}{
		{"none", nil, ""},
		{"100 keys", many(100, `"a"`), ""},
		{"101 keys", many(101, `"a"`), "number of search attributes 101 exceeds limit 100"},
		{"value of 2048", many(1, `"`+strings.Repeat("a", 2046)+`"`), ""},
		{"value of 2049", many(1, `"`+strings.Repeat("a", 2047)+`"`), "search attribute N value size 2049 exceeds size limit 2048"},
	} {
		_, r := SearchAttributes(&l, namespace(), x.sa)
		if r == nil {
			r = AttributeSizes(&l, x.sa)
		}
		if told(r) != x.want {
			t.Errorf("%s: %q", x.name, told(r))
		}
	}
	if r := AttributeSizes(&l, many(21, `"`+strings.Repeat("a", 2000)+`"`)); !strings.HasPrefix(told(r), "total size of search attributes ") || !strings.HasSuffix(told(r), " exceeds size limit 40960") {
		t.Errorf("in all: %q", told(r))
	}
}

func TestSearchAttributesAreTypedInACopy(t *testing.T) {
	l := Defaults()
	given := &commonpb.SearchAttributes{IndexedFields: map[string]*commonpb.Payload{"K": jsonText(`"a"`), "I": jsonText(`[]`), "BuildIds": jsonText(`["b"]`)}}
	before := proto.CloneOf(given)
	typed, r := SearchAttributes(&l, namespace(), given)
	if r != nil || !proto.Equal(given, before) {
		t.Fatalf("%v; given %v", r, given)
	}
	for name, want := range map[string]string{"K": "Keyword", "I": "Int", "BuildIds": "KeywordList"} {
		if got := string(typed.IndexedFields[name].Metadata["type"]); got != want {
			t.Errorf("%s has type %s", name, got)
		}
	}
	if again, _ := SearchAttributes(&l, namespace(), typed); again != typed {
		t.Error("what was typed is copied again")
	}
	if kept := WithoutEmpty(typed); len(kept.IndexedFields) != 2 || kept.IndexedFields["I"] != nil {
		t.Errorf("kept %v", kept)
	}
	if kept := WithoutEmpty(&commonpb.SearchAttributes{IndexedFields: map[string]*commonpb.Payload{"K": jsonText("null")}}); kept != nil {
		t.Errorf("kept %v", kept)
	}
}

func TestSystemAttributesAreReserved(t *testing.T) {
	for _, a := range SystemAttributes() {
		if found, ok := SystemAttribute(a.Name); !ok || found != a || !ReservedAttribute(a.Name) {
			t.Errorf("%s is not reserved", a.Name)
		}
	}
	for name, want := range map[string]bool{"Memo": true, "TemporalX": true, "temporalX": false, "CustomKeyword": false} {
		if ReservedAttribute(name) != want {
			t.Errorf("%s reserved: %v", name, !want)
		}
	}
}

func application(kind, message string, cause *failurepb.Failure) *failurepb.Failure {
	return &failurepb.Failure{Message: message, Cause: cause, FailureInfo: &failurepb.Failure_ApplicationFailureInfo{
		ApplicationFailureInfo: &failurepb.ApplicationFailureInfo{Type: kind, NonRetryable: true, Details: &commonpb.Payloads{Payloads: []*commonpb.Payload{{Data: make([]byte, 100)}}}},
	}}
}

func TestCutFailure(t *testing.T) {
	// The numbers are those that clients see: 4096 bytes, less what is reckoned for the type.
	f := CutFailure(application("F", strings.Repeat("x", 9000), nil), 4096)
	if len(f.Message) != 4083 || f.GetApplicationFailureInfo().Type != "F" || !f.GetApplicationFailureInfo().NonRetryable || f.GetApplicationFailureInfo().Details != nil {
		t.Errorf("message of %d bytes, info %v", len(f.Message), f.GetApplicationFailureInfo())
	}
	if f := CutFailure(application("F", strings.Repeat("é", 9000), nil), 4096); !utf8.ValidString(f.Message) || len(f.Message) != 4082 {
		t.Errorf("message of %d bytes", len(f.Message))
	}
	deep := application("F", "bottom", nil)
	for range 1000 {
		deep = application("F", "cause", deep)
	}
	depth := 0
	for f := CutFailure(deep, 1<<20); f != nil; f = f.Cause {
		depth++
	}
	if depth != 20 {
		t.Errorf("%d causes are kept", depth)
	}
}

func TestCutFailureIsShort(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var f *failurepb.Failure
		for range rapid.IntRange(1, 30).Draw(t, "depth") {
			f = application(rapid.StringN(0, 20, 60).Draw(t, "type"), rapid.StringN(0, 300, 900).Draw(t, "message"), f)
			f.Source, f.StackTrace = rapid.StringN(0, 10, 30).Draw(t, "source"), rapid.StringN(0, 300, 900).Draw(t, "stack")
		}
		most := rapid.IntRange(0, 5000).Draw(t, "most")
		short := CutFailure(f, most)
		// What is reckoned for the encoding is rough: a field of each level may be a little over.
		if n := proto.Size(short); n > most+causeDepth*8 {
			t.Fatalf("%d bytes, %d allowed", n, most)
		}
	})
}

func TestFailureOverTheLimit(t *testing.T) {
	l := Defaults()
	small := application("F", "m", nil)
	if kept, replaced := Failure(&l, small); kept != small || replaced {
		t.Errorf("replaced %v", replaced)
	}
	if kept, replaced := Failure(&l, nil); kept != nil || replaced {
		t.Errorf("no failure became %v", kept)
	}
	kept, replaced := Failure(&l, application("F", strings.Repeat("x", 3<<20), nil))
	if !replaced || kept.Message != FailureTooLarge || !kept.GetServerFailureInfo().NonRetryable || len(kept.Cause.Message) != 524275 {
		t.Errorf("%.50s, %v", kept.Message, replaced)
	}
}

func TestLongPollEnd(t *testing.T) {
	l, now := Defaults(), time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)
	for _, x := range []struct{ deadline, longest, want time.Duration }{
		{0, 20 * time.Second, 20 * time.Second},
		{time.Hour, 20 * time.Second, 20 * time.Second},
		{21 * time.Second, 20 * time.Second, 20 * time.Second},
		{20 * time.Second, 20 * time.Second, 19 * time.Second},
		{500 * time.Millisecond, 20 * time.Second, -500 * time.Millisecond},
	} {
		deadline := now.Add(x.deadline)
		if x.deadline == 0 {
			deadline = time.Time{}
		}
		if got := LongPollEnd(&l, now, deadline, x.longest).Sub(now); got != x.want {
			t.Errorf("deadline in %v: ends in %v, want %v", x.deadline, got, x.want)
		}
	}
}
