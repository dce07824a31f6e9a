package workload

import (
	enumspb "go.temporal.io/api/enums/v1"
	namespacepb "go.temporal.io/api/namespace/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/proto"
)

// namespace makes one of the calls about the namespace. Some change it: a new state
// of the registry goes to all machines in the middle of their work.
func (c *client) namespace() proto.Message {
	ns := c.world.cfg.Namespace
	requests := []proto.Message{
		&workflowservice.DescribeNamespaceRequest{Namespace: ns},
		&workflowservice.ListNamespacesRequest{PageSize: 1},
		&workflowservice.UpdateNamespaceRequest{Namespace: ns, UpdateInfo: &namespacepb.UpdateNamespaceInfo{Description: c.unique("description")}},
		&operatorservice.AddSearchAttributesRequest{Namespace: ns, SearchAttributes: map[string]enumspb.IndexedValueType{"Drawn": enumspb.INDEXED_VALUE_TYPE_KEYWORD}},
		&operatorservice.ListSearchAttributesRequest{Namespace: ns},
	}
	return requests[c.rand.IntN(len(requests))]
}
