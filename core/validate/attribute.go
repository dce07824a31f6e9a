package validate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"google.golang.org/protobuf/proto"

	"perdure/core/port"
)

// Metadata keys of a payload, and the encodings that a search attribute may have.
const (
	encodingKey = "encoding"
	typeKey     = "type"

	encodingJSON = "json/plain"
	encodingNull = "binary/null"
)

// Access tells who may set a search attribute.
type Access uint8

// The accesses.
const (
	Custom     Access = iota // defined by the namespace
	Settable                 // of the system; clients may set it
	ServerOnly               // of the system; only the server sets it
	Field                    // of the system, and a field of its own: not part of SearchAttributes at all
)

// Attribute is one search attribute that every namespace has.
type Attribute struct {
	Name   string
	Type   enumspb.IndexedValueType
	Access Access
}

// SystemAttributes lists the search attributes of the system, by name. The slice is new.
func SystemAttributes() []Attribute {
	const (
		keyword  = enumspb.INDEXED_VALUE_TYPE_KEYWORD
		list     = enumspb.INDEXED_VALUE_TYPE_KEYWORD_LIST
		datetime = enumspb.INDEXED_VALUE_TYPE_DATETIME
		integer  = enumspb.INDEXED_VALUE_TYPE_INT
		boolean  = enumspb.INDEXED_VALUE_TYPE_BOOL
	)
	return []Attribute{
		{"BatcherNamespace", keyword, Settable},
		{"BatcherUser", keyword, Settable},
		{"BinaryChecksums", list, Settable},
		{"BuildIds", list, Settable},
		{"CloseTime", datetime, Field},
		{"ExecutionDuration", integer, Field},
		{"ExecutionStatus", keyword, Field},
		{"ExecutionTime", datetime, Field},
		{"HistoryLength", integer, Field},
		{"HistorySizeBytes", integer, Field},
		{"ParentRunId", keyword, Field},
		{"ParentWorkflowId", keyword, Field},
		{"RootRunId", keyword, Field},
		{"RootWorkflowId", keyword, Field},
		{"RunId", keyword, Field},
		{"StartTime", datetime, Field},
		{"StateTransitionCount", integer, Field},
		{"TaskQueue", keyword, Field},
		{"TemporalChangeVersion", list, Settable},
		{"TemporalExternalPayloadCount", integer, ServerOnly},
		{"TemporalExternalPayloadSizeBytes", integer, ServerOnly},
		{"TemporalNamespaceDivision", keyword, Settable},
		{"TemporalPauseInfo", list, Settable},
		{"TemporalReportedProblems", list, Settable},
		{"TemporalSchedulePaused", boolean, Settable},
		{"TemporalScheduledById", keyword, Settable},
		{"TemporalScheduledStartTime", datetime, Settable},
		{"TemporalUsedWorkerDeploymentVersions", list, ServerOnly},
		{"TemporalWorkerDeployment", keyword, ServerOnly},
		{"TemporalWorkerDeploymentVersion", keyword, ServerOnly},
		{"TemporalWorkflowVersioningBehavior", keyword, ServerOnly},
		{"WorkflowId", keyword, Field},
		{"WorkflowType", keyword, Field},
	}
}

var systemAttributes = func() map[string]Attribute {
	all := map[string]Attribute{}
	for _, a := range SystemAttributes() {
		all[a.Name] = a
	}
	return all
}()

// SystemAttribute finds a search attribute of the system.
func SystemAttribute(name string) (Attribute, bool) {
	a, ok := systemAttributes[name]
	return a, ok
}

// ReservedAttribute reports whether a namespace may not define an attribute of that name.
func ReservedAttribute(name string) bool {
	switch name {
	case "NamespaceId", "MemoEncoding", "Memo", "VisibilityTaskKey":
		return true
	}
	_, system := systemAttributes[name]
	return system || strings.HasPrefix(name, "Temporal")
}

// SearchAttributes refuses unknown names, wrong values and too many of them
// (see AttributeSizes for too large ones); it hands back the attributes with the type of each in its
// metadata, where no type was given. What needs no change is not copied. Empty values (they
// delete) stay; see WithoutEmpty.
func SearchAttributes(l *Limits, ns *port.Namespace, sa *commonpb.SearchAttributes) (*commonpb.SearchAttributes, *port.Refusal) {
	if sa == nil {
		return nil, nil
	}
	names := sortedNames(sa.IndexedFields)
	types := make([]enumspb.IndexedValueType, len(names))
	for i, name := range names {
		a, ok := systemAttributes[name]
		if types[i] = a.Type; !ok {
			if types[i], ok = ns.SearchAttributes[name]; !ok {
				return nil, port.Invalid("Namespace %s has no mapping defined for search attribute %s", ns.Name, name)
			}
		}
	}
	if len(names) > l.Attributes {
		return nil, port.Invalid("number of search attributes %d exceeds limit %d", len(names), l.Attributes)
	}
	for i, name := range names {
		if a := systemAttributes[name]; a.Access == Field || a.Access == ServerOnly {
			return nil, port.Invalid("%s attribute can't be set in SearchAttributes", name)
		}
		p := sa.IndexedFields[name]
		if _, err := DecodeAttribute(p, types[i]); err != nil {
			return nil, port.Invalid("invalid value for search attribute %s of type %s: %v", name, types[i], shown(p))
		}
	}
	return typed(sa, names, types), nil
}

// AttributeSizes refuses search attributes that are too large, one or all together.
func AttributeSizes(l *Limits, sa *commonpb.SearchAttributes) *port.Refusal {
	for _, name := range sortedNames(sa.GetIndexedFields()) {
		if n := len(sa.IndexedFields[name].GetData()); n > l.AttributeValue {
			return port.Invalid("search attribute %s value size %d exceeds size limit %d", name, n, l.AttributeValue)
		}
	}
	if n := proto.Size(sa); n > l.AttributesTotal {
		return port.Invalid("total size of search attributes %d exceeds size limit %d", n, l.AttributesTotal)
	}
	return nil
}

// typed fills in the missing types, in new payloads.
func typed(sa *commonpb.SearchAttributes, names []string, types []enumspb.IndexedValueType) *commonpb.SearchAttributes {
	var out *commonpb.SearchAttributes
	for i, name := range names {
		p := sa.IndexedFields[name]
		if AttributeType(p) != enumspb.INDEXED_VALUE_TYPE_UNSPECIFIED {
			continue
		}
		if out == nil {
			out = &commonpb.SearchAttributes{IndexedFields: copied(sa.IndexedFields)}
		}
		out.IndexedFields[name] = Typed(p, types[i])
	}
	if out == nil {
		return sa
	}
	return out
}

// Typed is a new payload with the type in its metadata.
func Typed(p *commonpb.Payload, t enumspb.IndexedValueType) *commonpb.Payload {
	metadata := copied(p.GetMetadata())
	metadata[typeKey] = []byte(t.String())
	return &commonpb.Payload{Metadata: metadata, Data: p.GetData()}
}

// AttributeType is the type in the metadata of a search attribute, if there is a known one.
func AttributeType(p *commonpb.Payload) enumspb.IndexedValueType {
	t, err := enumspb.IndexedValueTypeFromString(string(p.GetMetadata()[typeKey]))
	if err != nil {
		return enumspb.INDEXED_VALUE_TYPE_UNSPECIFIED
	}
	return t
}

// WithoutEmpty drops the attributes whose value is null or an empty list; nil
// if none is left. A start keeps no such attributes; an upsert deletes by them.
func WithoutEmpty(sa *commonpb.SearchAttributes) *commonpb.SearchAttributes {
	kept := map[string]*commonpb.Payload{}
	for name, p := range sa.GetIndexedFields() { // into a map: no order leaks
		if !EmptyPayload(p) {
			kept[name] = p
		}
	}
	switch len(kept) {
	case 0:
		return nil
	case len(sa.GetIndexedFields()):
		return sa
	}
	return &commonpb.SearchAttributes{IndexedFields: kept}
}

// EmptyPayload reports whether a payload is null or an empty list, as it
// deletes a search attribute or a field of a memo.
func EmptyPayload(p *commonpb.Payload) bool {
	switch string(p.GetMetadata()[encodingKey]) {
	case encodingNull:
		return true
	case encodingJSON:
		data := bytes.TrimSpace(p.GetData())
		return string(data) == "null" || string(data) == "[]"
	}
	return p == nil
}

var (
	errEncoding = errors.New("search attributes are encoded as json/plain")
	errList     = errors.New("a list of values needs the type KeywordList")
	errUTF8     = errors.New("text is not UTF-8")
	errType     = errors.New("unknown type of search attribute")
)

// DecodeAttribute reads a value of the type: bool, int64, float64, time.Time, string or
// []string, or nil if it is empty. A list of one is that one.
func DecodeAttribute(p *commonpb.Payload, t enumspb.IndexedValueType) (any, error) {
	switch t {
	case enumspb.INDEXED_VALUE_TYPE_BOOL:
		return decode[bool](p)
	case enumspb.INDEXED_VALUE_TYPE_INT:
		return decode[int64](p)
	case enumspb.INDEXED_VALUE_TYPE_DOUBLE:
		return decode[float64](p)
	case enumspb.INDEXED_VALUE_TYPE_DATETIME:
		return decode[time.Time](p)
	case enumspb.INDEXED_VALUE_TYPE_KEYWORD, enumspb.INDEXED_VALUE_TYPE_TEXT:
		return decode[string](p)
	case enumspb.INDEXED_VALUE_TYPE_KEYWORD_LIST:
		return decode[[]string](p)
	}
	return nil, errType
}

func decode[T any](p *commonpb.Payload) (any, error) {
	if string(p.GetMetadata()[encodingKey]) == encodingNull {
		return nil, nil
	}
	if string(p.GetMetadata()[encodingKey]) != encodingJSON {
		return nil, errEncoding
	}
	if !utf8.Valid(p.Data) {
		return nil, errUTF8 // encoding/json would replace what it cannot read
	}
	var one *T
	if json.Unmarshal(p.Data, &one) == nil {
		if one == nil {
			return nil, nil
		}
		return *one, nil
	}
	var many []T
	if err := json.Unmarshal(p.Data, &many); err != nil {
		return nil, err
	}
	switch len(many) {
	case 0:
		return nil, nil
	case 1:
		return many[0], nil
	}
	return nil, errList
}

// shown is a value as an error message prints it.
func shown(p *commonpb.Payload) string {
	var v any
	if string(p.GetMetadata()[encodingKey]) == encodingJSON && json.Unmarshal(p.GetData(), &v) == nil {
		return fmt.Sprint(v)
	}
	return fmt.Sprintf("value from <%s>", p.String())
}

func sortedNames(m map[string]*commonpb.Payload) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// copied is a new map with the same entries; the order of the copying does not show.
func copied[V any](m map[string]V) map[string]V {
	out := make(map[string]V, len(m)+1)
	for k, v := range m {
		out[k] = v
	}
	return out
}
