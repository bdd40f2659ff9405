// SPDX-License-Identifier: MIT

package stream

import (
	crand "crypto/rand"
	"encoding/binary"
	"math/rand/v2"
)

// Opcodes of RFC 6455 section 11.8 that a client of ours sends.
const (
	opText   = 0x1
	opBinary = 0x2
	opClose  = 0x8
	opPing   = 0x9
	opPong   = 0xA

	finBit  = 0x80 // section 5.2: the last, here the only, frame of a message
	maskBit = 0x80 // section 5.3: a client masks every frame

	maxHeader = 14 // 2, 8 for the length, 4 for the key
)

// A masker makes the unpredictable keys that section 5.3 asks for, without a
// system call for each.
type masker struct{ chacha *rand.ChaCha8 }

func newMasker() (masker, error) {
	var seed [32]byte
	if _, err := crand.Read(seed[:]); err != nil {
		return masker{}, err
	}
	return masker{rand.NewChaCha8(seed)}, nil
}

func (m masker) key() uint32 { return uint32(m.chacha.Uint64()) }

// appendFrame appends one whole frame with the payload a then b, masked while
// it is copied. The room must be there: maxHeader and the payload.
func appendFrame(buf []byte, opcode byte, key uint32, a, b []byte) []byte {
	n := len(a) + len(b)
	switch {
	case n < 126:
		buf = append(buf, finBit|opcode, maskBit|byte(n))
	case n <= 0xFFFF:
		buf = append(buf, finBit|opcode, maskBit|126, byte(n>>8), byte(n))
	default:
		buf = append(buf, finBit|opcode, maskBit|127)
		buf = binary.BigEndian.AppendUint64(buf, uint64(n))
	}
	buf = binary.LittleEndian.AppendUint32(buf, key)
	at := len(buf)
	buf = buf[:at+n]
	maskCopy(buf[at:], a, key)
	// The key goes on where a left it.
	turn := uint(len(a)%4) * 8
	maskCopy(buf[at+len(a):], b, key>>turn|key<<(32-turn))
	return buf
}

// maskCopy copies src to dst, XORed with the key's bytes in turn, the least
// significant first.
func maskCopy(dst, src []byte, key uint32) {
	dst = dst[:len(src)]
	wide := uint64(key)<<32 | uint64(key)
	for len(src) >= 32 && len(dst) >= 32 {
		binary.LittleEndian.PutUint64(dst[0:8], binary.LittleEndian.Uint64(src[0:8])^wide)
		binary.LittleEndian.PutUint64(dst[8:16], binary.LittleEndian.Uint64(src[8:16])^wide)
		binary.LittleEndian.PutUint64(dst[16:24], binary.LittleEndian.Uint64(src[16:24])^wide)
		binary.LittleEndian.PutUint64(dst[24:32], binary.LittleEndian.Uint64(src[24:32])^wide)
		dst, src = dst[32:], src[32:]
	}
	for i := range src {
		dst[i] = src[i] ^ byte(key>>(i%4*8))
	}
}

// frameKey reads back a frame that appendFrame made: its key and its payload,
// still masked.
func frameKey(frame []byte) (key uint32, masked []byte) {
	at := 2
	switch frame[1] &^ maskBit {
	case 126:
		at = 4
	case 127:
		at = 10
	}
	return binary.LittleEndian.Uint32(frame[at:]), frame[at+4:]
}
