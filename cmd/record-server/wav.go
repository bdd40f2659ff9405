package main

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"
)

// wavHeaderSize is the size of the header of a plain PCM WAV: RIFF, "fmt "
// with its 16 bytes, and the head of "data". Samples follow to the end.
const wavHeaderSize = 44

// format says what the samples of a stream are. The wire carries none of
// this, so it comes from the flags and from the query of the URL.
type format struct {
	rate     int // sample rate in Hz
	channels int
	bits     int // of one sample
}

// check returns an error that begins with the name of the parameter at fault.
func (f format) check() error {
	if f.rate < 1 || f.rate > 768000 {
		return fmt.Errorf("rate %d: must be 1 to 768000 Hz", f.rate)
	}
	if f.channels < 1 || f.channels > 256 {
		return fmt.Errorf("channels %d: must be 1 to 256", f.channels)
	}
	switch f.bits {
	case 8, 16, 24, 32:
		return nil
	}
	return fmt.Errorf("bits %d: must be 8, 16, 24 or 32", f.bits)
}

// withQuery returns f with what the query of a URL says otherwise. Keys that
// are not ours are left alone, however they are written: senders put tokens
// of their own there.
func (f format) withQuery(query string) (format, error) {
	seen := map[string]bool{}
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		key, value, _ := strings.Cut(pair, "=")
		key, err := url.QueryUnescape(key)
		if err != nil {
			continue
		}
		var field *int
		switch key {
		case "rate":
			field = &f.rate
		case "channels":
			field = &f.channels
		case "bits":
			field = &f.bits
		default:
			continue
		}
		if seen[key] {
			return f, fmt.Errorf("%s: given twice", key)
		}
		seen[key] = true
		value, err = url.QueryUnescape(value)
		if err != nil {
			return f, fmt.Errorf("%s: %w", key, err)
		}
		n, err := strconv.ParseUint(value, 10, 31)
		if err != nil {
			return f, fmt.Errorf("%s %q: not a decimal number in range", key, value)
		}
		*field = int(n)
	}
	return f, f.check()
}

// frame is the size of one sample of every channel.
func (f format) frame() int64 { return int64(f.channels * f.bits / 8) }

// whole is size without the part of a frame at its end.
func (f format) whole(size int64) int64 { return size - size%f.frame() }

// header fills h for size bytes of samples. It counts whole frames only, so a
// player never meets half a sample. Past what 32 bits can say both sizes are
// 0xFFFFFFFF, which players take for "to the end of the file".
func (f format) header(h *[wavHeaderSize]byte, size int64) {
	data := f.whole(size)
	riff := wavHeaderSize - 8 + data + data&1 // chunks are padded to even sizes
	if riff > math.MaxUint32 {
		riff, data = math.MaxUint32, math.MaxUint32
	}
	le := binary.LittleEndian
	copy(h[0:], "RIFF")
	le.PutUint32(h[4:], uint32(riff))
	copy(h[8:], "WAVEfmt ")
	le.PutUint32(h[16:], 16)
	le.PutUint16(h[20:], 1) // PCM
	le.PutUint16(h[22:], uint16(f.channels))
	le.PutUint32(h[24:], uint32(f.rate))
	le.PutUint32(h[28:], uint32(int64(f.rate)*f.frame()))
	le.PutUint16(h[32:], uint16(f.frame()))
	le.PutUint16(h[34:], uint16(f.bits))
	copy(h[36:], "data")
	le.PutUint32(h[40:], uint32(data))
}
