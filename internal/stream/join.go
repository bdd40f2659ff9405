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
	l := c.known()
	s.recent.Store(l)
	s.link, s.parting, s.closing, s.skipping, s.spoke = c, false, false, false, clock()
	s.window.rewind()
	from := s.window.base()
	s.reached = max(s.reached, from)
	again := s.reached
	if s.lane != nil && s.sent.Load() > 0 {
		s.wire.lead = s.lane.rename()
		again = s.window.next // what is kept has the old name
	}
	if l.resumes && l.held > s.reached {
		return fmt.Errorf("%s says it holds %d bytes of a stream of which %d were sent: %w", s.cfg.shown(), l.held, s.reached, syscall.EPROTO)
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
		s.confirm(from)
	}
	if text := s.cfg.Speech.OpenText; text != "" {
		c.queue(opText, []byte(text))
		if err := c.write(nil, false); err != nil {
			return s.lose(err)
		}
	}
	if err := s.replay(from, again); err != nil {
		return s.lose(err)
	}
	return nil
}

// replay writes everything between two offsets that is kept, in frames made
// anew: the server may hold half of a message, and no key is used twice.
func (s *Stream) replay(from, to int64) error {
	w := &s.window
	// In pieces that are asked about one by one: were the whole window behind
	// one ping, a way that breaks before its end would never get anywhere.
	piece := min(s.most, w.limit/4)
	for w.unsent < len(w.messages) && w.messages[w.unsent].offset < to {
		s.batch = s.batch[:0]
		n, end := 0, from
		for i := w.unsent; i < len(w.messages) && w.messages[i].offset < to && len(s.batch) < piece; i++ {
			m := &w.messages[i]
			s.scratch = grown(s.scratch[:0], int(m.lead+m.chunk))
			p := w.chunk(m, from, s.scratch)
			s.batch = grown(s.batch, s.wire.room(len(p)))
			s.batch = s.wire.appendMessage(s.batch, p, nil)
			if m.offset < s.reached {
				s.resent.Add(int64(len(p)))
			}
			end = m.end()
			n++
		}
		s.ask(end, clock(), false)
		s.writing(w.messages[w.unsent].offset, end)
		s.pieces = append(s.pieces[:0], s.batch)
		if err := s.write(s.pieces, false); err != nil {
			return err
		}
		w.wrote(n)
	}
	s.scratch, s.batch = nil, nil
	return nil
}

// grown is p with room for n bytes more.
func grown(p []byte, n int) []byte {
	if cap(p)-len(p) >= n {
		return p
	}
	return append(make([]byte, 0, max(len(p)+n, 2*cap(p))), p...)
}

// confirm notes that the server has everything up to an offset, but for what
// was given up.
func (s *Stream) confirm(offset int64) {
	if offset > s.confirmed && offset <= s.reached {
		s.confirmed = offset
		s.trouble = nil
		s.dialer.resetBackoff()
		s.delivered.Store(offset - s.gaps.below(offset))
	}
	s.window.drop(s.confirmed)
	s.held.Store(int64(s.window.held))
}

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
	s.heed()
	if s.link.known().resumes && s.window.base() > s.confirmed {
		return s.lose(errGap)
	}
	return nil
}

// heed acts on the pongs that have come.
func (s *Stream) heed() {
	l := s.link.known()
	if acked := l.acked.Load(); acked > s.confirmed {
		s.answers.Store(true)
		s.rtt.Store(l.rtt.Load())
		s.confirm(acked)
		l.eager.Store(false)
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
	s.heed() // its reader has ended: nothing comes after this
	owes := s.answering() && s.confirmed < s.reached
	s.link, s.parting, s.closing = nil, false, false
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
		s.dialer.ended(c.known().since, owes)
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
