// SPDX-License-Identifier: MIT

package live

import (
	"time"

	"msprecord/cmd/record-server/reduce"
)

// spectra is the spectrogram of a stream, which costs more than all the rest:
// it is kept only while someone watches, and no faster than maxPerSecond.
type spectra struct {
	rate, channels int
	of             *reduce.Spectrum // nil while no one watches
	recent         [][]float32      // of each channel, twice over: the last Size samples lie in a row
	at             int
	columns        []byte
	oldest         int64 // column that is kept
	began          bool
	budget         int
	filled         time.Time
}

func (s *spectra) reset(rate, channels int) {
	s.rate, s.channels = rate, channels
	s.drop()
}

func (s *spectra) drop() { s.of, s.recent, s.columns = nil, nil, nil }

// refill is called when something has come and someone watches.
func (s *spectra) refill(now time.Time) {
	if s.of == nil {
		s.of = reduce.NewSpectrum(s.rate)
		s.recent = make([][]float32, s.channels)
		for c := range s.recent {
			s.recent[c] = make([]float32, 2*s.of.Size)
		}
		s.columns = make([]byte, spectrumHistory*s.channels*s.of.Rows)
		s.at, s.began = 0, false
	}
	if now.Sub(s.filled) >= time.Second {
		s.budget, s.filled = maxPerSecond, now
	}
}

func (s *spectra) add(x []float32) {
	if s.of == nil {
		return
	}
	for c, v := range x {
		s.recent[c][s.at], s.recent[c][s.at+s.of.Size] = v, v
	}
	s.at = (s.at + 1) % s.of.Size
}

func (s *spectra) column(n int64) {
	if s.of == nil {
		return
	}
	if !s.began {
		s.began, s.oldest = true, n
	}
	s.oldest = max(s.oldest, n+1-spectrumHistory)
	size := s.channels * s.of.Rows
	to := s.columns[int(n%spectrumHistory)*size:][:size]
	if s.budget == 0 {
		clear(to)
		return
	}
	s.budget--
	for c := range s.channels {
		s.of.Add(s.recent[c][s.at:][:s.of.Size])
		s.of.Take(to[c*s.of.Rows:][:s.of.Rows])
	}
}

// row returns a column, nil if it is not kept.
func (s *spectra) row(n int64) []byte {
	if s.of == nil || !s.began || n < s.oldest {
		return nil
	}
	size := s.channels * s.of.Rows
	return s.columns[int(n%spectrumHistory)*size:][:size]
}
