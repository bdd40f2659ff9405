// SPDX-License-Identifier: MIT

package pcm

import (
	"encoding/binary"
	"math"
)

// HeaderSize is the size of the headers that this package writes: RIFF, a
// chunk that keeps room for 64-bit sizes, "fmt " with its 16 bytes, and the
// head of "data". Samples follow to the end.
const HeaderSize = 80

const (
	formatPCM        = 1
	formatFloat      = 3
	formatExtensible = 0xfffe
)

// Header fills h for size bytes of samples. It counts whole frames only, so a
// player never meets half a sample. Past what 32 bits can say it is an RF64
// (EBU Tech 3306), with the same size: a file may grow past 4 GiB in place.
func (f Format) Header(h *[HeaderSize]byte, size int64) {
	data := f.Whole(size)
	riff := HeaderSize - 8 + data + data&1 // chunks are padded to even sizes
	le := binary.LittleEndian
	clear(h[:])
	copy(h[8:], "WAVE")
	le.PutUint32(h[16:], 28)
	if riff > math.MaxUint32 {
		copy(h[0:], "RF64")
		copy(h[12:], "ds64")
		le.PutUint64(h[20:], uint64(riff))
		le.PutUint64(h[28:], uint64(data))
		le.PutUint64(h[36:], uint64(data/f.Frame()))
		riff, data = math.MaxUint32, math.MaxUint32
	} else {
		copy(h[0:], "RIFF")
		copy(h[12:], "JUNK")
	}
	le.PutUint32(h[4:], uint32(riff))
	copy(h[48:], "fmt ")
	le.PutUint32(h[52:], 16)
	tag := uint16(formatPCM)
	if f.Float {
		tag = formatFloat
	}
	le.PutUint16(h[56:], tag)
	le.PutUint16(h[58:], uint16(f.Channels))
	le.PutUint32(h[60:], uint32(f.Rate))
	le.PutUint32(h[64:], uint32(f.ByteRate()))
	le.PutUint16(h[68:], uint16(f.Frame()))
	le.PutUint16(h[70:], uint16(f.Bits))
	copy(h[72:], "data")
	le.PutUint32(h[76:], uint32(data))
}

// Info is what a WAV's header says.
type Info struct {
	Format Format
	Start  int64 // where the samples begin in the file
	Size   int64 // of the samples, as the header has it; -1 for "to the end"
}

// Parse reads the header of a WAV from the first bytes of a file, 4 KiB being
// enough for nearly all. It reports false for what is no WAV, or one whose
// samples this package can't read.
func Parse(p []byte) (w Info, ok bool) {
	le := binary.LittleEndian
	if len(p) < 12 || string(p[8:12]) != "WAVE" || string(p[:4]) != "RIFF" && string(p[:4]) != "RF64" {
		return w, false
	}
	var long int64 = -1 // the size that ds64 has
	known := false
	for at := int64(12); at+8 <= int64(len(p)); {
		id, size := string(p[at:at+4]), int64(le.Uint32(p[at+4:]))
		body := p[at+8:]
		switch {
		case id == "ds64" && len(body) >= 16:
			if long = int64(le.Uint64(body[8:])); long < 0 {
				return w, false
			}
		case id == "fmt " && len(body) >= 16 && size >= 16:
			tag := le.Uint16(body)
			if tag == formatExtensible && size >= 40 && len(body) >= 26 {
				tag = le.Uint16(body[24:])
			}
			w.Format = Format{
				Rate: int(le.Uint32(body[4:])), Channels: int(le.Uint16(body[2:])),
				Bits: int(le.Uint16(body[14:])), Float: tag == formatFloat,
			}
			known = (tag == formatPCM || tag == formatFloat) && w.Format.Check() == nil
		case id == "data":
			w.Start, w.Size = at+8, size
			if size == math.MaxUint32 {
				w.Size = long
			}
			return w, known
		}
		at += 8 + size + size&1
	}
	return w, false
}
