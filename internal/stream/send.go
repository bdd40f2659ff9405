// SPDX-License-Identifier: MIT

package stream

import (
	"fmt"
	"syscall"
	"time"
)

// Reserve waits until a chunk of up to max bytes can be kept, or is to be
// given up, and tells how many bytes can in chunks of that size.
func (s *Stream) Reserve(max int) (int, error) {
	size := s.wire.room(max)
	s.window.now = clock()
	for more := true; ; more = false {
		if err := s.attend(); err != nil {
			return 0, err
		}
		if s.skipping {
			return max, nil
		}
		if w := s.window.waiting; w == 0 || w+size <= s.most || s.link == nil || s.pacing {
			if s.window.place(size) {
				return max * s.window.fits(size, s.most), nil
			}
		}
		before := s.window.held + s.window.waiting
		if err := s.flush(more && !s.window.full(size)); err != nil {
			return 0, err
		}
		if s.evictUnacked(size) || s.applyOverflowPolicy(size) || s.window.held+s.window.waiting != before {
			continue
		}
		if s.expectAck() {
			continue
		}
		select {
		case <-s.waker.C:
		case <-s.ctx.Done():
			return 0, s.broken()
		}
	}
}

// expectAck has the next pong wake the stream; else pongs are processed when
// there is something to do. True: one may have come just before, look again.
func (s *Stream) expectAck() bool {
	return s.link != nil && !s.link.acks().wakeOnAck.Swap(true)
}

// evictUnacked makes room for a message by letting go of the oldest ones that
// were sent to a server which answers no pings, and so will never acknowledge
// them.
func (s *Stream) evictUnacked(size int) bool {
	if s.link == nil || s.acksKnown || s.window.waiting > 0 {
		return false
	}
	if now := clock(); !s.ignoresPings(now) {
		s.wakeAfter(now, ignoreAfter/4)
		return false
	}
	return s.window.evict(size, s.window.limit)
}

// applyOverflowPolicy makes room in an outage that the window does not bridge,
// where OnFull says so.
func (s *Stream) applyOverflowPolicy(size int) bool {
	if s.link != nil || s.cfg.OnFull == Hold {
		return false
	}
	if s.cfg.OnFull == DropOldest && s.lane == nil && s.dialer.asking.Load() {
		return false // the answer is awaited
	}
	if s.cfg.OnFull == DropNewest || s.window.empty() {
		s.skipping = true
		return true
	}
	// More than one message at once: there must be room for what comes while
	// the next connection is made, which tells the server where we go on.
	before := s.window.base()
	s.window.evict(size, s.window.limit-s.window.limit/8)
	s.keep()
	s.recordGap(before, s.window.base())
	return true
}

// keep notes what the next handshake may promise.
func (s *Stream) keep() {
	if s.lane == nil {
		s.dialer.kept.Store(s.window.base())
	}
}

// recordGap notes bytes that were given up.
func (s *Stream) recordGap(start, end int64) {
	s.dropped.Add(s.gaps.add(start, end, false))
}

// Put takes a chunk as one binary message; Reserve has made the room.
func (s *Stream) Put(a, b []byte) error {
	if s.skipping {
		from := s.window.next
		s.window.next += int64(len(a) + len(b))
		s.recordGap(from, s.window.next)
		return nil
	}
	s.window.put(&s.wire, a, b)
	return nil
}

// PutText takes a text message, which is sent behind what was put before, and
// kept and sent again in the same way.
func (s *Stream) PutText(text []byte) error {
	if s.lane != nil {
		return fmt.Errorf("a text message needs a connection of one's own: use wire=raw: %w", syscall.ENOTSUP)
	}
	if _, err := s.Reserve(len(text)); err != nil {
		return err
	}
	if s.skipping {
		s.cfg.Warn(fmt.Sprintf("a text message of %d bytes was given up, as on_full says", len(text)))
		return nil
	}
	s.window.putText(&s.wire, text)
	return nil
}

// Flush sends everything that was put, where there is a connection; where
// there is none, it is kept.
func (s *Stream) Flush() error {
	if err := s.attend(); err != nil {
		return err
	}
	return s.flush(false)
}

// flush writes what waits, with a ping behind it where one is due. Where more
// is to come at once, the last of it may wait for that.
func (s *Stream) flush(more bool) error {
	for s.link != nil {
		now := clock()
		if s.acksKnown && s.link.silent(now, s.cfg.PongTimeout) {
			return s.loseSilent()
		}
		paced := s.paceDue(now)
		if paced <= 0 && s.toReplay() {
			if err := s.replay(now); err != nil {
				return s.lose(err)
			}
			continue
		}
		var n int
		var start, end int64
		s.pieces, n, start, end = s.window.span(s.pieces[:0], s.paceSize(s.most))
		switch {
		case paced > 0:
			s.pieces, n, end = s.pieces[:0], 0, s.reached
			s.wakeAfter(now, paced)
		case s.blockedByGap():
			if s.expectAck() {
				s.waker.Wake()
			}
			s.pieces, n, end = s.pieces[:0], 0, s.reached
		case n == 0:
			s.reached = end
		}
		s.window.wrote(n) // before ask, which counts what is written
		s.ask(end, now, n == 0)
		if n == 0 && (more || !s.link.queued()) {
			break
		}
		s.writing(start, end)
		if err := s.write(s.pieces, more); err != nil {
			return s.lose(err)
		}
		if n > 0 {
			s.pace(now, end-start)
			s.spoke = now
		}
	}
	s.window.tidy()
	s.showWindow()
	return nil
}

// write sends pieces of frames, and what is queued behind them.
func (s *Stream) write(pieces [][]byte, more bool) error {
	err := s.link.write(pieces, more)
	if s.ctx.Err() != nil {
		s.window.cut = true // a lane's turn may go on without us
	} else {
		clear(pieces)
	}
	return err
}

// writing notes that everything from start to end is about to be written. It
// comes before the write: one that fails may have got everything there.
func (s *Stream) writing(start, end int64) {
	if fresh := end - max(start, s.reached); fresh > 0 {
		s.sent.Add(fresh)
		s.reached = end
	}
}

// blockedByGap tells whether a gap is next, and the server is one that keeps an
// account of the stream: it hears of the gap in the next handshake, which is
// made when all that was before has arrived.
func (s *Stream) blockedByGap() bool {
	return s.link.acks().resumes && (s.window.afterGap() || s.window.base() > s.confirmed)
}

// ask puts a ping behind what is written next, where one is due: to have
// bytes acknowledged, or to see whether a silent server lives. Where none is,
// it sees to it that the pump wakes when one will be. Alone, with nothing to
// go out behind, a ping waits longer.
func (s *Stream) ask(end, now int64, alone bool) {
	l := s.link.acks()
	since := time.Duration(now - l.pingAt)
	idle := s.cfg.PingInterval
	if l.shared {
		idle = never
	}
	due := idle
	unasked := end - l.pinged
	if s.window.textsWritten > l.pingedTexts {
		unasked++
	}
	if unasked > 0 && (!s.ignoring || now-l.since < int64(ignoreAfter)) {
		due = ackDelay
		if alone {
			due += ackDelay / 2
		}
		if unasked >= s.window.worthAsking() {
			due = 0
		}
	}
	if since >= due {
		if s.window.empty() {
			s.window.release() // nothing came for a whole interval
		}
		s.link.ping(end, s.window.textsWritten, now)
		since = 0
		due = idle
	}
	due -= since
	switch {
	case s.acksKnown:
		due = min(due, s.link.silenceDue(now, s.cfg.PongTimeout))
	case !s.ignoresPings(now):
		due = min(due, ignoreAfter/2)
	}
	if speech := &s.cfg.Speech; speech.IdleText != "" && !s.parting {
		silent := time.Duration(now - s.spoke)
		if silent >= speech.IdleInterval && s.window.waiting == 0 {
			s.link.queue(opText, []byte(speech.IdleText))
			s.spoke, silent = now, 0
		}
		due = min(due, max(speech.IdleInterval-silent, 0))
	}
	s.wakeAfter(now, due)
}

// ignoresPings tells whether the server is taken for one that answers no pings
// and so may never acknowledge anything: it has neither answered one nor said
// what it holds, and one was sent ignoreAfter ago that has arrived there.
func (s *Stream) ignoresPings(now int64) bool {
	if s.acksKnown || s.ignoring || s.link == nil {
		return s.ignoring
	}
	ping, pending := s.link.acks().oldestPing()
	if !pending || time.Duration(now-ping.at) < ignoreAfter || !s.link.pingArrived() {
		return false
	}
	s.ignoring = true
	if s.lane == nil {
		s.cfg.Warn("the server has answered no ping for a second: what has arrived is not known before an orderly end (a recording server of the chips' vendors stores nothing without wire=mux)")
	}
	return true
}

// never is a time that no stream sees the end of.
const never = 1 << 50 * time.Nanosecond

// wakeAfter has the pump woken in time. It may wake earlier as well.
func (s *Stream) wakeAfter(now int64, d time.Duration) {
	if at := now + int64(d); s.due <= now || at < s.due {
		s.due = at
		s.alarm.Reset(d)
	}
}
