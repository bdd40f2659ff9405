// SPDX-License-Identifier: MIT

package stream

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

// ProcessBound is the most memory that all windows of a process may take
// together; past it a window keeps what it has.
const ProcessBound = 64 << 20

var windowMemory atomic.Int64

// A segment is a piece of a window's memory. Streams of one process lend them
// to each other through pools: a stream whose bytes have just been acknowledged
// needs none, and the next one takes what is still in the cache.
type segment struct {
	buf  []byte // the messages, one behind the other
	live int    // those of them that the window still holds
	size int    // the index of its pool
}

// Sizes come sixteen to an octave, from leastSegment on: 512, 544, 576 and so
// on to 1024, then 1088, so that at most a sixteenth is wasted.
const (
	leastSegment = 1 << leastShift
	leastShift   = 9
	steps        = 16
	octaves      = 16 // up to 32 MiB: a chunk has 16 at most

	mostSegment = 64 << 10 // unless a single message is larger
)

var segments [steps*octaves + 1]sync.Pool

// sizeOf is the size of the smallest segment with room for n bytes, and the
// index of its pool.
func sizeOf(n int) (size, index int) {
	if n <= leastSegment {
		return leastSegment, 0
	}
	octave := bits.Len(uint(n-1)) - 1 - leastShift // of the power of two below n
	base := leastSegment << octave
	up := (n - base + base/steps - 1) / (base / steps) // 1 to steps
	return base + up*(base/steps), steps*octave + up
}

// takeSegment is one with room for n bytes; nil where that would go past the
// process's bound, unless it must be.
func takeSegment(n int, must bool) *segment {
	size, index := sizeOf(n)
	if windowMemory.Add(int64(size)) > ProcessBound && !must {
		windowMemory.Add(-int64(size))
		return nil
	}
	if s, ok := segments[index].Get().(*segment); ok {
		return s
	}
	return &segment{buf: make([]byte, 0, size), size: index}
}

// give lends it on; where nobody else may write to it, it is left to the
// collector.
func (s *segment) give(reuse bool) {
	windowMemory.Add(-int64(cap(s.buf)))
	if reuse {
		s.buf = s.buf[:0]
		segments[s.size].Put(s)
	}
}
