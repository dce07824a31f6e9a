package run

import (
	"encoding/json"
	"slices"

	workflowpb "go.temporal.io/api/workflow/v1"
)

// maxResetPoints is how many a run keeps, the latest.
const maxResetPoints = 20

// build says which code completed a workflow task. Old SDKs send a checksum instead of an id.
type build struct{ id, checksum string }

func buildOf(p *workflowpb.ResetPointInfo) build {
	return build{p.BuildId, p.BinaryChecksum} //nolint:staticcheck // the field old SDKs send
}

// completedBy remembers where the run could be reset to if the build turns out to be bad: before its first task.
func (r *Run) completedBy(b build, completedID int64) {
	if r.latest != nil && *r.latest == b {
		return
	}
	r.latest = &b
	p := r.resetPoints()
	if slices.ContainsFunc(p.Points, func(x *workflowpb.ResetPointInfo) bool { return buildOf(x) == b }) {
		return
	}
	p.Points = append(p.Points, &workflowpb.ResetPointInfo{
		BuildId: b.id, BinaryChecksum: b.checksum,
		RunId: r.S.RunId, FirstWorkflowTaskCompletedId: completedID, CreateTime: timestamp(r.tx.env.Now), Resettable: true,
	})
	p.Points = p.Points[max(0, len(p.Points)-maxResetPoints):]
	r.S.AutoResetPoints = encode(p)
}

func (r *Run) resetPoints() *workflowpb.ResetPoints {
	if len(r.S.AutoResetPoints) == 0 {
		return &workflowpb.ResetPoints{}
	}
	return decode(r.S.AutoResetPoints, &workflowpb.ResetPoints{})
}

// resetPointsForNext carries the points on; those of this run end with its history, and it says so too.
func (r *Run) resetPointsForNext() *workflowpb.ResetPoints {
	if len(r.S.AutoResetPoints) == 0 {
		return nil
	}
	p := r.resetPoints()
	for _, x := range p.Points {
		if x.RunId == r.S.RunId {
			x.ExpireTime = timestamp(r.tx.env.Now + r.tx.env.Namespace.Retention.Nanoseconds())
		}
	}
	r.S.AutoResetPoints = encode(p)
	return p
}

// buildIDs is the list that the search attribute BuildIds shows: JSON.
func (r *Run) buildIDs() string {
	ids := []string{"unversioned"}
	for _, p := range r.resetPoints().Points {
		if p.BuildId != "" {
			ids = append(ids, "unversioned:"+p.BuildId)
		}
	}
	list, _ := json.Marshal(ids) // strings can always be encoded
	return string(list)
}
