package token

import (
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

func appendText(dst []byte, num protowire.Number, s string) []byte {
	if s == "" {
		return dst
	}
	return protowire.AppendString(protowire.AppendTag(dst, num, protowire.BytesType), s)
}

func appendNumber(dst []byte, num protowire.Number, v uint64) []byte {
	if v == 0 {
		return dst
	}
	return protowire.AppendVarint(protowire.AppendTag(dst, num, protowire.VarintType), v)
}

func appendFixed(dst []byte, num protowire.Number, v uint64) []byte {
	if v == 0 {
		return dst
	}
	return protowire.AppendFixed64(protowire.AppendTag(dst, num, protowire.Fixed64Type), v)
}

// eachField hands each field to f: numbers as value, bytes as s (a part of
// the text). It stops and says false at the first field that is cut or malformed, or that f refuses.
func eachField(text string, f func(num protowire.Number, value uint64, s string) bool) bool {
	var number [10]byte
	for len(text) > 0 {
		tag, n := varint(text, &number)
		if n < 0 {
			return false
		}
		text = text[n:]
		num, kind := protowire.DecodeTag(tag)
		if num < protowire.MinValidNumber {
			return false
		}
		var value uint64
		var s string
		switch kind {
		case protowire.VarintType:
			value, n = varint(text, &number)
		case protowire.Fixed64Type:
			value, n = fixed(text, 8)
		case protowire.Fixed32Type:
			value, n = fixed(text, 4)
		case protowire.BytesType:
			value, n = varint(text, &number)
			if n < 0 || value > uint64(len(text)-n) {
				return false
			}
			s, n, value = text[n:n+int(value)], n+int(value), 0
		default:
			return false
		}
		if n < 0 || !f(num, value, s) {
			return false
		}
		text = text[n:]
	}
	return true
}

func varint(text string, room *[10]byte) (uint64, int) {
	return protowire.ConsumeVarint(room[:copy(room[:], text)])
}

func fixed(text string, size int) (v uint64, n int) {
	if len(text) < size {
		return 0, -1
	}
	for i := size - 1; i >= 0; i-- {
		v = v<<8 | uint64(text[i])
	}
	return v, size
}

// own is a copy of s that does not keep the text alive that s was a part of.
func own(s string) string { return strings.Clone(s) }
