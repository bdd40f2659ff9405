// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

const (
	redraw     = 250 * time.Millisecond // between two live updates of a terminal
	rateWindow = time.Second            // over which the rate of a live line is taken
	maxPending = 4096                   // lines kept while the output is stuck
	maxRecent  = 50                     // ended streams that the page lists
	maxGaps    = 3                      // of a stream that its line lists one by one
)

// row is a live stream with what its rate is taken from.
type row struct {
	st    *stream
	since time.Time
	bytes int64 // at since
	rate  float64
	away  string // how its last connection ended, while its sender may come back
	told  bool   // that it is away
}

// status tells the terminal what happens: a line for every stream, kept up to
// date in place where out is a terminal, and written at its start and end
// where it is not. Streams hand over what they have to say and never wait for
// the output: a terminal held with ^S must not hold a recording.
type status struct {
	out  io.Writer
	now  func() time.Time
	rows func() int // height of the terminal; 0 where out is none
	json bool       // lines are for machines

	wake chan struct{}

	mu      sync.Mutex
	live    []*row
	pending []string // lines to be written, then left alone
	dropped int      // lines that pending had no room for
	recent  []string
	streams int
	bytes   int64
	broken  int // streams that did not end with a close handshake
	refused int64
	again   int64 // connections that went on with a line
	gaps    int64
	missing int64 // in the gaps
	drawn   int   // live lines on the terminal, below which the cursor is
}

func newStatus(out io.Writer, now func() time.Time, rows func() int) *status {
	return &status{out: out, now: now, rows: rows, wake: make(chan struct{}, 1)}
}

// run writes until stop is closed, and what there is to write then.
func (s *status) run(stop <-chan struct{}) {
	tick := time.NewTicker(redraw)
	defer tick.Stop()
	for {
		var ticks <-chan time.Time
		if s.animated() {
			ticks = tick.C
		}
		select {
		case <-stop:
			s.draw()
			return
		case <-s.wake:
		case <-ticks:
		}
		s.draw()
	}
}

func (s *status) animated() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.live) > 0 && s.rows() > 0
}

// draw does not hold the lock while it writes. A reader that has gone away is
// no reason to stop recording, so errors are of no interest.
func (s *status) draw() {
	if p := s.frame(); len(p) > 0 {
		s.out.Write(p)
	}
}

func (s *status) kick() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// say queues a line.
func (s *status) say(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	s.mu.Lock()
	s.emit(event{Event: "message", Text: text}, text)
	s.mu.Unlock()
	s.kick()
}

// listening is the first line.
func (s *status) listening(url, dir string) {
	s.mu.Lock()
	s.emit(event{Event: "listening", URL: url, Dir: dir}, fmt.Sprintf("listening on %s storing in %s", url, dir))
	s.mu.Unlock()
	s.kick()
}

// refuse is say for a request that is not taken.
func (s *status) refuse(format string, args ...any) {
	s.mu.Lock()
	s.refused++
	s.mu.Unlock()
	s.say(format, args...)
}

func (s *status) queue(line string) {
	if len(s.pending) >= maxPending {
		s.dropped++
		return
	}
	s.pending = append(s.pending, line)
}

// Write takes the log of net/http, whose lines may quote a peer.
func (s *status) Write(p []byte) (int, error) {
	s.say("%s", printable(string(bytes.TrimSpace(p))))
	return len(p), nil
}

// started adds a stream.
func (s *status) started(st *stream) {
	s.mu.Lock()
	s.streams++
	s.live = append(s.live, &row{st: st, since: st.start, bytes: st.base})
	if s.rows() == 0 {
		verb, e := "started", about("started", st)
		if st.reconnects > 0 {
			verb, e.Event = fmt.Sprintf("resumed at %d bytes", st.base), "resumed"
		}
		s.emit(e, fmt.Sprintf("%s  %s, from %s%s", st.name, verb, st.peer, notes(st)))
	}
	s.mu.Unlock()
	s.kick()
}

// resumed goes on with the line of old for st.
func (s *status) resumed(old, st *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.again++
	r := s.row(old)
	if r == nil {
		return
	}
	// Of a sender that was not missed there is nothing to tell.
	if r.told {
		s.emit(about("resumed", st), fmt.Sprintf("%s  back, from %s, at %d bytes", st.name, st.peer, st.bytes.Load()))
		s.kick()
	}
	r.st, r.away, r.told = st, "", false
}

// moved says that a stream goes on in another file.
func (s *status) moved(st *stream, from, to string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := about("moved", st)
	e.Name, e.Asked = to, from
	s.emit(e, fmt.Sprintf("%s  full, goes on in %s", from, to))
	s.kick()
}

// away says that the sender of st is gone, perhaps to come back. Where there
// is no live line to show it, it gets one of its own; not if it is replaced,
// which is to say that it is back.
func (s *status) away(st *stream, how string, replaced bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.row(st)
	if r == nil {
		return
	}
	r.away = how
	if replaced || s.rows() > 0 || r.told {
		return
	}
	r.told = true
	e := about("away", st)
	e.How = how
	s.emit(e, fmt.Sprintf("%s  away, %s; at %d bytes, waiting for it to come back", st.name, how, st.bytes.Load()))
	s.kick()
}

func (s *status) row(st *stream) *row {
	for _, r := range s.live {
		if r.st == st {
			return r
		}
	}
	return nil
}

// gap counts n bytes that a sender could not keep.
func (s *status) gap(n int64) {
	s.mu.Lock()
	s.gaps++
	s.missing += n
	s.mu.Unlock()
}

// ended removes a stream; how says in a few words how it ended, and ok that
// this was a close handshake.
func (s *status) ended(st *stream, how string, ok bool) {
	s.mu.Lock()
	for i, r := range s.live {
		if r.st == st {
			s.live = append(s.live[:i], s.live[i+1:]...)
			break
		}
	}
	n, d := st.bytes.Load(), s.now().Sub(st.start)
	s.bytes += n - st.base
	if !ok {
		s.broken++
	}
	line := streamLine(st.name, n, perSecond(n-st.base, d), d, how+notes(st))
	e := about("ended", st)
	e.How, e.Whole, e.Seconds = how, &ok, d.Seconds()
	s.emit(e, line)
	if len(s.recent) == maxRecent {
		s.recent = append(s.recent[:0], s.recent[1:]...)
	}
	s.recent = append(s.recent, line)
	s.mu.Unlock()
	s.kick()
}

// frame returns what is to be written now: the queued lines, and on a
// terminal the live block over its former self.
func (s *status) frame() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	lines := s.pending
	if s.dropped > 0 {
		lines = append(lines, fmt.Sprintf("(%d lines not shown: the output was stuck)", s.dropped))
	}
	s.pending, s.dropped = nil, 0

	var b bytes.Buffer
	rows := s.rows()
	if rows == 0 {
		for _, l := range lines {
			b.WriteString(l + "\n")
		}
		return b.Bytes()
	}
	block := s.block(rows)
	if len(lines)+len(block)+s.drawn == 0 {
		return nil
	}
	// Long lines are cut by the terminal, not wrapped: a wrapped line would
	// put the cursor lower than we count.
	if s.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", s.drawn)
	}
	b.WriteString("\r\x1b[J")
	for _, l := range lines {
		b.WriteString(l + "\n")
	}
	if len(block) > 0 {
		b.WriteString("\x1b[?7l")
		for _, l := range block {
			b.WriteString(l + "\n")
		}
		b.WriteString("\x1b[?7h")
	}
	s.drawn = len(block)
	return b.Bytes()
}

// block is the live lines that a terminal of so many rows has room for.
func (s *status) block(rows int) []string {
	room := max(rows-1, 1)
	show := len(s.live)
	if show > room {
		show = room - 1
	}
	now := s.now()
	var block []string
	for i, r := range s.live {
		n := r.st.bytes.Load()
		if d := now.Sub(r.since); d >= rateWindow {
			r.rate, r.since, r.bytes = perSecond(n-r.bytes, d), now, n
		}
		if r.since.Equal(r.st.start) {
			r.rate = perSecond(n-r.bytes, now.Sub(r.since)) // no window is full yet
		}
		if i < show {
			block = append(block, streamLine(r.st.name, n, r.rate, now.Sub(r.st.start), r.state()+notes(r.st)))
		}
	}
	if rest := len(s.live) - show; rest > 0 {
		block = append(block, fmt.Sprintf("… and %d more", rest))
	}
	return block
}

// summary queues the last line.
func (s *status) summary() {
	s.mu.Lock()
	line := fmt.Sprintf("%s, %d bytes", count(int64(s.streams), "stream"), s.bytes)
	if s.gaps > 0 {
		line += fmt.Sprintf(", %s of %d bytes", count(s.gaps, "gap"), s.missing)
	}
	if s.broken > 0 {
		line += fmt.Sprintf(" (%d lost or failed)", s.broken)
	}
	bytes, whole := s.bytes, s.broken == 0
	s.emit(event{Event: "summary", Bytes: &bytes, Gaps: int(s.gaps), Missing: s.missing, Whole: &whole, Text: line}, line)
	s.mu.Unlock()
	s.kick()
}

// totals is what there is to count.
type totals struct {
	live, away, streams, bytes, reconnects, gaps, missing, broken, refused int64
}

func (s *status) totals() totals {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := totals{
		streams: int64(s.streams), bytes: s.bytes, reconnects: s.again, gaps: s.gaps,
		missing: s.missing, broken: int64(s.broken), refused: s.refused,
	}
	for _, r := range s.live {
		t.bytes += r.st.bytes.Load() - r.st.base
		if r.away != "" {
			t.away++
		} else {
			t.live++
		}
	}
	return t
}

// page writes the streams as text: live ones, then the last that ended.
func (s *status) page(w io.Writer) {
	s.mu.Lock()
	var b strings.Builder
	now := s.now()
	for _, r := range s.live {
		n, d := r.st.bytes.Load(), now.Sub(r.st.start)
		b.WriteString(streamLine(r.st.name, n, perSecond(n-r.st.base, d), d, r.state()) + "\n")
	}
	for i := len(s.recent) - 1; i >= 0; i-- {
		b.WriteString(s.recent[i] + "\n")
	}
	s.mu.Unlock()
	if b.Len() == 0 {
		b.WriteString("No streams yet.\n")
	}
	io.WriteString(w, b.String())
}
