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
func (l Level) Clipped() bool { return l.Min <= -math.MaxInt16 || l.Max == math.MaxInt16 }

// Gauge gathers the level of one channel.
type Gauge struct {
	min, max float32
	squares  float64
	n        int
}

// Add takes every step-th sample, from the first on.
func (g *Gauge) Add(samples []float32, step int) {
	if len(samples) == 0 {
		return
	}
	if g.n == 0 {
		g.min, g.max = samples[0], samples[0]
	}
	low, high, squares := g.min, g.max, float32(0)
	for i := 0; i < len(samples); i += step {
		x := samples[i]
		if x < low {
			low = x
		}
		if x > high {
			high = x
		}
		squares += x * x
		g.n++
	}
	g.min, g.max = low, high
	g.squares += float64(squares)
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
