// SPDX-License-Identifier: MIT

package stream

import (
	crand "crypto/rand"
	"encoding/binary"
	"math/rand/v2"
)

// Opcodes of RFC 6455 section 11.8 that a client of ours sends.
const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xA

	finBit  = 0x80 // section 5.2: the last frame of a message
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

// A wire is how a chunk becomes a message.
type wire struct {
	mask masker
	// mux: NAME and a zero byte, before each chunk. Such a message goes in
	// three frames, because the servers of this wire store only what ends in a
	// continuation frame. Empty in raw: the chunk is the message, in one frame.
	lead []byte
}

// room is how many bytes a message with a chunk of n bytes takes at most.
func (w *wire) room(n int) int {
	if len(w.lead) == 0 {
		return maxHeader + n
	}
	return 3*maxHeader + len(w.lead) + n
}

// appendMessage appends the message whose chunk is a, then b. The room must be
// there.
func (w *wire) appendMessage(buf []byte, a, b []byte) []byte {
	if len(w.lead) == 0 {
		return appendFrame(buf, finBit|opBinary, w.mask.key(), a, b)
	}
	rest := [3][]byte{w.lead, a, b}
	third := (len(w.lead) + len(a) + len(b)) / 3
	for _, first := range [...]byte{opBinary, opContinuation} {
		p := take(&rest, third)
		buf = appendFrame(buf, first, w.mask.key(), p[0], p[1], p[2])
	}
	return appendFrame(buf, finBit|opContinuation, w.mask.key(), rest[0], rest[1], rest[2])
}

// appendText appends a text message. The room must be there.
func (w *wire) appendText(buf, text []byte) []byte {
	return appendFrame(buf, finBit|opText, w.mask.key(), text)
}

// take cuts the first n bytes off spans.
func take(spans *[3][]byte, n int) (cut [3][]byte) {
	for i := range spans {
		m := min(n, len(spans[i]))
		cut[i], spans[i] = spans[i][:m], spans[i][m:]
		n -= m
	}
	return cut
}

// appendFrame appends one frame with the payload of parts, masked while it is
// copied. first is its first byte. The room must be there: maxHeader and the
// payload.
func appendFrame(buf []byte, first byte, key uint32, parts ...[]byte) []byte {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	switch {
	case n < 126:
		buf = append(buf, first, maskBit|byte(n))
	case n <= 0xFFFF:
		buf = append(buf, first, maskBit|126, byte(n>>8), byte(n))
	default:
		buf = append(buf, first, maskBit|127)
		buf = binary.BigEndian.AppendUint64(buf, uint64(n))
	}
	buf = binary.LittleEndian.AppendUint32(buf, key)
	at := len(buf)
	buf = buf[:at+n]
	for _, p := range parts {
		maskCopy(buf[at:], p, key)
		at += len(p)
		// The key goes on where this part left it.
		turn := uint(len(p)%4) * 8
		key = key>>turn | key<<(32-turn)
	}
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

// headSize is how long a frame's head is, without a key, by its second byte.
func headSize(second byte) int {
	switch second &^ maskBit {
	case 126:
		return 4
	case 127:
		return 10
	}
	return 2
}

// payloadSize is how long the payload behind a whole head is.
func payloadSize(head []byte) uint64 {
	switch n := head[1] &^ maskBit; n {
	case 126:
		return uint64(binary.BigEndian.Uint16(head[2:]))
	case 127:
		return binary.BigEndian.Uint64(head[2:])
	default:
		return uint64(n)
	}
}

// appendPayload appends what the frames of a message that appendMessage made
// carry, unmasked.
func appendPayload(buf, frames []byte) []byte {
	for len(frames) > 0 {
		at, n := headSize(frames[1]), int(payloadSize(frames))
		key := binary.LittleEndian.Uint32(frames[at:])
		masked := frames[at+4 : at+4+n]
		to := len(buf)
		buf = append(buf, masked...)
		maskCopy(buf[to:], masked, key)
		frames = frames[at+4+n:]
	}
	return buf
}
