package frontend

import (
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"

	"perdure/core/validate"
)

// systemInfo claims what this server can do, and nothing else: SDKs and the Web UI choose their ways by it.
func (a *admission) systemInfo() Plan {
	return answer(&workflowservice.GetSystemInfoResponse{
		ServerVersion: a.set.HostVersion,
		Capabilities: &workflowservice.GetSystemInfoResponse_Capabilities{
			SignalAndQueryHeader:            true,
			InternalErrorDifferentiation:    true,
			ActivityFailureIncludeHeartbeat: true,
			EncodedFailureAttributes:        true,
			UpsertMemo:                      true,
			EagerWorkflowStart:              true,
			SdkMetadata:                     true,
			// Stamps of unversioned workers are recorded. Versioned ones are refused, as by a peer whose namespace does not allow them.
			BuildIdBasedVersioning: true,
		},
	})
}

// Failover versions of a cluster that could replicate: clusters that were linked later must not share them.
const (
	failoverIncrement = 10
	failoverInitial   = 1
)

func (a *admission) clusterInfo() Plan {
	return answer(&workflowservice.GetClusterInfoResponse{
		SupportedClients:         supportedClients(),
		ServerVersion:            a.set.HostVersion,
		ClusterId:                a.snapshot.Cluster,
		ClusterName:              a.set.ClusterName,
		HistoryShardCount:        int32(len(a.snapshot.Layout)),
		PersistenceStore:         a.set.PersistenceName,
		VisibilityStore:          a.set.VisibilityName,
		FailoverVersionIncrement: failoverIncrement,
		InitialFailoverVersion:   failoverInitial,
	})
}

// allSearchAttributes answers the old call that knows of no namespaces: it shows what all of them have.
func (a *admission) allSearchAttributes() Plan {
	keys := map[string]enumspb.IndexedValueType{}
	for _, attribute := range validate.SystemAttributes() {
		keys[attribute.Name] = attribute.Type
	}
	return answer(&workflowservice.GetSearchAttributesResponse{Keys: keys})
}
