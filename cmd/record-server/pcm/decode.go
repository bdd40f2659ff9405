// SPDX-License-Identifier: MIT

package pcm

import (
	"encoding/binary"
	"math"
)

// Decode appends the samples of p to dst, full scale being 1. What is left at
// the end of p of a sample is not looked at.
func (f Format) Decode(dst []float32, p []byte) []float32 {
	le := binary.LittleEndian
	switch {
	case f.Float:
		for ; len(p) >= 4; p = p[4:] {
			x := math.Float32frombits(le.Uint32(p))
			if x != x {
				x = 0 // of bytes that are no sound; NaN would spread
			}
			dst = append(dst, min(max(x, -1e6), 1e6))
		}
	case f.Bits == 8:
		for _, b := range p {
			dst = append(dst, float32(int(b)-128)/(1<<7))
		}
	case f.Bits == 16:
		for ; len(p) >= 2; p = p[2:] {
			dst = append(dst, float32(int16(le.Uint16(p)))/(1<<15))
		}
	case f.Bits == 24:
		for ; len(p) >= 3; p = p[3:] {
			dst = append(dst, float32(int32(uint32(p[0])<<8|uint32(p[1])<<16|uint32(p[2])<<24)>>8)/(1<<23))
		}
	case f.Bits == 32:
		for ; len(p) >= 4; p = p[4:] {
			dst = append(dst, float32(int32(le.Uint32(p)))/(1<<31))
		}
	}
	return dst
}
