// SPDX-License-Identifier: MIT

// Package reduce makes little of much sound: for each column of a picture the
// range and level of what it covers, and its spectrum.
package reduce

import "math"

// Level is what one column shows of one channel. Full scale is 32767.
type Level struct {
	Min, Max int16
	RMS      uint16
}

// Clipped tells whether the column touches full scale.
func (l Level) Clipped() bool { return l.Min <= -math.MaxInt16 || l.Max >= math.MaxInt16 }

// Gauge gathers the level of one channel.
type Gauge struct {
	min, max float32
	squares  float64
	n        int
}

// Add takes one sample.
func (g *Gauge) Add(x float32) {
	if g.n == 0 {
		g.min, g.max = x, x
	}
	g.min, g.max = min(g.min, x), max(g.max, x)
	g.squares += float64(x) * float64(x)
	g.n++
}

// Take returns the level of what was added since the last Take.
func (g *Gauge) Take() Level {
	if g.n == 0 {
		return Level{}
	}
	l := Level{
		Min: int16(scale(float64(g.min))),
		Max: int16(scale(float64(g.max))),
		RMS: uint16(scale(math.Sqrt(g.squares / float64(g.n)))),
	}
	*g = Gauge{}
	return l
}

// scale takes 1-1/32768 for full scale, since that is the highest sample that
// 16 bits have: a sine at full scale is to show as clipped both ways.
func scale(x float64) float64 {
	return min(max(math.Round(x*(math.MaxInt16+1)), -math.MaxInt16-1), math.MaxInt16)
}
