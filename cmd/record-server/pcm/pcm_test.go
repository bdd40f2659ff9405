// SPDX-License-Identifier: MIT

package pcm

import (
	"encoding/json"
	"math"
	"testing"
)

func TestDecode(t *testing.T) {
	for _, c := range []struct {
		f    Format
		p    string
		want []float32
	}{
		{Format{Bits: 8}, "\x00\x80\xc0", []float32{-1, 0, 0.5}},
		{Format{Bits: 16}, "\x00\x80\x00\x40\xff", []float32{-1, 0.5}},
		{Format{Bits: 24}, "\x00\x00\x80\x00\x00\x40\xff\xff", []float32{-1, 0.5}},
		{Format{Bits: 32}, "\x00\x00\x00\x80\x00\x00\x00\x40", []float32{-1, 0.5}},
		{Format{Bits: 32, Float: true}, "\x00\x00\x80\xbf\x00\x00\x00\x3f\x00\x00\xc0\x7f", []float32{-1, 0.5, 0}},
	} {
		got := c.f.Decode(nil, []byte(c.p))
		if len(got) != len(c.want) {
			t.Errorf("%s: %v, want %v", c.f.Kind(), got, c.want)
			continue
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%s: %v, want %v", c.f.Kind(), got, c.want)
			}
		}
	}
}

func TestHeaderIsParsedAgain(t *testing.T) {
	for _, f := range []Format{
		{Rate: 8000, Channels: 1, Bits: 8}, {Rate: 16000, Channels: 1, Bits: 16}, {Rate: 44100, Channels: 2, Bits: 24},
		{Rate: 48000, Channels: 8, Bits: 32}, {Rate: 96000, Channels: 3, Bits: 32, Float: true},
	} {
		for _, size := range []int64{0, 1, 1000, math.MaxUint32 - 72, math.MaxUint32, 1 << 40} {
			var h [HeaderSize]byte
			f.Header(&h, size)
			w, ok := Parse(h[:])
			if !ok || w.Format != f || w.Start != HeaderSize || w.Size != f.Whole(size) {
				t.Errorf("%v of %d: %+v %v", f, size, w, ok)
			}
		}
		p, err := json.Marshal(f)
		var again Format
		if err == nil {
			err = json.Unmarshal(p, &again)
		}
		if err != nil || again != f {
			t.Errorf("%s: %v, %v", p, again, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	var h [HeaderSize]byte
	Format{Rate: 16000, Channels: 1, Bits: 16}.Header(&h, 1<<40)
	f.Add(h[:])
	Format{Rate: 16000, Channels: 1, Bits: 16}.Header(&h, 100)
	f.Add(h[:])
	f.Fuzz(func(t *testing.T, p []byte) {
		if w, ok := Parse(p); ok && (w.Format.Check() != nil || w.Start > int64(len(p)) || w.Size < -1) {
			t.Errorf("%+v", w)
		}
	})
}
