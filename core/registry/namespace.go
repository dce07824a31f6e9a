package registry

import (
	"fmt"
	"maps"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/errordetails/v1"
	namespacepb "go.temporal.io/api/namespace/v1"
	replicationpb "go.temporal.io/api/replication/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"perdure/core/port"
	"perdure/core/registry/registrypb"
	"perdure/core/validate"
)

// listPage is how many namespaces a page has if the caller does not say.
const listPage = 100

func (r *Registry) register(req *workflowservice.RegisterNamespaceRequest) (proto.Message, *port.Refusal) {
	if req.IsGlobalNamespace {
		return nil, port.Invalid("Cannot register global namespace when not enabled")
	}
	retention, refusal := r.retention(req.WorkflowExecutionRetentionPeriod)
	if refusal != nil {
		return nil, refusal
	}
	if r.state.byName[req.Namespace] != nil {
		return nil, &port.Refusal{Code: port.AlreadyExists, Message: fmt.Sprintf("Namespace %q already exists", req.Namespace), Detail: &errordetails.NamespaceAlreadyExistsFailure{}}
	}
	if refusal := r.clusters(req.ActiveClusterName, req.Clusters); refusal != nil {
		return nil, refusal
	}
	r.putNamespace(&registrypb.Namespace{
		Id: r.newID(), Name: req.Namespace, State: int32(enumspb.NAMESPACE_STATE_REGISTERED),
		Description: req.Description, OwnerEmail: req.OwnerEmail, Data: req.Data, Retention: int64(retention),
	}, true)
	r.change()
	return &workflowservice.RegisterNamespaceResponse{}, nil
}

func (r *Registry) retention(d *durationpb.Duration) (time.Duration, *port.Refusal) {
	if kept := d.AsDuration(); validate.Duration(d) == nil && kept >= r.cfg.MinRetention {
		return min(kept, validate.MaxDuration), nil
	}
	return 0, port.Invalid("A valid retention period is not set on request.")
}

// clusters accepts this one alone.
func (r *Registry) clusters(active string, others []*replicationpb.ClusterReplicationConfig) *port.Refusal {
	names := []string{active}
	for _, c := range others {
		names = append(names, c.GetClusterName())
	}
	for i, name := range names {
		if name != r.cfg.ClusterName && (i > 0 || name != "") {
			return port.Invalid("Invalid cluster name: %s", name)
		}
	}
	return nil
}

func (r *Registry) describe(req *workflowservice.DescribeNamespaceRequest) (proto.Message, *port.Refusal) {
	if req.Id == "" {
		n, refusal := r.named(req.Namespace)
		if refusal != nil {
			return nil, refusal
		}
		return r.described(n), nil
	}
	if n := r.state.byID[req.Id]; n != nil {
		return r.described(n), nil
	}
	return nil, port.NamespaceMissing(req.Id)
}

func (r *Registry) described(n *namespace) *workflowservice.DescribeNamespaceResponse {
	return &workflowservice.DescribeNamespaceResponse{NamespaceInfo: r.info(n), Config: settings(n), ReplicationConfig: r.replication(n)}
}

// info claims what this server can do, and nothing else.
func (r *Registry) info(n *namespace) *namespacepb.NamespaceInfo {
	l := &r.cfg.Limits
	return &namespacepb.NamespaceInfo{
		Name: n.seen.Name, Id: n.seen.ID, State: n.seen.State, Description: n.seen.Description, OwnerEmail: n.seen.OwnerEmail, Data: n.seen.Data,
		Capabilities: &namespacepb.NamespaceInfo_Capabilities{EagerWorkflowStart: true, ReportedProblemsSearchAttribute: true},
		Limits: &namespacepb.NamespaceInfo_Limits{
			BlobSizeLimitError: int64(l.Blob), MemoSizeLimitError: int64(l.Memo), WorkflowTaskCompletionSizeLimitError: int64(l.TaskCompletion),
		},
	}
}

func settings(n *namespace) *namespacepb.NamespaceConfig {
	return &namespacepb.NamespaceConfig{
		WorkflowExecutionRetentionTtl: durationpb.New(n.seen.Retention),
		BadBinaries:                   &namespacepb.BadBinaries{},
		HistoryArchivalState:          enumspb.ARCHIVAL_STATE_DISABLED,
		VisibilityArchivalState:       enumspb.ARCHIVAL_STATE_DISABLED,
	}
}

func (r *Registry) replication(n *namespace) *replicationpb.NamespaceReplicationConfig {
	c := &replicationpb.NamespaceReplicationConfig{
		ActiveClusterName: r.cfg.ClusterName,
		Clusters:          []*replicationpb.ClusterReplicationConfig{{ClusterName: r.cfg.ClusterName}},
	}
	if n.seen.ID != systemNamespaceID {
		c.State = enumspb.REPLICATION_STATE_NORMAL
	}
	return c
}

// list pages by name; the token is the last name of the page before.
func (r *Registry) list(req *workflowservice.ListNamespacesRequest) proto.Message {
	size, after := int(req.PageSize), string(req.NextPageToken)
	if size <= 0 {
		size = listPage
	}
	page := &workflowservice.ListNamespacesResponse{}
	for _, n := range r.state.sorted() {
		switch {
		case n.row.Name <= after && after != "":
		case n.seen.State == enumspb.NAMESPACE_STATE_DELETED && !req.NamespaceFilter.GetIncludeDeleted():
		case len(page.Namespaces) == size:
			page.NextPageToken = []byte(page.Namespaces[size-1].NamespaceInfo.Name)
			return page
		default:
			page.Namespaces = append(page.Namespaces, r.described(n))
		}
	}
	return page
}

// update changes what the request names, all of it or nothing.
func (r *Registry) update(req *workflowservice.UpdateNamespaceRequest) (proto.Message, *port.Refusal) {
	n, refusal := r.named(req.Namespace)
	if refusal != nil {
		return nil, refusal
	}
	row := proto.CloneOf(n.row)
	if refusal := updateInfo(row, req.UpdateInfo); refusal != nil {
		return nil, refusal
	}
	if refusal := r.updateConfig(row, req.Config); refusal != nil {
		return nil, refusal
	}
	if refusal := r.clusters(req.ReplicationConfig.GetActiveClusterName(), req.ReplicationConfig.GetClusters()); refusal != nil {
		return nil, refusal
	}
	if req.PromoteNamespace {
		return nil, port.Invalid("global namespace is not enabled on this cluster, cannot update global namespace or promote local namespace: %s", req.Namespace)
	}
	if !proto.Equal(row, n.row) {
		r.putNamespace(row, false)
		r.change()
	}
	n = r.state.byID[row.Id]
	return &workflowservice.UpdateNamespaceResponse{NamespaceInfo: r.info(n), Config: settings(n), ReplicationConfig: r.replication(n)}, nil
}

func updateInfo(row *registrypb.Namespace, info *namespacepb.UpdateNamespaceInfo) *port.Refusal {
	if d := info.GetDescription(); d != "" {
		row.Description = d
	}
	if o := info.GetOwnerEmail(); o != "" {
		row.OwnerEmail = o
	}
	if len(info.GetData()) > 0 { // what is not named stays
		if row.Data == nil {
			row.Data = map[string]string{}
		}
		maps.Copy(row.Data, info.Data)
	}
	next := info.GetState()
	if next == enumspb.NAMESPACE_STATE_UNSPECIFIED || int32(next) == row.State {
		return nil
	}
	if !mayBecome(enumspb.NamespaceState(row.State), next) {
		return port.Invalid("Invalid namespace state update.")
	}
	row.State = int32(next)
	return nil
}

// mayBecome: the life of a namespace goes one way.
func mayBecome(old, next enumspb.NamespaceState) bool {
	switch old {
	case enumspb.NAMESPACE_STATE_REGISTERED:
		return next == enumspb.NAMESPACE_STATE_DEPRECATED || next == enumspb.NAMESPACE_STATE_DELETED
	case enumspb.NAMESPACE_STATE_DEPRECATED:
		return next == enumspb.NAMESPACE_STATE_DELETED
	}
	return false
}

func (r *Registry) updateConfig(row *registrypb.Namespace, c *namespacepb.NamespaceConfig) *port.Refusal {
	if c.GetWorkflowExecutionRetentionTtl() == nil {
		return nil
	}
	kept, refusal := r.retention(c.WorkflowExecutionRetentionTtl)
	if refusal != nil {
		return refusal
	}
	row.Retention = int64(kept)
	return nil
}

func (r *Registry) deprecate(req *workflowservice.DeprecateNamespaceRequest) (proto.Message, *port.Refusal) {
	n, refusal := r.named(req.Namespace)
	if refusal != nil {
		return nil, refusal
	}
	switch n.seen.State {
	case enumspb.NAMESPACE_STATE_REGISTERED:
		row := proto.CloneOf(n.row)
		row.State = int32(enumspb.NAMESPACE_STATE_DEPRECATED)
		r.putNamespace(row, false)
		r.change()
	case enumspb.NAMESPACE_STATE_DELETED:
		return nil, port.Invalid("Invalid namespace state update.")
	}
	return &workflowservice.DeprecateNamespaceResponse{}, nil
}
