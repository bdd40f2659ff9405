// SPDX-License-Identifier: MIT

package stream

import (
	"bytes"
	"encoding/binary"
	"testing"
)

func FuzzMaskCopyMasks(f *testing.F) {
	f.Add([]byte("hello, world; a piece longer than one word of any size"), uint32(0x12345678))
	f.Fuzz(func(t *testing.T, src []byte, key uint32) {
		dst := make([]byte, len(src))
		maskCopy(dst, src, key)
		var k [4]byte
		binary.LittleEndian.PutUint32(k[:], key)
		for i := range src {
			if dst[i] != src[i]^k[i%4] { // RFC 6455 section 5.3
				t.Fatalf("byte %d is %#x", i, dst[i])
			}
		}
	})
}

// parseFrame reads one masked frame as a server does.
func parseFrame(t testing.TB, p []byte) (opcode byte, payload, rest []byte) {
	t.Helper()
	n, at := int(p[1]&0x7F), 2
	switch n {
	case 126:
		n, at = int(binary.BigEndian.Uint16(p[2:])), 4
	case 127:
		n, at = int(binary.BigEndian.Uint64(p[2:])), 10
	}
	if p[0]&0xF0 != finBit || p[1]&maskBit == 0 {
		t.Fatalf("frame begins % x", p[:2])
	}
	key := p[at : at+4]
	payload = make([]byte, n)
	for i := range payload {
		payload[i] = p[at+4+i] ^ key[i%4]
	}
	return p[0] & 0x0F, payload, p[at+4+n:]
}

func TestAFrameIsWhatTheRFCSays(t *testing.T) {
	data := make([]byte, 70000)
	for i := range data {
		data[i] = byte(i * 7)
	}
	for _, size := range []int{0, 1, 3, 4, 5, 31, 32, 33, 125, 126, 127, 65535, 65536, 70000} {
		for _, cut := range []int{0, 1, 2, 3, size / 2, size} {
			cut = min(cut, size)
			buf := make([]byte, 0, maxHeader+size)
			buf = appendFrame(buf, finBit|opBinary, 0xA1B2C3D4, data[:cut], data[cut:size])
			opcode, payload, rest := parseFrame(t, buf)
			if opcode != opBinary || !bytes.Equal(payload, data[:size]) || len(rest) != 0 {
				t.Fatalf("size %d cut at %d: opcode %d, %d bytes, %d left over", size, cut, opcode, len(payload), len(rest))
			}
		}
	}
}
