// Package fold fits partitions and keys into the indexes of databases, which
// take less than the store contract allows.
//
// A partition is only ever compared for equality, so a long one is cut and ends
// with a hash of all of it. A long key is cut in the same way; then it sorts
// among those with the same beginning by its hash, so its row keeps the whole
// key in front of the value, and readers put such rows in order.
package fold

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
)

// MaxPartition is the longest folded partition, in bytes.
const MaxPartition = 64

const hashBytes = sha256.Size

// Partition is what is stored as the partition.
func Partition(p string) []byte { return cut(p, MaxPartition) }

// cut leaves s alone if it is shorter than what a folded one keeps of its
// beginning. So no two are taken for each other, and one that is short sorts
// against a folded one as it should.
func cut(s string, most int) []byte {
	if !Long(s, most) {
		return append(make([]byte, 0, len(s)), s...)
	}
	hash := sha256.Sum256([]byte(s))
	return append(append(make([]byte, 0, most), Beginning(s, most)...), hash[:]...)
}

// Long says whether a key will be folded.
func Long(key string, most int) bool { return len(key) >= most-hashBytes }

// Beginning is what a folded key keeps of a long one.
func Beginning(key string, most int) string { return key[:most-hashBytes] }

// Key is what is stored as the key, at most so many bytes, and as the value.
// A nil value stays nil.
func Key(key string, value []byte, most int) (folded, stored []byte) {
	folded = cut(key, most)
	if !Long(key, most) || value == nil {
		return folded, value
	}
	stored = binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(key)+len(value)), uint32(len(key)))
	return folded, append(append(stored, key...), value...)
}

// Folded says whether a stored key is a folded one.
func Folded(stored []byte, most int) bool { return len(stored) == most }

// Unfold takes the value of a folded key apart.
func Unfold(stored []byte) (key string, value []byte, err error) {
	if len(stored) < 4 || uint64(len(stored)-4) < uint64(binary.BigEndian.Uint32(stored)) {
		return "", nil, errors.New("store: the row of a long key is damaged")
	}
	n := binary.BigEndian.Uint32(stored)
	return string(stored[4 : 4+n]), stored[4+n:], nil
}
