// Package token encodes what clients carry between calls: task tokens, from a
// poll to the answer of the task, and page tokens, from one page of a history to the next.
//
// Fault model: what comes back is bytes that anyone may have made. A task token
// gives the right to answer a task, so it carries a MAC and only what was
// signed here is accepted. A page token gives no right and has a check sum against accidents only.
// Decoding never panics and holds no reference to its input.
package token

import (
	"crypto/sha256"
	"crypto/subtle"
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"perdure/core/port"
)

// Fields of a task token, in protobuf wire format. Unknown ones are skipped; the MAC is the last.
const (
	taskNamespace = 1
	taskWorkflow  = 2
	taskRun       = 3
	taskKind      = 4
	taskScheduled = 5
	taskStarted   = 6
	taskAttempt   = 7
	taskNonce     = 8
	taskQuery     = 9
	taskActivity  = 10
	taskKey       = 14
	taskMAC       = 15
)

const (
	macSize = 16 // bytes of HMAC-SHA256 that are kept
	macTail = 2 + macSize
)

// AppendTask appends the encoded token, signed by the last of the keys. It is on the path
// of every task: no reflection, and room for 200 bytes in dst makes it free of allocation.
func AppendTask(dst []byte, keys []port.Key, t *port.Token) []byte {
	key := keys[len(keys)-1]
	start := len(dst)
	dst = appendText(dst, taskNamespace, t.Run.NamespaceID)
	dst = appendText(dst, taskWorkflow, t.Run.WorkflowID)
	dst = appendText(dst, taskRun, t.Run.RunID)
	dst = appendNumber(dst, taskKind, uint64(t.Kind))
	dst = appendNumber(dst, taskScheduled, uint64(t.ScheduledID))
	dst = appendNumber(dst, taskStarted, uint64(t.StartedID))
	dst = appendNumber(dst, taskAttempt, uint64(t.Attempt))
	dst = appendFixed(dst, taskNonce, t.Nonce)
	dst = appendNumber(dst, taskQuery, t.Query)
	dst = appendText(dst, taskActivity, t.ActivityID)
	dst = appendNumber(dst, taskKey, uint64(key.ID))
	mac := sign(key.Secret, dst[start:])
	dst = protowire.AppendTag(dst, taskMAC, protowire.BytesType)
	return protowire.AppendBytes(dst, mac[:])
}

// DecodeTask reads a token that one of the keys signed; false for any other bytes.
func DecodeTask(keys []port.Key, b []byte) (*port.Token, bool) {
	body, mac, ok := splitMAC(b)
	if !ok {
		return nil, false
	}
	t, id, ok := decodeTask(body)
	if !ok {
		return nil, false
	}
	for _, key := range keys {
		if key.ID == id {
			want := sign(key.Secret, body)
			return t, subtle.ConstantTimeCompare(want[:], mac) == 1
		}
	}
	return nil, false
}

func splitMAC(b []byte) (body, mac []byte, ok bool) {
	n := len(b) - macTail
	if n <= 0 || b[n] != taskMAC<<3|byte(protowire.BytesType) || b[n+1] != macSize {
		return nil, nil, false
	}
	return b[:n], b[n+2:], true
}

func decodeTask(body []byte) (*port.Token, uint32, bool) {
	t, key := &port.Token{}, uint64(0)
	text := string(body) // one copy, of which the token's strings are parts
	ok := eachField(text, func(num protowire.Number, value uint64, s string) bool {
		switch num {
		case taskNamespace:
			t.Run.NamespaceID = s
		case taskWorkflow:
			t.Run.WorkflowID = s
		case taskRun:
			t.Run.RunID = s
		case taskKind:
			t.Kind = port.TaskKind(value)
			return value <= math.MaxUint8
		case taskScheduled:
			t.ScheduledID = int64(value)
		case taskStarted:
			t.StartedID = int64(value)
		case taskAttempt:
			t.Attempt = int32(value)
			return value <= math.MaxInt32
		case taskNonce:
			t.Nonce = value
		case taskQuery:
			t.Query = value
		case taskActivity:
			t.ActivityID = s
		case taskKey:
			key = value
		}
		return true
	})
	return t, uint32(key), ok && key <= math.MaxUint32
}

// sign is the first half of HMAC-SHA256 (RFC 2104), of secrets no longer than
// a block. It is written out because crypto/hmac keeps its state on the heap.
func sign(secret, message []byte) [macSize]byte {
	if len(secret) > sha256.BlockSize {
		panic("token: secret longer than 64 bytes")
	}
	var inner [512]byte
	var outer [sha256.BlockSize + sha256.Size]byte
	for i := range sha256.BlockSize {
		k := byte(0)
		if i < len(secret) {
			k = secret[i]
		}
		inner[i], outer[i] = k^0x36, k^0x5c
	}
	sum := sha256.Sum256(append(inner[:sha256.BlockSize], message...))
	copy(outer[sha256.BlockSize:], sum[:])
	sum = sha256.Sum256(outer[:])
	return [macSize]byte(sum[:macSize])
}
