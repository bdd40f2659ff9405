// SPDX-License-Identifier: MIT

package stream

import (
	"errors"
	"syscall"
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
			if s.processAcks(); s.expectAck() {
				continue
			}
			now := clock()
			switch {
			case s.closing && s.complete() && now >= s.until:
				s.ended = true // only the server's goodbye is missing
				continue
			case s.link.silent(now, s.cfg.PongTimeout) && s.answerDue(now):
				if err := s.loseSilent(); err != nil {
					return err
				}
				continue
			case s.parting && now < s.until:
				s.wakeAfter(now, time.Duration(s.until-now))
			}
			s.wakeAfter(now, s.link.silenceDue(now, s.cfg.PongTimeout))
		}
		select {
		case <-readDone:
			if err := s.judgeEnd(); err != nil {
				return err
			}
		case <-s.waker.C:
		case <-s.ctx.Done():
			return s.broken()
		}
	}
	return nil
}

// part takes the next steps towards the end that can be taken now.
func (s *Stream) part() error {
	if !s.parting {
		if err := s.Flush(); err != nil || s.link == nil || s.blockedByGap() || s.pacing {
			return err
		}
		s.parting, s.until = true, clock()
		// Before what may have the server close: it need answer no ping after that.
		s.link.ping(s.window.next, s.window.textsWritten, s.until)
		if speech := &s.cfg.Speech; speech.CloseText != nil || speech.CloseBinary != nil {
			s.until += int64(speech.Linger)
			if speech.CloseText != nil {
				s.link.queue(opText, []byte(*speech.CloseText))
			}
			if speech.CloseBinary != nil {
				s.link.queue(opBinary, []byte(*speech.CloseBinary))
			}
		}
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
	if s.acksKnown && !s.complete() {
		return nil // a pong is to come, which a server may send later than the answer to a close
	}
	if err := s.link.attend(); err != nil {
		return nil // the server ended it first, which judgeEnd looks at
	}
	s.closing, s.until = true, clock()+int64(closeWait)
	s.link.queue(opClose, closeNormal)
	if err := s.link.write(nil, false); err != nil {
		return s.lose(err)
	}
	return nil
}

// judgeEnd judges the end of a connection that knew the tail was over. Only a
// pong, or what the server says it holds, acknowledges a byte; where a server
// has given neither on this stream, an orderly answer to our close does, which
// comes behind everything that was written before it.
func (s *Stream) judgeEnd() error {
	l := s.link.(*link)
	if !s.closing {
		_ = l.reason(l.readErr) // answers the server's close
	}
	s.processAcks()
	mute := s.closing && !s.acksKnown && !givesReason(l.readErr)
	switch {
	case s.complete():
	case s.closing && !s.acksKnown && l.closeAnswered():
		s.reached = s.window.next
		s.confirm(s.window.next, s.window.textsWritten)
	case mute && s.unanswered:
		return s.untold()
	default:
		s.unanswered = mute
		return s.lose(l.readErr)
	}
	s.ended = true
	return nil
}

// answerDue tells whether the server should have said something by now. One that
// answers no pings has nothing to answer before the close.
func (s *Stream) answerDue(now int64) bool {
	closed := s.until - int64(closeWait)
	return s.acksKnown || s.closing && now-closed >= int64(s.cfg.PongTimeout)
}

// loseSilent ends a connection whose server says nothing any more.
func (s *Stream) loseSilent() error {
	if s.closing && !s.acksKnown {
		return s.untold()
	}
	return s.lose(fault(syscall.ETIMEDOUT, "no pong within %v", s.cfg.PongTimeout))
}

// untold is the end of a stream whose server acknowledges in no way.
func (s *Stream) untold() error {
	return fault(syscall.EPIPE, "%s answers neither pings nor the close: nothing tells what has arrived", s.cfg.shown())
}

// givesReason tells whether a connection ended with a close frame that says why.
func givesReason(err error) bool {
	var closed *websocket.CloseError
	if !errors.As(err, &closed) {
		return false
	}
	switch closed.Code {
	case websocket.CloseNormalClosure, websocket.CloseNoStatusReceived, websocket.CloseAbnormalClosure:
		return false
	}
	return true
}

// closeAnswered tells whether a connection that was sent our close, and whose
// reader has ended, ended with the server's answer to it: the same code or none
// (section 5.5.1), and no reset of the TCP stream. A server that closes by
// itself may use that code as well; where it leaves bytes unread, its TCP
// resets the stream.
func (l *link) closeAnswered() bool {
	var closed *websocket.CloseError
	if !errors.As(l.readErr, &closed) ||
		closed.Code != websocket.CloseNormalClosure && closed.Code != websocket.CloseNoStatusReceived {
		return false
	}
	_ = l.net.SetReadDeadline(time.Now().Add(goodbye))
	var rest [512]byte
	for {
		if _, err := l.net.Read(rest[:]); err != nil {
			return !errors.Is(err, syscall.ECONNRESET)
		}
	}
}
