package workload

import (
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	namespacepb "go.temporal.io/api/namespace/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

// namespace makes one of the calls about the namespace. Some change it: a new state
// of the registry goes to all machines in the middle of their work.
func (c *client) namespace() proto.Message {
	ns := c.world.cfg.Namespace
	other := fmt.Sprintf("other-%d", c.rand.IntN(3))
	kinds := enumspb.IndexedValueType_name
	requests := []proto.Message{
		&workflowservice.RegisterNamespaceRequest{Namespace: other, Description: "other", OwnerEmail: "a@b", Data: map[string]string{"k": "v"}, WorkflowExecutionRetentionPeriod: durationpb.New(time.Hour)},
		&workflowservice.DeprecateNamespaceRequest{Namespace: other},
		&workflowservice.UpdateNamespaceRequest{Namespace: other, UpdateInfo: &namespacepb.UpdateNamespaceInfo{OwnerEmail: c.name, Data: map[string]string{c.name: "x"}},
			Config: &namespacepb.NamespaceConfig{WorkflowExecutionRetentionTtl: durationpb.New(c.rand.Between(time.Hour, 9*time.Hour))}},
		&workflowservice.DescribeNamespaceRequest{Id: "32049b68-7872-4094-8e63-d0dd59896a83"},
		&workflowservice.ListNamespacesRequest{PageSize: 1, NextPageToken: []byte("default")},
		&workflowservice.ListNamespacesRequest{},
		&operatorservice.AddSearchAttributesRequest{Namespace: other, SearchAttributes: map[string]enumspb.IndexedValueType{other: enumspb.IndexedValueType(c.rand.IntN(len(kinds)))}},
		&operatorservice.RemoveSearchAttributesRequest{Namespace: ns, SearchAttributes: []string{"Drawn"}},
		&workflowservice.DescribeNamespaceRequest{Namespace: ns},
		&workflowservice.ListNamespacesRequest{PageSize: 1},
		&workflowservice.UpdateNamespaceRequest{Namespace: ns, UpdateInfo: &namespacepb.UpdateNamespaceInfo{Description: c.unique("description")}},
		&operatorservice.AddSearchAttributesRequest{Namespace: ns, SearchAttributes: map[string]enumspb.IndexedValueType{"Drawn": enumspb.INDEXED_VALUE_TYPE_KEYWORD}},
		&operatorservice.ListSearchAttributesRequest{Namespace: ns},
	}
	return requests[c.rand.IntN(len(requests))]
}
