// SPDX-License-Identifier: MIT

package stream

import (
	"errors"
	"time"

	"github.com/gorilla/websocket"
)

// closeWait is how long a server that has confirmed everything is given to
// answer our close.
const closeWait = time.Second

// closeNormal says that there is no more (section 7.4.1).
var closeNormal = []byte{websocket.CloseNormalClosure >> 8, websocket.CloseNormalClosure & 0xFF}

// Finish delivers the tail: everything out, then what the service wants to
// hear, then a close with 1000, and the server's answer to it, which it gives
// when it has read what came before. Where the connection is lost meanwhile,
// it does so again on the next.
func (s *Stream) Finish() error {
	s.Hurry()
	if s.lane != nil {
		return s.finishLane()
	}
	for !s.ended {
		if err := s.part(); err != nil {
			return err
		}
		var readDone chan struct{}
		if l, ok := s.link.(*link); ok {
			readDone = l.readDone
		}
		if s.link != nil {
			if s.heed(); s.expect() {
				continue
			}
			now := clock()
			switch {
			case s.closing && s.confirmed == s.window.next && now >= s.until:
				s.ended = true // only the server's goodbye is missing
				continue
			case s.parting && now < s.until:
				s.wakeAfter(now, time.Duration(s.until-now))
			}
		}
		select {
		case <-readDone:
			if err := s.settle(); err != nil {
				return err
			}
		case <-s.waker.C:
		case <-s.ctx.Done():
			return s.broken()
		}
	}
	s.reached = s.window.next
	s.confirm(s.window.next)
	return nil
}

// part takes the next steps towards the end that can be taken now.
func (s *Stream) part() error {
	if !s.parting {
		if err := s.Flush(); err != nil || s.link == nil || s.fenced() {
			return err
		}
		s.parting, s.until = true, clock()
		if speech := &s.cfg.Speech; speech.CloseText != nil || speech.CloseBinary != nil {
			s.until += int64(speech.Linger)
			if speech.CloseText != nil {
				s.link.queue(opText, []byte(*speech.CloseText))
			}
			if speech.CloseBinary != nil {
				s.link.queue(opBinary, []byte(*speech.CloseBinary))
			}
		}
		s.link.ping(s.window.next, clock())
		if err := s.link.write(nil, false); err != nil {
			return s.lose(err)
		}
	}
	if s.link == nil {
		return s.rejoin()
	}
	if s.closing || clock() < s.until {
		return nil
	}
	s.closing, s.until = true, clock()+int64(closeWait)
	s.link.queue(opClose, closeNormal)
	if err := s.link.write(nil, false); err != nil {
		return s.lose(err)
	}
	return nil
}

// settle judges the end of a connection that knew the tail was over.
func (s *Stream) settle() error {
	l := s.link.(*link)
	if !s.closing {
		_ = l.reason(l.readErr) // answers the server's close
	}
	s.heed()
	var closed *websocket.CloseError
	switch {
	case s.confirmed == s.window.next:
		s.ended = true // however it ended: everything has arrived
	case errors.As(l.readErr, &closed) && closed.Code != websocket.CloseAbnormalClosure:
		switch closed.Code {
		case websocket.CloseNormalClosure, websocket.CloseNoStatusReceived, websocket.CloseGoingAway:
			s.ended = true
		}
	case closed != nil && !s.answers.Load() && !l.resumes && l.acked.Load() < 0:
		// No close frame but an orderly end of the TCP stream, from a server
		// that says no more: had it left bytes unread, it would be a reset.
		s.ended = true
	}
	if s.ended {
		return nil
	}
	return s.lose(l.readErr)
}
