package token

import "testing"

// FuzzTaskBody: what a token says is read before its signature is checked.
func FuzzTaskBody(f *testing.F) {
	b := AppendTask(nil, keys, sample())
	f.Add(b[:len(b)-macTail])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, body []byte) {
		k, id, ok := decodeTask(body)
		again, sameID, sameOK := decodeTask(body)
		if ok != sameOK || ok && (*k != *again || id != sameID) {
			t.Fatalf("%+v and %+v", k, again)
		}
	})
}
