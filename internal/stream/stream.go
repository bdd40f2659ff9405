// SPDX-License-Identifier: MIT

package stream

import (
	"context"
	crand "crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gorilla/websocket"

	"msprecord/internal/doorbell"
)

const (
	// batchSize is how many bytes of frames leave in one write at most, unless
	// a single chunk is larger. Past it a write gains nothing on loopback.
	batchSize = 64 << 10

	// A ping asks for an acknowledgement behind so many bytes, or so long
	// after the last one, whichever comes first.
	ackBytes = 64 << 10
	ackDelay = 250 * time.Millisecond

	// deafAfter is how long a full window waits for the first pong of a
	// connection before it takes the server for one that answers no pings.
	deafAfter = time.Second
)

// Config is what a stream is told.
type Config struct {
	URL            *url.URL
	ConnectTimeout time.Duration
	PingInterval   time.Duration // a silent connection is asked for life this often
	PongTimeout    time.Duration // and given up after so long without an answer
	MaxOffline     time.Duration // how long to go on dialling; 0: for ever
	ReplayBytes    int           // frames kept until they are acknowledged
	DropOldest     bool          // what an outage outlasts: give up the oldest, not hold the source

	Access Access
	Speech Speech

	Up      func(text string)            // a connection stands
	Down    func(err error)              // it is lost
	Gap     func(offset, length int64)   // bytes were given up
	Warn    func(text string)            // something a user should know
	Message func(data []byte, text bool) // the server said something; nil: nobody listens. May block.
}

// Speech is what services expect besides the audio.
type Speech struct {
	OpenText     string        // sent after each connecting; "": nothing
	IdleText     string        // sent when no audio was for IdleInterval; "": nothing
	IdleInterval time.Duration //
	CloseText    *string       // sent after the tail, before the close; nil: nothing
	CloseBinary  *string       // the same, as a binary message
	Linger       time.Duration // how long the server may then go on talking
}

// A Stream is a WebSocket server as a session's destination, over as many
// connections as it takes. One goroutine uses it, except where a method says
// otherwise.
type Stream struct {
	cfg    Config
	ctx    context.Context
	cancel context.CancelFunc
	waker  *doorbell.Waker
	alarm  *time.Timer // wakes the pump for what time alone brings
	due    time.Time   // when it goes off

	window  window
	link    *link   // nil while there is no connection
	redial  *redial // nil while there is one
	dialer  *dialer
	mask    masker
	scratch []byte // one message, unmasked
	batch   []byte // frames made anew for a replay
	spoke   int64  // when data or IdleText was last written, by clock()
	parting bool   // the present link was told that the tail is over
	until   int64  // when lingering ends, by clock()
	closing bool   // the present link was sent our close frame
	ended   bool   // the closing handshake is done
	gap     int64  // bytes given up since the last report

	sent       atomic.Int64 // offset up to which everything was written once
	delivered  atomic.Int64 // offset up to which everything is known to have arrived
	resent     atomic.Int64 // bytes
	dropped    atomic.Int64 // bytes that were given up
	skipped    atomic.Int64 // those of them that lie below delivered
	held       atomic.Int64 // bytes of frames in the window
	reconnects atomic.Int64
	rtt        atomic.Int64 // ns
	answers    atomic.Bool  // the last server was seen to answer pings
}

// Open connects, within ConnectTimeout. ctx is the session's run: its end
// breaks off whatever the stream is in. w is woken when there is something to
// act on.
func Open(ctx context.Context, cfg Config, w *doorbell.Waker) (*Stream, error) {
	mask, err := newMasker()
	if err != nil {
		return nil, err
	}
	var id [16]byte
	if _, err := crand.Read(id[:]); err != nil {
		return nil, err
	}
	s := &Stream{cfg: cfg, waker: w, mask: mask}
	s.window.limit = cfg.ReplayBytes
	s.ctx, s.cancel = context.WithCancel(ctx)
	s.dialer, err = newDialer(s.ctx, cfg, w, hex.EncodeToString(id[:]))
	if err != nil {
		s.cancel()
		return nil, err
	}
	l, err := s.dialer.dial()
	if err != nil {
		s.cancel()
		return nil, err
	}
	s.alarm = time.AfterFunc(time.Hour, w.Wake)
	if err := s.adopt(l); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// adopt makes a new connection the present one, and sends again what the
// server does not have.
func (s *Stream) adopt(l *link) error {
	s.link, s.parting, s.closing, s.spoke = l, false, false, clock()
	s.window.rewind()
	s.reportGap()
	s.cfg.Up(fmt.Sprintf("connected to %s", s.cfg.URL.Redacted()))
	from := s.window.base
	if l.resumes {
		if l.held > s.sent.Load() {
			return fmt.Errorf("%s says it holds %d bytes of a stream of which %d were sent: %w", s.cfg.URL.Redacted(), l.held, s.sent.Load(), syscall.EPROTO)
		}
		from = l.held
		s.confirm(from)
	}
	if text := s.cfg.Speech.OpenText; text != "" {
		l.queue(opText, []byte(text))
		if err := l.write(nil); err != nil {
			return s.lose(err)
		}
	}
	if err := s.replay(from); err != nil {
		return s.lose(err)
	}
	return nil
}

// replay writes everything that was written before, from an offset on, in
// frames made anew: the server may hold half of a message, and no key is used
// twice.
func (s *Stream) replay(from int64) error {
	w, again := &s.window, s.sent.Load()
	// In pieces that are asked about one by one: were the whole window behind
	// one ping, a way that breaks before its end would never get anywhere.
	piece := min(batchSize, w.limit/4)
	for w.unsent < len(w.messages) && w.messages[w.unsent].offset < again {
		s.batch = s.batch[:0]
		n, end := 0, from
		for i := w.unsent; i < len(w.messages) && w.messages[i].offset < again && len(s.batch) < piece; i++ {
			s.scratch = grown(s.scratch[:0], w.messages[i].payload)
			p := w.payload(w.messages[i], from, s.scratch)
			s.batch = grown(s.batch, maxHeader+len(p))
			s.batch = appendFrame(s.batch, opBinary, s.mask.key(), p, nil)
			s.resent.Add(int64(len(p)))
			end = w.messages[i].offset + int64(w.messages[i].payload)
			n++
		}
		s.ask(end)
		if err := s.link.write(s.batch); err != nil {
			return err
		}
		w.wrote(n)
	}
	return nil
}

// grown is p with room for n bytes more.
func grown(p []byte, n int) []byte {
	if cap(p)-len(p) >= n {
		return p
	}
	return append(make([]byte, 0, max(len(p)+n, 2*cap(p))), p...)
}

// confirm notes that the server has everything up to an offset.
func (s *Stream) confirm(offset int64) {
	if offset > s.delivered.Load() && offset <= s.sent.Load() {
		s.delivered.Store(offset)
		if offset > s.window.base {
			s.skipped.Store(s.dropped.Load()) // it was the oldest that went
		}
	}
	s.window.drop(s.delivered.Load())
	s.held.Store(int64(s.window.held))
}

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

// attend acts on what happened meanwhile: bytes acknowledged, a connection
// lost or made again.
func (s *Stream) attend() error {
	if s.link == nil {
		return s.rejoin()
	}
	if err := s.link.attend(); err != nil {
		return s.lose(err)
	}
	if acked := s.link.acked.Load(); acked > s.delivered.Load() {
		s.answers.Store(true)
		s.rtt.Store(s.link.rtt.Load())
		s.confirm(acked)
	}
	if s.answering() && s.link.silent(s.cfg.PongTimeout) {
		return s.lose(fmt.Errorf("no pong within %v: %w", s.cfg.PongTimeout, syscall.ETIMEDOUT))
	}
	return nil
}

// lose gives up the present connection, and dials again unless that cannot
// help.
func (s *Stream) lose(err error) error {
	l := s.link
	s.link = nil
	defer func() { s.parting, s.closing = false, false }()
	if s.ctx.Err() == nil && !s.parting {
		err = l.reason(err)
	}
	l.close(false)
	if s.ctx.Err() != nil {
		return s.broken()
	}
	err = fmt.Errorf("the connection to %s is lost: %w", s.cfg.URL.Redacted(), lost(err))
	s.cfg.Down(err)
	if final(err) {
		return err
	}
	s.dialer.kept.Store(s.window.base)
	s.redial = s.dialer.again(l.since, err)
	return nil
}

// rejoin takes up a new connection, if there is one by now.
func (s *Stream) rejoin() error {
	if s.ctx.Err() != nil {
		return s.broken()
	}
	select {
	case <-s.redial.done:
	default:
		return nil
	}
	if s.redial.err != nil {
		return s.redial.err
	}
	l := s.redial.link
	s.redial = nil
	s.reconnects.Add(1)
	return s.adopt(l)
}

// broken is the error of a run that was broken off.
func (s *Stream) broken() error {
	err := fmt.Errorf("sending to %s: %w", s.cfg.URL.Redacted(), context.Cause(s.ctx))
	if s.redial != nil {
		err = fmt.Errorf("%w (%v)", err, s.redial.lastError())
	}
	return err
}

// Finish delivers the tail: everything out, then what the service wants to
// hear, then a close with 1000, and the server's answer to it, which it gives
// when it has read what came before. Where the connection is lost meanwhile,
// it does so again on the next.
func (s *Stream) Finish() error {
	for !s.ended {
		if err := s.part(); err != nil {
			return err
		}
		var readDone chan struct{}
		if s.link != nil {
			readDone = s.link.readDone
		}
		if s.parting && !s.closing {
			s.wakeAfter(max(0, time.Duration(s.until-clock())))
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
	s.delivered.Store(s.window.next)
	s.skipped.Store(s.dropped.Load())
	return nil
}

// part takes the next steps towards the end that can be taken now.
func (s *Stream) part() error {
	if !s.parting {
		if err := s.Flush(); err != nil || s.link == nil {
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
		if err := s.link.write(nil); err != nil {
			return s.lose(err)
		}
	}
	if s.link == nil {
		return s.rejoin()
	}
	if s.closing || clock() < s.until {
		return nil
	}
	s.closing = true
	s.link.queue(opClose, []byte{websocket.CloseNormalClosure >> 8, websocket.CloseNormalClosure & 0xFF})
	if err := s.link.write(nil); err != nil {
		return s.lose(err)
	}
	return nil
}

// settle judges the end of a connection that knew the tail was over.
func (s *Stream) settle() error {
	l := s.link
	if !s.closing {
		_ = l.reason(l.readErr) // answers the server's close
	}
	if acked := l.acked.Load(); acked >= 0 {
		s.confirm(acked)
	}
	var closed *websocket.CloseError
	switch {
	case s.delivered.Load() == s.window.next:
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

// Sent is how many payload bytes were handed to a connection, each counted
// once. Any goroutine.
func (s *Stream) Sent() int64 { return s.sent.Load() }

// Delivered is how many payload bytes are known to have arrived. Any goroutine.
func (s *Stream) Delivered() int64 { return s.delivered.Load() - s.skipped.Load() }

// Figures are what a stream tells about its connections.
type Figures struct {
	Resent     int64 // bytes
	GivenUp    int64 // bytes
	Window     int64 // bytes of frames
	Reconnects int64
	RTT        time.Duration
	Answers    bool // the server answers pings, and so acknowledges
}

// Figures reads them. Any goroutine.
func (s *Stream) Figures() Figures {
	return Figures{
		Resent: s.resent.Load(), GivenUp: s.dropped.Load(), Window: s.held.Load(),
		Reconnects: s.reconnects.Load(), RTT: time.Duration(s.rtt.Load()), Answers: s.answers.Load(),
	}
}

// Close ends the connection, or the attempts to make one. Finish comes first
// where the end is an orderly one.
func (s *Stream) Close() error {
	s.reportGap()
	s.alarm.Stop()
	if s.link != nil {
		s.link.close(s.ended)
	}
	s.cancel()
	if s.redial != nil {
		<-s.redial.done
		if s.redial.link != nil {
			s.redial.link.close(false)
		}
	}
	s.window.release()
	return nil
}
