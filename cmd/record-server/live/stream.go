// SPDX-License-Identifier: MIT

package live

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"msprecord/cmd/record-server/pcm"
	"msprecord/cmd/record-server/reduce"
)

const (
	// ColumnRate is how many columns a second of sound makes.
	ColumnRate = 50

	levelHistory    = 40 * ColumnRate // columns that are kept
	spectrumHistory = 20 * ColumnRate // of a stream that is watched
	maxPerSecond    = 4 * ColumnRate  // spectra, of a stream faster than real time
	maxShown        = 8               // channels; a stream may have more
	maxHead         = 4096            // bytes in which a stream's own WAV header must end
	rateWindow      = time.Second
)

// State is whether a stream's sender is there.
type State string

// The states of a stream.
const (
	Running State = "live"
	Away    State = "away" // and waited for
	Ended   State = "ended"
)

// Figures is what there is to know of a stream besides its sound.
type Figures struct {
	ID         uint32     `json:"id"`
	Name       string     `json:"name"`
	Peer       string     `json:"peer"`
	State      State      `json:"state"`
	How        string     `json:"how,omitempty"` // it ended, or its connection
	Format     pcm.Format `json:"format"`
	Started    int64      `json:"started"` // milliseconds since 1970
	Ended      int64      `json:"ended"`   // the same; 0 if it has not
	Bytes      int64      `json:"bytes"`   // stored
	Rate       float64    `json:"rate"`    // bytes per second, lately
	Jitter     float64    `json:"jitter"`  // milliseconds, as RFC 3550 counts it
	Quiet      int64      `json:"quiet"`   // milliseconds since something came
	Gaps       int        `json:"gaps"`
	Missing    int64      `json:"missing"` // bytes in the gaps
	Reconnects int64      `json:"reconnects"`
	Resumed    int64      `json:"resumed"` // where it last went on: what was lost on the way was sent again from here
	Clips      []int64    `json:"clips"`   // of each channel: columns that touch full scale
	Origin     Origin     `json:"origin"`
}

// Origin is a place in the file and the column that begins there. From there
// on the format and the file are the same.
type Origin struct {
	Column int64 `json:"column"`
	Frame  int64 `json:"frame"`
}

// Stream is one stream. Its writer is one goroutine at a time.
type Stream struct {
	hub      *Hub
	id       uint32
	watchers atomic.Int32
	over     atomic.Bool

	mu    sync.Mutex
	fig   Figures
	since time.Time // what Rate is taken from
	bytes int64     // since then
	last  time.Time // something came
	ahead time.Duration

	head    []byte // of the stream, while it may be its own WAV header
	started bool   // head is dealt with
	rest    []byte // part of a frame
	samples []float32
	gauges  []reduce.Gauge
	frames  int64 // in this format
	base    int64 // the column that frame 0 is in
	next    int64 // the column that is being filled
	levels  []reduce.Level
	spectra spectra
	taps    []*tap
}

func (s *Stream) name() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fig.Name
}

// Rename says that what comes now is stored under another name.
func (s *Stream) Rename(name string) {
	s.mu.Lock()
	s.fig.Name = name
	s.fig.Origin = Origin{Column: s.next}
	s.mu.Unlock()
	s.hub.changed()
}

// SetFormat says what the samples from now on are.
func (s *Stream) SetFormat(f pcm.Format) {
	s.mu.Lock()
	s.setFormat(f)
	s.mu.Unlock()
	s.hub.changed()
}

func (s *Stream) setFormat(f pcm.Format) {
	s.fig.Format = f
	shown := min(f.Channels, maxShown)
	s.fig.Clips = make([]int64, shown)
	s.gauges = make([]reduce.Gauge, shown)
	s.levels = make([]reduce.Level, levelHistory*shown)
	s.spectra.reset(f.Rate, shown)
	s.rest, s.frames, s.base = s.rest[:0], 0, s.next
	s.fig.Origin = Origin{s.next, s.fig.Bytes / f.Frame()}
	for _, t := range s.taps {
		t.reset(f.Rate, shown)
	}
}

// Write takes what has arrived. It costs no system call and does not wait for
// anyone. A nil Stream takes nothing.
func (s *Stream) Write(p []byte) {
	if s == nil || len(p) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.hub.now()
	s.count(len(p), now)
	if !s.started {
		if p = s.begin(p); p == nil {
			return
		}
	}
	s.sound(p, now)
}

// begin looks for a WAV header of the stream's own, and returns what follows
// it; nil while that is not known.
func (s *Stream) begin(p []byte) []byte {
	if s.fig.Bytes != int64(len(s.head)+len(p)) {
		s.started = true // this is not the beginning of the stream
		return p
	}
	s.head = append(s.head, p...)
	const magic = "RIFF"
	n := min(len(s.head), len(magic))
	if string(s.head[:n]) == magic[:n] {
		w, ok := pcm.Parse(s.head)
		if !ok && len(s.head) < maxHead {
			return nil
		}
		if ok {
			s.setFormat(w.Format)
			s.fig.Origin = Origin{}
			s.head = s.head[w.Start:]
		}
	}
	p, s.head, s.started = s.head, nil, true
	return p
}

// count keeps the figures. Jitter is how much the times between arrivals
// differ from the time that what arrived takes to play.
func (s *Stream) count(n int, now time.Time) {
	s.fig.Bytes += int64(n)
	gap := now.Sub(s.last)
	s.last = now
	if s.ahead > 0 {
		off := gap - s.ahead
		s.fig.Jitter += (float64(off.Abs())/float64(time.Millisecond) - s.fig.Jitter) / 16
	}
	s.ahead = time.Duration(float64(n) / float64(s.fig.Format.ByteRate()) * float64(time.Second))
	s.bytes += int64(n)
	if d := now.Sub(s.since); d >= rateWindow {
		rate := float64(s.bytes) / d.Seconds()
		if s.fig.Rate > 0 {
			rate = s.fig.Rate + (rate-s.fig.Rate)/3 // pieces do not fill windows evenly
		}
		s.fig.Rate, s.since, s.bytes = rate, now, 0
	}
}

func (s *Stream) sound(p []byte, now time.Time) {
	f := s.fig.Format
	s.samples = s.samples[:0]
	if len(s.rest) > 0 {
		n := min(int(f.Frame())-len(s.rest), len(p))
		s.rest = append(s.rest, p[:n]...)
		p = p[n:]
		if int64(len(s.rest)) < f.Frame() {
			return
		}
		s.samples = f.Decode(s.samples, s.rest)
		s.rest = s.rest[:0]
	}
	whole := f.Whole(int64(len(p)))
	s.samples = f.Decode(s.samples, p[:whole])
	s.rest = append(s.rest, p[whole:]...)
	if s.watchers.Load() > 0 {
		s.spectra.refill(now)
	} else {
		s.spectra.drop()
	}
	for x := s.samples; len(x) > 0; x = x[f.Channels:] {
		shown := x[:len(s.gauges)]
		for c, v := range shown {
			s.gauges[c].Add(v)
		}
		s.spectra.add(shown)
		for _, t := range s.taps {
			t.put(shown)
		}
		s.frames++
		if s.frames*ColumnRate >= (s.next-s.base+1)*int64(f.Rate) {
			s.column()
		}
	}
}

// column completes a column.
func (s *Stream) column() {
	at := int(s.next%levelHistory) * len(s.gauges)
	for c := range s.gauges {
		l := s.gauges[c].Take()
		if l.Clipped() {
			s.fig.Clips[c]++
		}
		s.levels[at+c] = l
	}
	s.spectra.column(s.next)
	s.next++
}

// Away says that the sender is gone, perhaps to come back.
func (s *Stream) Away(how string) { s.tell(Away, how) }

// Past is what happened to a stream on the way.
type Past struct {
	Reconnects int64
	Resumed    int64 // offset
	Gaps       int
	Missing    int64
}

// Back says that the sender is there again.
func (s *Stream) Back(peer string, past Past) {
	s.mu.Lock()
	s.fig.Peer = peer
	s.fig.Reconnects, s.fig.Resumed, s.fig.Gaps, s.fig.Missing = past.Reconnects, past.Resumed, past.Gaps, past.Missing
	s.ahead = 0
	s.mu.Unlock()
	s.tell(Running, "")
}

// End says that the stream is over. It is still shown for a while.
func (s *Stream) End(how string) {
	if s.over.Swap(true) {
		return
	}
	s.tell(Ended, how)
	s.hub.ended(s)
}

func (s *Stream) tell(state State, how string) {
	s.mu.Lock()
	s.fig.State, s.fig.How = state, how
	if state == Ended {
		s.fig.Ended = s.hub.now().UnixMilli()
	}
	s.mu.Unlock()
	s.hub.changed()
}

func (s *Stream) figures(now time.Time) Figures {
	s.mu.Lock()
	defer s.mu.Unlock()
	fig := s.fig
	fig.Clips = slices.Clone(fig.Clips)
	if fig.State == Running {
		fig.Quiet = now.Sub(s.last).Milliseconds()
	}
	if d := now.Sub(s.since); d > 2*rateWindow {
		fig.Rate = float64(s.bytes) / d.Seconds() // too little came to tell otherwise
	}
	if fig.State != Running {
		fig.Rate = 0
	}
	return fig
}
