// SPDX-License-Identifier: MIT

package archive

import (
	"msprecord/cmd/record-server/reduce"
)

const (
	// MaxColumns is the most columns that a view has.
	MaxColumns = 4096
	// MaxShown is the most channels that it shows.
	MaxShown = 8

	// A column of more frames than this is looked at in a few places only, so
	// that a view of hours costs no more than one of minutes.
	maxExact = 16384
	places   = 4
	place    = maxExact / places
)

// View is a stretch of a recording, reduced.
type View struct {
	Columns, Channels, Rows int
	Levels                  []reduce.Level // of each column, its channels
	Spectra                 []byte         // of each column, each channel's rows; empty if not asked for
}

// View reduces frames from a place on to so many columns. What lies outside
// the recording is silent.
func (r *Recording) View(from, count int64, columns int, spectra bool) (*View, error) {
	v := &View{Columns: columns, Channels: min(r.Format.Channels, MaxShown)}
	v.Levels = make([]reduce.Level, 0, columns*v.Channels)
	gauges := make([]reduce.Gauge, v.Channels)
	var look *looker
	if spectra {
		look = newLooker(r, v.Channels)
		v.Rows = look.of.Rows
		v.Spectra = make([]byte, columns*v.Channels*v.Rows)
	}
	var samples []float32
	for n := range int64(columns) {
		// Of 62 bits at most, by what callers may ask for.
		a, b := from+count*n/int64(columns), from+count*(n+1)/int64(columns)
		b = max(b, a+1)
		var err error
		if b-a <= maxExact {
			samples, err = r.gauge(samples, gauges, a, b)
		} else {
			for i := int64(0); i < places && err == nil; i++ {
				at := a + (b-a-place)*i/(places-1)
				samples, err = r.gauge(samples, gauges, at, at+place)
			}
		}
		if err == nil && look != nil {
			to := v.Spectra[int(n)*v.Channels*v.Rows:][:v.Channels*v.Rows]
			err = look.column(to, a, b)
		}
		if err != nil {
			return nil, err
		}
		for c := range gauges {
			v.Levels = append(v.Levels, gauges[c].Take())
		}
	}
	return v, nil
}

// gauge adds the frames from a to before b. It returns samples for the next
// call to use again.
func (r *Recording) gauge(samples []float32, gauges []reduce.Gauge, a, b int64) ([]float32, error) {
	a, b = max(a, 0), min(b, r.Frames())
	if b <= a {
		return samples, nil
	}
	samples, err := r.Samples(samples[:0], a, b-a)
	for x := samples; len(x) > 0; x = x[r.Format.Channels:] {
		for c := range gauges {
			gauges[c].Add(x[c])
		}
	}
	return samples, err
}

// looker makes the spectra of columns.
type looker struct {
	r       *Recording
	of      *reduce.Spectrum
	samples []float32
	one     [][]float32 // of each channel
}

func newLooker(r *Recording, channels int) *looker {
	l := &looker{r: r, of: reduce.NewSpectrum(r.Format.Rate)}
	for range channels {
		l.one = append(l.one, make([]float32, l.of.Size))
	}
	return l
}

// column looks at the middle of frames a to b, or at a few places of many.
func (l *looker) column(to []byte, a, b int64) error {
	size := int64(l.of.Size)
	looks := min(max((b-a)/(4*size), 1), places)
	sums := make([][]byte, looks)
	for i := range looks {
		at := a + (b-a)*(2*i+1)/(2*looks) - size/2
		if err := l.fill(at); err != nil {
			return err
		}
		sums[i] = make([]byte, len(l.one)*l.of.Rows)
		for c := range l.one {
			l.of.Add(l.one[c])
			l.of.Take(sums[i][c*l.of.Rows:][:l.of.Rows])
		}
	}
	for _, s := range sums {
		for i, x := range s {
			to[i] = max(to[i], x)
		}
	}
	return nil
}

// fill takes Size frames from at on, with silence where there are none.
func (l *looker) fill(at int64) error {
	for c := range l.one {
		clear(l.one[c])
	}
	a, b := max(at, 0), min(at+int64(l.of.Size), l.r.Frames())
	if b <= a {
		return nil
	}
	var err error
	l.samples, err = l.r.Samples(l.samples[:0], a, b-a)
	for i, x := int(a-at), l.samples; len(x) > 0; i, x = i+1, x[l.r.Format.Channels:] {
		for c := range l.one {
			l.one[c][i] = x[c]
		}
	}
	return err
}
