// SPDX-License-Identifier: MIT

package stream

import "unsafe"

// LeastWindow is the memory that each window may have whatever the other
// windows of the process hold, in bytes of segments.
const LeastWindow = 32 << 10

// messageCost is what a message costs besides its frames: a record, and as much
// again for the slice that grows.
const messageCost = 2 * int(unsafe.Sizeof(message{}))

// A window keeps messages, framed and masked as they were sent, until the
// server is known to have them. It is where a chunk is copied to from its
// source, and what the socket is written from: there is no other copy.
//
// Offsets count the payload bytes of the stream from its start.
type window struct {
	limit   int // bytes it may hold: frames, and messageCost for each message
	held    int // bytes it holds, counted in the same way
	frames  int // bytes of frames it holds
	waiting int // those of them that are not written to the present connection
	memory  int // bytes of its segments

	messages []message // from first on; the rest of the slice is kept for reuse
	first    int       // the oldest message
	unsent   int       // the first message not written to the present connection
	newest   *segment  // where the next message goes, if it fits
	cut      bool      // a write was broken off that may still read from the segments

	now  int64 // by clock(), when what is put was taken from its source
	next int64 // offset after the newest message, or after what was skipped since

	textsGone    int64 // texts that were let go of
	textsWritten int64 // texts, from the stream's start, that were written to the present connection or let go of
}

// A message is a chunk in its frames.
type message struct {
	offset int64    // of the chunk's first byte
	seg    *segment // where its frames are,
	at     int32    // from here
	size   int32    // so long
	chunk  int32    // the chunk's bytes, the last of the frames' payload; 0: a text
	born   uint32   // when it was put, by clock() in ms
}

func (m *message) frames() []byte { return m.seg.buf[m.at : m.at+m.size] }

// isText tells a text message, which has no bytes of the stream.
func (m *message) isText() bool { return m.chunk == 0 }

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
	return !w.empty() && w.held+size+messageCost > w.limit
}

// worthAsking is how many bytes are worth an acknowledgement: more where many
// are on their way.
func (w *window) worthAsking() int64 {
	return int64(min(max(leastAck, w.held/2), mostAck, w.limit/4))
}

// place finds room for a message of that many bytes, and tells whether there
// is any within the window's limit and the process's bound. A stream with much
// in its window takes large segments, which leave in few pieces.
func (w *window) place(size int) bool {
	if w.full(size) {
		return false
	}
	if w.newest != nil {
		if cap(w.newest.buf)-len(w.newest.buf) >= size {
			return true
		}
		w.tidy()
	}
	s := takeSegment(max(size, min(w.held, mostSegment)), false)
	if s == nil {
		s = takeSegment(size, w.memory+size <= LeastWindow || w.empty())
	}
	if s == nil {
		return false
	}
	w.newest = s
	w.memory += cap(s.buf)
	return true
}

// evict lets go of the oldest messages until there is room, under a limit and
// within the process's bound, for one of that many bytes. It tells whether it
// let go of any.
func (w *window) evict(size, limit int) (any bool) {
	for !w.empty() && (w.held+size+messageCost > limit || !w.place(size)) {
		w.pop()
		any = true
	}
	return any
}

// give lets go of a segment.
func (w *window) give(s *segment) {
	w.memory -= cap(s.buf)
	s.give(!w.cut)
}

// fits is how many messages of so many bytes have room behind each other, where
// place has found it for one, without a write of more than most between.
func (w *window) fits(size, most int) int {
	room := min(cap(w.newest.buf)-len(w.newest.buf), most-w.waiting)
	return max(min(room/size, (w.limit-w.held)/(size+messageCost)), 1)
}

// tidy gives a segment back that was taken for a message which did not come.
func (w *window) tidy() {
	if w.newest != nil && w.newest.live == 0 {
		w.give(w.newest)
		w.newest = nil
	}
}

// put adds a chunk as a message that place has found room for.
func (w *window) put(form *wire, a, b []byte) {
	at := len(w.newest.buf)
	w.newest.buf = form.appendMessage(w.newest.buf, a, b)
	w.add(at, len(a)+len(b))
}

// putText adds a text that place has found room for.
func (w *window) putText(form *wire, text []byte) {
	at := len(w.newest.buf)
	w.newest.buf = form.appendText(w.newest.buf, text)
	w.add(at, 0)
}

// add adds the message whose frames begin at a place of the newest segment,
// with so many bytes of the stream.
func (w *window) add(at, n int) {
	seg := w.newest
	seg.live++
	size := len(seg.buf) - at
	if w.first > 64 && w.first > len(w.messages)/2 {
		// Room for the new ones where the acknowledged ones were.
		w.unsent -= w.first
		n := copy(w.messages, w.messages[w.first:])
		clear(w.messages[n:]) // no segment is kept alive by what was there
		w.messages, w.first = w.messages[:n], 0
	}
	records := cap(w.messages)
	w.messages = append(w.messages, message{w.next, seg, int32(at), int32(size), int32(n), uint32(w.now / 1e6)})
	if more := cap(w.messages) - records; more > 0 {
		countRecords(more)
	}
	w.held += size + messageCost
	w.frames += size
	w.waiting += size
	w.next += int64(n)
}

// span appends to pieces what is to be written next: n whole messages, of so
// many bytes at most and without a gap, which begin and end at offsets.
func (w *window) span(pieces [][]byte, most int) (_ [][]byte, n int, start, end int64) {
	if w.unsent == len(w.messages) {
		return pieces, 0, w.next, w.next
	}
	first := &w.messages[w.unsent]
	piece, last, size := first.frames(), first, int(first.size)
	for n = 1; w.unsent+n < len(w.messages); n++ {
		m := &w.messages[w.unsent+n]
		if size += int(m.size); size > most || m.offset != last.end() {
			break
		}
		if m.seg == last.seg {
			piece = m.seg.buf[int(m.at)-len(piece) : m.at+m.size]
		} else {
			pieces, piece = append(pieces, piece), m.frames()
		}
		last = m
	}
	return append(pieces, piece), n, first.offset, last.end()
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
		m := &w.messages[w.unsent]
		w.waiting -= int(m.size)
		if m.isText() {
			w.textsWritten++
		}
		w.unsent++
	}
}

// drop lets go of the oldest messages that lie wholly below an offset, and of
// so many texts, from the stream's start.
func (w *window) drop(offset, texts int64) {
	for !w.empty() {
		m := &w.messages[w.first]
		if m.end() > offset || m.isText() && m.offset == offset && w.textsGone >= texts {
			break
		}
		w.pop()
	}
}

// pop lets go of the oldest message.
func (w *window) pop() {
	m := &w.messages[w.first]
	w.held -= int(m.size) + messageCost
	w.frames -= int(m.size)
	if w.unsent == w.first {
		w.wrote(1) // to nobody
	}
	if m.isText() {
		w.textsGone++
	}
	if m.seg.live--; m.seg.live == 0 {
		if m.seg == w.newest {
			w.newest = nil
		}
		w.give(m.seg)
	}
	m.seg = nil
	w.first++
	if w.empty() {
		w.messages, w.first, w.unsent = w.messages[:0], 0, 0
	}
}

// rewind makes everything that is held unsent again, for a new connection.
func (w *window) rewind() {
	w.unsent, w.waiting, w.textsWritten = w.first, w.frames, w.textsGone
}

// release gives the memory back.
func (w *window) release() {
	for !w.empty() {
		w.pop()
	}
	w.tidy()
	countRecords(-cap(w.messages))
	w.messages = nil
}

// countRecords counts records of messages into what all windows take together.
func countRecords(n int) { windowMemory.Add(int64(n) * int64(unsafe.Sizeof(message{}))) }

// oldest is when the oldest message held was put, by clock(), or 0 for none.
func (w *window) oldest() int64 {
	if w.empty() {
		return 0
	}
	return w.now - int64(uint32(w.now/1e6)-w.messages[w.first].born)*1e6
}

// chunk unmasks what a message's chunk has from an offset on, or a whole text,
// into scratch.
func (w *window) chunk(m *message, from int64, scratch []byte) []byte {
	scratch = appendPayload(scratch[:0], m.frames())
	if m.isText() {
		return scratch
	}
	return scratch[int64(len(scratch))-int64(m.chunk)+max(0, from-m.offset):]
}
