package shard

import (
	"encoding/binary"
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"perdure/core/port"
	"perdure/core/store"
)

// Keys of the rows of runs. Partitions: executions and due by strip, pending and
// history by run id. Keys never contain an epoch or a shard.

func stripOf(namespaceID, workflowID string) uint16 {
	return port.Slot(namespaceID, workflowID) / port.SlotsPerStrip
}

func stripPartition(strip uint16) string {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], strip)
	return string(b[:])
}

const (
	keyPointer = 'p'
	keyRun     = 'r'

	keyDeadline = 'd'
	keyDispatch = 'q'
)

func pointerKey(k port.RunKey) store.Key {
	return store.Key{Table: store.Executions, Partition: stripPartition(stripOf(k.NamespaceID, k.WorkflowID)), Key: string(keyPointer) + k.NamespaceID + k.WorkflowID}
}

func runKey(k port.RunKey) store.Key {
	return store.Key{Table: store.Executions, Partition: stripPartition(stripOf(k.NamespaceID, k.WorkflowID)), Key: string(keyRun) + k.RunID}
}

func pendingKey(k port.RunKey, key string) store.Key {
	return store.Key{Table: store.Pending, Partition: k.RunID, Key: key}
}

// deadlineKey orders the runs of a strip by the time at which they must be woken.
func deadlineKey(k port.RunKey, at int64) store.Key {
	return store.Key{Table: store.Due, Partition: stripPartition(stripOf(k.NamespaceID, k.WorkflowID)), Key: deadlineRow(at, k.RunID)}
}

func deadlineRow(at int64, runID string) string {
	var t [9]byte
	t[0] = keyDeadline
	binary.BigEndian.PutUint64(t[1:], uint64(at))
	return string(t[:]) + runID
}

func deadlineTime(key string) int64 { return int64(binary.BigEndian.Uint64([]byte(key[1:9]))) }

// queuePrefix begins the keys of all tasks of a queue. Names are escaped, so that
// no queue's prefix begins another's.
func queuePrefix(q port.QueueKey) string {
	var b strings.Builder
	b.WriteByte(keyDispatch)
	b.WriteByte(byte(q.Type))
	for _, s := range []string{q.NamespaceID, q.Name, q.Normal} {
		b.WriteString(strings.ReplaceAll(s, "\x00", "\x00\xff"))
		b.WriteString("\x00\x01")
	}
	return b.String()
}

// prefixEnd is the first key behind those that begin with the prefix of a queue.
func prefixEnd(prefix string) string {
	last := len(prefix) - 1 // \x01: see queuePrefix
	return prefix[:last] + string(rune(prefix[last]+1))
}

// taskKey orders the tasks of a queue: priority, time, run, task.
func taskKey(priority int32, at int64, runID string, id int64, stamp uint64) string {
	b := make([]byte, 0, 1+8+len(runID)+16)
	b = append(b, byte(priority))
	b = binary.BigEndian.AppendUint64(b, uint64(at))
	b = append(b, runID...)
	b = binary.BigEndian.AppendUint64(b, uint64(id))
	b = binary.BigEndian.AppendUint64(b, stamp)
	return string(b)
}

func dispatchKey(t *port.Task) store.Key {
	return store.Key{Table: store.Due, Partition: stripPartition(stripOf(t.Run.NamespaceID, t.Run.WorkflowID)), Key: queuePrefix(t.Queue) + t.Key}
}

// Values of rows in due, in protobuf wire format.

const dueFormat = 1

const (
	dueFieldFormat protowire.Number = iota + 1
	dueFieldNamespace
	dueFieldWorkflow
	dueFieldRun
	dueFieldKind
	dueFieldID
	dueFieldAttempt
	dueFieldStamp
	dueFieldQueue
	dueFieldNormal
	dueFieldQueueType
	dueFieldKey
)

func appendNumber(b []byte, n protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, n, protowire.VarintType), v)
}

func appendText(b []byte, n protowire.Number, s string) []byte {
	if s == "" {
		return b
	}
	return protowire.AppendString(protowire.AppendTag(b, n, protowire.BytesType), s)
}

func encodeDeadline(k port.RunKey) []byte {
	b := make([]byte, 0, 16+len(k.NamespaceID)+len(k.WorkflowID)+len(k.RunID))
	b = appendNumber(b, dueFieldFormat, dueFormat)
	b = appendText(b, dueFieldNamespace, k.NamespaceID)
	b = appendText(b, dueFieldWorkflow, k.WorkflowID)
	return appendText(b, dueFieldRun, k.RunID)
}

func encodeDispatch(t *port.Task) []byte {
	b := encodeDeadline(t.Run)
	b = appendNumber(b, dueFieldKind, uint64(t.Kind))
	b = appendNumber(b, dueFieldID, uint64(t.ID))
	b = appendNumber(b, dueFieldAttempt, uint64(t.Attempt))
	b = appendNumber(b, dueFieldStamp, t.Stamp)
	b = appendText(b, dueFieldQueue, t.Queue.Name)
	b = appendText(b, dueFieldNormal, t.Queue.Normal)
	b = appendNumber(b, dueFieldQueueType, uint64(t.Queue.Type))
	return appendText(b, dueFieldKey, t.Key)
}

// DecodeDue reads a row of due: the run it belongs to and, of a dispatch row, the task.
func DecodeDue(v []byte) (t port.Task, err error) {
	for len(v) > 0 {
		num, typ, n := protowire.ConsumeTag(v)
		if n < 0 {
			return t, fmt.Errorf("due row: %w", protowire.ParseError(n))
		}
		v = v[n:]
		m := protowire.ConsumeFieldValue(num, typ, v)
		if m < 0 {
			return t, fmt.Errorf("due row: %w", protowire.ParseError(m))
		}
		switch typ {
		case protowire.VarintType:
			x, _ := protowire.ConsumeVarint(v)
			if num == dueFieldFormat && x > dueFormat {
				return t, fmt.Errorf("due row has format %d, this server reads up to %d: upgrade it", x, dueFormat)
			}
			setDueNumber(&t, num, x)
		case protowire.BytesType:
			s, _ := protowire.ConsumeString(v)
			setDueText(&t, num, s)
		}
		v = v[m:]
	}
	if t.Run.RunID == "" {
		return t, fmt.Errorf("due row names no run")
	}
	t.Queue.NamespaceID = t.Run.NamespaceID
	return t, nil
}

func setDueNumber(t *port.Task, num protowire.Number, x uint64) {
	switch num {
	case dueFieldKind:
		t.Kind = port.TaskKind(x)
	case dueFieldID:
		t.ID = int64(x)
	case dueFieldAttempt:
		t.Attempt = int32(x)
	case dueFieldStamp:
		t.Stamp = x
	case dueFieldQueueType:
		t.Queue.Type = port.QueueType(x)
	}
}

func setDueText(t *port.Task, num protowire.Number, s string) {
	switch num {
	case dueFieldNamespace:
		t.Run.NamespaceID = s
	case dueFieldWorkflow:
		t.Run.WorkflowID = s
	case dueFieldRun:
		t.Run.RunID = s
	case dueFieldQueue:
		t.Queue.Name = s
	case dueFieldNormal:
		t.Queue.Normal = s
	case dueFieldKey:
		t.Key = s
	}
}
