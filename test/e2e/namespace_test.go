package e2e

import (
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	namespacepb "go.temporal.io/api/namespace/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/types/known/durationpb"
)

var namespaceCases = []testCase{
	{"namespace_life", namespaceLife},
	{"namespace_unknown", namespaceUnknown},
	{"namespaces_are_apart", namespacesAreApart},
	{"system_facts", systemFacts},
}

func namespaceLife(s *scene) {
	names, err := client.NewNamespaceClient(client.Options{HostPort: s.server.Addr, Logger: silent})
	s.must(err)
	defer names.Close()
	name := s.id("life")
	s.must(names.Register(s.ctx, &workflowservice.RegisterNamespaceRequest{Namespace: name, Description: "first", OwnerEmail: "a@b", WorkflowExecutionRetentionPeriod: durationpb.New(48 * time.Hour), Data: map[string]string{"k": "v"}}))
	s.halfway()
	err = names.Register(s.ctx, &workflowservice.RegisterNamespaceRequest{Namespace: name, WorkflowExecutionRetentionPeriod: durationpb.New(48 * time.Hour)})
	s.check(is[*serviceerror.NamespaceAlreadyExists](err), "registered twice: %v", err)
	d, err := names.Describe(s.ctx, name)
	s.must(err)
	s.check(d.NamespaceInfo.Description == "first" && d.NamespaceInfo.Data["k"] == "v" && d.Config.WorkflowExecutionRetentionTtl.AsDuration() == 48*time.Hour, "described: %v", d)
	s.must(names.Update(s.ctx, &workflowservice.UpdateNamespaceRequest{
		Namespace: name, UpdateInfo: &namespacepb.UpdateNamespaceInfo{Description: "second"}, Config: &namespacepb.NamespaceConfig{WorkflowExecutionRetentionTtl: durationpb.New(72 * time.Hour)},
	}))
	d, err = names.Describe(s.ctx, name)
	s.must(err)
	s.check(d.NamespaceInfo.Description == "second" && d.NamespaceInfo.OwnerEmail == "a@b" && d.Config.WorkflowExecutionRetentionTtl.AsDuration() == 72*time.Hour, "updated: %v", d)
	byID, err := s.api.DescribeNamespace(s.ctx, &workflowservice.DescribeNamespaceRequest{Id: d.NamespaceInfo.Id})
	s.must(err)
	s.same(byID.NamespaceInfo.Name, name)
	found := false
	for token := []byte(nil); ; {
		page, err := s.api.ListNamespaces(s.ctx, &workflowservice.ListNamespacesRequest{PageSize: 1, NextPageToken: token})
		s.must(err)
		for _, n := range page.Namespaces {
			found = found || n.NamespaceInfo.Name == name
		}
		if token = page.NextPageToken; len(token) == 0 {
			break
		}
	}
	s.check(found, "the list lacks it")
	_, err = s.api.DeprecateNamespace(s.ctx, &workflowservice.DeprecateNamespaceRequest{Namespace: name})
	s.must(err)
	req := s.startRequest("raw", "a")
	req.Namespace = name
	_, err = s.api.StartWorkflowExecution(s.ctx, req)
	s.check(is[*serviceerror.NamespaceInvalidState](err), "started in a deprecated namespace: %v", err)
}

func namespaceUnknown(s *scene) {
	s.halfway()
	lost := dial(s, s.server.Addr, s.id("missing"))
	_, err := lost.ExecuteWorkflow(s.ctx, client.StartWorkflowOptions{TaskQueue: s.queue}, "any")
	s.check(is[*serviceerror.NamespaceNotFound](err), "a start: %v", err)
	err = worker.New(lost, s.queue, worker.Options{}).Start()
	s.check(is[*serviceerror.NamespaceNotFound](err), "a worker: %v", err)
	_, err = s.api.DescribeNamespace(s.ctx, &workflowservice.DescribeNamespaceRequest{Namespace: s.id("missing")})
	s.check(is[*serviceerror.NamespaceNotFound](err), "describe: %v", err)
}

// namespacesAreApart runs workflows with the same ids and queues in two namespaces.
func namespacesAreApart(s *scene) {
	s.work(flows{"same": waitForSignal}, nil)
	s.workWith(s.house.second, s.queue, worker.Options{}, flows{"same": waitForSignal}, nil)
	here := s.start("same")
	there, err := s.house.second.ExecuteWorkflow(s.ctx, s.options(client.StartWorkflowOptions{}, "same"), "same")
	s.must(err)
	s.halfway()
	s.signal(here, "go", "here")
	s.same(result[string](s, here), "here")
	d, err := s.house.second.DescribeWorkflowExecution(s.ctx, there.GetID(), there.GetRunID())
	s.must(err)
	s.same(d.WorkflowExecutionInfo.Status, enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING)
	s.must(s.house.second.SignalWorkflow(s.ctx, there.GetID(), "", "go", "there"))
	s.same(result[string](s, there), "there")
	_, err = s.client.DescribeWorkflowExecution(s.ctx, there.GetID(), there.GetRunID())
	s.check(is[*serviceerror.NotFound](err), "the run of another namespace: %v", err)
}

func systemFacts(s *scene) {
	s.halfway()
	_, err := s.client.CheckHealth(s.ctx, &client.CheckHealthRequest{})
	s.must(err)
	health, err := healthpb.NewHealthClient(s.raw).Check(s.ctx, &healthpb.HealthCheckRequest{Service: "temporal.api.workflowservice.v1.WorkflowService"})
	s.must(err)
	s.same(health.Status, healthpb.HealthCheckResponse_SERVING)
	info, err := s.api.GetSystemInfo(s.ctx, &workflowservice.GetSystemInfoRequest{})
	s.must(err)
	s.check(info.ServerVersion != "" && info.Capabilities.UpsertMemo, "system: %v", info)
	cluster, err := s.api.GetClusterInfo(s.ctx, &workflowservice.GetClusterInfoRequest{})
	s.must(err)
	s.check(cluster.ClusterId != "" && cluster.ServerVersion == info.ServerVersion, "cluster: %v", cluster)
	listed, err := operatorservice.NewOperatorServiceClient(s.raw).ListSearchAttributes(s.ctx, &operatorservice.ListSearchAttributesRequest{Namespace: home})
	s.must(err)
	for name, kind := range attributes {
		s.same(listed.CustomAttributes[name], kind)
	}
	all, err := s.client.GetSearchAttributes(s.ctx)
	s.must(err)
	s.same(all.Keys["WorkflowType"], enumspb.INDEXED_VALUE_TYPE_KEYWORD)
}
