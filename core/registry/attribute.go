package registry

import (
	"slices"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"google.golang.org/protobuf/proto"

	"perdure/core/port"
	"perdure/core/registry/registrypb"
	"perdure/core/validate"
)

// Custom search attributes belong to a namespace; there may be so many of a type.

func attributesMax(t enumspb.IndexedValueType) int {
	switch t {
	case enumspb.INDEXED_VALUE_TYPE_KEYWORD:
		return 10
	case enumspb.INDEXED_VALUE_TYPE_BOOL, enumspb.INDEXED_VALUE_TYPE_INT, enumspb.INDEXED_VALUE_TYPE_DOUBLE,
		enumspb.INDEXED_VALUE_TYPE_DATETIME, enumspb.INDEXED_VALUE_TYPE_KEYWORD_LIST, enumspb.INDEXED_VALUE_TYPE_TEXT:
		return 3
	}
	return 0
}

func (r *Registry) addAttributes(req *operatorservice.AddSearchAttributesRequest) (proto.Message, *port.Refusal) {
	names := sortedNames(req.SearchAttributes)
	if len(names) == 0 {
		return nil, port.Invalid("SearchAttributes are not set on request.")
	}
	for _, name := range names {
		if validate.ReservedAttribute(name) {
			return nil, port.Invalid("Search attribute %s is reserved by system.", name)
		}
		if t := req.SearchAttributes[name]; attributesMax(t) == 0 {
			return nil, port.Invalid("Unknown search attribute type: %v.", t)
		}
	}
	n, refusal := r.ofAttributes(req.Namespace)
	if refusal != nil {
		return nil, refusal
	}
	row := proto.CloneOf(n.row)
	if row.SearchAttributes == nil {
		row.SearchAttributes = map[string]int32{}
	}
	for _, name := range names {
		if _, there := row.SearchAttributes[name]; there {
			continue // also if it has another type
		}
		t := req.SearchAttributes[name]
		if most := attributesMax(t); countOf(row, t) >= most {
			return nil, port.Invalid("Unable to create search attributes: cannot have more than %d search attribute of type %s.", most, t)
		}
		row.SearchAttributes[name] = int32(t)
	}
	r.putAttributes(n, row)
	return &operatorservice.AddSearchAttributesResponse{}, nil
}

func countOf(row *registrypb.Namespace, t enumspb.IndexedValueType) (n int) {
	for _, have := range row.SearchAttributes { // counting: no order leaks
		if have == int32(t) {
			n++
		}
	}
	return n
}

func (r *Registry) removeAttributes(req *operatorservice.RemoveSearchAttributesRequest) (proto.Message, *port.Refusal) {
	if len(req.SearchAttributes) == 0 {
		return nil, port.Invalid("SearchAttributes are not set on request.")
	}
	n, refusal := r.ofAttributes(req.Namespace)
	if refusal != nil {
		return nil, refusal
	}
	row := proto.CloneOf(n.row)
	for _, name := range req.SearchAttributes {
		if _, custom := row.SearchAttributes[name]; custom {
			delete(row.SearchAttributes, name)
			continue
		}
		if _, system := validate.SystemAttribute(name); system {
			return nil, port.Invalid("Unable to remove non-custom search attributes: %s.", name)
		}
		return nil, port.Missing("Search attribute %s doesn't exist.", name)
	}
	r.putAttributes(n, row)
	return &operatorservice.RemoveSearchAttributesResponse{}, nil
}

func (r *Registry) putAttributes(n *namespace, row *registrypb.Namespace) {
	if !proto.Equal(row, n.row) {
		r.putNamespace(row, false)
		r.change()
	}
}

func (r *Registry) listAttributes(req *operatorservice.ListSearchAttributesRequest) (proto.Message, *port.Refusal) {
	n, refusal := r.ofAttributes(req.Namespace)
	if refusal != nil {
		return nil, refusal
	}
	system := map[string]enumspb.IndexedValueType{}
	for _, a := range validate.SystemAttributes() {
		system[a.Name] = a.Type
	}
	return &operatorservice.ListSearchAttributesResponse{CustomAttributes: n.seen.SearchAttributes, SystemAttributes: system}, nil
}

// ofAttributes finds the namespace whose attributes are meant; there are none that all namespaces share.
func (r *Registry) ofAttributes(name string) (*namespace, *port.Refusal) {
	if name == "" {
		return nil, port.Invalid("Namespace is not set on request.")
	}
	return r.named(name)
}

func sortedNames(m map[string]enumspb.IndexedValueType) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
