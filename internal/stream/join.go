// SPDX-License-Identifier: MIT

package stream

import (
	"context"
	"fmt"
	"syscall"
)

// adopt makes a new connection the present one, and sends again what the
// server does not have.
func (s *Stream) adopt(c carrier) error {
	l := c.acks()
	s.recent.Store(l)
	s.link, s.parting, s.closing, s.skipping, s.spoke = c, false, false, false, clock()
	s.connectedAt.Store(l.since)
	if s.dialer != nil {
		s.dialer.asking.Store(false)
	}
	s.window.rewind()
	from := s.window.base()
	s.reached = max(s.reached, from)
	again := s.reached
	if s.lane != nil && s.sent.Load() > 0 {
		s.wire.lead = s.lane.rename()
		again = s.window.next // what is kept has the old name
	}
	if l.resumes {
		switch host := s.cfg.shown(); {
		case l.held > s.reached:
			return fault(syscall.EPROTO, "%s says it holds %d bytes of a stream of which %d were sent", host, l.held, s.reached)
		case l.held < l.kept:
			return fault(syscall.EPROTO, "%s says it holds %d bytes of a stream that can be sent again from %d on: a server that resumes notes the bytes between as missing, and answers Record-Offset: %d", host, l.held, l.kept, l.kept)
		}
		s.acksKnown, s.ignoring = true, false
	}
	s.cfg.Up(fmt.Sprintf("connected to %s", s.cfg.shown()))
	if l.resumes {
		from = l.held
		if from > l.kept { // then it has all that is below, also what was given up meanwhile
			s.dropped.Add(-s.gaps.fill(from))
		}
		if s.window.base() > from {
			return s.lose(errGap) // more was given up than the dial told
		}
	}
	s.gaps.tell(s.cfg.Gap)
	if l.resumes {
		s.confirm(from, 0)
	}
	if text := s.cfg.Speech.OpenText; text != "" {
		c.queue(opText, []byte(text))
		if err := c.write(nil, false); err != nil {
			return s.lose(err)
		}
	}
	s.again, s.againFrom = again, from
	s.pacing, s.paceAt = s.cfg.ReplayRate > 0 && !s.window.empty(), s.spoke
	return s.flush(false)
}

// confirm notes that the server has everything up to an offset, but for the
// gaps, and so many of the texts.
func (s *Stream) confirm(offset, texts int64) {
	if offset > s.confirmed && offset <= s.reached {
		s.confirmed = offset
		s.trouble = nil
		s.dialer.resetBackoff()
		s.delivered.Store(offset - s.gaps.below(offset))
	}
	s.window.drop(s.confirmed, texts)
	s.showWindow()
}

// showWindow shows the window's figures to other goroutines.
func (s *Stream) showWindow() {
	s.held.Store(int64(s.window.held))
	s.oldest.Store(s.window.oldest())
}

// complete tells whether the server has everything that was put, but for the
// gaps.
func (s *Stream) complete() bool { return s.confirmed == s.window.next && s.window.empty() }

// errGap ends a connection so that the next handshake can tell of a gap.
var errGap = fault(syscall.EAGAIN, "it is made anew, to tell the server of bytes that were given up")

// attend acts on what happened meanwhile: bytes acknowledged, a connection
// lost or made again.
func (s *Stream) attend() error {
	if s.link == nil {
		return s.rejoin()
	}
	if err := s.link.attend(); err != nil {
		return s.lose(err)
	}
	s.processAcks()
	if s.link.acks().resumes && s.window.base() > s.confirmed {
		return s.lose(errGap)
	}
	return nil
}

// processAcks acts on the pongs that have come.
func (s *Stream) processAcks() {
	l := s.link.acks()
	acked := l.acked.Load()
	if acked < 0 {
		return
	}
	s.answers.Store(true)
	s.acksKnown, s.ignoring = true, false
	s.rtt.Store(l.rtt.Load())
	if texts := l.ackedTexts.Load(); acked > s.confirmed || texts > s.window.textsGone {
		s.confirm(acked, texts)
		l.wakeOnAck.Store(false)
	}
}

// lose gives up the present connection, and dials again unless that cannot
// help.
func (s *Stream) lose(err error) error {
	c := s.link
	if s.ctx.Err() == nil && !s.parting && err != errGap {
		err = c.reason(err)
	}
	c.close(false)
	s.processAcks() // its reader has ended: nothing comes after this
	owes := s.acksKnown && s.confirmed < s.reached
	s.link, s.parting, s.closing = nil, false, false
	s.connectedAt.Store(-clock())
	// What is not acknowledged and no longer kept was sent to a server that
	// answers no pings: nobody will know whether it arrived.
	s.dropped.Add(s.gaps.add(s.confirmed, s.window.base(), true))
	if s.ctx.Err() != nil {
		return s.broken()
	}
	err = fmt.Errorf("the connection to %s is lost: %w", s.cfg.shown(), s.dialer.lost(err))
	s.cfg.Down(err)
	if s.hurries.Load() {
		s.trouble = err
	}
	if s.cfg.final(err) {
		return err
	}
	s.keep()
	if s.lane != nil {
		s.redial = s.lane.trunk.redialling()
	} else {
		s.dialer.ended(c.acks().since, owes)
		s.redial = s.dialer.again(err)
	}
	s.pressOn()
	return nil
}

// Hurry has the stream dial without long pauses from now on, where it is
// offline: a stop waits for that. Any goroutine; the waker is to be woken.
func (s *Stream) Hurry() { s.hurries.Store(true) }

// pressOn passes Hurry on to the attempts to be connected.
func (s *Stream) pressOn() {
	if s.hurries.Load() {
		s.redial.hurry(s.ctx, !s.pressed)
		s.pressed = true // what is lost from here on is not dialled without a pause
	}
}

// rejoin takes up a new connection, if there is one by now.
func (s *Stream) rejoin() error {
	if s.ctx.Err() != nil {
		return s.broken()
	}
	select {
	case <-s.redial.done:
	default:
		s.pressOn()
		return nil
	}
	if s.redial.err != nil {
		return s.redial.err
	}
	var c carrier = s.redial.link
	if s.lane != nil {
		if c = s.lane; !s.lane.board() {
			s.redial = s.lane.trunk.redialling() // lost again meanwhile
			s.pressOn()
			return nil
		}
	}
	s.redial = nil
	if s.recent.Load() != nil { // else it is the first
		s.reconnects.Add(1)
	}
	return s.adopt(c)
}

// broken is the error of a run that was broken off.
func (s *Stream) broken() error {
	err := fmt.Errorf("sending to %s: %w", s.cfg.shown(), context.Cause(s.ctx))
	switch {
	case s.redial != nil:
		err = fmt.Errorf("%w (%v)", err, s.redial.lastError())
	case s.trouble != nil:
		err = fmt.Errorf("%w (%v)", err, s.trouble)
	}
	return err
}
