// SPDX-License-Identifier: MIT

package stream

import (
	"time"
)

// Reserve waits until a chunk of up to max bytes can be kept.
func (s *Stream) Reserve(max int) (int, error) {
	size := maxHeader + max
	for {
		if err := s.attend(); err != nil {
			return 0, err
		}
		if s.window.waiting < batchSize || s.link == nil {
			if !s.window.full(size) && s.window.place(size) {
				return max, nil
			}
		}
		before := s.window.held + s.window.waiting
		if err := s.flush(); err != nil {
			return 0, err
		}
		if s.slide(size) || s.giveUp(size) || s.window.held+s.window.waiting != before {
			continue
		}
		select {
		case <-s.waker.C:
		case <-s.ctx.Done():
			return 0, s.broken()
		}
	}
}

// slide makes room for a message by letting go of the oldest ones that were
// sent to a server which answers no pings, and so will never acknowledge them.
func (s *Stream) slide(size int) bool {
	l := s.link
	if l == nil || s.answering() || s.window.waiting > 0 || !s.window.full(size) {
		return false
	}
	if wait := deafAfter - time.Since(l.since); wait > 0 {
		s.wakeAfter(wait)
		return false
	}
	for s.window.full(size) {
		s.window.pop()
	}
	return true
}

// giveUp makes room during an outage by letting go of the oldest messages,
// where that was asked for.
func (s *Stream) giveUp(size int) bool {
	if s.link != nil || !s.cfg.DropOldest || s.window.empty() {
		return false
	}
	before := s.window.base
	for first := true; first || s.window.full(size); first = false {
		s.window.pop()
	}
	s.dialer.kept.Store(s.window.base)
	s.gap += s.window.base - before
	s.dropped.Add(s.window.base - before)
	return true
}

// reportGap tells what was given up since the last time.
func (s *Stream) reportGap() {
	if s.gap > 0 {
		s.cfg.Gap(s.window.base-s.gap, s.gap)
		s.gap = 0
	}
}

// Put takes a chunk as one binary message; Reserve has made the room.
func (s *Stream) Put(a, b []byte) error {
	s.window.put(opBinary, s.mask.key(), a, b)
	return nil
}

// Flush sends everything that was put, where there is a connection; where
// there is none, it is kept.
func (s *Stream) Flush() error {
	if err := s.attend(); err != nil {
		return err
	}
	return s.flush()
}

// flush writes what waits, with a ping behind it where one is due.
func (s *Stream) flush() error {
	for s.link != nil {
		frames, n, end := s.window.span()
		s.ask(end)
		if n == 0 && len(s.link.control) == 0 {
			break
		}
		if err := s.link.write(frames); err != nil {
			return s.lose(err)
		}
		s.window.wrote(n)
		if n > 0 {
			s.spoke = clock()
		}
		if end > s.sent.Load() {
			s.sent.Store(end)
		}
	}
	s.held.Store(int64(s.window.held))
	return nil
}

// ask puts a ping behind what is written next, where one is due: to have
// bytes acknowledged, or to see whether a silent server lives. Where none is,
// it sees to it that the pump wakes when one will be.
func (s *Stream) ask(end int64) {
	l, now := s.link, clock()
	since := time.Duration(now - l.pingAt.Load())
	due := s.cfg.PingInterval
	if unasked := end - l.pinged; unasked > 0 && (s.answering() || time.Since(l.since) < deafAfter) {
		due = ackDelay
		if unasked >= min(ackBytes, int64(s.window.limit/8)) {
			due = 0
		}
	}
	if since >= due {
		l.ping(end, now)
		since = 0
		due = s.cfg.PingInterval
	}
	if s.answering() && l.unanswered() {
		due = min(due, since+s.cfg.PongTimeout)
	}
	due -= since
	if speech := &s.cfg.Speech; speech.IdleText != "" && !s.parting {
		silent := time.Duration(now - s.spoke)
		if silent >= speech.IdleInterval && s.window.waiting == 0 {
			l.queue(opText, []byte(speech.IdleText))
			s.spoke, silent = now, 0
		}
		due = min(due, max(speech.IdleInterval-silent, 0))
	}
	s.wakeAfter(due)
}

// answering tells whether this is a server that answers pings: it has, on this
// connection or one before, or it said what it holds. One that is not known to
// may never acknowledge anything.
func (s *Stream) answering() bool {
	return s.answers.Load() || s.link.resumes || s.link.acked.Load() >= 0
}

// wakeAfter has the pump woken in time. It may wake earlier as well.
func (s *Stream) wakeAfter(d time.Duration) {
	now := time.Now()
	if at := now.Add(d); s.due.Before(now) || at.Before(s.due) {
		s.due = at
		s.alarm.Reset(d)
	}
}
