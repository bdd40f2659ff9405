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

	base int64 // offset of the oldest byte held
	next int64 // offset after the newest
}

type message struct {
	offset  int64 // of its first payload byte
	payload int
	at      int // in buf
	size    int // of its frames
}

func (w *window) empty() bool { return w.first == len(w.messages) }

// full tells whether a message of that many bytes would go past the limit. One
// message always fits, however large.
func (w *window) full(size int) bool {
	return !w.empty() && w.held+size > w.limit
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
	const smallest = 4 << 10
	want := max(smallest, w.held+size, min(2*len(w.buf), w.limit+size))
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

// put adds a message that place has found room for.
func (w *window) put(opcode byte, key uint32, a, b []byte) {
	at := w.tail
	w.tail = len(appendFrame(w.buf[:at], opcode, key, a, b))
	n := len(a) + len(b)
	if w.first > 64 && w.first > len(w.messages)/2 {
		// Room for the new ones where the acknowledged ones were.
		w.unsent -= w.first
		w.messages = w.messages[:copy(w.messages, w.messages[w.first:])]
		w.first = 0
	}
	w.messages = append(w.messages, message{w.next, n, at, w.tail - at})
	w.held += w.tail - at
	w.waiting += w.tail - at
	w.next += int64(n)
}

// span is the next piece of the store to write: n whole messages in one piece,
// which end at an offset.
func (w *window) span() (frames []byte, n int, end int64) {
	if w.unsent == len(w.messages) {
		return nil, 0, w.next
	}
	first := w.messages[w.unsent]
	n = len(w.messages) - w.unsent
	to := w.tail
	if to <= first.at { // wrapped: up to the last one before the wrap
		for n = 1; w.unsent+n < len(w.messages) && w.messages[w.unsent+n].at > first.at; n++ {
		}
		last := w.messages[w.unsent+n-1]
		to = last.at + last.size
	}
	last := w.messages[w.unsent+n-1]
	return w.buf[first.at:to], n, last.offset + int64(last.payload)
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
		m := &w.messages[w.first]
		if m.offset+int64(m.payload) > offset {
			break
		}
		w.pop()
	}
}

// pop lets go of the oldest message.
func (w *window) pop() {
	m := &w.messages[w.first]
	w.held -= m.size
	w.base = m.offset + int64(m.payload)
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
	*w = window{limit: w.limit, base: w.next, next: w.next}
}

// payload unmasks what a message has from an offset on, into scratch.
func (w *window) payload(m message, from int64, scratch []byte) []byte {
	frame := w.buf[m.at : m.at+m.size]
	key, data := frameKey(frame)
	scratch = append(scratch[:0], data...)
	maskCopy(scratch, scratch, key)
	return scratch[max(0, from-m.offset):]
}
