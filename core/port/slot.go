package port

import "github.com/cespare/xxhash/v2"

// slotWorkflow is the kind byte of workflow ids. Other kinds of business ids
// (schedules, standalone activities) will have bytes of their own.
const slotWorkflow = 1

// Slot is where a workflow's rows live. It is part of every stored key: it never changes.
func Slot(namespaceID, workflowID string) uint16 {
	var room [128]byte
	b := append(room[:0], namespaceID...)
	b = append(b, slotWorkflow)
	b = append(b, workflowID...)
	return uint16(xxhash.Sum64(b) % Slots)
}
