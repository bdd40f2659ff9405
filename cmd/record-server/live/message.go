// SPDX-License-Identifier: MIT

package live

import (
	"encoding/binary"
	"math"
)

// What a browser gets in binary messages, little-endian. page/assets/feed.js
// reads it.
//
//	columns   1, id, first column, count<<16|channels, rows     5 × 4 bytes
//	          count × channels × (min, max, RMS)                each 2 bytes
//	          count × channels × rows, padded to 4              each 1 byte
//	sound     2, id, rate, channels, samples                    5 × 4 bytes
//	          samples × float                                   each 4 bytes
//
// A message may have several of them, one behind the other.
const (
	kindColumns = 1
	kindSound   = 2

	maxColumns = 600 // in one message, of one stream
)

// appendColumns appends what is new since column from, and returns where to
// go on.
func (s *Stream) appendColumns(b []byte, from int64) ([]byte, int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from = max(from, s.base, s.next-levelHistory)
	to := min(s.next, from+maxColumns)
	if to <= from {
		return b, from
	}
	channels := len(s.gauges)
	// Those before the spectrogram began go without.
	rows := 0
	if s.spectra.row(from) != nil {
		rows = s.spectra.of.Rows
	} else if s.spectra.began && s.spectra.of != nil {
		to = min(to, max(s.spectra.oldest, from+1))
	}
	le := binary.LittleEndian
	b = le.AppendUint32(b, kindColumns)
	b = le.AppendUint32(b, s.id)
	b = le.AppendUint32(b, uint32(from))
	b = le.AppendUint32(b, uint32(to-from)<<16|uint32(channels))
	b = le.AppendUint32(b, uint32(rows))
	for n := from; n < to; n++ {
		for _, l := range s.levels[int(n%levelHistory)*channels:][:channels] {
			b = le.AppendUint16(b, uint16(l.Min))
			b = le.AppendUint16(b, uint16(l.Max))
			b = le.AppendUint16(b, l.RMS)
		}
	}
	for n := from; n < to && rows > 0; n++ {
		b = append(b, s.spectra.row(n)...)
	}
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b, to
}

const (
	tapTime    = 2       // seconds of sound that wait for a browser that plays it
	maxTapSize = 1 << 19 // samples, of streams with a high rate or many channels
)

// tap collects the samples that one browser plays. Guarded by Stream.mu.
type tap struct {
	rate, channels int
	limit          int
	samples        []float32
}

func (t *tap) reset(rate, channels int) {
	t.rate, t.channels, t.samples = rate, channels, t.samples[:0]
	t.limit = min(rate*tapTime, maxTapSize/channels) * channels
}

// put takes the samples of one moment. Where there is no room it drops the
// older half, so that not each moment moves all.
func (t *tap) put(x []float32) {
	if len(t.samples)+len(x) > t.limit {
		half := t.limit / t.channels / 2 * t.channels
		t.samples = t.samples[:copy(t.samples, t.samples[half:])]
	}
	t.samples = append(t.samples, x...)
}

func (s *Stream) listen() *tap {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := &tap{}
	t.reset(s.fig.Format.Rate, len(s.gauges))
	s.taps = append(s.taps, t)
	return t
}

func (s *Stream) hush(t *tap) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.taps {
		if s.taps[i] == t {
			s.taps = append(s.taps[:i], s.taps[i+1:]...)
			return
		}
	}
}

// appendSound appends what t has collected.
func (s *Stream) appendSound(b []byte, t *tap) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(t.samples) == 0 {
		return b
	}
	le := binary.LittleEndian
	for _, n := range []int{kindSound, int(s.id), t.rate, t.channels, len(t.samples)} {
		b = le.AppendUint32(b, uint32(n))
	}
	for _, x := range t.samples {
		b = le.AppendUint32(b, math.Float32bits(x))
	}
	t.samples = t.samples[:0]
	return b
}
