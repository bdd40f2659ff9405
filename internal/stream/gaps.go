// SPDX-License-Identifier: MIT

package stream

// gaps are the bytes of a stream that were given up: not sent, or sent to a
// server that answers no pings, on a connection that was lost, and not kept.
type gaps struct {
	open   []gap // in order, none that ends at or below what has arrived
	passed int64 // bytes of those that do
}

type gap struct {
	start, end int64 // offsets
	told       bool  // the app has heard of it
	sent       bool  // nobody knows whether the bytes arrived
}

// add notes that the bytes from start to end, but for those noted before, were
// given up. It returns how many.
func (g *gaps) add(start, end int64, sent bool) int64 {
	n := len(g.open)
	if n > 0 {
		start = max(start, g.open[n-1].end)
	}
	switch {
	case start >= end:
		return 0
	case n > 0 && g.open[n-1].end == start && !g.open[n-1].told && g.open[n-1].sent == sent:
		g.open[n-1].end = end
	default:
		g.open = append(g.open, gap{start: start, end: end, sent: sent})
	}
	return end - start
}

// fill notes that all bytes below an offset have arrived after all, and
// returns how many of them were noted as given up.
func (g *gaps) fill(offset int64) (n int64) {
	for len(g.open) > 0 && g.open[0].start < offset {
		first := &g.open[0]
		n += min(first.end, offset) - first.start
		first.start = min(first.end, offset)
		if first.start == first.end {
			g.open = g.open[1:]
		}
	}
	return n
}

// tell calls hear for each that the app has not heard of.
func (g *gaps) tell(hear func(offset, length int64, sent bool)) {
	for i := range g.open {
		if was := &g.open[i]; !was.told {
			was.told = true
			hear(was.start, was.end-was.start, was.sent)
		}
	}
}

// below is how many of the bytes below an offset are noted. What was
// asked once is not asked again for less.
func (g *gaps) below(offset int64) int64 {
	for len(g.open) > 0 && g.open[0].end <= offset {
		g.passed += g.open[0].end - g.open[0].start
		g.open = g.open[1:]
	}
	n := g.passed
	if len(g.open) > 0 {
		n += max(0, offset-g.open[0].start)
	}
	return n
}
