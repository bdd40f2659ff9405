// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"strings"
	"time"
	"unicode"
)

func (r *row) state() string {
	if r.away != "" {
		return "away, " + r.away
	}
	return "recording"
}

// notes says why a stream is not stored under the name it asked for, and what
// happened to it on the way.
func notes(st *stream) string {
	var s string
	if st.name != st.asked && st.part == 0 {
		s = ", " + st.asked + " exists"
	}
	if st.hint != "" {
		s += ", " + st.hint
	}
	if st.reconnects > 0 {
		s += ", reconnected " + count(st.reconnects, "time")
	}
	var more, bytes int64
	for i, g := range st.gaps {
		if i < maxGaps {
			s += fmt.Sprintf(", gap of %d bytes at %d", g.Length, g.Offset)
		} else {
			more, bytes = more+1, bytes+g.Length
		}
	}
	if more > 0 {
		s += fmt.Sprintf(", %s more of %d bytes", count(more, "gap"), bytes)
	}
	return s
}

func streamLine(name string, n int64, rate float64, d time.Duration, state string) string {
	return fmt.Sprintf("%-20s %12d bytes %9.1f kB/s %9s  %s", name, n, rate/1000, clock(d), state)
}

func perSecond(n int64, d time.Duration) float64 {
	if d <= 0 {
		return 0
	}
	return float64(n) / d.Seconds()
}

// clock is d the way a recorder shows it.
func clock(d time.Duration) string {
	d = max(d, 0)
	if d < time.Minute {
		return fmt.Sprintf("%.1f s", d.Truncate(100*time.Millisecond).Seconds())
	}
	n := int(d / time.Second)
	if n < 3600 {
		return fmt.Sprintf("%d:%02d", n/60, n%60)
	}
	return fmt.Sprintf("%d:%02d:%02d", n/3600, n/60%60, n%60)
}

func count(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// printable makes text of a peer safe for a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
}
