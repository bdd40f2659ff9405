// SPDX-License-Identifier: MIT

package reduce

import (
	"math"
	"testing"
)

func sine(n int, amplitude, frequency float64, rate int) []float32 {
	p := make([]float32, n)
	for i := range p {
		p[i] = float32(amplitude * math.Sin(2*math.Pi*frequency*float64(i)/float64(rate)))
	}
	return p
}

func TestATonePeaksInItsRowAtItsLevel(t *testing.T) {
	for _, rate := range []int{8000, 16000, 44100, 48000, 192000} {
		s := NewSpectrum(rate)
		width := float64(rate) / 2 / float64(s.Rows) // Hz in a row
		for _, share := range []float64{0.05, 0.21, 0.5, 0.9} {
			for _, level := range []float64{0, -20, -60} {
				f := share * float64(rate) / 2
				s.Add(sine(s.Size, math.Pow(10, level/20), f, rate))
				rows := make([]byte, s.Rows)
				s.Take(rows)
				top := 0
				for r := range rows {
					if rows[r] > rows[top] {
						top = r
					}
				}
				if at := (float64(top) + 0.5) * width; math.Abs(at-f) > width*1.5 {
					t.Errorf("%d Hz: a tone of %.0f Hz shows at %.0f", rate, f, at)
				}
				// Between two bins a window loses up to 1.4 dB.
				if got := FloorDB * (1 - float64(rows[top])/255); got > level+0.5 || got < level-2 {
					t.Errorf("%d Hz, %.0f Hz: %.1f dB shows as %.1f", rate, f, level, got)
				}
			}
		}
	}
}

func TestSilenceIsZero(t *testing.T) {
	s := NewSpectrum(16000)
	s.Add(make([]float32, s.Size))
	rows := make([]byte, s.Rows)
	s.Take(rows)
	for r, v := range rows {
		if v != 0 {
			t.Fatalf("row %d is %d", r, v)
		}
	}
}

func TestLevels(t *testing.T) {
	var g Gauge
	for _, x := range sine(16000, 0.5, 440, 16000) {
		g.Add(x)
	}
	if l := g.Take(); l.Max != 16384 || l.Min != -16384 || l.RMS != 11585 || l.Clipped() {
		t.Errorf("a sine of half the scale: %+v", l)
	}
	for _, x := range []float32{1, -1, 3, -3, 32767.0 / 32768} {
		g.Add(x)
		if l := g.Take(); !l.Clipped() {
			t.Errorf("%v does not clip: %+v", x, l)
		}
	}
	if l := g.Take(); l != (Level{}) {
		t.Errorf("nothing was added: %+v", l)
	}
}

func BenchmarkSpectrum(b *testing.B) {
	s := NewSpectrum(16000)
	p := sine(s.Size, 0.5, 440, 16000)
	rows := make([]byte, s.Rows)
	for b.Loop() {
		s.Add(p)
		s.Take(rows)
	}
}
