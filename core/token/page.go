package token

import (
	"github.com/cespare/xxhash/v2"
	"google.golang.org/protobuf/encoding/protowire"

	"perdure/core/port"
	"perdure/core/validate"
)

// Fields of a page token; the check sum is the last.
const (
	pageRun     = 1
	pageNext    = 2
	pageLast    = 3
	pageRunning = 4
	pageReverse = 5
	pageSum     = 15

	sumTail = 1 + 4
)

// AppendPage appends the encoded token.
func AppendPage(dst []byte, p *port.PageToken) []byte {
	start := len(dst)
	dst = appendText(dst, pageRun, p.RunID)
	dst = appendNumber(dst, pageNext, uint64(p.NextEventID))
	dst = appendNumber(dst, pageLast, uint64(p.LastEventID))
	dst = appendNumber(dst, pageRunning, bit(p.Running))
	dst = appendNumber(dst, pageReverse, bit(p.Reverse))
	sum := uint32(xxhash.Sum64(dst[start:]))
	dst = protowire.AppendTag(dst, pageSum, protowire.Fixed32Type)
	return protowire.AppendFixed32(dst, sum)
}

// DecodePage reads a token of the given direction. It accepts what makes sense
// as a place in a history; whether that place exists is the reader's to see.
func DecodePage(b []byte, reverse bool) (*port.PageToken, bool) {
	n := len(b) - sumTail
	if n <= 0 || b[n] != pageSum<<3|byte(protowire.Fixed32Type) {
		return nil, false
	}
	if sum, _ := protowire.ConsumeFixed32(b[n+1:]); sum != uint32(xxhash.Sum64(b[:n])) {
		return nil, false
	}
	p := &port.PageToken{}
	ok := eachField(string(b[:n]), func(num protowire.Number, value uint64, s string) bool {
		switch num {
		case pageRun:
			p.RunID = own(s)
		case pageNext:
			p.NextEventID = int64(value)
		case pageLast:
			p.LastEventID = int64(value)
		case pageRunning:
			p.Running = value != 0
		case pageReverse:
			p.Reverse = value != 0
		}
		return true
	})
	return p, ok && p.Reverse == reverse && validate.UUID(p.RunID) && p.NextEventID > 0 && p.LastEventID >= 0
}

func bit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}
