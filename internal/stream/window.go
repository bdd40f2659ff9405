// SPDX-License-Identifier: MIT

package stream

import "sync/atomic"

// processBound is the most memory that all windows of a process may take
// together; past it a window keeps what it has.
const processBound = 64 << 20

var windowMemory atomic.Int64

// A window keeps messages, framed and masked as they were sent, until the
// server is known to have them. It is where a chunk is copied to from its
// source, and what the socket is written from: there is no other copy.
//
// Offsets count the payload bytes of the stream from its start.
type window struct {
	limit   int    // bytes of frames it may hold
	buf     []byte // the store: each message in one piece, the newest behind the oldest or wrapped to the front
	tail    int    // where the newest message ends in buf
	held    int    // bytes of frames in the store
	waiting int    // those of them that are not written to the present connection

	messages []message // from first on; the rest of the slice is kept for reuse
	first    int       // the oldest message
	unsent   int       // the first message not written to the present connection

	next int64 // offset after the newest message, or after what was skipped since
}

// A message is a chunk in its frames.
type message struct {
	offset int64 // of the chunk's first byte
	chunk  int   // its bytes
	lead   int   // bytes in the frames before the chunk's
	at     int   // in buf
	size   int   // of its frames
}

// end is the offset after its last byte.
func (m *message) end() int64 { return m.offset + int64(m.chunk) }

func (w *window) empty() bool { return w.first == len(w.messages) }

// base is the offset of the oldest byte held.
func (w *window) base() int64 {
	if w.empty() {
		return w.next
	}
	return w.messages[w.first].offset
}

// full tells whether a message of that many bytes would go past the limit. One
// message always fits, however large.
func (w *window) full(size int) bool {
	return !w.empty() && w.held+size > w.limit
}

// worthAsking is how many bytes are worth an acknowledgement: half the store,
// so that one which is acknowledged in time need not grow.
func (w *window) worthAsking() int64 {
	return int64(min(max(leastAck, len(w.buf)/2), mostAck, w.limit/4))
}

// place finds room for a message of that many bytes, and tells whether there
// is any within the process's bound.
func (w *window) place(size int) bool {
	if w.empty() {
		w.tail = 0
		if len(w.buf) >= size {
			return true
		}
		return w.grow(size)
	}
	head := w.messages[w.first].at
	switch {
	case w.tail > head && len(w.buf)-w.tail >= size:
		return true
	case w.tail > head && head > size: // wrap, never up to the oldest: tail == head would be ambiguous
		w.tail = 0
		return true
	case w.tail < head && head-w.tail > size:
		return true
	}
	return w.grow(size)
}

// grow moves the store to a larger one.
func (w *window) grow(size int) bool {
	need := w.held + size
	want := max(need, min(need+need/4, w.limit+size))
	more := int64(want - len(w.buf))
	if windowMemory.Add(more) > processBound && !w.empty() {
		windowMemory.Add(-more)
		return false
	}
	buf := make([]byte, want)
	at := 0
	for i := w.first; i < len(w.messages); i++ {
		m := &w.messages[i]
		copy(buf[at:], w.buf[m.at:m.at+m.size])
		m.at = at
		at += m.size
	}
	w.buf, w.tail = buf, at
	return true
}

// put adds a chunk as a message that place has found room for.
func (w *window) put(form *wire, a, b []byte) {
	at := w.tail
	w.tail = len(form.appendMessage(w.buf[:at], a, b))
	n := len(a) + len(b)
	if w.first > 64 && w.first > len(w.messages)/2 {
		// Room for the new ones where the acknowledged ones were.
		w.unsent -= w.first
		w.messages = w.messages[:copy(w.messages, w.messages[w.first:])]
		w.first = 0
	}
	w.messages = append(w.messages, message{w.next, n, len(form.lead), at, w.tail - at})
	w.held += w.tail - at
	w.waiting += w.tail - at
	w.next += int64(n)
}

// span is the next piece of the store to write: n whole messages in one piece
// of so many bytes at most, and without a gap, which begin and end at offsets.
func (w *window) span(most int) (frames []byte, n int, start, end int64) {
	if w.unsent == len(w.messages) {
		return nil, 0, w.next, w.next
	}
	first := &w.messages[w.unsent]
	last := first
	for n = 1; w.unsent+n < len(w.messages); n++ {
		m := &w.messages[w.unsent+n]
		if m.at != last.at+last.size || m.offset != last.end() || m.at+m.size-first.at > most {
			break
		}
		last = m
	}
	return w.buf[first.at : last.at+last.size], n, first.offset, last.end()
}

// afterGap tells whether what is next to write follows bytes that were given
// up, with older messages still held.
func (w *window) afterGap() bool {
	if w.unsent == w.first {
		return false
	}
	next := w.next
	if w.unsent < len(w.messages) {
		next = w.messages[w.unsent].offset
	}
	return next != w.messages[w.unsent-1].end()
}

// wrote marks n messages as written to the present connection.
func (w *window) wrote(n int) {
	for ; n > 0; n-- {
		w.waiting -= w.messages[w.unsent].size
		w.unsent++
	}
}

// drop lets go of the oldest messages that lie wholly below an offset.
func (w *window) drop(offset int64) {
	for !w.empty() {
		if w.messages[w.first].end() > offset {
			break
		}
		w.pop()
	}
}

// pop lets go of the oldest message.
func (w *window) pop() {
	m := &w.messages[w.first]
	w.held -= m.size
	if w.unsent == w.first {
		w.unsent++
		w.waiting -= m.size
	}
	w.first++
	if w.empty() {
		w.messages, w.first, w.unsent = w.messages[:0], 0, 0
	}
}

// rewind makes everything that is held unsent again, for a new connection.
func (w *window) rewind() { w.unsent, w.waiting = w.first, w.held }

// release gives the memory back.
func (w *window) release() {
	windowMemory.Add(-int64(len(w.buf)))
	*w = window{limit: w.limit, next: w.next}
}

// chunk unmasks what a message's chunk has from an offset on, into scratch.
func (w *window) chunk(m *message, from int64, scratch []byte) []byte {
	scratch = appendPayload(scratch[:0], w.buf[m.at:m.at+m.size])
	return scratch[int64(m.lead)+max(0, from-m.offset):]
}
