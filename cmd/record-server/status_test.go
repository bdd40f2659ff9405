package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
)

// testClock is a clock that stands still until it is moved.
type testClock struct{ t time.Time }

func (c *testClock) now() time.Time       { return c.t }
func (c *testClock) pass(d time.Duration) { c.t = c.t.Add(d) }
func (c *testClock) stream(n string) *stream {
	return &stream{name: n, asked: n, peer: "10.0.0.7:4242", start: c.t}
}

func newClock() *testClock { return &testClock{time.Unix(1_000_000, 0)} }

func rows(n int) func() int { return func() int { return n } }

func TestPlainOutputHasALineAtStartAndEnd(t *testing.T) {
	clk := newClock()
	s := newStatus(nil, clk.now, rows(0))
	mic, sd := clk.stream("mic.wav"), clk.stream("sd_1.pcm")
	sd.asked = "sd.pcm"
	s.started(mic)
	s.started(sd)
	mic.bytes.Store(320_000)
	clk.pass(10 * time.Second)
	s.ended(mic, "closed", true)
	clk.pass(65 * time.Second)
	s.ended(sd, "lost: connection reset by peer", false)
	s.summary()
	want := "mic.wav  started, from 10.0.0.7:4242\n" +
		"sd_1.pcm  started, from 10.0.0.7:4242, sd.pcm exists\n" +
		"mic.wav                    320000 bytes      32.0 kB/s    10.0 s  closed\n" +
		"sd_1.pcm                        0 bytes       0.0 kB/s      1:15  lost: connection reset by peer, sd.pcm exists\n" +
		"2 streams, 320000 bytes (1 lost or failed)\n"
	if got := string(s.frame()); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if got := s.frame(); len(got) > 0 {
		t.Errorf("written twice: %q", got)
	}
}

func TestTerminalKeepsALineUpToDateInPlace(t *testing.T) {
	clk := newClock()
	s := newStatus(nil, clk.now, rows(24))
	step := func(want string) {
		t.Helper()
		if got := string(s.frame()); got != want {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	}
	step("")
	s.say("listening")
	step("\r\x1b[Jlistening\n")
	mic := clk.stream("mic.wav")
	s.started(mic)
	step("\r\x1b[J\x1b[?7lmic.wav                         0 bytes       0.0 kB/s     0.0 s  recording\n\x1b[?7h")
	mic.bytes.Store(10_000)
	clk.pass(500 * time.Millisecond)
	step("\x1b[1A\r\x1b[J\x1b[?7lmic.wav                     10000 bytes      20.0 kB/s     0.5 s  recording\n\x1b[?7h")
	mic.bytes.Store(64_000)
	clk.pass(1500 * time.Millisecond)
	step("\x1b[1A\r\x1b[J\x1b[?7lmic.wav                     64000 bytes      32.0 kB/s     2.0 s  recording\n\x1b[?7h")
	mic.bytes.Store(72_000)
	clk.pass(time.Second)
	step("\x1b[1A\r\x1b[J\x1b[?7lmic.wav                     72000 bytes       8.0 kB/s     3.0 s  recording\n\x1b[?7h")
	s.ended(mic, "closed", true)
	step("\x1b[1A\r\x1b[Jmic.wav                     72000 bytes      24.0 kB/s     3.0 s  closed\n")
	step("")
}

func TestTerminalShowsWhatItHasRoomFor(t *testing.T) {
	clk := newClock()
	s := newStatus(nil, clk.now, rows(4))
	for i := range 3 {
		s.started(clk.stream(fmt.Sprint("s", i)))
	}
	if got := string(s.frame()); strings.Count(got, "\n") != 3 || strings.Contains(got, "more") {
		t.Errorf("three streams on four rows: %q", got)
	}
	s.started(clk.stream("s3"))
	if got := string(s.frame()); strings.Count(got, "\n") != 3 || !strings.Contains(got, "… and 2 more\n") {
		t.Errorf("four streams on four rows: %q", got)
	}
}

func TestAStuckOutputCostsBoundedMemory(t *testing.T) {
	s := newStatus(nil, newClock().now, rows(0))
	for range maxPending + 5 {
		s.say("line")
	}
	got := s.frame()
	if n := bytes.Count(got, []byte("\n")); n != maxPending+1 || !bytes.HasSuffix(got, []byte("(5 lines not shown: the output was stuck)\n")) {
		t.Errorf("%d lines, the last %q", n, got[len(got)-50:])
	}
}

func TestTextOfPeersCannotSteerATerminal(t *testing.T) {
	s := newStatus(nil, newClock().now, rows(0))
	fmt.Fprintln(s, "http: bad \x1b[2J request\nfrom\u202e x")
	if got := string(s.frame()); got != "http: bad ?[2J request?from? x\n" {
		t.Errorf("%q", got)
	}
}

func TestClock(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second:                          "0.0 s",
		59*time.Second + 999*time.Millisecond: "59.9 s",
		time.Minute:                           "1:00",
		time.Hour - time.Second:               "59:59",
		25*time.Hour + time.Second:            "25:00:01",
	} {
		if got := clock(d); got != want {
			t.Errorf("clock(%v) = %s, want %s", d, got, want)
		}
	}
}

func TestPageListsStreams(t *testing.T) {
	clk := newClock()
	s := newStatus(nil, clk.now, rows(0))
	page := func() string {
		var b strings.Builder
		s.page(&b)
		return b.String()
	}
	if got := page(); got != "No streams yet.\n" {
		t.Errorf("%q", got)
	}
	for i := range maxRecent + 2 {
		st := clk.stream(fmt.Sprintf("old%d", i))
		s.started(st)
		s.ended(st, "closed", true)
	}
	s.started(clk.stream("live"))
	got := strings.Split(page(), "\n")
	if len(got) != maxRecent+2 || !strings.HasPrefix(got[0], "live ") || !strings.HasPrefix(got[1], "old51 ") || !strings.HasPrefix(got[maxRecent], "old2 ") {
		t.Errorf("%d lines: %q …", len(got), got[:2])
	}
}
