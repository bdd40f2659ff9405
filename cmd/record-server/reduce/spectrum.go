// SPDX-License-Identifier: MIT

package reduce

import (
	"math"
	"math/bits"
	"math/cmplx"
	"sync"
)

const (
	// MaxRows is the most values that a spectrum has.
	MaxRows = 256
	// FloorDB is the level that a spectrum shows as 0; 255 is a sine at full
	// scale.
	FloorDB = -110
)

// transform holds the tables of a Fourier transform of n points, which are
// never written again.
type transform struct {
	n       int
	window  []float32
	turn    []complex64 // e^(-2πik/n), half a turn
	reverse []int
}

var transforms sync.Map // size to *transform

func newTransform(n int) *transform {
	if t, ok := transforms.Load(n); ok {
		return t.(*transform)
	}
	t := &transform{n: n, window: make([]float32, n), turn: make([]complex64, n/2), reverse: make([]int, n)}
	shift := bits.LeadingZeros64(uint64(n)) + 1
	for i := range n {
		t.window[i] = float32(0.5 - 0.5*math.Cos(2*math.Pi*float64(i)/float64(n)))
		t.reverse[i] = int(bits.Reverse64(uint64(i)) >> shift)
	}
	for k := range t.turn {
		t.turn[k] = complex64(cmplx.Rect(1, -2*math.Pi*float64(k)/float64(n)))
	}
	transforms.Store(n, t)
	return t
}

// run replaces x, which is in reversed order, by its transform.
func (t *transform) run(x []complex64) {
	for size := 2; size <= t.n; size *= 2 {
		half, step := size/2, t.n/size
		for at := 0; at < t.n; at += size {
			for k := range half {
				a, b := x[at+k], x[at+k+half]*t.turn[k*step]
				x[at+k], x[at+k+half] = a+b, a-b
			}
		}
	}
}

// Spectrum turns the last Size samples into Rows values, the lowest
// frequencies first; together they cover 0 to half the sample rate.
type Spectrum struct {
	Size, Rows int
	t          *transform
	work       []complex64
	power      []float32
}

// NewSpectrum returns one that looks at 25 to 50 ms of sound.
func NewSpectrum(rate int) *Spectrum {
	size := 64
	for size < 4096 && size < rate/40 {
		size *= 2
	}
	s := &Spectrum{Size: size, Rows: min(size/2, MaxRows), t: newTransform(size)}
	s.work, s.power = make([]complex64, size), make([]float32, s.Rows)
	return s
}

// Reset forgets what Add has seen.
func (s *Spectrum) Reset() { clear(s.power) }

// Add looks at samples, Size of them. Of several, each row keeps the loudest.
func (s *Spectrum) Add(samples []float32) {
	for i, x := range samples {
		s.work[s.t.reverse[i]] = complex(x*s.t.window[i], 0)
	}
	s.t.run(s.work)
	each := s.Size / 2 / s.Rows
	for r := range s.power {
		for _, x := range s.work[r*each : (r+1)*each] {
			s.power[r] = max(s.power[r], real(x)*real(x)+imag(x)*imag(x))
		}
	}
}

// Take writes Rows values to dst and resets.
func (s *Spectrum) Take(dst []byte) {
	// A sine of amplitude 1 has n/4 in its bin, the window taking half.
	full := 20 * math.Log10(float64(s.Size)/4)
	for r, p := range s.power {
		db := 10*math.Log10(float64(p)+1e-30) - full
		dst[r] = byte(min(max((db-FloorDB)/-FloorDB, 0), 1)*255 + 0.5)
	}
	s.Reset()
}
